package acceptance_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// urlKeys are the places where a URL can be configured: files with %s for it, and fields of
// Options.
var urlKeys = map[string]string{
	"redirect":                 "selfservice: {login: {before: [{hook: redirect, config: {to: %s}}]}}",
	"redirect's older key":     "selfservice: {login: {after: [{hook: redirect, config: {default_redirect_url: %s}}]}}",
	"redirect that never runs": "selfservice: {login: {before: [{hook: redirect, config: {to: /x}}, {hook: redirect, config: {to: %s}}]}}",
	"default":                  "selfservice: {default_browser_return_url: %s}",
	"default of a flow":        "selfservice: {flows: {login: {after: {default_browser_return_url: %s}}}}",
	"default of a strategy":    "selfservice: {flows: {login: {after: {oidc: {default_browser_return_url: %s}}}}}",
	"older default":            "urls: {default_return_to: %s}",
	"default, overruled":       "urls: {default_return_to: %s}\nselfservice: {default_browser_return_url: /x}",
	"allowed":                  "selfservice: {allowed_return_urls: [%s]}",
	"older allowed":            "urls: {whitelisted_return_to_urls: [/x, %s]}",
	"verification page":        "selfservice: {flows: {verification: {ui_url: %s}, login: {after: {hooks: [{hook: verify}]}}}}",
	"older verification page":  "urls: {verify_ui: %s}\nselfservice: {login: {after: [{hook: verify}]}}",
	"redirect in code":         "",
	"Options.VerificationURL":  "selfservice: {login: {after: [{hook: verify}]}}",
	"key for a value":          "selfservice: {login: {before: [{hook: redirect, config: {%s: x}}]}}",
	"key for a flow":           "selfservice: {%s: x}",
	"key without a value":      "selfservice: {login: {before: [{hook: redirect, config: {? %s}}]}}",
}

// secretURLs are URLs with a secret in every part that can have one.
var secretURLs = map[string]string{
	"query":                       "https://example.org/a?token=" + flowtest.Canary,
	"query of a host":             "https://example.org?token=" + flowtest.Canary,
	"query and fragment":          "https://example.org/a?b#" + flowtest.Canary,
	"fragment":                    "https://example.org/a#" + flowtest.Canary,
	"parameter":                   "https://example.org/a;jsessionid=" + flowtest.Canary + "/b",
	"user":                        "https://" + flowtest.Canary + "@example.org/a",
	"password":                    "https://user:" + flowtest.Canary + "@example.org/a",
	"password with a slash":       "https://user:" + flowtest.Canary + "/x@example.org/a",
	"password before a query":     "https://user:" + flowtest.Canary + "?x@example.org/a",
	"encoded @":                   "https://user:" + flowtest.Canary + "%40example.org/a",
	"@ that is encoded twice":     "https://user:" + flowtest.Canary + "%2540example.org/a",
	"full-width @":                "https://user:" + flowtest.Canary + "\uff20example.org/a",
	"path with a query":           "/a?token=" + flowtest.Canary,
	"path with a fragment":        "/a#" + flowtest.Canary,
	"path with a parameter":       "/a;token=" + flowtest.Canary,
	"parameter of a dot segment":  "https://example.org/..;" + flowtest.Canary + "/a",
	"query that is broken":        "https://example.org/a?token=%" + flowtest.Canary + "%zz",
	"query with a space after it": "https://example.org/a?token=" + flowtest.Canary + " b",
}

// urlFaults are ways to break a URL.
var urlFaults = map[string]func(u string) string{
	"nothing":           func(u string) string { return u },
	"plain http":        func(u string) string { return strings.Replace(u, "https:", "http:", 1) },
	"another scheme":    func(u string) string { return strings.Replace(u, "https:", "exp:", 1) },
	"no scheme":         func(u string) string { return strings.TrimPrefix(u, "https:") },
	"no slashes":        func(u string) string { return strings.TrimPrefix(u, "https://") },
	"one slash":         func(u string) string { return strings.Replace(u, "://", ":/", 1) },
	"backslashes":       func(u string) string { return strings.Replace(u, "://", `:\\`, 1) },
	"space in front":    func(u string) string { return " " + u },
	"space at the end":  func(u string) string { return u + " " },
	"space in the path": func(u string) string { return strings.Replace(u, "/a", "/a b", 1) },
	"quote at the end":  func(u string) string { return u + `"` },
	"line end":          func(u string) string { return u + "\n" },
	"beyond ASCII":      func(u string) string { return u + "é" },
	"dot segment":       func(u string) string { return strings.Replace(u, "/a", "/../a", 1) },
	"dot segment last":  func(u string) string { return u + "/.." },
	"broken escape":     func(u string) string { return strings.Replace(u, "/a", "/%zz/a", 1) },
	"escape at the end": func(u string) string { return u + "%z" },
	"bad port":          func(u string) string { return strings.Replace(u, "example.org", "example.org:x", 1) },
	"port 0":            func(u string) string { return strings.Replace(u, "example.org", "example.org:0", 1) },
	"bad host":          func(u string) string { return strings.Replace(u, "example.org", "exa+mple.org", 1) },
	"address in hex":    func(u string) string { return strings.Replace(u, "example.org", "0x7f.1", 1) },
	"bracket":           func(u string) string { return strings.Replace(u, "example.org", "example[::1]", 1) },
	"star":              func(u string) string { return strings.Replace(u, "example.org", "*.org", 1) },
	"star in the path":  func(u string) string { return strings.Replace(u, "/a", "/*", 1) },
	"star for the port": func(u string) string { return strings.Replace(u, "example.org", "example.org:*", 1) },
	"reference":         func(u string) string { return "${" + u + "}" },
	"too long":          func(u string) string { return strings.Replace(u, "/a", "/"+strings.Repeat("a", 200), 1) },
}

// written are the ways to write a value in YAML, valid and invalid.
var written = map[string]string{
	"string": "%s", "list": "[%s]", "mapping": "{%s: x}", "tag": "!x %s", "anchor": "&x %s", "list of lists": "[[%s]]",
}

// No secret of a URL gets into an error, a finding, a log, the table, the diagram, Points or the
// hook page.
func TestSecrecy_URLs(t *testing.T) {
	refused, loaded := 0, 0
	for key, text := range urlKeys {
		t.Run(strings.ReplaceAll(key, " ", "_"), func(t *testing.T) {
			for _, secret := range secretURLs {
				for _, fault := range urlFaults {
					to := fault(secret)
					quoted, err := json.Marshal(to)
					require.NoError(t, err)
					for _, how := range written {
						if how != "%s" && (to != secret || !strings.Contains(text, "%s")) {
							continue
						}
						if secretsStaySecret(t, key, strings.Replace(text, "%s", fmt.Sprintf(how, quoted), 1), to) {
							loaded++
						} else {
							refused++
						}
					}
				}
			}
		})
	}
	require.Greater(t, refused, 1000)
	require.Greater(t, loaded, 100)
	t.Logf("%d configurations with a secret in a URL, %d of them rejected: the secret is never shown",
		refused+loaded, refused)
}

func secretsStaySecret(t *testing.T, key, text, to string) (loaded bool) {
	t.Helper()
	book, loggers := newLogs()
	opts := flowhook.Options{Logger: loggers["text"], Store: memstore.New(), Courier: &flowtest.Mailbox{}}
	if key == "Options.VerificationURL" {
		opts.VerificationURL = to
	}
	cfg, err := flowhook.ParseConfig([]byte(text))
	if err == nil {
		if key == "redirect in code" {
			hook := flowhook.Redirect(to)
			requireSilentError(t, hook.Run(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder()}))
			cfg.Add(flowtest.At(flowhook.Login, flowhook.Before, flowhook.FlowWide), "closed", hook)
		}
		flowtest.RequireSilent(t, fmt.Sprintf("%+v", cfg.Check(opts)))
		var p *flowhook.Pipeline
		if p, err = flowhook.New(cfg, opts); err == nil {
			flowtest.RequireSilent(t, p.Plan().String()+p.Plan().Mermaid()+fmt.Sprintf("%+v", p.Plan().Findings()))
			for _, hooks := range p.Plan().Points() {
				flowtest.RequireSilent(t, fmt.Sprintf("%+v", hooks))
			}
			for _, query := range []string{"", "?format=json", "?lane=login&format=yaml", "?flow=login"} {
				page := httptest.NewRecorder()
				hookpage.Handler(p, hookpage.Options{}).ServeHTTP(page, httptest.NewRequest("GET", "/"+query, nil))
				require.Contains(t, []int{200, 404}, page.Code) // not every file has a lane of login
				flowtest.RequireSilent(t, page.Body.String())
			}
		}
	}
	requireSilentError(t, err)
	flowtest.RequireSilent(t, book.String())
	return err == nil
}

// An error shows the parts of a URL that help to find it.
func TestSecrecy_URLsInErrors(t *testing.T) {
	for to, want := range map[string]string{
		"https://example.org/a b?token=x":   `"https://example.org/a b?..." contains a character`,
		"https://example.org/a?token=x y":   `"https://example.org/a?..." contains a character`,
		"https://example.org/a#x y":         `"https://example.org/a#..." contains a character`,
		"https://example.org/a;x=y/../b":    `"https://example.org/a;..." contains a dot segment`,
		"https://example.org:x/?token=y":    `"https://example.org:x/?..." is not a URL`,
		"https://user:pw%40example.org/a":   `this one (not shown, as it contains an @)`,
		"https://user:pw%252540example.org": `this one (not shown, as it contains an @)`,
	} {
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder()})
		require.ErrorContains(t, err, want)
	}
}
