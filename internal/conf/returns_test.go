package conf

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// returned returns the URL after a flow with a strategy.
func returned(file *File, flow, strategy string) (url string) {
	for _, at := range []Return{{}, {Flow: flow}, {Flow: flow, Strategy: strategy}} {
		for _, r := range file.Returns {
			if r.Flow == at.Flow && r.Strategy == at.Strategy {
				url = r.URL.Value
			}
		}
	}
	return url
}

func TestReturnURL_NewestPlaceCounts(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"none", "selfservice: {login: {}}", ""},
		{"the oldest place", "urls: {default_return_to: /old}", "/old"},
		{"selfservice over urls", "selfservice: {default_return_to: /new}\nurls: {default_return_to: /old}", "/new"},
		{"either name", "selfservice: {default_browser_return_url: /new}\nurls: {default_return_to: /old}", "/new"},
		{"the flow over all flows", "selfservice: {default_return_to: /all, login: {default_return_to: /login}}", "/login"},
		{"the flow under flows", "selfservice: {default_browser_return_url: /all, flows: {login: {default_browser_return_url: /login}}}", "/login"},
		{"another flow", "selfservice: {default_return_to: /all, verification: {default_return_to: /other}}", "/all"},
		{"after over the flow", "selfservice: {login: {default_return_to: /flow, after: {default_return_to: /after}}}", "/after"},
		{"after over the flow, in any order", "selfservice: {login: {after: {default_return_to: /after}, default_return_to: /flow}}", "/after"},
		{"after under flows", "selfservice: {flows: {login: {after: {default_browser_return_url: /after}}}}", "/after"},
		{"the strategy over after", "selfservice: {login: {after: {password: {default_return_to: /password}, default_return_to: /after}}}", "/password"},
		{"the strategy under flows", "selfservice: {flows: {login: {after: {password: {default_browser_return_url: /password, hooks: []}}}}}", "/password"},
		{"another strategy", "selfservice: {login: {after: {default_return_to: /after, code: {default_return_to: /code}}}}", "/after"},
		{"empty", "selfservice: {default_return_to: /all, login: {default_return_to: ''}}", ""},
		{"pages have none", "selfservice: {flows: {error: {default_browser_return_url: 1}}}", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := read(t, row.text)
			assert.Empty(t, file.Problems)
			assert.Equal(t, row.want, returned(file, "login", "password"))
		})
	}
}

func TestAllowedURLs_NewestPlaceCounts(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       []string
		at         string
	}{
		{"none", "selfservice: {}", nil, ""},
		{"the oldest place", "urls: {whitelisted_return_to_urls: [/a, /b]}", []string{"/a", "/b"}, "urls.whitelisted_return_to_urls"},
		{"selfservice over urls", "selfservice: {whitelisted_return_to_urls: [/b]}\nurls: {whitelisted_return_to_urls: [/a]}", []string{"/b"}, "selfservice.whitelisted_return_to_urls"},
		{"the second name", "selfservice: {whitelisted_return_urls: [/c], whitelisted_return_to_urls: [/b]}", []string{"/c"}, "selfservice.whitelisted_return_urls"},
		{"the newest name", "selfservice: {allowed_return_urls: [/d], whitelisted_return_urls: [/c], whitelisted_return_to_urls: [/b]}", []string{"/d"}, "selfservice.allowed_return_urls"},
		{"an empty list counts", "selfservice: {whitelisted_return_urls: [/c], allowed_return_urls: []}", nil, "selfservice.allowed_return_urls"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := read(t, row.text)
			assert.Empty(t, file.Problems)
			var got []string
			for _, v := range file.Allowed {
				got = append(got, v.Value)
			}
			assert.Equal(t, row.want, got)
			assert.Equal(t, row.at, file.AllowedAt.Path)
		})
	}
}

// A setting that the file has comes with its position; any other is the zero Value.
func TestSettings_Positions(t *testing.T) {
	file := read(t, `
security: {account_enumeration: {mitigate: TRUE}, session: {cookie: {same_site: Strict}}}
cookies: {same_site: Lax, domain: a.example}
session: {cookie: {name: app, path: /, secure: false}}
selfservice: {login: {enabled: False}, verification: {enabled: true}, profile: {enabled: true}}
`)
	assert.Empty(t, file.Problems)
	at := file.CookieAt
	for v, want := range map[Value]string{
		file.Mitigate: "security.account_enumeration.mitigate", at.Name: "session.cookie.name", at.Domain: "cookies.domain",
		at.Path: "session.cookie.path", at.SameSite: "cookies.same_site", at.Secure: "session.cookie.secure",
	} {
		assert.Equal(t, want, v.Path)
		assert.NotZero(t, v.Line)
	}
	if assert.Len(t, file.Enabled, 2, "profile is no flow") {
		assert.Equal(t, "login false", file.Enabled[0].Flow+" "+onOff(file.Enabled[0].On))
		assert.Equal(t, "verification true", file.Enabled[1].Flow+" "+onOff(file.Enabled[1].On))
		assert.Equal(t, "selfservice.verification.enabled", file.Enabled[1].Path)
	}

	for text, problems := range map[string]int{
		"security: {account_enumeration: {mitigate: false}}":                  0,
		"security: {account_enumeration: {mitigate: 'true'}}":                 1,
		"security: {account_enumeration: {mitigate: ~}}":                      1,
		"security: {account_enumeration: [mitigate, true]}":                   1,
		"x: &true false\nsecurity: {account_enumeration: {mitigate: *true }}": 1,
		"selfservice: {flows: {login: {enabled: 'true'}}}":                    1,
		"session: {cookie: {persistent: true}}":                               0,
	} {
		file := read(t, text)
		assert.Len(t, file.Problems, problems, text)
		assert.Zero(t, file.Mitigate, text)
		assert.Empty(t, file.Enabled, text)
		assert.Zero(t, file.CookieAt, text)
	}
	assert.True(t, read(t, "selfservice: {flows: {login: {enabled: true}}}").Enabled[0].On)
}

func onOff(on bool) string {
	if on {
		return "true"
	}
	return "false"
}

func TestOverruled(t *testing.T) {
	for _, row := range []struct {
		text string
		want []string // "what by what"
	}{
		{"selfservice: {default_return_to: /a, login: {default_return_to: /b, after: {password: {default_return_to: /c}}}}", nil},
		{"urls: {default_return_to: /a}\nselfservice: {default_return_to: /b}", []string{"urls.default_return_to by selfservice.default_return_to"}},
		{"selfservice: {flows: {login: {default_browser_return_url: /a, after: {default_browser_return_url: /b}}}}",
			[]string{"selfservice.flows.login.default_browser_return_url by selfservice.flows.login.after.default_browser_return_url"}},
		{"urls: {whitelisted_return_to_urls: []}\nselfservice: {allowed_return_urls: [], whitelisted_return_urls: []}",
			[]string{"urls.whitelisted_return_to_urls by selfservice.whitelisted_return_urls", "selfservice.whitelisted_return_urls by selfservice.allowed_return_urls"}},
		{"urls: {verify_ui: /a}\nselfservice: {verification: {ui_url: /b}}", []string{"urls.verify_ui by selfservice.verification.ui_url"}},
		{"cookies: {domain: a.example, path: /a, same_site: Lax, secure: true}\nsession: {cookie: {domain: b.example, path: /b, same_site: Lax, secure: true, name: a}}", []string{
			"cookies.domain by session.cookie.domain", "cookies.path by session.cookie.path",
			"cookies.same_site by session.cookie.same_site", "cookies.secure by session.cookie.secure"}},
		{"security: {session: {cookie: {same_site: Lax}}}\ncookies: {same_site: Strict}", []string{"security.session.cookie.same_site by cookies.same_site"}},
		{"session: {cookie: {name: a, domain: a.example, path: /, same_site: Lax, persistent: true, secure: true}}", nil},
	} {
		var got []string
		file := read(t, row.text)
		for _, o := range file.Overruled {
			got = append(got, o.Value.Path+" by "+o.By.Path)
		}
		assert.Empty(t, file.Problems, row.text)
		assert.Equal(t, row.want, got, row.text)
	}
}
