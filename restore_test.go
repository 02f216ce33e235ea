package flowhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// TestComplete_KeepsEarlierHeaders sets a header before a run that fails: the header is not the run's
// to undo.
func TestComplete_KeepsEarlierHeaders(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(loginAfter, "fails", flowhook.HookFunc(refuse))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	save := func(w http.ResponseWriter) func(context.Context) error {
		return func(context.Context) error {
			w.Header().Set("X-Saved", "yes")
			return nil
		}
	}

	t.Run("guarded_writer", func(t *testing.T) {
		server := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Earlier", "yes")
			_, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password, save(w))
			if err == nil {
				t.Error("Complete did not fail")
			}
			w.WriteHeader(http.StatusTeapot)
		})))
		defer server.Close()
		res, err := http.Post(server.URL, "", nil)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusTeapot, res.StatusCode)
		require.Equal(t, "yes", res.Header.Get("X-Earlier"))
		require.Empty(t, res.Header.Get("X-Saved"))
	})

	t.Run("own_writer_and_a_later_run", func(t *testing.T) {
		w := httptest.NewRecorder()
		ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: newRequest()})
		w.Header().Set("X-Earlier", "yes")
		_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, save(w))
		require.Error(t, err)
		require.Equal(t, http.Header{"X-Earlier": {"yes"}}, w.Header())

		w.Header().Set("X-Later", "yes")
		_, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
		require.Equal(t, http.Header{"X-Earlier": {"yes"}, "X-Later": {"yes"}}, w.Header())
	})
}

// TestComplete_AnsweredByGate keeps the writer of a hook that answers at BeforePersist: it must be dead
// when Complete has returned.
func TestComplete_AnsweredByGate(t *testing.T) {
	var kept http.ResponseWriter
	cfg := &flowhook.Config{}
	cfg.Add(loginGate, "answers", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		kept = x.Writer
		x.Writer.WriteHeader(http.StatusTeapot)
		return nil
	}))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: newRequest()})
	handled, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.True(t, handled)
	require.NoError(t, err)
	require.Equal(t, http.StatusTeapot, w.Code)
	_, err = kept.Write([]byte("late"))
	require.Error(t, err)
	require.Empty(t, w.Body.String())
}

// TestRun_AfterComplete runs the hooks at After once more: Complete has run the gates before them.
func TestRun_AfterComplete(t *testing.T) {
	cfg, ran := &flowhook.Config{}, 0
	cfg.Add(loginGate, "gate", flowhook.HookFunc(nothing))
	cfg.Add(loginAfter, "counts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()})
	_, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.ErrorIs(t, err, flowhook.ErrPhaseSkipped)
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	_, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, 2, ran)
}
