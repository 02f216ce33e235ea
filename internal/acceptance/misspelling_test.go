package acceptance_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
)

// misspellings returns every word at distance one: an insertion, a deletion, a substitution, or a
// transposition.
func misspellings(word string) []string {
	const letters = "abcdefghijklmnopqrstuvwxyz_"
	var all []string
	for i := range len(word) + 1 {
		for _, c := range letters {
			all = append(all, word[:i]+string(c)+word[i:])
			if i < len(word) {
				all = append(all, word[:i]+string(c)+word[i+1:])
			}
		}
		if i < len(word) {
			all = append(all, word[:i]+word[i+1:])
		}
		if i+1 < len(word) {
			all = append(all, word[:i]+string(word[i+1])+string(word[i])+word[i+2:])
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == word })
}

// Each row is a file with one missing word, and the words that are allowed there. The file loads
// with each of them, and New names every word that is one edit away.
func TestConfig_Misspellings(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.VerificationURL = "https://example.com/verify"
	rows := []struct {
		name, file string
		words      []string
		others     []string // what else may stand there, and is let be
	}{
		{"flow", "selfservice: {%s: {}}",
			[]string{"login", "registration", "settings", "verification", "recovery", "logout", "invite"},
			[]string{"methods", "strategies", "error", "verify", "profile"}},
		{"flow under flows", "selfservice: {flows: {%s: {}}}",
			[]string{"login", "registration", "settings", "verification", "recovery", "logout", "invite"},
			[]string{"error", "verify", "profile"}},
		{"flows", "selfservice: {%s: {login: {after: []}}}", []string{"flows"}, nil},
		{"phase", "selfservice: {login: {%s: []}}", []string{"before", "after", "failed"}, nil},
		{"phase under flows", "selfservice: {flows: {login: {%s: {hooks: []}}}}",
			[]string{"before", "after", "failed"}, nil},
		{"hooks", "selfservice: {flows: {login: {before: {%s: []}}}}", []string{"hooks"}, nil},
		{"hooks after", "selfservice: {flows: {login: {after: {%s: []}}}}", []string{"hooks"}, nil},
		{"strategy", "selfservice: {login: {after: {%s: []}}}", []string{"password", "oidc", "profile", "link", "code",
			"totp", "lookup_secret", "webauthn", "passkey", "saml", "magic"}, nil},
		{"hooks of a strategy", "selfservice: {login: {after: {password: {%s: []}}}}", []string{"hooks"}, nil},
		{"return", "selfservice: {login: {after: {%s: /}}}",
			[]string{"default_return_to", "default_browser_return_url"}, nil},
		{"return of a strategy", "selfservice: {flows: {login: {after: {password: {%s: /}}}}}",
			[]string{"default_return_to", "default_browser_return_url"}, nil},
		{"return of a flow", "selfservice: {login: {%s: /}}",
			[]string{"default_return_to", "default_browser_return_url"}, nil},
		{"return of all flows", "selfservice: {%s: /}", []string{"default_return_to", "default_browser_return_url"},
			nil},
		{"allowed returns", "selfservice: {%s: []}",
			[]string{"allowed_return_urls", "whitelisted_return_urls", "whitelisted_return_to_urls"}, nil},
		{"oldest return", "urls: {%s: /}", []string{"default_return_to", "verify_ui"}, nil},
		{"oldest allowed returns", "urls: {%s: []}", []string{"whitelisted_return_to_urls"}, nil},
		{"hook", "selfservice: {login: {after: [{hook: %s}]}}",
			[]string{"session", "revoke_active_sessions", "verify", "verification", "audit"}, nil},
		{"redirect", "selfservice: {login: {after: [{hook: %s, config: {to: /}}]}}", []string{"redirect"}, nil},
		{"entry", "selfservice: {login: {after: [{%s: session}]}}", []string{"hook"}, nil},
		{"entry's config", "selfservice: {login: {after: [{hook: audit, %s: {}}]}}", []string{"config"}, nil},
		{"entry's phase", "selfservice: {login: {after: [{hook: audit, %s: after}]}}", []string{"phase"}, nil},
		{"entry's timeout", "selfservice: {login: {after: [{hook: audit, %s: 2s}]}}", []string{"timeout"}, nil},
		{"phase in an entry", "selfservice: {login: {after: [{hook: audit, phase: %s}]}}",
			[]string{"after", "before_persist"}, nil},
		{"key of a config", "selfservice: {login: {after: [{hook: audit, config: {%s: [{url: /}]}}]}}",
			[]string{"sinks"}, nil},
		{"key in a config", "selfservice: {login: {after: [{hook: audit, config: {sinks: [{%s: 1}]}}]}}",
			[]string{"url", "retries"}, nil},
		{"redirect's key", "selfservice: {login: {after: [{hook: redirect, config: {%s: /}}]}}", []string{"to"}, nil},
		{"top", "%s: {}", []string{"selfservice", "secrets", "session", "cookies", "security", "flowhook"}, []string{"version"}},
		{"secrets", "secrets: {%s: [0123456789abcdef]}", []string{"session", "cookie", "default"}, nil},
		{"accept", "flowhook: {%s: []}", []string{"accept"}, nil},
		{"session", "session: {%s: 24h}", []string{"lifespan"}, nil},
		{"session's cookie", "session: {%s: {}}", []string{"cookie"}, nil},
		{"cookie", "session: {cookie: {%s: app}}", []string{"name"}, nil},
		{"cookie's domain", "session: {cookie: {%s: example.com}}", []string{"domain"}, nil},
		{"cookie's path", "session: {cookie: {%s: /app}}", []string{"path"}, nil},
		{"cookie's mode", "session: {cookie: {%s: Lax}}", []string{"same_site"}, nil},
		{"cookie's flags", "session: {cookie: {%s: true}}", []string{"persistent", "secure"}, nil},
		{"mode", "session: {cookie: {same_site: %s}}", []string{"Strict", "Lax", "None"}, nil},
		{"older cookie", "cookies: {%s: /app}", []string{"path"}, nil},
		{"older domain", "cookies: {%s: example.com}", []string{"domain"}, nil},
		{"older mode", "cookies: {%s: Lax}", []string{"same_site"}, nil},
		{"oldest session", "security: {%s: {cookie: {}}}", []string{"session"}, nil},
		{"oldest cookie", "security: {session: {%s: {}}}", []string{"cookie"}, nil},
		{"oldest mode", "security: {session: {cookie: {%s: Lax}}}", []string{"same_site"}, nil},
	}
	count := 0
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, word := range row.words {
				assert.NoError(t, flowtest.Build(fmt.Sprintf(row.file, word), opts), word)
				for _, wrong := range misspellings(word) {
					if slices.Contains(row.words, wrong) || slices.Contains(row.others, wrong) {
						continue
					}
					count++
					err := flowtest.Build(fmt.Sprintf(row.file, wrong), opts)
					if row.name == "mode" || wrong == "" { // a value; no word at all
						assert.Error(t, err)
						continue
					}
					assert.ErrorContains(t, err, fmt.Sprintf("%q", wrong))
					if len(word) > 3 {
						assert.ErrorContains(t, err, "did you mean")
					}
				}
			}
		})
	}
	t.Logf("misspellings at distance one: %d errors, each with the word", count)
}
