package flowhook_test

import (
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func provesStrategyOnly(t *testing.T) {
	const rule = "strategy-only"
	// older reports whether the session of an earlier login is alive after one by the strategy.
	older := func(h *host, s flowhook.Strategy) bool {
		first := h.browser()
		first.post("/login/password", "user", "alice")
		require.Equal(t, "alice", first.who())
		second := h.browser()
		second.post("/login/"+string(s), "user", "alice")
		require.Equal(t, "alice", second.who())
		return first.who() == "alice"
	}
	byPassword := document(t, "02-login-after.yml")
	h := claimed(t, rule, byPassword, withUsers(alice))
	assert.False(t, older(h, flowhook.Password))
	assert.True(t, older(h, flowhook.TOTP))
	assert.True(t, older(h, flowhook.OIDC))

	h = mended(t, rule, "selfservice: {login: {after: [{hook: revoke_active_sessions}]}}", withUsers(alice))
	for _, s := range []flowhook.Strategy{flowhook.Password, flowhook.TOTP, flowhook.OIDC} {
		assert.False(t, older(h, s), s)
	}

	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: {password: [{hook: revoke_active_sessions}]}}}"))
	require.NoError(t, err)
	d := newDesk(t, "selfservice: {login: {after: {password: [{hook: revoke_active_sessions}]}}}", func(d *desk) {
		d.opts.Serves = []flowhook.Point{{Flow: flowhook.Login, Strategy: flowhook.Password}}
	})
	require.False(t, says(d.pipeline, rule), "no other login is served")
	_, err = d.pipeline.Complete(flowhook.NewContext(t.Context(), visit("alice").Exchange), flowhook.Login, flowhook.TOTP, nil)
	assert.ErrorIs(t, err, flowhook.ErrUnknownPoint)
	d.opts.Serves = append(d.opts.Serves, flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.TOTP}, flowhook.Point{Flow: flowhook.Login, Strategy: flowhook.OIDC})
	assert.Equal(t, []string{"1:49: note: strategy-only: revoke_active_sessions runs only at a login by password: a login by oidc or totp leaves the user's other sessions alive; " +
		"add it to the flow-wide list"}, said("", cfg.Check(d.opts)))
}
