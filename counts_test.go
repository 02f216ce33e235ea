package flowhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// counted gives the counts of every hook, by its name; a hook must have the same in all chains that it stands in.
func counted(t *testing.T, p *flowhook.Pipeline) map[string]flowhook.Counts {
	t.Helper()
	all := map[string]flowhook.Counts{}
	for _, hooks := range p.Points() {
		for _, h := range hooks {
			if c, ok := all[h.Name]; ok {
				require.Equal(t, c, h.Counts, h.Name)
			}
			all[h.Name] = h.Counts
		}
	}
	return all
}

func TestCounts(t *testing.T) {
	for _, row := range []struct {
		name   string
		act    act
		want   flowhook.Counts
		behind uint64 // the runs of the hook behind it
	}{
		{"of a hook that does its work", nothing, flowhook.Counts{Runs: 1}, 1},
		{"of one that answers", answerWith(302, ""), flowhook.Counts{Runs: 1, Answered: 1}, 0},
		{"of one that returns an error", refuse, flowhook.Counts{Runs: 1, Failed: 1}, 0},
		{"of one that panics", func(context.Context, *flowhook.Exchange) error { panic("startled") }, flowhook.Counts{Runs: 1, Failed: 1}, 0},
		{"of one that refuses when everything is saved", answerWith(403, ""), flowhook.Counts{Runs: 1, Failed: 1}, 0},
		{"of one that answers twice", func(ctx context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(200)
			x.Writer.WriteHeader(200)
			return nil
		}, flowhook.Counts{Runs: 1, Failed: 1}, 0},
		{"of one that replaces the request", func(_ context.Context, x *flowhook.Exchange) error {
			x.Request = newRequest()
			return nil
		}, flowhook.Counts{Runs: 1, Failed: 1}, 0},
		{"of one that answers and fails", func(ctx context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(302)
			return errRefused
		}, flowhook.Counts{Runs: 1, Failed: 1}, 0},
		{"of one under which the request ends", nil, flowhook.Counts{Runs: 1}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t)
			b.opts.Count = true
			if row.act == nil {
				row.act = func(context.Context, *flowhook.Exchange) error { b.cancel(); return nil }
			}
			b.add(loginAfter, "first")
			b.add(loginAfter, "hook", row.act)
			b.add(loginAfter, "last")
			p := b.pipeline()
			_, _ = p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
			require.Equal(t, map[string]flowhook.Counts{"first": {Runs: 1}, "hook": row.want, "last": {Runs: row.behind}}, counted(t, p))
		})
	}

	t.Run("of one that ends its goroutine", func(t *testing.T) {
		b := newBench(t)
		b.opts.Count = true
		b.add(loginAfter, "hook", func(context.Context, *flowhook.Exchange) error { runtime.Goexit(); return nil })
		p := b.pipeline()
		var gone sync.WaitGroup
		gone.Go(func() { _, _ = p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password) })
		gone.Wait()
		require.Equal(t, map[string]flowhook.Counts{"hook": {Runs: 1, Failed: 1}}, counted(t, p))
	})

	t.Run("are off by default", func(t *testing.T) {
		b := newBench(t)
		b.add(loginAfter, "hook", refuse)
		p := b.pipeline()
		_, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
		require.Equal(t, map[string]flowhook.Counts{"hook": {}}, counted(t, p))
	})

	t.Run("of save are nobody's, and those of failed are failed's", func(t *testing.T) {
		b := newBench(t)
		b.opts.Count = true
		b.add(loginGate, "gate")
		b.add(loginAfter, "after")
		b.add(loginFailed, "failed", answerWith(http.StatusTooManyRequests, ""))
		p := b.pipeline()
		_, err := p.Complete(b.ctx, flowhook.Login, flowhook.Password, refuseSave)
		require.NoError(t, err)
		require.Equal(t, map[string]flowhook.Counts{"gate": {Runs: 1}, "after": {}, "failed": {Runs: 1, Answered: 1}}, counted(t, p))
	})

	t.Run("of a late hook are failures", func(t *testing.T) {
		b := newBench(t)
		b.opts.Count = true
		b.file(one(flowhook.After, brief), map[string]act{"slow": ignores})
		p := b.pipeline()
		_, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
		require.Equal(t, map[string]flowhook.Counts{"slow": {Runs: 1, Failed: 1}}, counted(t, p))
	})

	t.Run("allocate nothing", func(t *testing.T) {
		cfg := &flowhook.Config{}
		cfg.Add(loginAfter, "hook", flowhook.HookFunc(nothing))
		p, err := flowhook.New(cfg, flowhook.Options{Count: true})
		require.NoError(t, err)
		require.Zero(t, allocatedBy(t, p, loginAfter))
		require.Equal(t, map[string]flowhook.Counts{"hook": {Runs: 101}}, counted(t, p)) // one to warm up
	})
}

func refuseSave(context.Context) error { return errRefused }

// runs is a login by a strategy, of an exchange of its own, as often as times says.
func runs(t *testing.T, p *flowhook.Pipeline, strategy flowhook.Strategy, times int) {
	t.Helper()
	for range times {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()}
		_, err := p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.After, strategy)
		require.NoError(t, err)
	}
}

func TestCountsOfAFlowWideHookAreOfAllStrategies(t *testing.T) {
	b := newBench(t)
	b.opts.Count = true
	for _, s := range []flowhook.Strategy{flowhook.Password, flowhook.OIDC} {
		b.cfg.Add(at(flowhook.Login, flowhook.After, s), string(s), flowhook.HookFunc(nothing))
	}
	b.cfg.Add(loginWide, "wide", flowhook.HookFunc(nothing))
	p := b.pipeline()
	runs(t, p, flowhook.Password, 1)
	runs(t, p, flowhook.OIDC, 2)
	runs(t, p, flowhook.TOTP, 4) // has no hooks of its own
	runs(t, p, flowhook.FlowWide, 8)
	require.Equal(t, map[string]flowhook.Counts{"password": {Runs: 1}, "oidc": {Runs: 2}, "wide": {Runs: 15}}, counted(t, p))
}

func TestReloadGoesOnCounting(t *testing.T) {
	oidc := at(flowhook.Login, flowhook.After, flowhook.OIDC)
	type entry struct {
		at   flowhook.Point
		name string
	}
	config := func(entries ...entry) *flowhook.Config {
		cfg := &flowhook.Config{}
		for _, e := range entries {
			cfg.Add(e.at, e.name, flowhook.HookFunc(nothing))
		}
		return cfg
	}
	// of gives the runs of each hook of a strategy, in order.
	of := func(p *flowhook.Pipeline, at flowhook.Point) (runs []uint64) {
		for point, hooks := range p.Points() {
			if point == at {
				for _, h := range hooks {
					runs = append(runs, h.Counts.Runs)
				}
			}
		}
		return runs
	}
	first := config(entry{loginAfter, "twice"}, entry{loginAfter, "once"}, entry{loginAfter, "twice"}, entry{oidc, "once"})
	p, err := flowhook.New(first, flowhook.Options{Count: true})
	require.NoError(t, err)
	runs(t, p, flowhook.Password, 3)
	runs(t, p, flowhook.OIDC, 1)
	require.Equal(t, []uint64{3, 3, 3}, of(p, loginAfter))

	require.NoError(t, p.Reload(config(entry{loginAfter, "new"}, entry{loginAfter, "once"}, entry{loginAfter, "twice"},
		entry{loginAfter, "twice"}, entry{loginAfter, "twice"}, entry{oidc, "other"})))
	require.Equal(t, []uint64{0, 3, 3, 3, 0}, of(p, loginAfter), "whatever stands between")
	require.Equal(t, []uint64{0}, of(p, oidc), "another hook at the same point")

	require.Error(t, p.Reload(config(entry{loginAfter, "session"})), "a built-in hook's name")
	require.Equal(t, []uint64{0, 3, 3, 3, 0}, of(p, loginAfter))

	// An exchange that began before a reload is counted where it is still seen.
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()}
	ctx := flowhook.NewContext(t.Context(), x)
	_, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.NoError(t, p.Reload(config(entry{loginAfter, "once"})))
	_, err = p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, []uint64{5}, of(p, loginAfter))

	require.NoError(t, p.Reload(first))
	require.Equal(t, []uint64{0, 5, 0}, of(p, loginAfter), "what was gone begins again")
}

func TestCountsAtOnce(t *testing.T) {
	b := newBench(t)
	cfg := &flowhook.Config{}
	cfg.Add(loginAfter, "hook", flowhook.HookFunc(nothing))
	b.opts.Count, b.opts.Store = true, nil
	p, err := flowhook.New(cfg, b.opts)
	require.NoError(t, err)
	together(16, func(int) {
		for range 10 {
			x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest()}
			if _, err := p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.After, flowhook.Password); err != nil {
				t.Error(err)
			}
			for range p.Points() {
			}
			if err := p.Reload(cfg); err != nil {
				t.Error(err)
			}
		}
	})
	require.Equal(t, uint64(160), counted(t, p)["hook"].Runs)
}
