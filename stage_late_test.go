package flowhook_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// latecomer is a hook that leaves a goroutine behind, which writes when it is told to.
type latecomer struct {
	now  chan bool
	errs chan error // of its Writes
}

func (l *latecomer) Run(_ context.Context, x *flowhook.Exchange) error {
	w := x.Writer
	early := w.Header()
	early.Set("X-Staged", "in time")
	go func() {
		for range l.now {
			early.Set("Set-Cookie", "late=1")
			w.Header().Set("Set-Cookie", "late=2")
			w.WriteHeader(http.StatusTeapot)
			_, err := w.Write([]byte("too late"))
			_, again := io.WriteString(w, "too late")
			if err == nil {
				err = again
			}
			l.errs <- err
		}
	}()
	return nil
}

// writes has the goroutine write, and gives what came of it.
func (l *latecomer) writes() error {
	l.now <- true
	return <-l.errs
}

// TestAWriteAfterTheChainHasEnded has a goroutine that a hook has left behind write at every later moment of a request.
func TestAWriteAfterTheChainHasEnded(t *testing.T) {
	login := func(p *flowhook.Pipeline, ctx context.Context, save func(context.Context) error) error {
		_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, save)
		return err
	}
	for _, row := range []struct {
		name  string
		serve func(p *flowhook.Pipeline, l *latecomer, r *http.Request) (late, err error)
		after func(l *latecomer, late *error) flowtest.Act // what the hook at After does
		fails bool
	}{
		{name: "when the run has ended", serve: func(p *flowhook.Pipeline, l *latecomer, r *http.Request) (late, err error) {
			return l.writes(), nil
		}},
		{name: "in a later run, in save", serve: func(p *flowhook.Pipeline, l *latecomer, r *http.Request) (late, err error) {
			err = login(p, r.Context(), func(context.Context) error { late = l.writes(); return nil })
			return late, err
		}},
		{name: "in a later run, in its hook", serve: func(p *flowhook.Pipeline, _ *latecomer, r *http.Request) (late, err error) {
			return nil, login(p, r.Context(), nil)
		}, after: func(l *latecomer, late *error) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.Header().Set("X-After", "staged")
				*late = l.writes()
				return nil
			}
		}},
		{name: "in a later run, after its commit", serve: func(p *flowhook.Pipeline, _ *latecomer, r *http.Request) (late, err error) {
			return nil, login(p, r.Context(), nil)
		}, after: func(l *latecomer, late *error) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.AfterCommit(func(context.Context) error { *late = l.writes(); return nil })
				return nil
			}
		}},
		{name: "when a later run has failed", fails: true, serve: func(p *flowhook.Pipeline, l *latecomer, r *http.Request) (late, err error) {
			err = login(p, r.Context(), nil)
			return l.writes(), err
		}, after: func(*latecomer, *error) flowtest.Act { return flowtest.Refuse }},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := &latecomer{now: make(chan bool), errs: make(chan error)}
			defer close(l.now)
			var late error
			var cfg flowhook.Config
			cfg.Add(flowtest.LoginBefore, "latecomer", l)
			if row.after != nil {
				cfg.Add(flowtest.LoginAfter, "after", flowhook.HookFunc(row.after(l, &late)))
			}
			p, err := flowhook.New(&cfg, flowhook.Options{Store: &flowtest.TransactionLog{}})
			require.NoError(t, err)
			serve := p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen, err := row.serve(p, l, r)
				if seen != nil {
					late = seen
				}
				if err != nil {
					http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
					return
				}
				io.WriteString(w, "done")
			}))
			srv := httptest.NewServer(serve)
			defer srv.Close()
			raw := flowtest.RawRequest(t, srv.Listener.Addr().String(), "/", "")
			require.ErrorContains(t, late, "write after the chain has ended")
			require.NotContains(t, raw, "late")
			require.Contains(t, raw, "\r\nX-Staged: in time\r\n")
			if row.fails {
				require.Contains(t, raw, "HTTP/1.1 500 Internal Server Error\r\n")
				require.Contains(t, raw, flowtest.ErrorPage)
			} else {
				require.Contains(t, raw, "HTTP/1.1 200 OK\r\n")
				require.Contains(t, raw, "\r\n\r\ndone")
			}
		})
	}
}

// TestALateWriterRacesWithNothing is for the race detector: a goroutine that is left behind writes all the time, while
// later runs of the same exchange begin, write and end.
func TestALateWriterRacesWithNothing(t *testing.T) {
	b := flowtest.NewRunTest(t)
	ended := make(chan bool) // the first run
	var stop atomic.Bool
	var left sync.WaitGroup
	b.Add(flowtest.LoginBefore, "leaves one behind", func(_ context.Context, x *flowhook.Exchange) error {
		w := x.Writer
		left.Go(func() {
			<-ended
			for !stop.Load() {
				w.Header().Set("Set-Cookie", "stray=1")
				w.WriteHeader(http.StatusTeapot)
				w.Write([]byte("stray"))
			}
		})
		return nil
	})
	refusals := 50
	b.Add(flowtest.LoginAfter, "after", func(ctx context.Context, x *flowhook.Exchange) error {
		if refusals--; refusals >= 0 {
			flowtest.Meddle(ctx, x)
			return flowtest.ErrRefused
		}
		return flowtest.AnswerWith(http.StatusSeeOther, "answer")(ctx, x)
	})
	p := b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	close(ended)
	for range refusals {
		_, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		b.RequireUntouched()
	}
	handled, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	stop.Store(true)
	left.Wait()
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, http.Header{"X-Host": {"kept"}, "X-Hook": {"was here"}}, b.Recorder.Header())
	require.Equal(t, http.StatusSeeOther, b.Recorder.Code)
	require.Equal(t, "answer", b.Recorder.Body.String())
}
