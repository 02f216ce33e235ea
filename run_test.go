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
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// TestComplete_KeepsEarlierHeaders sets a header before a run that fails: the header is not the run's
// to undo.
func TestComplete_KeepsEarlierHeaders(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowtest.LoginAfter, "fails", flowhook.HookFunc(flowtest.Refuse))
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
		ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: flowtest.NewRequest()})
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
	cfg.Add(flowtest.LoginGate, "answers", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		kept = x.Writer
		x.Writer.WriteHeader(http.StatusTeapot)
		return nil
	}))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: flowtest.NewRequest()})
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
	cfg.Add(flowtest.LoginGate, "gate", flowhook.HookFunc(flowtest.NoOp))
	cfg.Add(flowtest.LoginAfter, "counts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()})
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
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()})
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
	ctx = flowhook.NewContext(ctx, &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()})
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
			cfg.Add(flowtest.LoginAfter, "bursts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { panic(row.value) }))
			p, err := flowhook.New(cfg, flowhook.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()})
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
	inner.Add(flowtest.LoginAfter, "counts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil }))
	store := memstore.New()
	p, err := flowhook.New(inner, flowhook.Options{Store: store})
	require.NoError(t, err)
	outer, err := flowhook.New(nil, flowhook.Options{Store: store})
	require.NoError(t, err)
	fresh := func(ctx context.Context) context.Context {
		return flowhook.NewContext(ctx, &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()})
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
	cfg.Add(flowtest.At(flowhook.Login, flowhook.Failed, flowhook.Password), "fails", flowhook.HookFunc(flowtest.Refuse))
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
			cfg.Add(flowtest.At(flowhook.Login, flowhook.Failed, flowhook.Password), "answers",
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
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: w, Request: flowtest.NewRequest()})
			handled, err := p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error { return flowtest.ErrRefused })
			require.Equal(t, status != 0, handled)
			require.Equal(t, status == 0, err != nil)
			require.Equal(t, status != 0, w.Header().Get("X-Failed") == "yes")
		})
	}
}

// shortTimeout is a timeout that a test waits for. longTimeout is one that never ends in a test.
const (
	shortTimeout = "10ms"
	longTimeout  = "1h"
)

// waits is a hook that honors its context.
func waits(ctx context.Context, _ *flowhook.Exchange) error {
	<-ctx.Done()
	return ctx.Err()
}

// ignores is a hook that succeeds after its context has ended.
func ignores(ctx context.Context, _ *flowhook.Exchange) error {
	<-ctx.Done()
	return nil
}

// singleHook returns a file with a hook named slow at a login by password. The hook is at slowAt.
func singleHook(phase flowhook.Phase, timeout string) string {
	if timeout != "" {
		timeout = ", timeout: " + timeout
	}
	switch phase {
	case flowhook.Before:
		return "selfservice: {login: {before:              [{hook: slow" + timeout + "}]}}"
	case flowhook.Failed:
		return "selfservice: {login: {failed:  { password: [{hook: slow" + timeout + "}]}}}"
	}
	return "selfservice: {login: {after:   { password: [{hook: slow, phase: " + string(phase) + timeout + "}]}}}"
}

// requireTimeout asserts that err names the hook that timed out, its position, and the timeout.
func requireTimeout(t *testing.T, err error, at flowhook.Point, name string, pos flowhook.Position, timeout string) {
	t.Helper()
	var hook *flowhook.HookError
	require.ErrorAs(t, err, &hook)
	require.Equal(t, at, hook.Point)
	require.Equal(t, name, hook.Name)
	require.Equal(t, pos, hook.Position)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Contains(t, err.Error(), fmt.Sprintf("hook %s (%s): not done within its timeout of %s: ", name, pos,
		timeout))
}

var slowAt = flowhook.Position{Line: 1, Column: 52}

func TestTimeout(t *testing.T) {
	for _, row := range []struct {
		name  string
		phase flowhook.Phase
		hook  flowtest.Act
	}{
		{"hook ends with its context at before", flowhook.Before, waits},
		{"hook ends with its context at before_persist", flowhook.BeforePersist, waits},
		{"hook ends with its context at after", flowhook.After, waits},
		{"hook ends with its context at failed", flowhook.Failed, waits},
		{"hook ignores its context and succeeds too late", flowhook.After, ignores},
		{"hook has done everything when it is too late", flowhook.After,
			func(ctx context.Context, x *flowhook.Exchange) error {
				if err := flowtest.Meddle(ctx, x); err != nil {
					return err
				}
				x.AfterCommit(func(context.Context) error { panic("after a commit that never was") })
				return errors.Join(flowtest.AnswerWith(http.StatusFound, "elsewhere")(ctx, x), ignores(ctx, x))
			}},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.AddYAML(singleHook(row.phase, shortTimeout), map[string]flowtest.Act{"slow": row.hook})
			handled, err := b.Run(row.phase)
			require.False(t, handled)
			p := flowtest.At(flowhook.Login, row.phase, flowhook.Password)
			requireTimeout(t, err, p, "slow", slowAt, shortTimeout)
			require.Regexp(t, "timeout of "+shortTimeout+": context deadline exceeded$", err.Error(),
				"a context error adds nothing")
			require.Equal(t, []string{"slow"}, b.Ran)
			b.RequireUntouched()
			if row.phase == flowhook.After {
				require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
			}
		})
	}

	t.Run("late error of the hook is wrapped", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.AddYAML(singleHook(flowhook.After, shortTimeout),
			map[string]flowtest.Act{"slow": func(ctx context.Context, x *flowhook.Exchange) error {
				<-ctx.Done()
				return flowtest.ErrRefused
			}})
		_, err := b.Run(flowhook.After)
		requireTimeout(t, err, flowtest.LoginAfter, "slow", slowAt, shortTimeout)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.ErrorContains(t, err, "refused")
	})

	t.Run("error in time is returned unchanged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.AddYAML(singleHook(flowhook.After, longTimeout), map[string]flowtest.Act{"slow": flowtest.Refuse})
		_, err := b.Run(flowhook.After)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		require.NotContains(t, err.Error(), "timeout")
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	})

	t.Run("panic in time is a panic", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.AddYAML(singleHook(flowhook.After, longTimeout),
			map[string]flowtest.Act{"slow": func(context.Context, *flowhook.Exchange) error { panic("startled") }})
		_, err := b.Run(flowhook.After)
		require.ErrorContains(t, err, "panic: startled")
	})

	t.Run("request ends first", func(t *testing.T) {
		for name, hook := range map[string]flowtest.Act{"honored": waits, "ignored": ignores} {
			b := flowtest.NewRunTest(t)
			b.AddYAML(singleHook(flowhook.After, longTimeout),
				map[string]flowtest.Act{"slow": func(ctx context.Context, x *flowhook.Exchange) error {
					b.Cancel()
					return hook(ctx, x)
				}})
			_, err := b.Run(flowhook.After)
			require.ErrorIs(t, err, context.Canceled, name)
			require.NotContains(t, err.Error(), "timeout", name)
			if name == "ignored" {
				require.Equal(t, context.Canceled, err, "the error must not name a hook")
			}
			require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries, name)
		}
	})

	t.Run("deadline of the context is the timeout", func(t *testing.T) {
		for timeout, want := range map[string]time.Duration{"": 0, "90s": 90 * time.Second} {
			b := flowtest.NewRunTest(t)
			b.AddYAML(singleHook(flowhook.After, timeout),
				map[string]flowtest.Act{"slow": func(ctx context.Context, _ *flowhook.Exchange) error {
					deadline, limited := ctx.Deadline()
					require.Equal(t, want > 0, limited)
					if limited {
						require.WithinDuration(t, time.Now().Add(want), deadline, 10*time.Second)
					}
					require.NotNil(t, ctx.Value(flowtest.InTransactionKey{}), "the context must be the transaction's")
					x, _ := flowhook.FromContext(ctx)
					require.Same(t, b.Exchange, x)
					return nil
				}})
			_, err := b.Run(flowhook.After)
			require.NoError(t, err)
			require.Equal(t, []string{"slow"}, b.Ran)
		}
	})
}

func TestTimeout_PerHook(t *testing.T) {
	const text = "selfservice:\n  login:\n    after:\n      password:\n        - {hook: quick, timeout: 1h}\n" +
		"        - {hook: free}\n        - {hook: slow, timeout: 10ms}\n        - {hook: last, timeout: 2h}\n"
	b := flowtest.NewRunTest(t)
	left := map[string]time.Duration{}
	var quick context.Context
	look := func(name string) flowtest.Act {
		return func(ctx context.Context, _ *flowhook.Exchange) error {
			if name == "quick" {
				quick = ctx
			} else {
				require.Error(t, quick.Err(), "the first hook's context must have ended")
			}
			require.NoError(t, ctx.Err())
			if deadline, ok := ctx.Deadline(); ok {
				left[name] = time.Until(deadline).Round(time.Hour)
			}
			return nil
		}
	}
	b.AddYAML(text, map[string]flowtest.Act{"quick": look("quick"), "free": look("free"), "slow": ignores,
		"last": look("last")})
	_, err := b.Run(flowhook.After)
	requireTimeout(t, err, flowtest.LoginAfter, "slow", flowhook.Position{Line: 7, Column: 18}, "10ms")
	require.Equal(t, []string{"quick", "free", "slow"}, b.Ran, "a later hook has run")

	b = flowtest.NewRunTest(t)
	b.AddYAML(strings.Replace(text, "10ms", "3h", 1),
		map[string]flowtest.Act{"quick": look("quick"), "free": look("free"), "slow": look("slow"),
			"last": look("last")})
	_, err = b.Run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, []string{"quick", "free", "slow", "last"}, b.Ran)
	require.Equal(t, map[string]time.Duration{"quick": time.Hour, "slow": 3 * time.Hour, "last": 2 * time.Hour}, left)
}

func TestTimeout_BuiltinHook(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.AddYAML("selfservice: {login: {after: {password: [{hook: session, timeout: 10ms}]}}}", nil)
	b.Options.Issue = waits
	_, err := b.Run(flowhook.After)
	requireTimeout(t, err, flowtest.LoginAfter, "session", flowhook.Position{Line: 1, Column: 49}, shortTimeout)
}

// A redirect does not wait, and the hooks after it rely on its answer, so it has no deadline.
func TestTimeout_RedirectStillAnswers(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.AddYAML("selfservice: {login: {before: [{hook: redirect, timeout: 1ns, config: {to: /maintenance}}, {hook: slow}]}}", map[string]flowtest.Act{"slow": flowtest.NoOp})
	handled, err := b.Run(flowhook.Before)
	require.NoError(t, err)
	require.True(t, handled)
	require.Empty(t, b.Ran)
}

// The hook's context ends when it returns. AfterCommit has its own context.
func TestTimeout_AfterCommitIsUnaffected(t *testing.T) {
	b := flowtest.NewRunTest(t)
	done := false
	b.AddYAML(singleHook(flowhook.After, "1m"), map[string]flowtest.Act{"slow": func(hook context.Context,
		x *flowhook.Exchange) error {
		x.AfterCommit(func(ctx context.Context) error {
			require.ErrorIs(t, hook.Err(), context.Canceled)
			require.NoError(t, ctx.Err())
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
			done = true
			return nil
		})
		return nil
	}})
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.True(t, done)
	require.NotContains(t, b.Log.String(), "failed after the commit")
}

func TestTimeout_InsideWrap(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.AddYAML(singleHook(flowhook.After, shortTimeout), map[string]flowtest.Act{"slow": ignores})
	var seen error
	b.Options.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			_, limited := ctx.Deadline()
			require.False(t, limited, "the wrapper must not have a deadline")
			seen = next.Run(ctx, x)
			require.NoError(t, ctx.Err())
			return seen
		})
	}
	_, err := b.Run(flowhook.After)
	require.ErrorIs(t, seen, context.DeadlineExceeded)
	require.ErrorContains(t, seen, "not done within its timeout of 10ms")
	require.ErrorIs(t, err, seen)
}

func TestTimeout_Complete(t *testing.T) {
	t.Run("gate times out, save does not run and failed gets the error", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		var why error
		b.AddYAML("selfservice: {login: {after: {password: [{hook: slow, phase: before_persist, timeout: 10ms}]}, failed: {hooks: [{hook: audit}]}}}",
			map[string]flowtest.Act{"slow": ignores, "audit": func(ctx context.Context, x *flowhook.Exchange) error {
				why = x.Err
				return ctx.Err()
			}})
		_, err := b.Complete(func(context.Context) error { t.Error("saved"); return nil })
		requireTimeout(t, err, flowtest.LoginGate, "slow", flowhook.Position{Line: 1, Column: 49}, shortTimeout)
		require.Equal(t, err, why)
		require.Equal(t, []string{"slow", "audit"}, b.Ran)
		require.Empty(t, b.Store.Entries)
	})

	t.Run("after times out and save is rolled back", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.AddYAML(singleHook(flowhook.After, shortTimeout), map[string]flowtest.Act{"slow": ignores})
		_, err := b.Complete(func(context.Context) error { b.Exchange.Writer.Header().Set("X-Save", "1"); return nil })
		requireTimeout(t, err, flowtest.LoginAfter, "slow", slowAt, shortTimeout)
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	})

	t.Run("failed times out and is logged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Cancel()
		b.AddYAML(singleHook(flowhook.Failed, shortTimeout), map[string]flowtest.Act{"slow": ignores})
		_, err := b.Complete(nil)
		require.Equal(t, context.Canceled, err)
		require.Contains(t, b.Log.String(), "not done within its timeout of 10ms")
	})
}

func TestTimeout_Concurrent(t *testing.T) {
	cfg, err := flowhook.ParseConfig([]byte(singleHook(flowhook.BeforePersist, shortTimeout)))
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{
		"slow": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return flowhook.HookFunc(ignores), nil },
	}})
	require.NoError(t, err)
	errs := make([]error, 32)
	flowtest.Concurrently(len(errs), func(i int) {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()}
		_, errs[i] = p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.BeforePersist,
			flowhook.Password)
	})
	for _, err := range errs {
		requireTimeout(t, err, flowtest.LoginGate, "slow", slowAt, shortTimeout)
	}
}

// TestComplete_AppendAfterSave has a hook append to the addresses of an identity that save has set: the
// host's array must not change.
func TestComplete_AppendAfterSave(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowtest.LoginAfter, "appends", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		x.Identity.Addresses = append(x.Identity.Addresses, flowhook.Address{Via: "email", Value: "eve@example.org"})
		return flowtest.ErrRefused
	}))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	array := [2]flowhook.Address{{Via: "email", Value: "alice@example.org"}}
	want := array
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, func(context.Context) error {
		x.Identity = &flowhook.Identity{ID: "alice", Addresses: array[:1]}
		return nil
	})
	require.Error(t, err)
	require.Equal(t, want, array)
}

// TestRun_HookUsesHandlersWriter has a hook change the header of the handler's own writer. A run that
// fails undoes that, and keeps what was set outside of Middleware.
func TestRun_HookUsesHandlersWriter(t *testing.T) {
	var handlers http.ResponseWriter
	cfg := &flowhook.Config{}
	cfg.Add(flowtest.LoginAfter, "meddles", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
		handlers.Header().Set("X-Hook", "yes")
		handlers.Header().Set("X-Second", "yes")
		return flowtest.ErrRefused
	}))
	p, err := flowhook.New(cfg, flowhook.Options{})
	require.NoError(t, err)
	inner := p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers = w
		if _, err := p.Run(r.Context(), flowhook.Login, flowhook.After, flowhook.Password); err == nil {
			t.Error("Run did not fail")
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Outer", "yes")
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	res, err := http.Post(server.URL, "", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusTeapot, res.StatusCode)
	require.Equal(t, "yes", res.Header.Get("X-Outer"))
	require.Empty(t, res.Header.Get("X-Hook"))
}

// TestWrap_Verdict has Options.Wrap see what the pipeline makes of a hook's answer.
func TestWrap_Verdict(t *testing.T) {
	for _, row := range []struct {
		name string
		act  flowtest.Act
		want string // in the error that the wrap sees; "" for none
	}{
		{"passes", flowtest.NoOp, ""},
		{"redirects", flowtest.AnswerWith(http.StatusFound, ""), ""},
		{"refuses_too_late", flowtest.AnswerWith(http.StatusForbidden, ""), "answered with status 403"},
		{"answers_twice", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(http.StatusFound)
			x.Writer.WriteHeader(http.StatusFound)
			return nil
		}, "answered twice"},
		{"fails", flowtest.Refuse, "refused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen error
			wrap := func(_ flowhook.Point, _ string, next flowhook.Hook) flowhook.Hook {
				return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
					seen = next.Run(ctx, x)
					return seen
				})
			}
			cfg := &flowhook.Config{}
			cfg.Add(flowtest.LoginAfter, "hook", flowhook.HookFunc(row.act))
			p, err := flowhook.New(cfg, flowhook.Options{Wrap: wrap})
			require.NoError(t, err)
			ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest()})
			_, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
			if row.want == "" {
				require.NoError(t, seen)
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, seen, row.want)
			require.ErrorIs(t, err, seen)
		})
	}
}
