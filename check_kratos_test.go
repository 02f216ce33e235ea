package flowhook_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// Rules that begin with kratos- apply to a file with a key that Kratos uses and flowhook does not.
func TestKratosFindings(t *testing.T) {
	const hooks = "{flows: {registration: {after: {oidc: {hooks: [{hook: session}, {hook: audit}]}}}}}"
	in := func(extra string) string { // inside of selfservice
		return "selfservice: " + strings.Replace(hooks, "{flows:", "{"+extra+", flows:", 1)
	}
	with := func(extra string) string { return "selfservice: " + hooks + "\n" + extra }
	for _, row := range []struct {
		name, text string
		want       []string
	}{
		{"no other key", with(""), nil},
		{"keys that any service may have", with("log: {level: info}\nversion: '1.2'\n$schema: ./auth.schema.json\ntracing: {}\ndatabase: x\nclients: {}\ndev: true"), nil},
		{"keys of Kratos that flowhook uses", with("session: {lifespan: 1h, cookie: {path: /}}\nsecurity: {account_enumeration: {mitigate: false}}\nurls: {default_return_to: /}"), nil},
		{"keys that are deeper", with("kratos: {dsn: memory, identity: {}, version: v1.3.0}"), nil},
		{"a version of another kind", with("version: v3.1.0"), nil},
		{"dsn", with("dsn: memory"), nil},
		{"identity", with("identity: {schemas: []}"), nil},
		{"courier", with("courier: {smtp: {}}"), []string{"kratos-session-last"}},
		{"serve", with("serve: {public: {}}"), nil},
		{"ciphers", with("ciphers: {algorithm: noop}"), []string{"kratos-session-last"}},
		{"hashers", with("hashers: {algorithm: bcrypt}"), []string{"kratos-session-last"}},
		{"oauth2_provider", with("oauth2_provider: {url: http://hydra/}"), []string{"kratos-session-last"}},
		{"feature_flags", with("feature_flags: {}"), []string{"kratos-session-last"}},
		{"version v0", with("version: v0.13.0"), nil},
		{"version v1", with("version: v1.3.1"), nil},
		{"version v26", with("version: v26.2.0"), nil},
		{"dsn and a version", with("dsn: memory\nversion: v1.3.1"), []string{"kratos-session-last"}},
		{"dsn and a version of another kind", with("dsn: memory\nversion: v3.1.0"), nil},
		{"dsn and identity", with("dsn: memory\nidentity: {schemas: []}"), []string{"kratos-session-last"}},
		{"serve and version", with("serve: {public: {}}\nversion: v26.2.0"), []string{"kratos-session-last"}},
		{"$schema", with("$schema: https://raw.githubusercontent.com/ory/kratos/v1.3.0/.schemastore/config.schema.json"), []string{"kratos-session-last"}},
		{"methods", in("methods: {password: {enabled: true}}"), []string{"kratos-session-last"}},
		{"strategies", in("strategies: {password: {enabled: true}}"), []string{"kratos-session-last"}},
		{"enabled", strings.Replace(with(""), "{registration: {after", "{registration: {enabled: true, after", 1), []string{"kratos-session-last"}},
		{"secrets.cipher", with("secrets: {cipher: [x]}"), []string{"kratos-session-last"}},
		{"session.whoami", with("session: {whoami: {}}"), []string{"kratos-session-last"}},
		{"session.earliest_possible_extend", with("session: {earliest_possible_extend: 1h}"), []string{"kratos-session-last", "kratos-extend"}},
		// A key that flowhook does not use is never ignored without a word, even if it is the only one.
		{"enabled: false alone", "selfservice: {registration: {enabled: false}}", []string{"kratos-enabled"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			log := &flowtest.LogBuffer{}
			o := checked()
			o.Secrets = []string{flowtest.StrongSecret}
			o.Logger = slog.New(slog.NewTextHandler(log, nil))
			cfg := flowtest.Parse(t, row.text)
			ours := func(found []flowhook.Finding) []string {
				return slices.DeleteFunc(flowtest.RulesOf(found), func(rule string) bool { return !strings.HasPrefix(rule, "kratos-") })
			}
			p, err := flowhook.New(cfg, o)
			require.NoError(t, err)
			require.NoError(t, p.Reload(cfg))
			require.ElementsMatch(t, row.want, ours(p.Plan().Findings()))
			require.ElementsMatch(t, row.want, ours(cfg.Check(o)))
			require.Equal(t, 2*len(row.want), strings.Count(log.String(), "rule=kratos-"), "%s", log)
		})
	}
}
