package flowhook_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// claims show, for every rule, that what its finding says happens to a running service, and, where the finding's hint can
// be followed in the file, that then neither the finding is there nor what it says.
var claims = map[string]func(t *testing.T){
	"again":               provesAgain,
	"closed":              provesClosed,
	"cookie-cross-site":   provesCookieCrossSite,
	"cookie-domain":       provesCookieDomain,
	"cookie-insecure":     provesCookieInsecure,
	"cookie-prefix":       provesCookiePrefix,
	"cookie-scope":        provesCookieScope,
	"enumeration":         provesEnumeration,
	"example-secret":      provesExampleSecret,
	"foreign-link":        provesForeignLink,
	"kratos-enabled":      provesKratosEnabled,
	"kratos-extend":       provesKratosExtend,
	"kratos-flow-wide":    provesKratosFlowWide,
	"kratos-session-last": provesKratosSessionLast,
	"kratos-verification": provesKratosVerification,
	"late-gate":           provesLateGate,
	"login-unsigned":      provesLoginUnsigned,
	"long-timeout":        provesLongTimeout,
	"nested-config":       provesNestedConfig,
	"never-runs":          provesNeverRuns,
	"overruled":           provesOverruled,
	"plain-link":          provesPlainLink,
	"plain-redirect":      provesPlainRedirect,
	"return-scheme":       provesReturnScheme,
	"signs-out":           provesSignsOut,
	"slow-lock":           provesSlowLock,
	"strategy-only":       provesStrategyOnly,
	"unresolved":          provesUnresolved,
	"unused-secrets":      provesUnusedSecrets,
	"weak-secret":         provesWeakSecret,
}

func TestEveryClaimHolds(t *testing.T) {
	all := rules(t)
	require.Len(t, claims, len(all))
	for _, rule := range all {
		proof := claims[rule]
		require.NotNil(t, proof, "%s: a claim without a proof", rule)
		t.Run(rule, proof)
	}
	t.Logf("findings: the claims of %d rules, each seen to come true", len(all))
}

func says(p *flowhook.Pipeline, rule string) bool {
	return slices.ContainsFunc(p.Plan().Findings(), func(f flowhook.Finding) bool { return f.Rule == rule })
}

type change = func(h *host, o *flowhook.Options)

// claimed starts a service that the rule has something to say of, mended one that it has not.
func claimed(t *testing.T, rule, text string, changes ...change) *host {
	t.Helper()
	h := newHost(t, text, changes...)
	require.True(t, says(h.pipeline, rule), "no %s", rule)
	return h
}

func mended(t *testing.T, rule, text string, changes ...change) *host {
	t.Helper()
	h := newHost(t, text, changes...)
	require.False(t, says(h.pipeline, rule), "%s, still", rule)
	return h
}

// A trail is what ran, in order.
type trail struct {
	mu    sync.Mutex
	names []string
}

func (tr *trail) leave(name string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.names = append(tr.names, name)
}

// take gives what ran since the last time.
func (tr *trail) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	names := tr.names
	tr.names = nil
	return names
}

// hooks gives the host hooks of its own that leave their names.
func (tr *trail) hooks(names ...string) change {
	return func(_ *host, o *flowhook.Options) {
		o.Hooks = map[string]flowhook.HookFactory{}
		for _, name := range names {
			o.Hooks[name] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
					tr.leave(name)
					return nil
				}), nil
			}
		}
	}
}

func provesNeverRuns(t *testing.T) {
	const rule = "never-runs"
	tr := &trail{}
	own := tr.hooks("first", "second", "wide")
	login := func(h *host, strategy string) []string {
		h.browser().post("/login/"+strategy, "user", "alice")
		return tr.take()
	}

	h := claimed(t, rule, "selfservice: {login: {after: [{hook: first}, {hook: redirect, config: {to: /}}, {hook: second}]}}", withUsers(alice), own)
	assert.Equal(t, []string{"first"}, login(h, "password"))
	h = mended(t, rule, "selfservice: {login: {after: [{hook: first}, {hook: second}, {hook: redirect, config: {to: /}}]}}", withUsers(alice), own)
	assert.Equal(t, []string{"first", "second"}, login(h, "password"))

	const strategy = "selfservice: {login: {after: {hooks: [{hook: wide}], password: [{hook: first}, {hook: redirect, config: {to: /}}]}}}"
	h = claimed(t, rule, strategy, withUsers(alice), own)
	assert.Equal(t, []string{"first"}, login(h, "password"), "for which it is said not to run")
	assert.Equal(t, []string{"wide"}, login(h, "oidc"), "for all others it runs")
	h = mended(t, rule, "selfservice: {login: {after: {hooks: [{hook: wide}], password: [{hook: first}, {hook: wide}]}}}", withUsers(alice), own)
	assert.Equal(t, []string{"first", "wide", "wide"}, login(h, "password"))

	h = claimed(t, rule, "selfservice: {settings: {after: [{hook: first}, {hook: redirect, phase: before_persist, config: {to: /}}]}}", withUsers(alice), own)
	b := h.browser()
	b.post("/login/password", "user", "alice")
	b.post("/settings/profile", "name", "Alice A.")
	assert.Empty(t, tr.take())
	h = mended(t, rule, "selfservice: {settings: {after: [{hook: first}, {hook: redirect, phase: after, config: {to: /}}]}}", withUsers(alice), own)
	b = h.browser()
	b.post("/login/password", "user", "alice")
	b.post("/settings/profile", "name", "Alice A.")
	assert.Equal(t, []string{"first"}, tr.take())

	h = claimed(t, rule, "selfservice: {login: {before: [{hook: first}, {hook: redirect, config: {to: /closed}}, {hook: second}], after: [{hook: wide}]}}", withUsers(alice), own)
	assert.Equal(t, []string{"first"}, login(h, "password"))
	assert.Equal(t, http.StatusFound, h.browser().get("/login").StatusCode, "every request, the form's as well")
	assert.Equal(t, []string{"first"}, tr.take())
	h = mended(t, rule, "selfservice: {login: {before: [{hook: first}, {hook: second}], after: [{hook: wide}]}}", withUsers(alice), own)
	assert.Equal(t, []string{"first", "second", "wide"}, login(h, "password"))
}

func provesLoginUnsigned(t *testing.T) {
	const rule = "login-unsigned"
	for _, way := range []string{"a redirect before", "a session hook behind"} {
		text := "selfservice: {login: {after: [{hook: redirect, phase: before_persist, config: {to: /}}]}}"
		good := "selfservice: {login: {after: [{hook: redirect, config: {to: /}}]}}"
		if way == "a session hook behind" { // here the handler leaves signing in to the hook
			text = "selfservice: {login: {after: [{hook: redirect, config: {to: /}}, {hook: session}]}}"
			good = "selfservice: {login: {after: [{hook: session}, {hook: redirect, config: {to: /}}]}}"
		}
		login := func(h *host) visitor {
			v := visit("alice")
			save := func(ctx context.Context) error { return h.pipeline.Sessions().Issue(ctx, v.Exchange) }
			if way == "a session hook behind" {
				save = nil
			}
			handled, err := h.pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password, save)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, http.StatusFound, v.rec.Code)
			return v
		}
		assert.Empty(t, setCookies(login(claimed(t, rule, text))), way)
		assert.Len(t, setCookies(login(mended(t, rule, good))), 1, way)
	}

	h := claimed(t, rule, "selfservice: {login: {after: {password: [{hook: redirect, phase: before_persist, config: {to: /}}]}}}", withUsers(alice))
	b := h.browser()
	assert.Equal(t, http.StatusFound, b.post("/login/password", "user", "alice").StatusCode)
	assert.Equal(t, "anonymous", b.who())
	b.post("/login/oidc", "user", "alice")
	assert.Equal(t, "alice", b.who(), "by another strategy")
}

func provesClosed(t *testing.T) {
	const rule = "closed"
	register := func(h *host) (saved bool) {
		assert.Equal(t, http.StatusFound, h.browser().post("/registration/password", "user", "carol").StatusCode)
		_, saved = h.store.User(t.Context(), "carol")
		return saved
	}
	h := claimed(t, rule, "selfservice: {registration: {before: [{hook: redirect, config: {to: /closed}}]}}")
	assert.False(t, register(h))
	assert.Equal(t, []string{"/closed"}, h.browser().get("/registration").Header["Location"])
	assert.Empty(t, h.handlers(), "no request gets through")

	for _, after := range []string{"{hook: redirect, config: {to: /}}", "{hook: session}, {hook: redirect, config: {to: /}}"} {
		assert.False(t, register(claimed(t, rule, "selfservice: {registration: {after: ["+after+"]}}")), after)
	}
	assert.True(t, register(mended(t, rule, "selfservice: {registration: {after: [{hook: redirect, phase: after, config: {to: /}}]}}")))

	change := func(h *host) string {
		b := h.browser()
		b.post("/login/password", "user", "alice")
		assert.Equal(t, http.StatusFound, b.post("/settings/profile", "name", "Alice A.").StatusCode)
		u, _ := h.store.User(t.Context(), "alice")
		return u.Name
	}
	assert.Empty(t, change(claimed(t, rule, "selfservice: {settings: {after: {profile: [{hook: redirect, phase: before_persist, config: {to: /}}]}}}", withUsers(alice))))
	assert.Equal(t, "Alice A.", change(mended(t, rule, "selfservice: {settings: {after: {profile: [{hook: redirect, config: {to: /}}]}}}", withUsers(alice))))
}
