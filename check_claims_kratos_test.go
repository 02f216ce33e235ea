package flowhook_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func provesKratosVerification(t *testing.T) {
	const rule = "kratos-verification"
	const on = "verification: {enabled: true, ui_url: https://auth.example/verify}"
	mails := func(h *host) (registration, settings int) {
		h.browser().post("/registration/password", "user", "carol")
		registration = len(h.mail.take())
		b := h.browser()
		b.post("/login/password", "user", "alice")
		require.Equal(t, http.StatusOK, b.post("/settings/profile", "email", "new@example.org").StatusCode)
		return registration, len(h.mail.take())
	}
	for _, row := range []struct {
		hooks                  string
		start                  func(*testing.T, string, string, ...change) *host
		registration, settings int
	}{
		{"", claimed, 0, 0},
		{"registration: {after: {hooks: [{hook: verify}]}}, ", claimed, 1, 0},
		{"settings: {after: {hooks: [{hook: verify}]}}, ", claimed, 0, 1},
		{"registration: {after: {hooks: [{hook: verify}]}}, settings: {after: {hooks: [{hook: verify}]}}, ", mended, 1, 1},
	} {
		registration, settings := mails(row.start(t, rule, "selfservice: {flows: {"+row.hooks+on+"}}", withUsers(alice)))
		assert.Equal(t, row.registration, registration, row.hooks)
		assert.Equal(t, row.settings, settings, row.hooks)
	}
}

func provesKratosEnabled(t *testing.T) {
	const rule = "kratos-enabled"
	register := func(h *host) (saved bool) {
		h.browser().post("/registration/password", "user", "carol")
		_, saved = h.store.User(t.Context(), "carol")
		return saved
	}
	assert.True(t, register(claimed(t, rule, "selfservice: {flows: {registration: {enabled: false}}}")), "it has no effect")
	assert.False(t, register(mended(t, rule, "selfservice: {flows: {registration: {enabled: false, before: {hooks: [{hook: redirect, config: {to: /closed}}]}}}}")))
}

func provesKratosFlowWide(t *testing.T) {
	const rule = "kratos-flow-wide"
	tr := &trail{}
	login := func(h *host) (byPassword, byOIDC []string) {
		h.browser().post("/login/password", "user", "alice")
		byPassword = tr.take()
		h.browser().post("/login/oidc", "user", "alice")
		return byPassword, tr.take()
	}
	byPassword, byOIDC := login(claimed(t, rule, "courier: {}\nselfservice: {flows: {login: {after: {hooks: [{hook: wide}], password: {hooks: [{hook: own}]}}}}}",
		withUsers(alice), tr.hooks("wide", "own")))
	assert.Equal(t, []string{"own", "wide"}, byPassword)
	assert.Equal(t, []string{"wide"}, byOIDC)

	byPassword, byOIDC = login(mended(t, rule, "courier: {}\nselfservice: {flows: {login: {after: {oidc: {hooks: [{hook: wide}]}, password: {hooks: [{hook: own}]}}}}}",
		withUsers(alice), tr.hooks("wide", "own")))
	assert.Equal(t, []string{"own"}, byPassword, "as in Kratos")
	assert.Equal(t, []string{"wide"}, byOIDC)
}

func provesKratosSessionLast(t *testing.T) {
	const rule = "kratos-session-last"
	signedIn := func(text string, start func(*testing.T, string, string, ...change) *host) (before bool) {
		h := start(t, rule, text, func(_ *host, o *flowhook.Options) {
			o.Hooks = map[string]flowhook.HookFactory{"looks": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
					before = x.Session != nil
					return nil
				}), nil
			}}
		})
		requireSessionCookie(t, h.browser().post("/registration/oidc", "user", "carol"))
		return before
	}
	assert.True(t, signedIn("courier: {}\nselfservice: {registration: {after: {oidc: [{hook: session}, {hook: looks}]}}}", claimed), "session has run before it")
	assert.False(t, signedIn("courier: {}\nselfservice: {registration: {after: {oidc: [{hook: looks}, {hook: session}]}}}", mended))
}

func provesKratosExtend(t *testing.T) {
	const rule = "kratos-extend"
	stays := func(h *host) string { // it is used in the last hour of the first day, and then asked for on the second
		b := h.browser()
		b.post("/login/password", "user", "alice")
		h.clock.Add(23*time.Hour + 30*time.Minute)
		require.Equal(t, "alice", b.who())
		h.clock.Add(time.Hour)
		return b.who()
	}
	assert.Equal(t, "anonymous", stays(claimed(t, rule, "session: {lifespan: 24h, earliest_possible_extend: 1h}", withUsers(alice))))
	assert.Equal(t, "alice", stays(mended(t, rule, "session: {lifespan: 48h}", withUsers(alice))))
}

// noVerificationURL lets the file say where links lead.
func noVerificationURL(_ *host, o *flowhook.Options) { o.VerificationURL = "" }

// link gives where the mail leads that somebody gets who registers.
func (h *host) link() *url.URL {
	h.browser().post("/registration/password", "user", "carol")
	mails := h.mail.take()
	require.Len(h.t, mails, 1)
	require.Contains(h.t, mails[0].Text, mails[0].Link)
	u, err := url.Parse(mails[0].Link)
	require.NoError(h.t, err)
	require.NotEmpty(h.t, u.Query().Get("token"))
	return u
}

func provesPlainLink(t *testing.T) {
	const rule = "plain-link"
	at := func(u string) string {
		return "selfservice: {registration: {after: [{hook: verify}]}, verification: {ui_url: " + u + "}}"
	}
	assert.Equal(t, "http", claimed(t, rule, at("http://auth.example.org/verify"), noVerificationURL).link().Scheme)
	assert.Equal(t, "https", mended(t, rule, at("https://auth.example.org/verify"), noVerificationURL).link().Scheme)
}

func provesForeignLink(t *testing.T) {
	const rule = "foreign-link"
	at := func(host string) string {
		return "selfservice: {registration: {after: [{hook: verify}]}, verification: {ui_url: 'https://" + host + "/verify'}, " +
			"login: {after: [{hook: redirect, config: {to: 'https://www.example.org/'}}]}}"
	}
	for _, row := range []struct {
		host  string
		start func(*testing.T, string, string, ...change) *host
	}{{"auth.exarnple.org", claimed}, {"auth.example.org", mended}} {
		h := row.start(t, rule, at(row.host), noVerificationURL, withUsers(alice))
		assert.Equal(t, row.host, h.link().Hostname())
		assert.Equal(t, []string{"https://www.example.org/"}, h.browser().post("/login/password", "user", "alice").Header["Location"])
	}
}
