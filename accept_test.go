package flowhook_test

import (
	"log/slog"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestAccept(t *testing.T) {
	const text = `
selfservice:
  settings: {after: [{hook: audit}, {hook: revoke_active_sessions}]}
secrets: {session: [something-super-secret]}
`
	accepting := func(rules ...string) flowhook.Options {
		o := checked()
		o.Accept = rules
		return o
	}
	cfg := flowtest.Parse(t, text)
	require.Equal(t, []string{"example-secret", "signs-out", "slow-lock"}, flowtest.RulesOf(cfg.Check(checked())))

	t.Run("drops findings everywhere", func(t *testing.T) {
		log := &flowtest.LogBuffer{}
		o := accepting("signs-out", "slow-lock", "never-runs")
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		p, err := flowhook.New(cfg, o)
		require.NoError(t, err)
		o.Accept[0] = "example-secret" // the caller's slice, not the pipeline's
		require.NoError(t, p.Reload(cfg))
		require.Equal(t, []string{"example-secret"}, flowtest.RulesOf(p.Plan().Findings()))
		require.Equal(t, []string{"example-secret"}, flowtest.RulesOf(cfg.Check(accepting("signs-out", "slow-lock"))))
		for _, hooks := range p.Plan().Points() {
			for _, h := range hooks {
				require.Empty(t, h.Findings)
			}
		}
		require.Contains(t, log.String(), "rule=example-secret")
		require.NotContains(t, log.String(), "rule=slow-lock")
		require.NotContains(t, log.String(), "rule=signs-out")
	})

	t.Run("makes no error of an accepted warning under Strict", func(t *testing.T) {
		_, err := flowhook.New(cfg, strict(accepting("slow-lock")))
		require.Len(t, flowtest.ConfigErrors(err), 1)
		require.ErrorContains(t, err, "this secret was copied from documentation")
		p, err := flowhook.New(cfg, strict(accepting("slow-lock", "example-secret")))
		require.NoError(t, err)
		require.Equal(t, []string{"signs-out"}, flowtest.RulesOf(p.Plan().Findings()))
	})

	t.Run("drops a finding of Reload", func(t *testing.T) {
		for _, accept := range [][]string{nil, {"cookie-scope", "cookie-prefix"}} {
			o := strict(accepting(append(accept, "cookie-domain")...))
			o.Secrets = []string{flowtest.StrongSecret}
			p, err := flowhook.New(flowtest.Parse(t, "session: {cookie: {name: app, domain: example.org}}"), o)
			require.NoError(t, err)
			err = p.Reload(flowtest.Parse(t, "session: {cookie: {name: app, domain: www.example.org}}"))
			if accept == nil {
				require.ErrorContains(t, err, "keeps its name but changes its domain or path")
			} else {
				require.NoError(t, err)
			}
		}
	})

	t.Run("knows every rule", func(t *testing.T) {
		require.NoError(t, flowtest.Build("", accepting(flowtest.Rules(t)...)))
	})

	t.Run("refuses unknown rules", func(t *testing.T) {
		_, err := flowhook.New(cfg, accepting("sign-out", "slow-lock", "", "invalid"))
		got := flowtest.Problems(err)
		require.Len(t, got, 3)
		require.Equal(t, `Options.Accept[0]: unknown rule "sign-out"; did you mean "signs-out"?`, got[0])
		require.Contains(t, got[1], `Options.Accept[2]: unknown rule ""; known: again, closed, `)
		require.Equal(t, `Options.Accept[3]: errors cannot be accepted; correct the configuration`, got[2])
		require.Equal(t, []string{"invalid"}, flowtest.RulesOf(cfg.Check(accepting("sign-out", "slow-lock", "", "invalid"))))
	})

	t.Run("does not accept errors", func(t *testing.T) {
		cfg := flowtest.Parse(t, "security: {account_enumeration: {mitigate: true}}\nselfservice: {registration: {after: [{hook: session}]}}"+StrongSecretYAML)
		_, err := flowhook.New(cfg, accepting("enumeration"))
		require.ErrorContains(t, err, "mitigate asks for the opposite")
		found := cfg.Check(accepting("enumeration"))
		require.Equal(t, []string{"enumeration"}, flowtest.RulesOf(found))
		require.Equal(t, flowhook.SeverityError, found[0].Severity)
	})
}
