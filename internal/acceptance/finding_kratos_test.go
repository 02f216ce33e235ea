package acceptance_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func provesKratosVerification(t *testing.T) {
	const rule = "kratos-verification"
	const on = "verification: {enabled: true, ui_url: https://auth.example/verify}"
	mails := func(h *flowtest.Service) (registration, settings int) {
		h.Browser().PostPath("/registration/password", "user", "carol")
		registration = len(h.Mail.Take())
		b := h.Browser()
		b.PostPath("/login/password", "user", "alice")
		require.Equal(t, http.StatusOK, b.PostPath("/settings/profile", "email", "new@example.org").StatusCode)
		return registration, len(h.Mail.Take())
	}
	for _, row := range []struct {
		hooks                  string
		start                  func(*testing.T, string, string, ...change) *flowtest.Service
		registration, settings int
	}{
		{"", claimed, 0, 0},
		{"registration: {after: {hooks: [{hook: verify}]}}, ", claimed, 1, 0},
		{"settings: {after: {hooks: [{hook: verify}]}}, ", claimed, 0, 1},
		{"registration: {after: {hooks: [{hook: verify}]}}, settings: {after: {hooks: [{hook: verify}]}}, ", mended,
			1, 1},
	} {
		registration, settings := mails(row.start(t, rule, "selfservice: {flows: {"+row.hooks+on+"}}",
			flowtest.WithUsers(flowtest.Alice)))
		assert.Equal(t, row.registration, registration, row.hooks)
		assert.Equal(t, row.settings, settings, row.hooks)
	}
}

func provesKratosEnabled(t *testing.T) {
	const rule = "kratos-enabled"
	register := func(h *flowtest.Service) (saved bool) {
		h.Browser().PostPath("/registration/password", "user", "carol")
		_, saved = h.Store.User(t.Context(), "carol")
		return saved
	}
	assert.True(t, register(claimed(t, rule, "selfservice: {flows: {registration: {enabled: false}}}")),
		"the setting must have no effect")
	assert.False(t, register(mended(t, rule, "selfservice: {flows: {registration: {enabled: false, before: {hooks: [{hook: redirect, config: {to: /closed}}]}}}}")))
}

func provesKratosFlowWide(t *testing.T) {
	const rule = "kratos-flow-wide"
	tr := &trail{}
	login := func(h *flowtest.Service) (byPassword, byOIDC []string) {
		h.Browser().PostPath("/login/password", "user", "alice")
		byPassword = tr.take()
		h.Browser().PostPath("/login/oidc", "user", "alice")
		return byPassword, tr.take()
	}
	byPassword, byOIDC := login(claimed(t, rule, "courier: {}\nselfservice: {flows: {login: {after: {hooks: [{hook: wide}], password: {hooks: [{hook: own}]}}}}}",
		flowtest.WithUsers(flowtest.Alice), tr.hooks("wide", "own")))
	assert.Equal(t, []string{"own", "wide"}, byPassword)
	assert.Equal(t, []string{"wide"}, byOIDC)

	byPassword, byOIDC = login(mended(t, rule, "courier: {}\nselfservice: {flows: {login: {after: {oidc: {hooks: [{hook: wide}]}, password: {hooks: [{hook: own}]}}}}}",
		flowtest.WithUsers(flowtest.Alice), tr.hooks("wide", "own")))
	assert.Equal(t, []string{"own"}, byPassword, "want the order of Kratos")
	assert.Equal(t, []string{"wide"}, byOIDC)
}

func provesKratosSessionLast(t *testing.T) {
	const rule = "kratos-session-last"
	signedIn := func(text string, start func(*testing.T, string, string, ...change) *flowtest.Service) (before bool) {
		h := start(t, rule, text, func(_ *flowtest.Service, o *flowhook.Options) {
			o.Hooks = map[string]flowhook.HookFactory{"looks": func(flowhook.Point, func(any) error) (flowhook.Hook,
				error) {
				return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
					before = x.Session != nil
					return nil
				}), nil
			}}
		})
		requireSessionCookie(t, h.Browser().PostPath("/registration/oidc", "user", "carol"))
		return before
	}
	assert.True(t, signedIn("courier: {}\nselfservice: {registration: {after: {oidc: [{hook: session}, {hook: looks}]}}}", claimed), "the session hook must run first")
	assert.False(t, signedIn("courier: {}\nselfservice: {registration: {after: {oidc: [{hook: looks}, {hook: session}]}}}", mended))
}

func provesKratosExtend(t *testing.T) {
	const rule = "kratos-extend"
	stays := func(h *flowtest.Service) string { // it is used in the last hour of the first day, and then asked for on the second
		b := h.Browser()
		b.PostPath("/login/password", "user", "alice")
		h.Clock.Add(23*time.Hour + 30*time.Minute)
		require.Equal(t, "alice", b.WhoAmI())
		h.Clock.Add(time.Hour)
		return b.WhoAmI()
	}
	assert.Equal(t, "anonymous", stays(claimed(t, rule, "session: {lifespan: 24h, earliest_possible_extend: 1h}",
		flowtest.WithUsers(flowtest.Alice))))
	assert.Equal(t, "alice", stays(mended(t, rule, "session: {lifespan: 48h}", flowtest.WithUsers(flowtest.Alice))))
}

// noVerificationURL leaves the URL of links to the file.
func noVerificationURL(_ *flowtest.Service, o *flowhook.Options) { o.VerificationURL = "" }

func provesPlainLink(t *testing.T) {
	const rule = "plain-link"
	at := func(u string) string {
		return "selfservice: {registration: {after: [{hook: verify}]}, verification: {ui_url: " + u + "}}"
	}
	assert.Equal(t, "http", claimed(t, rule, at("http://auth.example.org/verify"),
		noVerificationURL).VerificationLink().Scheme)
	assert.Equal(t, "https", mended(t, rule, at("https://auth.example.org/verify"),
		noVerificationURL).VerificationLink().Scheme)
}

func provesForeignLink(t *testing.T) {
	const rule = "foreign-link"
	at := func(host string) string {
		return "selfservice: {registration: {after: [{hook: verify}]}, verification: {ui_url: 'https://" + host +
			"/verify'}, " +
			"login: {after: [{hook: redirect, config: {to: 'https://www.example.org/'}}]}}"
	}
	for _, row := range []struct {
		host  string
		start func(*testing.T, string, string, ...change) *flowtest.Service
	}{{"auth.exarnple.org", claimed}, {"auth.example.org", mended}} {
		h := row.start(t, rule, at(row.host), noVerificationURL, flowtest.WithUsers(flowtest.Alice))
		assert.Equal(t, row.host, h.VerificationLink().Hostname())
		assert.Equal(t, []string{"https://www.example.org/"},
			h.Browser().PostPath("/login/password", "user", "alice").Header["Location"])
	}
}
