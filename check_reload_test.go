package flowhook_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

const changedScope = " keeps its name but changes its domain or path: browsers then send the old and the new one, " +
	"and a user with two live sessions is anonymous; change session.cookie.name as well"

// TestReload_CookieScope: a session cookie that keeps its name must keep its domain and path.
func TestReload_CookieScope(t *testing.T) {
	cookie := func(settings string) string { return "session: {cookie: {" + settings + "}}" }
	const older = "cookies: {domain: example.org, path: /old}"
	// want is the position of the finding and the name of the cookie.
	for _, row := range []struct{ name, was, is, want string }{
		{"a domain is added", cookie("name: sid"), cookie("name: sid, domain: example.org"), `1:39 "sid"`},
		{"a domain is removed", cookie("name: sid, domain: example.org"), cookie("name: sid"), `1:26 "sid"`},
		{"another domain", cookie("domain: a.example.org"), cookie("domain: example.org"), `1:28 "session"`},
		{"another path", cookie("name: sid, domain: example.org"),
			cookie("name: sid, domain: example.org, path: /app"), `1:58 "sid"`},
		{"a path is removed", cookie("domain: example.org, path: /app"), cookie("domain: example.org"), `1:28 "session"`},
		{"a domain instead of a path", cookie("path: /app"), cookie("domain: example.org"), `1:28 "session"`},
		{"a path instead of a domain", cookie("domain: example.org"), cookie("path: /app"), `1:26 "session"`},
		{"a domain is removed, and secure", cookie("domain: example.org"), cookie("secure: false"), `1:28 "session"`},
		{"the older place", cookie("domain: example.org"), older, `1:38 "session"`},

		{"a domain, and so the name", "", cookie("domain: example.org"), ""},
		{"a path and the name", cookie("name: sid"), cookie("name: sid2, path: /app"), ""},
		{"the name alone", cookie("name: sid"), cookie("name: sid2"), ""},
		{"the domain in another case", cookie("domain: example.org"), cookie("domain: Example.ORG"), ""},
		{"the same at another place", cookie("domain: example.org, path: /old"), older, ""},
		{"other settings", cookie("name: sid"), cookie("name: sid, same_site: Strict, persistent: false, secure: false"), ""},
		{"no cookie", "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			log := &flowtest.LogBuffer{}
			opts := checked()
			opts.Logger = slog.New(slog.NewTextHandler(log, nil))
			p, err := flowhook.New(flowtest.Parse(t, row.was+StrongSecretYAML), opts)
			require.NoError(t, err)
			require.False(t, flowtest.HasFinding(p, "cookie-scope"), "New has nothing to compare")
			cfg := flowtest.Parse(t, row.is+StrongSecretYAML)
			require.NoError(t, p.Reload(cfg))
			if row.want == "" {
				require.False(t, flowtest.HasFinding(p, "cookie-scope"))
				require.NotContains(t, log.String(), "cookie-scope")
				return
			}
			var found []string
			for _, f := range p.Plan().Findings() {
				if f.Rule == "cookie-scope" {
					found = append(found, f.String())
				}
			}
			position, name, _ := strings.Cut(row.want, " ")
			require.Equal(t, []string{position + ": warning: cookie-scope: the session cookie " + name + changedScope}, found)
			require.Contains(t, log.String(), "rule=cookie-scope")
			for _, f := range cfg.Check(opts) {
				require.NotEqual(t, "cookie-scope", f.Rule, "Check has nothing to compare")
			}
			require.NoError(t, p.Reload(cfg))
			require.False(t, flowtest.HasFinding(p, "cookie-scope"), "the second time, nothing changes")
		})
	}

	t.Run("needs a cookie before and after", func(t *testing.T) {
		for _, with := range []string{cookie("domain: a.example.org"), ""} {
			p, err := flowhook.New(flowtest.Parse(t, with), checked())
			require.NoError(t, err)
			require.NoError(t, p.Reload(flowtest.Parse(t, cookie("domain: example.org"))))
			require.False(t, flowtest.HasFinding(p, "cookie-scope"), "without secrets there is no cookie")
		}
	})
}
