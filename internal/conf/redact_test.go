package conf

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEntry_Redacted(t *testing.T) {
	for _, row := range []struct{ config, builtin, want string }{
		{"{name: sign_in, limits: [{by: pair, tries: 5, every: 1m}], on_error: refuse, x: true}", "",
			"{name: sign_in, limits: [{by: pair, tries: 5, every: 1m}], on_error: refuse, x: true}"},
		{"{method: POST, rate: 0.5, none: ~}", "", "{method: POST, rate: 0.5, none: ~}"},
		// references
		{"{token: '${TOKEN}', secrets: ['${ONE}', 'file:/run/two']}", "",
			"{token: '${TOKEN}', secrets: ['${ONE}', 'file:/run/two']}"},
		{"{to: '$${canary}', at: '${A}canary', b: $file:canary}", "", "{to: <hidden-value>, at: <hidden-value>, b: <hidden-value>}"},
		// texts
		{"{a: cAnArY7Q, b: two words, c: canary-x, d: '', e: 'ca\nnary'}", "",
			"{a: <hidden-value>, b: <hidden-value>, c: <hidden-value>, d: <hidden-value>, e: <hidden-value>}"},
		{"{a: correcthorsebatterystaple, b: 12345678901, c: !!binary Y2FuYXJ5, d: 2001-01-01}", "",
			"{a: <hidden-value>, b: <hidden-value>, c: <hidden-value>, d: <hidden-value>}"},
		// keys that sound like secrets
		{"{api_key: word, Password: word, pin: 1234, sign: true}", "",
			"{api_key: <hidden-value>, Password: <hidden-value>, pin: <hidden-value>, sign: <hidden-value>}"},
		{"{auth: {type: basic, of: [word, {a: 5s}]}}", "",
			"{auth: {type: <hidden-value>, of: [<hidden-value>, {a: <hidden-value>}]}}"},
		{"{cAnArY7Q: word, X-Name: word}", "", "{<hidden-value>: word, X-Name: word}"},
		// URLs
		{"{url: 'https://user:canary@hooks.example.org/x', to: 'https://hooks.example.org:8443/canary?canary#canary'}", "",
			"{url: <hidden-value>, to: 'https://hooks.example.org:8443/<hidden-value>'}"},
		{"{a: 'https://canary＠example.org/x', b: 'postgres://canary@db/x', c: /canary}", "",
			"{a: <hidden-value>, b: <hidden-value>, c: <hidden-value>}"},
		{"{to: '/a/b?token=canary', x: /a}", "redirect", "{to: /a/b<hidden-value>, x: <hidden-value>}"},
		{"{to: '/a?saved', default_redirect_url: '/b?too_late'}", "redirect", "{to: '/a?saved', default_redirect_url: '/b?too_late'}"},
		{"{to: '/a?saved'}", "", "{to: <hidden-value>}"},
		{"{a: {to: '/a?cAnArY'}, b: {to: '/a?canary#canary'}, c: {to: '/a#canary'}, d: {to: '/a?canary2'}}", "redirect",
			"{a: {to: /a<hidden-value>}, b: {to: /a<hidden-value>}, c: {to: /a<hidden-value>}, d: {to: /a<hidden-value>}}"},
		{"{to: 'https://example.org/A-1'}", "redirect", "{to: 'https://example.org/A-1'}"},
		{"{to: 'https://canary@example.org/A-1'}", "redirect", "{to: <hidden-value>}"},
	} {
		root, bad := Parse([]byte("config: " + row.config))
		require.Nil(t, bad, row.config)
		e := Entry{Config: root.Get("config"), Builtin: row.builtin}
		assert.Equal(t, row.want, e.Redacted(), row.config)
	}
	assert.Empty(t, (&Entry{}).Redacted())
}

// Comments, anchors and styles of the file do not appear.
func TestEntry_RedactedIsOneLine(t *testing.T) {
	root, bad := Parse([]byte("config:\n  a: 1 # canary\n  # canary\n  b:\n    - word\n    - \"word\"\n"))
	require.Nil(t, bad)
	e := Entry{Config: root.Get("config")}
	assert.Equal(t, "{a: 1, b: [word, word]}", e.Redacted())
}
