package acceptance_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gates registers hooks that redirect every user, as a gate does with a user that it stops.
func gates(names ...string) change {
	return func(_ *flowtest.Service, o *flowhook.Options) {
		o.Hooks = map[string]flowhook.HookFactory{}
		for _, name := range names {
			o.Hooks[name] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
					http.Redirect(x.Writer, x.Request, "/"+name, http.StatusSeeOther)
					return nil
				}), decode(&map[string]any{})
			}
		}
	}
}

func provesLateGate(t *testing.T) {
	const rule = "late-gate"
	hooks := gates("require_verified_address", "web_hook")
	for _, entry := range []struct{ hook, config string }{
		{"require_verified_address", ""},
		{"web_hook", ", config: {can_interrupt: true}"},
		{"web_hook", ", config: {response: {parse: true}}"},
	} {
		for _, row := range []struct {
			phase string
			start func(*testing.T, string, string, ...change) *flowtest.Service
			late  bool
		}{{"", claimed, true}, {", phase: before_persist", mended, false}} {
			text := "[{hook: " + entry.hook + row.phase + entry.config + "}]"
			h := row.start(t, rule, "selfservice: {login: {after: "+text+"}}", flowtest.WithUsers(flowtest.Alice),
				hooks)
			b := h.Browser()
			res := b.PostPath("/login/password", "user", "alice")
			assert.Equal(t, http.StatusSeeOther, res.StatusCode, text)
			assert.Equal(t, []string{"/" + entry.hook}, res.Header["Location"], text)
			if row.late {
				requireSessionCookie(t, res)
				assert.Equal(t, "alice", b.WhoAmI(), text)
			} else {
				assert.Empty(t, res.Cookies(), text)
				assert.Equal(t, "anonymous", b.WhoAmI(), text)
			}
			if entry.hook != "web_hook" {
				continue
			}
			h = row.start(t, rule, "selfservice: {registration: {after: "+text+"}}", hooks)
			assert.Equal(t, http.StatusSeeOther, h.Browser().PostPath("/registration/password", "user",
				"carol").StatusCode, text)
			_, saved := h.Store.User(t.Context(), "carol")
			assert.Equal(t, row.late, saved, text)
		}
	}
}

func TestFindings_LateGate(t *testing.T) {
	t.Run("hint for an added hook names the phase", func(t *testing.T) {
		var cfg flowhook.Config
		cfg.Add(flowtest.LoginWide, "require_verified_address", flowhook.HookFunc(flowtest.NoOp))
		cfg.Add(flowtest.At(flowhook.Login, flowhook.BeforePersist, flowhook.FlowWide), "require_verified_address",
			flowhook.HookFunc(flowtest.NoOp))
		found := cfg.Check(flowhook.Options{})
		require.Equal(t, []string{"late-gate"}, flowtest.RulesOf(found))
		require.Len(t, found, 1)
		require.Equal(t, "add it at before_persist", found[0].Hint)
		require.Equal(t, flowhook.SeverityWarning, found[0].Severity)
	})
}
