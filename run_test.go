package flowhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
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

// storeFunc is a Store that is one function.
type storeFunc func(ctx context.Context, fn func(ctx context.Context) error) error

func (f storeFunc) Transaction(ctx context.Context, _ string, fn func(ctx context.Context) error) error {
	return f(ctx, fn)
}

func TestComplete_StoreError(t *testing.T) {
	saveFails := errors.New("save failed")
	storeFails := errors.New("store failed")
	for _, row := range []struct {
		name  string
		store storeFunc
		save  error
		want  error
		text  string
		log   int
	}{
		{"returns_the_cause", func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) },
			saveFails, saveFails, "save failed", 0},
		{"wraps_the_cause", func(ctx context.Context, fn func(context.Context) error) error {
			return fmt.Errorf("rolled back: %w", fn(ctx))
		}, saveFails, saveFails, "save failed", 0},
		{"hides_the_cause", func(ctx context.Context, fn func(context.Context) error) error {
			_ = fn(ctx)
			return storeFails
		}, saveFails, saveFails, "save failed", 1},
		{"swallows_the_cause", func(ctx context.Context, fn func(context.Context) error) error {
			_ = fn(ctx)
			return nil
		}, saveFails, saveFails, "save failed", 1},
		{"fails_to_commit", func(ctx context.Context, fn func(context.Context) error) error {
			_ = fn(ctx)
			return storeFails
		}, nil, storeFails, "flowhook: transaction: store failed", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			p, err := flowhook.New(nil, flowhook.Options{Store: row.store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()})
			_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error { return row.save })
			require.ErrorIs(t, err, row.want)
			require.EqualError(t, err, row.text)
			require.Equal(t, row.log, strings.Count(log.String(), "the store did not return why"), log.String())
		})
	}
}

// TestComplete_Canceled has a store report the end of the context in its own words.
func TestComplete_Canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := flowhook.New(nil, flowhook.Options{Store: storeFunc(func(ctx context.Context, _ func(context.Context) error) error {
		cancel()
		return fmt.Errorf("begin: %w", ctx.Err())
	})})
	require.NoError(t, err)
	ctx = flowhook.NewContext(ctx, &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()})
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.Equal(t, context.Canceled, err, "it is the context's error, not the store's")
}

func TestRun_HookPanics(t *testing.T) {
	for name, row := range map[string]struct {
		value any
		logs  int
	}{
		"value":            {"startled", 1},
		"ErrAbortHandler":  {http.ErrAbortHandler, 0},
		"error":            {errors.New("startled"), 1},
		"nil_func_of_hook": {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			cfg := &flowhook.Config{}
			cfg.Add(loginAfter, "bursts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { panic(row.value) }))
			p, err := flowhook.New(cfg, flowhook.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()})
			run := func() { _, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password) }
			if row.logs == 0 {
				require.PanicsWithValue(t, row.value, run)
			} else {
				run()
				var hook *flowhook.HookError
				require.ErrorAs(t, err, &hook)
				require.Equal(t, "bursts", hook.Name)
				require.Contains(t, log.String(), "hook=bursts")
				require.Contains(t, log.String(), "run_test.go", "the stack")
			}
			require.Equal(t, row.logs, strings.Count(log.String(), "a hook panicked"))
		})
	}
}

// TestRun_InTransactionOfAnotherExchange runs hooks inside the transaction of another exchange. They
// would join it, and their response would leave before it commits.
func TestRun_InTransactionOfAnotherExchange(t *testing.T) {
	inner, ran := &flowhook.Config{}, 0
	inner.Add(loginAfter, "counts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
	store := memstore.New()
	p, err := flowhook.New(inner, flowhook.Options{Store: store})
	require.NoError(t, err)
	outer, err := flowhook.New(nil, flowhook.Options{Store: store})
	require.NoError(t, err)
	fresh := func(ctx context.Context) context.Context {
		return flowhook.NewContext(ctx, &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()})
	}
	_, err = outer.Complete(fresh(t.Context()), flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		_, err := p.Run(fresh(ctx), flowhook.Login, flowhook.After, flowhook.Password)
		return err
	})
	require.ErrorIs(t, err, flowhook.ErrNested)
	require.Zero(t, ran)
}

// TestRun_FailsAfterComplete has the handler answer after a Complete that succeeded and a Run that
// failed: its response must not be held back.
func TestRun_FailsAfterComplete(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(at(flowhook.Login, flowhook.Failed, flowhook.Password), "fails", flowhook.HookFunc(refuse))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	server := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, completed := p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
		_, failed := p.Run(r.Context(), flowhook.Login, flowhook.Failed, flowhook.Password)
		if completed != nil || failed == nil {
			t.Error(completed, failed)
		}
		w.WriteHeader(http.StatusTeapot)
	})))
	defer server.Close()
	res, err := http.Post(server.URL, "", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusTeapot, res.StatusCode)
}

// TestComplete_FailedHookAnswers sends the headers of a hook that answers at Failed, and none of one
// that does not.
func TestComplete_FailedHookAnswers(t *testing.T) {
	for _, status := range []int{0, http.StatusTeapot} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			cfg := &flowhook.Config{}
			cfg.Add(at(flowhook.Login, flowhook.Failed, flowhook.Password), "answers",
				flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
					x.Writer.Header().Set("X-Failed", "yes")
					if status != 0 {
						x.Writer.WriteHeader(status)
					}
					return nil
				}))
			p, err := flowhook.New(cfg, flowhook.Options{Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			w := httptest.NewRecorder()
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: newRequest()})
			handled, err := p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error { return errRefused })
			require.Equal(t, status != 0, handled)
			require.Equal(t, status == 0, err != nil)
			require.Equal(t, status != 0, w.Header().Get("X-Failed") == "yes")
		})
	}
}
