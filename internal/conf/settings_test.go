package conf

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, text string) *File {
	t.Helper()
	root, bad := Parse([]byte(text))
	require.Nil(t, bad)
	return Read(root, []string{"login", "verification"}, []string{"password", "code"}, nil)
}

func TestSessionSettings(t *testing.T) {
	with := func(change func(*Session)) Session {
		s := Session{24 * time.Hour, Cookie{"__Host-session", "", "/", http.SameSiteLaxMode, true, true}}
		change(&s)
		return s
	}
	for text, want := range map[string]Session{
		"":                                      with(func(*Session) {}),
		"dsn: memory":                           with(func(*Session) {}),
		"session: {lifespan: 1h30m}":            with(func(s *Session) { s.Lifespan = 90 * time.Minute }),
		"session: {cookie: {path: /}}":          with(func(*Session) {}),
		"session: {cookie: {domain: ''}}":       with(func(*Session) {}),
		"session: {cookie: {name: app}}":        with(func(s *Session) { s.Name = "app" }),
		"session: {cookie: {name: __Host-app}}": with(func(s *Session) { s.Name = "__Host-app" }),
		"session: {cookie: {name: __Secure-app, path: /app}}":  with(func(s *Session) { s.Name, s.Path = "__Secure-app", "/app" }),
		"session: {cookie: {path: /app}}":                      with(func(s *Session) { s.Name, s.Path = "session", "/app" }),
		"session: {cookie: {domain: example.com}}":             with(func(s *Session) { s.Name, s.Domain = "session", "example.com" }),
		"session: {cookie: {secure: false}}":                   with(func(s *Session) { s.Name, s.Secure = "session", false }),
		"session: {cookie: {secure: TRUE, persistent: False}}": with(func(s *Session) { s.Persistent = false }),
		"session: {cookie: {same_site: None}}":                 with(func(s *Session) { s.SameSite = http.SameSiteNoneMode }),
		"cookies: {same_site: Strict, path: /a, domain: a.example}": with(func(s *Session) {
			s.SameSite, s.Path, s.Domain, s.Name = http.SameSiteStrictMode, "/a", "a.example", "session"
		}),
		"cookies: {same_site: Strict}\nsession: {cookie: {same_site: Lax}}":                with(func(*Session) {}),
		"session: {cookie: {same_site: Lax}}\ncookies: {same_site: Strict}":                with(func(*Session) {}),
		"security: {session: {cookie: {same_site: Strict}}}":                               with(func(s *Session) { s.SameSite = http.SameSiteStrictMode }),
		"cookies: {same_site: Lax}\nsecurity: {session: {cookie: {same_site: Strict}}}":    with(func(*Session) {}),
		"cookies: {path: /a, domain: a.example}\nsession: {cookie: {path: /, domain: ''}}": with(func(*Session) {}),
	} {
		file := read(t, text)
		assert.Empty(t, file.Problems, text)
		assert.Equal(t, want, file.Session, text)
	}
}

func TestCookieValues(t *testing.T) {
	for text, ok := range map[string]bool{
		"name: a": true, "name: 'a b'": false, "name: 'a;b'": false, "name: 'a=b'": false, "name: 'a|b'": false,
		"name: ''": false, "name: 'é'": false, `name: "a\x7f"`: false, "name: \"!#$%&'*+-.^_`~09azAZ\"": true,
		"domain: example.com": true, "domain: localhost": true, "domain: xn--bcher-kva.example": true,
		"domain: .example.com": false, "domain: example.com.": false, "domain: -a.example": false, "domain: a..b": false,
		"domain: 127.0.0.1": false, "domain: '[::1]'": false, "domain: '::1'": false, "domain: a.0": false,
		"domain: 'example.com:80'": false, "domain: 'https://example.com'": false, "domain: bücher.example": false,
		"domain: " + strings.Repeat("a", 63): true, "domain: " + strings.Repeat("a", 64): false,
		"domain: " + strings.Repeat("a.", 126) + "a": true, "domain: " + strings.Repeat("a.", 126) + "ab": false,
		"path: /": true, "path: /a/b": true, "path: a": false, "path: '/a;b'": false, `path: "/\n"`: false, "path: ''": false,
		"same_site: None": true, "same_site: none": false, "same_site: ''": false,
		"secure: true": true, "secure: yes": false, "secure: 1": false, "persistent: ~": false,
	} {
		file := read(t, "session: {cookie: {"+text+"}}")
		assert.Equal(t, ok, len(file.Problems) == 0, text)
	}
}

// A setting is judged by its own rule first: what is valid is taken, and what is not gets the hint
// for it, unless it was certainly meant to be replaced.
func TestCookieValues_References(t *testing.T) {
	const reference, host = "a reference or a placeholder, which is not resolved here", "not a domain for a cookie"
	for text, want := range map[string]string{
		"name: __APP_SESSION__": "", "name: __HOST__": "", "name: '%SID%'": "", "name: a$b": "",
		"name: $SID": reference, "name: '${SID}'": reference, "name: a${SID}": reference, "name: $(SID)": reference, "name: '{{ .Values.sid }}'": reference,
		"domain: https://example.org": host, "domain: vault://example.org": host, "domain: __A__": host, "domain: '@A@'": host,
		"domain: <a>": host, "domain: env://DOMAIN": reference, "domain: '%DOMAIN%'": reference, "domain: file:/run/domain": reference,
		"domain: <your-domain>": reference, "domain: '*.${DOMAIN}'": reference,
		"path: /__A__": "", "path: /$A": "", "path: '/${A}'": reference, "path: $A": reference, "same_site: $SAME_SITE": reference,
		"secure: ${SECURE}": reference, "persistent: '{{ .Values.persistent }}'": reference, "secure: 'yes'": "expected true or false, found a string",
		"secure: [$A]": "expected true or false, found a list",
	} {
		file := read(t, "session:\n  cookie:\n    "+text)
		if want == "" {
			assert.Empty(t, file.Problems, text)
			continue
		}
		require.Len(t, file.Problems, 1, text)
		assert.Equal(t, want, file.Problems[0].Text, text)
	}
}

func TestSecrets_NewestListCounts(t *testing.T) {
	for text, want := range map[string][]string{
		"{}": nil,
		"{default: [ddddddddddddddddd], cookie: [ccccccccccccccccc], session: [sssssssssssssssss]}": {"sssssssssssssssss"},
		"{default: [ddddddddddddddddd], cookie: [ccccccccccccccccc]}":                               {"ccccccccccccccccc"},
		"{default: [ddddddddddddddddd, eeeeeeeeeeeeeeee], cipher: [x]}":                             {"ddddddddddddddddd", "eeeeeeeeeeeeeeee"},
	} {
		file := read(t, "secrets: "+text)
		assert.Empty(t, file.Problems)
		var got []string
		for _, s := range file.Secrets {
			got = append(got, s.Text)
			assert.Equal(t, s.Text, s.Value.Value, "the position is its own")
		}
		assert.Equal(t, want, got)
	}
}

func TestVerifyURL_NewestPlaceCounts(t *testing.T) {
	for text, want := range map[string]string{
		"dsn: x":                       "",
		"urls: {verify_ui: https://a}": "https://a",
		"selfservice: {verification: {ui_url: https://b}}\nurls: {verify_ui: https://a}": "https://b",
		"selfservice: {flows: {verification: {ui_url: https://c}}}":                      "https://c",
		"selfservice: {flows: {login: {ui_url: https://c}}}":                             "",
	} {
		var got string
		if u := read(t, text).Verification.URL; u.Node != nil {
			got = u.Value
		}
		assert.Equal(t, want, got, text)
	}
}

func TestSettings_AreDocumented(t *testing.T) {
	for _, s := range settings {
		if s.read != nil || s.at != nil {
			assert.Regexp(t, `^[A-Z].*\.$`, s.doc, s.path)
		}
		if s.read != nil {
			assert.NotNil(t, s.is, s.path)
		}
	}
}
