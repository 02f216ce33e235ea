package conf

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The tag that is nothing but an exclamation mark is refused as others are: it would take the
// beginning of a value.
func TestTags(t *testing.T) {
	const tag = "tags are not allowed here"
	for text, want := range map[string]string{
		"secrets:\n  session:\n    - ! kR9-secret-of-a-service":                                         "3:7 " + tag,
		"secrets:\r\n  session:\r\n    - ! kR9-secret-of-a-service":                                     "3:7 " + tag,
		"\ufeffsecrets: {session: [! kR9-secret-of-a-service]}":                                         "1:21 " + tag,
		"dsn: ü\u2028secrets: ! {}":                                                                     "2:10 " + tag,
		"secrets: {session: [\"é-secret-of-a-service\", !  'é-secret']}":                                "1:46 " + tag,
		"secrets: {session: [!!str kR9-secret-of-a-service]}":                                           "1:21 " + tag,
		"secrets: {session: [! ]}":                                                                      "1:21 " + tag,
		"secrets: {session: ! [kR9-secret-of-a-service]}":                                               "1:20 " + tag,
		"secrets: !\n  session: [kR9-secret-of-a-service]":                                              "1:10 " + tag,
		"secrets:\n  ! session: [kR9-secret-of-a-service]":                                              "2:3 expected a plain key",
		"selfservice: {login: {before: [! {hook: x}]}}":                                                 "1:32 " + tag,
		"secrets: {session: ['! secret-of-a-service', '!secret-of-a-service', a! secret-of-a-service]}": "",
	} {
		file := read(t, text)
		got := ""
		for i, p := range file.Problems {
			if i > 0 {
				got += ", "
			}
			got += fmt.Sprintf("%d:%d %s", p.Line, p.Column, p.Text)
		}
		assert.Equal(t, want, got, "%q", text)
	}
}
