package conf

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChangedKeys(t *testing.T) {
	const file = `
session: {lifespan: 24h, cookie: {name: sid}}
secrets: {session: [one, two]}
selfservice: {flows: {login: {after: {hooks: [{hook: audit, config: {a: 1, b: 2}}]}}}}
`
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"same", file, nil},
		{"comments, order and layout", `
# a comment
selfservice:
  flows: {login: {after: {hooks: [{config: {b: 2, a: 1}, hook: "audit"}]}}}
secrets: {session: [one, two]}
session: {cookie: {name: sid}, lifespan: 24h}
`, nil},
		{"values", `
session: {lifespan: 12h, cookie: {name: sid, path: /app}}
secrets: {session: [two, one]}
selfservice: {flows: {login: {after: {hooks: [{hook: audit, config: {a: 1, b: 3}}]}}}}
`, []string{"session.lifespan", "session.cookie.path", "secrets.session", "selfservice.flows.login.after.hooks"}},
		{"kinds", `
session: [24h]
secrets: {session: [one, "2"]}
selfservice: {flows: {login: {after: [{hook: audit, config: {a: 1, b: 2}}]}}}
CANARY9: {x: 1}
`, []string{"session", "secrets.session", "selfservice.flows.login.after", Hidden}},
		{"type of a value", `
session: {lifespan: 24h, cookie: {name: sid}}
secrets: {session: [one, two]}
selfservice: {flows: {login: {after: {hooks: [{hook: audit, config: {a: "1", b: 2}}]}}}}
`, []string{"selfservice.flows.login.after.hooks"}},
		{"empty", "", []string{"session", "secrets", "selfservice"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a, bad := Parse([]byte(file))
			require.Nil(t, bad)
			b, bad := Parse([]byte(row.text))
			require.Nil(t, bad)
			require.Equal(t, row.want, ChangedKeys(a, b))
			require.ElementsMatch(t, row.want, ChangedKeys(b, a))
		})
	}
}
