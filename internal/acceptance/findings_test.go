package acceptance_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/flowhook/flowhook/internal/check"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// claims prove, for every rule, that the effect its finding describes occurs in a running service.
// If the hint can be followed in the file, the effect and the finding are gone then.
var claims = map[string]func(t *testing.T){
	"again":                   provesAgain,
	"closed":                  provesClosed,
	"code-page":               provesCodePage,
	"cookie-cross-site":       provesCookieCrossSite,
	"cookie-domain":           provesCookieDomain,
	"cookie-insecure":         provesCookieInsecure,
	"cookie-prefix":           provesCookiePrefix,
	"cookie-scope":            provesCookieScope,
	"email-sent-first":        provesEmailSentFirst,
	"enumeration":             provesEnumeration,
	"example-secret":          provesExampleSecret,
	"foreign-link":            provesForeignLink,
	"kratos-enabled":          provesKratosEnabled,
	"kratos-extend":           provesKratosExtend,
	"kratos-flow-wide":        provesKratosFlowWide,
	"kratos-session-last":     provesKratosSessionLast,
	"kratos-verification":     provesKratosVerification,
	"late-gate":               provesLateGate,
	"login-unsigned":          provesLoginUnsigned,
	"long-timeout":            provesLongTimeout,
	"nested-config":           provesNestedConfig,
	"never-runs":              provesNeverRuns,
	"overruled":               provesOverruled,
	"plain-link":              provesPlainLink,
	"plain-redirect":          provesPlainRedirect,
	"recovery-keeps-sessions": provesRecoveryKeepsSessions,
	"return-scheme":           provesReturnScheme,
	"signs-out":               provesSignsOut,
	"slow-lock":               provesSlowLock,
	"strategy-only":           provesStrategyOnly,
	"unresolved":              provesUnresolved,
	"unused-accept":           provesUnusedAccept,
	"unused-secrets":          provesUnusedSecrets,
	"weak-secret":             provesWeakSecret,
}

func TestFindings_ClaimsHold(t *testing.T) {
	all := check.Rules
	require.Len(t, claims, len(all))
	for _, rule := range all {
		proof := claims[rule]
		require.NotNil(t, proof, "%s: a claim without a proof", rule)
		t.Run(rule, proof)
	}
	t.Logf("findings: the claims of %d rules hold", len(all))
}

type change = func(h *flowtest.Service, o *flowhook.Options)

// claimed starts a service with a finding of the rule, and mended one without.
func claimed(t *testing.T, rule, text string, changes ...change) *flowtest.Service {
	t.Helper()
	h := flowtest.NewService(t, text, changes...)
	require.True(t, flowtest.HasFinding(h.Pipeline, rule), "no %s", rule)
	return h
}

func mended(t *testing.T, rule, text string, changes ...change) *flowtest.Service {
	t.Helper()
	h := flowtest.NewService(t, text, changes...)
	require.False(t, flowtest.HasFinding(h.Pipeline, rule), "%s, still", rule)
	return h
}

// A trail records what ran, in order.
type trail struct {
	mu    sync.Mutex
	names []string
}

func (tr *trail) leave(name string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.names = append(tr.names, name)
}

// take returns what ran since the last take.
func (tr *trail) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	names := tr.names
	tr.names = nil
	return names
}

// hooks registers hooks that record their names.
func (tr *trail) hooks(names ...string) change {
	return func(_ *flowtest.Service, o *flowhook.Options) {
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
	login := func(h *flowtest.Service, strategy string) []string {
		h.Browser().PostPath("/login/"+strategy, "user", "alice")
		return tr.take()
	}

	h := claimed(t, rule, "selfservice: {login: {after: [{hook: first}, {hook: redirect, config: {to: /}}, {hook: second}]}}", flowtest.WithUsers(flowtest.Alice), own)
	assert.Equal(t, []string{"first"}, login(h, "password"))
	h = mended(t, rule, "selfservice: {login: {after: [{hook: first}, {hook: second}, {hook: redirect, config: {to: /}}]}}", flowtest.WithUsers(flowtest.Alice), own)
	assert.Equal(t, []string{"first", "second"}, login(h, "password"))

	const strategy = "selfservice: {login: {after: {hooks: [{hook: wide}], password: [{hook: first}, {hook: redirect, config: {to: /}}]}}}"
	h = claimed(t, rule, strategy, flowtest.WithUsers(flowtest.Alice), own)
	assert.Equal(t, []string{"first"}, login(h, "password"), "the hook ran for a strategy of the finding")
	assert.Equal(t, []string{"wide"}, login(h, "oidc"), "the hook must run for the other strategies")
	h = mended(t, rule, "selfservice: {login: {after: {hooks: [{hook: wide}], password: [{hook: first}, {hook: wide}]}}}", flowtest.WithUsers(flowtest.Alice), own)
	assert.Equal(t, []string{"first", "wide", "wide"}, login(h, "password"))

	h = claimed(t, rule, "selfservice: {settings: {after: [{hook: first}, {hook: redirect, phase: before_persist, config: {to: /}}]}}", flowtest.WithUsers(flowtest.Alice), own)
	b := h.Browser()
	b.PostPath("/login/password", "user", "alice")
	b.PostPath("/settings/profile", "name", "Alice A.")
	assert.Empty(t, tr.take())
	h = mended(t, rule, "selfservice: {settings: {after: [{hook: first}, {hook: redirect, phase: after, config: {to: /}}]}}", flowtest.WithUsers(flowtest.Alice), own)
	b = h.Browser()
	b.PostPath("/login/password", "user", "alice")
	b.PostPath("/settings/profile", "name", "Alice A.")
	assert.Equal(t, []string{"first"}, tr.take())

	h = claimed(t, rule, "selfservice: {login: {before: [{hook: first}, {hook: redirect, config: {to: /closed}}, {hook: second}], after: [{hook: wide}]}}", flowtest.WithUsers(flowtest.Alice), own)
	assert.Equal(t, []string{"first"}, login(h, "password"))
	assert.Equal(t, http.StatusFound, h.Browser().GetPath("/login").StatusCode, "GET requests must be redirected, too")
	assert.Equal(t, []string{"first"}, tr.take())
	h = mended(t, rule, "selfservice: {login: {before: [{hook: first}, {hook: second}], after: [{hook: wide}]}}",
		flowtest.WithUsers(flowtest.Alice), own)
	assert.Equal(t, []string{"first", "second", "wide"}, login(h, "password"))
}

func provesLoginUnsigned(t *testing.T) {
	const rule = "login-unsigned"
	for _, way := range []string{"a redirect before", "a session hook after it"} {
		text := "selfservice: {login: {after: [{hook: redirect, phase: before_persist, config: {to: /}}]}}"
		good := "selfservice: {login: {after: [{hook: redirect, config: {to: /}}]}}"
		if way == "a session hook after it" { // here the handler leaves signing in to the hook
			text = "selfservice: {login: {after: [{hook: redirect, config: {to: /}}, {hook: session}]}}"
			good = "selfservice: {login: {after: [{hook: session}, {hook: redirect, config: {to: /}}]}}"
		}
		login := func(h *flowtest.Service) flowtest.Visitor {
			v := flowtest.NewVisitor("alice")
			save := func(ctx context.Context) error { return h.Pipeline.Sessions().Issue(ctx, v.Exchange) }
			if way == "a session hook after it" {
				save = nil
			}
			handled, err := h.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login,
				flowhook.Password, save)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, http.StatusFound, v.Recorder.Code)
			return v
		}
		assert.Empty(t, flowtest.SetCookies(login(claimed(t, rule, text))), way)
		assert.Len(t, flowtest.SetCookies(login(mended(t, rule, good))), 1, way)
	}

	h := claimed(t, rule, "selfservice: {login: {after: {password: [{hook: redirect, phase: before_persist, config: {to: /}}]}}}", flowtest.WithUsers(flowtest.Alice))
	b := h.Browser()
	assert.Equal(t, http.StatusFound, b.PostPath("/login/password", "user", "alice").StatusCode)
	assert.Equal(t, "anonymous", b.WhoAmI())
	b.PostPath("/login/oidc", "user", "alice")
	assert.Equal(t, "alice", b.WhoAmI(), "another strategy must not sign in")
}

func provesClosed(t *testing.T) {
	const rule = "closed"
	register := func(h *flowtest.Service) (saved bool) {
		assert.Equal(t, http.StatusFound, h.Browser().PostPath("/registration/password", "user", "carol").StatusCode)
		_, saved = h.Store.User(t.Context(), "carol")
		return saved
	}
	h := claimed(t, rule, "selfservice: {registration: {before: [{hook: redirect, config: {to: /closed}}]}}")
	assert.False(t, register(h))
	assert.Equal(t, []string{"/closed"}, h.Browser().GetPath("/registration").Header["Location"])
	assert.Empty(t, h.ReachedHandlers(), "a request got through")

	for _, after := range []string{"{hook: redirect, config: {to: /}}",
		"{hook: session}, {hook: redirect, config: {to: /}}"} {
		assert.False(t, register(claimed(t, rule, "selfservice: {registration: {after: ["+after+"]}}")), after)
	}
	assert.True(t, register(mended(t, rule, "selfservice: {registration: {after: [{hook: redirect, phase: after, config: {to: /}}]}}")))

	change := func(h *flowtest.Service) string {
		b := h.Browser()
		b.PostPath("/login/password", "user", "alice")
		assert.Equal(t, http.StatusFound, b.PostPath("/settings/profile", "name", "Alice A.").StatusCode)
		u, _ := h.Store.User(t.Context(), "alice")
		return u.Name
	}
	assert.Empty(t, change(claimed(t, rule, "selfservice: {settings: {after: {profile: [{hook: redirect, phase: before_persist, config: {to: /}}]}}}", flowtest.WithUsers(flowtest.Alice))))
	assert.Equal(t, "Alice A.", change(mended(t, rule,
		"selfservice: {settings: {after: {profile: [{hook: redirect, config: {to: /}}]}}}",
		flowtest.WithUsers(flowtest.Alice))))
}
