package hooktest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
)

var notInvited = &flowhook.Refusal{Status: http.StatusForbidden, Code: "not_invited", Text: "You are not invited.",
	Err: errors.New("not on the list")}

// refusing returns a rig with the session hook, and a hook after it that returns err.
func refusing(t testing.TB, phase flowhook.Phase, err error) *hooktest.Rig {
	var cfg flowhook.Config
	cfg.Add(at(flowhook.Login, flowhook.After, flowhook.Password), "session", nil)
	point := at(flowhook.Login, phase, flowhook.Password)
	if phase == flowhook.Before {
		point.Strategy = flowhook.FlowWide
	}
	cfg.Add(point, "guests", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Set("X-Guest", "yes")
		return err
	}))
	return hooktest.NewWith(t, &cfg, flowhook.Options{})
}

func TestResult_Refusal(t *testing.T) {
	ran := map[flowhook.Phase][]string{
		flowhook.Before:        {"guests"},
		flowhook.BeforePersist: {"guests"},
		flowhook.After:         {"session", "guests"},
		flowhook.Failed:        {"guests"},
	}
	for phase, want := range ran {
		for name, err := range map[string]error{"bare": notInvited, "wrapped": fmt.Errorf("gate: %w", notInvited)} {
			t.Run(string(phase)+"/"+name, func(t *testing.T) {
				rig := refusing(t, phase, err)
				save := func(context.Context) error { return nil }
				if phase == flowhook.Failed {
					save = func(context.Context) error { return errGate }
				}
				got := rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), save)
				require.Same(t, notInvited, got.Refusal)
				require.ErrorIs(t, got.Err, notInvited)
				require.False(t, got.Handled)
				require.Zero(t, got.Status, "the handler answers")
				require.Empty(t, got.Body)
				require.Empty(t, got.Header.Get("X-Guest"))
				require.Equal(t, want, got.Ran)
				require.Empty(t, got.Sessions)
				require.Empty(t, got.Cookies)
				require.Nil(t, got.SignedIn)

				if phase != flowhook.After { // there, before and before_persist come first
					point := got.Hooks[0].Point
					got = rig.Run(point, exchange("alice"))
					require.Same(t, notInvited, got.Refusal)
					require.Zero(t, got.Status)
				}
			})
		}
	}
}

func TestResult_NoRefusal(t *testing.T) {
	for name, err := range map[string]error{
		"none":                 nil,
		"another error":        errGate,
		"its status is 200":    flowhook.Refuse(http.StatusOK, "", ""),
		"its status is 500":    fmt.Errorf("gate: %w", flowhook.Refuse(http.StatusInternalServerError, "", "")),
		"nil":                  (*flowhook.Refusal)(nil),
		"an error that panics": brokenError{},
	} {
		t.Run(name, func(t *testing.T) {
			got := refusing(t, flowhook.BeforePersist, err).Complete(flowhook.Login, flowhook.Password, exchange("alice"), nil)
			require.Nil(t, got.Refusal)
			require.Equal(t, err == nil, got.Err == nil)
			require.Equal(t, err == nil, got.SignedIn != nil)

			rig := hooktest.NewWith(t, nil, flowhook.Options{})
			got = rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), func(context.Context) error { return err })
			require.Nil(t, got.Refusal)
			require.Equal(t, err == nil, got.Err == nil)
		})
	}
}

// brokenError panics when it is inspected.
type brokenError struct{}

func (brokenError) Error() string { return "broken" }
func (brokenError) As(any) bool   { panic("broken") }

func TestResult_RefusalOfSave(t *testing.T) {
	rig := hooktest.NewWith(t, nil, flowhook.Options{})
	got := rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), func(context.Context) error {
		return fmt.Errorf("insert: %w", notInvited)
	})
	require.Same(t, notInvited, got.Refusal)
}

// A client of the handler reads the Refusal, and the log of the test has its cause.
func TestServe_Refusal(t *testing.T) {
	for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.After} {
		rig := refusing(t, phase, notInvited)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := flowhook.MustFromContext(r.Context())
			x.Identity = identity("alice", "example.org")
			handled, err := rig.Pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
			require.False(t, handled)
			rig.Pipeline.AnswerError(w, r, err)
		})
		got := rig.Serve(flowhook.Login, handler, nil)
		require.NoError(t, got.Err)
		require.Nil(t, got.Refusal)
		require.False(t, got.Handled)
		require.Equal(t, http.StatusForbidden, got.Status)
		require.Equal(t, "You are not invited.\n", got.Body)
		require.Equal(t, "no-store", got.Header.Get("Cache-Control"))
		require.Empty(t, got.Sessions)
		require.Contains(t, got.Log, "level=INFO msg=\"flowhook: refused\"")
		require.Contains(t, got.Log, "not on the list")

		r := post()
		r.Header.Set("Accept", "application/json")
		got = rig.Serve(flowhook.Login, handler, r)
		require.Equal(t, http.StatusForbidden, got.Status)
		require.JSONEq(t, `{"title":"Forbidden","status":403,"detail":"You are not invited.","code":"not_invited"}`, got.Body)
	}
}
