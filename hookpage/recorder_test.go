package hookpage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

type act = func(ctx context.Context, x *flowhook.Exchange) error

var loginAfter = flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}

func nothing(context.Context, *flowhook.Exchange) error { return nil }

func fails(context.Context, *flowhook.Exchange) error { return errors.New("no") }

func refuses(err error) act { return func(context.Context, *flowhook.Exchange) error { return err } }

func answers(status int) act {
	return func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.WriteHeader(status)
		return nil
	}
}

func anyStrategy(flowhook.Strategy) bool { return true }

// recorded returns a pipeline of cfg that r records.
func recorded(t *testing.T, r *Recorder, cfg *flowhook.Config) *flowhook.Pipeline {
	t.Helper()
	p, err := flowhook.New(cfg, flowhook.Options{Wrap: r.Wrap, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	return p
}

func exchange(ctx context.Context) context.Context {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	return flowhook.NewContext(ctx, &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: r})
}

// statsOf returns the figures of each hook that the plan shows, by name, without its durations.
func statsOf(r *Recorder, p *flowhook.Pipeline) map[string]stats {
	all := map[string]stats{}
	for _, hooks := range p.Plan().Points() {
		for _, h := range hooks {
			s := r.stats(h, anyStrategy)
			s.P50, s.P95, s.LastFailure = 0, 0, time.Time{}
			all[h.Name] = s
		}
	}
	return all
}

func TestRecorder_Outcomes(t *testing.T) {
	for name, row := range map[string]struct {
		act  act
		want stats
		next uint64 // the runs of the hook after it
	}{
		"passes":        {nothing, stats{Runs: 1}, 1},
		"answers":       {answers(302), stats{Runs: 1, Answered: 1}, 0},
		"returns_error": {fails, stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"panics": {func(context.Context, *flowhook.Exchange) error { panic("startled") },
			stats{Runs: 1, Failed: 1, Kind: "panic"}, 0},
		"rejected_answer": {answers(403), stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"answers_twice": {func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(200)
			x.Writer.WriteHeader(200)
			return nil
		}, stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"replaces_request": {func(_ context.Context, x *flowhook.Exchange) error {
			x.Request = httptest.NewRequest(http.MethodPost, "/", nil)
			return nil
		}, stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"answers_and_fails": {func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(302)
			return errors.New("no")
		}, stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"times_out": {func(context.Context, *flowhook.Exchange) error { return context.DeadlineExceeded },
			stats{Runs: 1, Failed: 1, Kind: "timeout"}, 0},
		"canceled": {func(context.Context, *flowhook.Exchange) error { return context.Canceled },
			stats{Runs: 1, Failed: 1, Kind: "canceled"}, 0},
		"refuses":           {refuses(flowhook.Refuse(403, "no", "")), stats{Runs: 1, Refused: 1}, 0},
		"refuses_by_status": {refuses(&flowhook.Refusal{}), stats{Runs: 1, Refused: 1}, 0},
		"refuses_in_wrapped_error": {refuses(fmt.Errorf("a: %w", errors.Join(io.EOF, flowhook.Refuse(409, "", "")))),
			stats{Runs: 1, Refused: 1}, 0},
		"refuses_because_of_timeout": {refuses(&flowhook.Refusal{Status: 408, Err: context.DeadlineExceeded}),
			stats{Runs: 1, Refused: 1}, 0},
		"answers_and_refuses": {func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(302)
			return flowhook.Refuse(403, "no", "")
		}, stats{Runs: 1, Refused: 1}, 0},
		"refuses_with_200":    {refuses(flowhook.Refuse(200, "no", "")), stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"refuses_with_500":    {refuses(flowhook.Refuse(500, "no", "")), stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
		"returns_nil_refusal": {refuses((*flowhook.Refusal)(nil)), stats{Runs: 1, Failed: 1, Kind: "error"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, r := &flowhook.Config{}, NewRecorder()
			cfg.Add(loginAfter, "first", flowhook.HookFunc(nothing))
			cfg.Add(loginAfter, "hook", flowhook.HookFunc(row.act))
			cfg.Add(loginAfter, "last", flowhook.HookFunc(nothing))
			p := recorded(t, r, cfg)
			_, _ = p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, flowhook.Password)
			require.Equal(t, map[string]stats{"first": {Runs: 1}, "hook": row.want, "last": {Runs: row.next}},
				statsOf(r, p))
		})
	}
}

// A refusal leaves the time and the kind of the last failure as they are.
func TestRecorder_RefusalIsNoFailure(t *testing.T) {
	cfg, r := &flowhook.Config{}, NewRecorder()
	outcome := errors.New("no")
	cfg.Add(loginAfter, "hook", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return outcome }))
	p := recorded(t, r, cfg)
	failed := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	now := failed
	r.now = func() time.Time { return now }
	run := func() {
		_, err := p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, err, outcome)
	}
	run()
	outcome, now = flowhook.Refuse(403, "no", ""), failed.Add(time.Hour)
	run()
	for _, hooks := range p.Plan().Points() {
		require.Equal(t, stats{Runs: 2, Refused: 1, Failed: 1, LastFailure: failed, Kind: "error"}, r.stats(hooks[0], anyStrategy))
	}
}

func TestRecorder_Goexit(t *testing.T) {
	cfg, r := &flowhook.Config{}, NewRecorder()
	exit := func(context.Context, *flowhook.Exchange) error {
		runtime.Goexit()
		return nil
	}
	cfg.Add(loginAfter, "hook", flowhook.HookFunc(exit))
	p := recorded(t, r, cfg)
	var gone sync.WaitGroup
	gone.Go(func() { _, _ = p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, flowhook.Password) })
	gone.Wait()
	require.Equal(t, map[string]stats{"hook": {Runs: 1, Failed: 1, Kind: "panic"}}, statsOf(r, p))
}

// brokenError panics when it is inspected.
type brokenError struct{}

func (brokenError) Error() string   { panic("broken") }
func (brokenError) Is(_ error) bool { panic("broken") }

func TestRecorder_UninspectableError(t *testing.T) {
	require.Equal(t, "error", outcomeOf(brokenError{}))
}

func TestRecorder_Durations(t *testing.T) {
	cfg, r := &flowhook.Config{}, NewRecorder()
	cfg.Add(loginAfter, "hook", flowhook.HookFunc(fails))
	p := recorded(t, r, cfg)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	step := time.Duration(0)
	r.now = func() time.Time { // each run takes a millisecond more than the one before
		now = now.Add(step)
		return now
	}
	for i := 1; i <= 300; i++ {
		step = time.Duration(i) * time.Millisecond
		_, err := p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
	}
	for _, hooks := range p.Plan().Points() {
		s := r.stats(hooks[0], anyStrategy)
		require.Equal(t, now, s.LastFailure)
		require.Equal(t, 172*time.Millisecond, s.P50, "the median of 45 to 300")
		require.Equal(t, 287*time.Millisecond, s.P95)
	}
}

func TestRecorder_FlowWideHook(t *testing.T) {
	cfg, r := &flowhook.Config{}, NewRecorder()
	for _, s := range []flowhook.Strategy{flowhook.Password, flowhook.OIDC, flowhook.FlowWide} {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: s}, "by "+string(s),
			flowhook.HookFunc(nothing))
	}
	p := recorded(t, r, cfg)
	used := []flowhook.Strategy{flowhook.Password, flowhook.OIDC, flowhook.OIDC, flowhook.TOTP, flowhook.FlowWide}
	for _, s := range used {
		_, err := p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, s)
		require.NoError(t, err)
	}
	require.Equal(t, map[string]stats{"by password": {Runs: 1}, "by oidc": {Runs: 2}, "by ": {Runs: 5}}, statsOf(r, p))
}

func TestRecorder_Reload(t *testing.T) {
	parse := func(text string) *flowhook.Config {
		cfg, err := flowhook.ParseConfig([]byte(text))
		require.NoError(t, err)
		return cfg
	}
	r := NewRecorder()
	factory := func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return flowhook.HookFunc(nothing), nil }
	opts := flowhook.Options{Wrap: r.Wrap, Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"audit": factory, "note": factory}}
	const text = "selfservice: {login: {after: [{hook: audit}]}}"
	p, err := flowhook.New(parse(text), opts)
	require.NoError(t, err)
	run := func() {
		_, err := p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
	}
	run()

	require.Empty(t, p.Check(parse("selfservice: {login: {after: [{hook: note}]}}")))
	require.Error(t, p.Reload(parse("selfservice: {login: {after: [{hook: note}, {hook: nobody}]}}")))
	require.Len(t, r.records, 1, "Check and a rejected Reload leave no trace")

	require.NoError(t, p.Reload(parse(text)))
	run()
	require.Equal(t, map[string]stats{"audit": {Runs: 2}}, statsOf(r, p), "the entry is where it was")

	require.NoError(t, p.Reload(parse("selfservice: {login: {after: [{hook: note}, {hook: audit}]}}")))
	require.Equal(t, map[string]stats{"note": {}, "audit": {}}, statsOf(r, p), "the entry has moved")
}

func TestRecorder_Concurrent(t *testing.T) {
	cfg, r := &flowhook.Config{}, NewRecorder()
	cfg.Add(loginAfter, "hook", flowhook.HookFunc(nothing))
	p := recorded(t, r, cfg)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 10 {
				_, err := p.Run(exchange(t.Context()), flowhook.Login, flowhook.After, flowhook.Password)
				if err != nil {
					t.Error(err)
				}
				statsOf(r, p)
				if err := p.Reload(cfg); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, map[string]stats{"hook": {Runs: 160}}, statsOf(r, p))
}

func TestStatus_Ago(t *testing.T) {
	s := &status{Now: time.Date(2030, 1, 9, 0, 0, 0, 0, time.UTC)}
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 59 * time.Minute: "59 minutes ago",
		time.Hour: "1 hour ago", 47 * time.Hour: "47 hours ago", 50 * time.Hour: "2 days ago",
	} {
		require.Equal(t, want, s.Ago(s.Now.Add(-d)))
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1_234: "1.23µs", 1_234_567: "1.23ms", 1_234_567_890: "1.23s",
	} {
		require.Equal(t, want, short(d).String())
	}
}
