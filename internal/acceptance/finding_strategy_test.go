package acceptance_test

import (
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func provesStrategyOnly(t *testing.T) {
	const rule = "strategy-only"
	// older reports whether the session of an earlier login is alive after a login by the strategy.
	older := func(h *flowtest.Service, s flowhook.Strategy) bool {
		first := h.Browser()
		first.PostPath("/login/password", "user", "alice")
		require.Equal(t, "alice", first.WhoAmI())
		second := h.Browser()
		second.PostPath("/login/"+string(s), "user", "alice")
		require.Equal(t, "alice", second.WhoAmI())
		return first.WhoAmI() == "alice"
	}
	byPassword := flowtest.Document(t, "02-login-after.yml")
	h := claimed(t, rule, byPassword, flowtest.WithUsers(flowtest.Alice))
	assert.False(t, older(h, flowhook.Password))
	assert.True(t, older(h, flowhook.TOTP))
	assert.True(t, older(h, flowhook.OIDC))

	h = mended(t, rule, "selfservice: {login: {after: [{hook: revoke_active_sessions}]}}",
		flowtest.WithUsers(flowtest.Alice))
	for _, s := range []flowhook.Strategy{flowhook.Password, flowhook.TOTP, flowhook.OIDC} {
		assert.False(t, older(h, s), s)
	}

	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: {password: [{hook: revoke_active_sessions}]}}}"))
	require.NoError(t, err)
	d := flowtest.NewSessionTest(t, "selfservice: {login: {after: {password: [{hook: revoke_active_sessions}]}}}",
		func(d *flowtest.SessionTest) {
			d.Options.Serves = []flowhook.Point{{Flow: flowhook.Login, Strategy: flowhook.Password}}
		})
	require.False(t, flowtest.HasFinding(d.Pipeline, rule), "other logins must not be served")
	_, err = d.Pipeline.Complete(flowhook.NewContext(t.Context(), flowtest.NewVisitor("alice").Exchange),
		flowhook.Login, flowhook.TOTP, nil)
	assert.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	d.Options.Serves = append(d.Options.Serves, flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.TOTP},
		flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.OIDC})
	assert.Equal(t, []string{"1:49: note: strategy-only: revoke_active_sessions runs only at a login by password: a login by oidc or totp leaves the user's other sessions alive; " +
		"add it to the flow-wide list"}, flowtest.FindingTexts("", cfg.Check(d.Options)))
}
