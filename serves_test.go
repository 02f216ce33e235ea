package flowhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

func served(points ...flowhook.Point) flowhook.Options {
	o := anything()
	o.Serves = points
	return o
}

var (
	passwordLogin = flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.Password}
	anySettings   = flowhook.Point{Flow: flowhook.Settings}
)

// With an empty strategy, which a handler may take from a form, no hook under a strategy would run.
func TestServes_flow_wide(t *testing.T) {
	for _, row := range []struct {
		serves []flowhook.Point
		flow   flowhook.Flow
		known  bool
	}{
		{[]flowhook.Point{passwordLogin, anySettings}, flowhook.Login, false},
		{[]flowhook.Point{passwordLogin, anySettings}, flowhook.Settings, true},
		{[]flowhook.Point{passwordLogin, {Flow: flowhook.Login}}, flowhook.Login, true},
		{nil, flowhook.Login, true},
	} {
		p, err := flowhook.New(nil, flowhook.Options{Store: memstore.New(), Serves: row.serves})
		require.NoError(t, err)
		for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.BeforePersist, flowhook.After, flowhook.Failed} {
			_, err := p.Run(flowhook.NewContext(t.Context(), visit("alice").Exchange), row.flow, phase, flowhook.FlowWide)
			if row.known || phase == flowhook.Before {
				require.NoError(t, err, phase)
			} else {
				require.ErrorIs(t, err, flowhook.ErrUnknownPoint, phase)
				require.ErrorContains(t, err, "has only strategies of this flow; pass one of them")
			}
		}
		_, err = p.Complete(flowhook.NewContext(t.Context(), visit("alice").Exchange), row.flow, flowhook.FlowWide, nil)
		require.Equal(t, row.known, err == nil)
		require.NotPanics(t, func() { p.Middleware(row.flow) })
	}
}

func TestServes(t *testing.T) {
	const text = `
selfservice:
  login:
    before:
      - hook: audit
    after:
      hooks:
        - hook: audit
      password:
        - hook: revoke_active_sessions
  settings:
    after:
      profile:
        - hook: audit
    failed:
      password:
        - hook: audit
`
	const elsewhere = `
selfservice:
  login:
    after:
      oidc:
        - hook: audit
        - hook: audit
          phase: before_persist
      password:
        - hook: audit
    failed:
      totp:
        - hook: audit
  recovery:
    before:
      - hook: redirect
        config: {to: /closed}
    after:
      - hook: revoke_active_sessions
`

	t.Run("hooks of what is served load", func(t *testing.T) {
		require.NoError(t, build(text, served(passwordLogin, anySettings)))
		require.NoError(t, build("selfservice: {recovery: {before: [{hook: audit}], after: {link: [{hook: audit}]}}}",
			served(passwordLogin, flowhook.Point{Flow: flowhook.Recovery})))
	})

	t.Run("hooks elsewhere are errors", func(t *testing.T) {
		require.Equal(t, []string{
			`6:17: selfservice.login.after.oidc[0].hook: hook "audit" never runs: Options.Serves does not have the strategy "oidc" of login; ` +
				`remove it, or add {Flow: "login", Strategy: "oidc"} to Options.Serves`,
			`7:17: selfservice.login.after.oidc[1].hook: hook "audit" never runs: Options.Serves does not have the strategy "oidc" of login; ` +
				`remove it, or add {Flow: "login", Strategy: "oidc"} to Options.Serves`,
			`13:17: selfservice.login.failed.totp[0].hook: hook "audit" never runs: Options.Serves does not have the strategy "totp" of login; ` +
				`remove it, or add {Flow: "login", Strategy: "totp"} to Options.Serves`,
			`16:15: selfservice.recovery.before[0].hook: hook "redirect" never runs: Options.Serves does not have the flow "recovery"; ` +
				`remove it, or add {Flow: "recovery"} to Options.Serves`,
			`19:15: selfservice.recovery.after[0].hook: hook "revoke_active_sessions" never runs: Options.Serves does not have the flow "recovery"; ` +
				`remove it, or add {Flow: "recovery"} to Options.Serves`,
		}, problems(build(elsewhere, served(passwordLogin, anySettings))))
		require.NoError(t, build(elsewhere, served()), "an empty Serves limits nothing")
	})

	t.Run("added hooks elsewhere are errors", func(t *testing.T) {
		var cfg flowhook.Config
		cfg.Add(at(flowhook.Recovery, flowhook.After, flowhook.FlowWide), "mine", flowhook.HookFunc(nothing))
		cfg.Add(at(flowhook.Login, flowhook.After, flowhook.OIDC), "session", nil)
		cfg.Add(at(flowhook.Login, flowhook.After, flowhook.FlowWide), "mine", flowhook.HookFunc(nothing))
		cfg.Add(at(flowhook.Settings, flowhook.After, flowhook.Profile), "mine", flowhook.HookFunc(nothing))
		_, err := flowhook.New(&cfg, served(passwordLogin, anySettings))
		errs := configErrors(err)
		require.Len(t, errs, 2)
		require.Contains(t, errs[0].Error(), `Add(recovery/after, "mine"): hook "mine" never runs: Options.Serves does not have the flow "recovery"`)
		require.Contains(t, errs[1].Error(), `Add(login/after/oidc, "session"): hook "session" never runs: Options.Serves does not have the strategy "oidc" of login`)
		for _, e := range errs {
			require.Contains(t, e.File, "serves_test.go")
			require.Positive(t, e.Line)
		}
	})

	t.Run("wrong points are errors and cause no others", func(t *testing.T) {
		require.Equal(t, []string{
			`Options.Serves[0]: unknown flow "lgoin"; did you mean "login"?`,
			`Options.Serves[1]: unknown strategy "pasword"; did you mean "password"?`,
			`Options.Serves[2]: a point with the phase "after"; leave Phase empty: a flow is served in all its phases`,
			`Options.Serves[4]: unknown flow ""; known: login, registration, settings, verification, recovery, logout, invite; for one of the host's own, set Options.Flows`,
		}, problems(build(elsewhere, served(
			flowhook.Point{Flow: "lgoin"}, flowhook.Point{Flow: flowhook.Login, Strategy: "pasword"}, at(flowhook.Login, flowhook.After, flowhook.Password),
			passwordLogin, flowhook.Point{}))))
	})

	t.Run("flows and strategies of the host's own can be served", func(t *testing.T) {
		const own = "selfservice: {invite: {after: {magic: [{hook: audit}], password: [{hook: audit}]}}}"
		require.NoError(t, build(own, served(flowhook.Point{Flow: "invite"})))
		require.Len(t, problems(build(own, served(flowhook.Point{Flow: "invite", Strategy: "magic"}))), 1)
	})

	t.Run("runs elsewhere fail", func(t *testing.T) {
		cfg := parse(t, text)
		o := served(passwordLogin, anySettings)
		o.Store = memstore.New()
		p, err := flowhook.New(cfg, o)
		require.NoError(t, err)
		o.Serves[0] = flowhook.Point{Flow: flowhook.Recovery} // the caller's slice, not the pipeline's
		for range 2 {
			for _, row := range []struct {
				flow     flowhook.Flow
				strategy flowhook.Strategy
				served   bool
			}{
				{flowhook.Login, flowhook.Password, true},
				{flowhook.Login, flowhook.OIDC, false},
				{flowhook.Login, flowhook.TOTP, false},
				{flowhook.Settings, flowhook.Profile, true},
				{flowhook.Settings, "magic", true},
				{flowhook.Recovery, flowhook.Link, false},
				{flowhook.Recovery, flowhook.FlowWide, false},
				{flowhook.Logout, flowhook.FlowWide, false},
			} {
				call := func(name string, do func(v visitor) error) {
					v := visit("alice")
					err := do(v)
					if row.served {
						require.NotErrorIs(t, err, flowhook.ErrUnknownPoint, "%s of %s by %s", name, row.flow, row.strategy)
					} else {
						require.ErrorIs(t, err, flowhook.ErrUnknownPoint, "%s of %s by %s", name, row.flow, row.strategy)
					}
				}
				call("Run", func(v visitor) error {
					_, err := p.Run(flowhook.NewContext(t.Context(), v.Exchange), row.flow, flowhook.Failed, row.strategy)
					return err
				})
				call("Complete", func(v visitor) error {
					_, err := p.Complete(flowhook.NewContext(t.Context(), v.Exchange), row.flow, row.strategy, nil)
					return err
				})
				call("ReturnURL", func(v visitor) error {
					_, err := p.ReturnURL(v.Request, row.flow, row.strategy)
					return err
				})
			}
			require.NoError(t, p.Reload(cfg))
		}

		require.PanicsWithValue(t, "flowhook: unknown point: recovery/before: the service does not have it; add it to Options.Serves",
			func() { p.Middleware(flowhook.Recovery) })
		rec := httptest.NewRecorder()
		p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
		})).ServeHTTP(rec, newRequest())
		require.Equal(t, http.StatusAccepted, rec.Code, "before has no strategy")
	})

	t.Run("findings about what Kratos serves are left out", func(t *testing.T) {
		cfg := parse(t, "selfservice: {flows: {recovery: {enabled: false}, registration: {enabled: false}, verification: {enabled: true}}}")
		rules := func(o flowhook.Options) (texts []string) {
			o.Secrets = []string{strong}
			return said("", cfg.Check(o))
		}
		require.Len(t, rules(served()), 3)
		require.Equal(t, []string{`1:107: warning: kratos-verification: with this setting, Kratos emails a verification link at settings; ` +
			`here only a verify hook does; add a verify hook at after of settings`}, rules(served(passwordLogin, anySettings)))
	})
}
