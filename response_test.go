package flowhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A responseTest is a service on a real server with one hook that writes to its writer at one
// phase.
type responseTest struct {
	addr string
	page string // the bytes of the handler's error page
	done string // the bytes where all is well
	errs chan error
}

// runAtPhase are the ways in which the hook gets to run.
var runAtPhase = map[string]func(p *flowhook.Pipeline, r *http.Request) (bool, error){
	"before": func(p *flowhook.Pipeline, r *http.Request) (bool, error) {
		return p.Run(r.Context(), flowhook.Login, flowhook.Before, flowhook.FlowWide)
	},
	"before_persist": func(p *flowhook.Pipeline, r *http.Request) (bool, error) {
		return p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
	},
	"after": func(p *flowhook.Pipeline, r *http.Request) (bool, error) {
		return p.Run(r.Context(), flowhook.Login, flowhook.After, flowhook.Password)
	},
	"failed": func(p *flowhook.Pipeline, r *http.Request) (bool, error) {
		return p.Run(r.Context(), flowhook.Login, flowhook.Failed, flowhook.Password)
	},
}

func newResponseTest(t *testing.T, phase string, do flowtest.Act) *responseTest {
	s := &responseTest{errs: make(chan error, 1)}
	var cfg flowhook.Config
	strategy := flowhook.Password
	if phase == "before" {
		strategy = flowhook.FlowWide
	}
	cfg.Add(flowtest.At(flowhook.Login, flowhook.Phase(phase), strategy), "culprit", flowhook.HookFunc(do))
	p, err := flowhook.New(&cfg, flowhook.Options{Store: &flowtest.TransactionLog{}})
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", "kept")
		switch r.URL.Path {
		case "/page":
			http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
			return
		case "/done":
			io.WriteString(w, "done")
			return
		}
		r = r.WithContext(flowhook.NewContext(r.Context(), &flowhook.Exchange{Writer: w, Request: r}))
		handled, err := runAtPhase[phase](p, r)
		s.errs <- err
		switch {
		case handled:
		case err != nil:
			http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
		default:
			io.WriteString(w, "done")
		}
	}))
	t.Cleanup(srv.Close)
	s.addr = srv.Listener.Addr().String()
	s.page, s.done = s.get(t, "/page"), s.get(t, "/done")
	return s
}

// get returns the bytes of the response, with a fixed date.
func (s *responseTest) get(t *testing.T, path string) string {
	return flowtest.DateLine.ReplaceAllString(flowtest.RawRequest(t, s.addr, path, ""), "\r\nDate: now\r\n")
}

func write(status int, body string) flowtest.Act {
	return func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Set("Set-Cookie", "stray=1")
		x.Writer.WriteHeader(status)
		x.Writer.Write([]byte(body))
		return nil
	}
}

// mib is the largest body of a hook.
const mib = 1 << 20

func TestResponse_InvalidAnswerIsReported(t *testing.T) {
	attempts := 0
	for _, row := range []struct {
		name string
		do   flowtest.Act
		says string
	}{
		{"status 0", write(0, ""), "status 0"},
		{"status -1", write(-1, ""), "status -1"},
		{"status 99", write(99, "body"), "status 99"},
		{"status 100", write(http.StatusContinue, ""), "status 100"},
		{"status 101", write(http.StatusSwitchingProtocols, ""), "status 101"},
		{"status 103", write(http.StatusEarlyHints, ""), "status 103"},
		{"status 103 before an answer", func(ctx context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(http.StatusEarlyHints)
			return write(http.StatusSeeOther, "")(ctx, x)
		}, "status 103"},
		{"status 1000", write(1000, "body"), "status 1000"},
		{"two answers", func(ctx context.Context, x *flowhook.Exchange) error {
			write(http.StatusSeeOther, "")(ctx, x)
			return write(http.StatusOK, "second")(ctx, x)
		}, "answered twice"},
		{"status after the body", func(_ context.Context, x *flowhook.Exchange) error {
			io.WriteString(x.Writer, "body")
			x.Writer.WriteHeader(http.StatusOK)
			return nil
		}, "answered twice"},
		{"body of 1 MiB and one byte", write(http.StatusOK, strings.Repeat("x", mib+1)), "1048576"},
		{"body of 1 MiB, then one byte", func(_ context.Context, x *flowhook.Exchange) error {
			if _, err := x.Writer.Write(make([]byte, mib)); err != nil {
				return err
			}
			if _, err := x.Writer.Write([]byte("x")); err == nil {
				return errors.New("it was taken")
			}
			return nil
		}, "1048576"},
		{"endless body, copied", func(_ context.Context, x *flowhook.Exchange) error {
			_, err := io.Copy(x.Writer, endless{})
			return err
		}, "1048576"},
	} {
		for phase := range runAtPhase {
			t.Run(row.name+" at "+phase, func(t *testing.T) {
				s := newResponseTest(t, phase, row.do)
				require.Equal(t, s.page, s.get(t, "/"))
				err := <-s.errs
				var culprit *flowhook.HookError
				require.ErrorAs(t, err, &culprit)
				require.Equal(t, "culprit", culprit.Name)
				require.Equal(t, flowhook.Phase(phase), culprit.Point.Phase)
				require.ErrorContains(t, err, row.says)
			})
			attempts++
		}
	}
	t.Logf("response: %d invalid answers rejected; none reached the client", attempts)
}

// endless is a body without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("x"), len(b))), nil }

func TestResponse_LargeBody(t *testing.T) {
	body := strings.Repeat("~", mib)
	for phase := range runAtPhase {
		t.Run(phase, func(t *testing.T) {
			s := newResponseTest(t, phase, func(_ context.Context, x *flowhook.Exchange) error {
				_, err := io.Copy(x.Writer, strings.NewReader(body))
				return err
			})
			raw := flowtest.RawRequest(t, s.addr, "/", "")
			require.NoError(t, <-s.errs)
			require.True(t, strings.HasPrefix(raw, "HTTP/1.1 200 OK\r\n"))
			require.Equal(t, mib, strings.Count(raw, "~"))
		})
	}
}

func TestResponse_ConnectionIsUnreachable(t *testing.T) {
	flatly := func(is func(w http.ResponseWriter) bool) func(w http.ResponseWriter) error {
		return func(w http.ResponseWriter) error {
			if is(w) {
				return nil
			}
			return http.ErrNotSupported
		}
	}
	soon := time.Now().Add(time.Hour)
	attempts := 0
	for name, try := range map[string]func(w http.ResponseWriter) error{
		"Flusher": flatly(func(w http.ResponseWriter) bool { _, ok := w.(http.Flusher); return ok }),
		"FlushError": flatly(func(w http.ResponseWriter) bool {
			_, ok := w.(interface{ FlushError() error })
			return ok
		}),
		"Hijacker":     flatly(func(w http.ResponseWriter) bool { _, ok := w.(http.Hijacker); return ok }),
		"Pusher":       flatly(func(w http.ResponseWriter) bool { _, ok := w.(http.Pusher); return ok }),
		"ReaderFrom":   flatly(func(w http.ResponseWriter) bool { _, ok := w.(io.ReaderFrom); return ok }),
		"StringWriter": flatly(func(w http.ResponseWriter) bool { _, ok := w.(io.StringWriter); return ok }),
		"CloseNotifier": flatly(func(w http.ResponseWriter) bool {
			_, ok := w.(interface{ CloseNotify() <-chan bool })
			return ok
		}),
		"Unwrap": flatly(func(w http.ResponseWriter) bool {
			_, ok := w.(interface{ Unwrap() http.ResponseWriter })
			return ok
		}),
		"deadlines": flatly(func(w http.ResponseWriter) bool {
			_, ok := w.(interface{ SetWriteDeadline(time.Time) error })
			return ok
		}),
		"Flush of a controller": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"Hijack of a controller": func(w http.ResponseWriter) error {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			return err
		},
		"SetReadDeadline of a controller":  func(w http.ResponseWriter) error { return http.NewResponseController(w).SetReadDeadline(soon) },
		"SetWriteDeadline of a controller": func(w http.ResponseWriter) error { return http.NewResponseController(w).SetWriteDeadline(soon) },
		"EnableFullDuplex of a controller": func(w http.ResponseWriter) error { return http.NewResponseController(w).EnableFullDuplex() },
	} {
		for phase := range runAtPhase {
			t.Run(name+" at "+phase, func(t *testing.T) {
				var got error
				s := newResponseTest(t, phase, func(_ context.Context, x *flowhook.Exchange) error {
					got = try(x.Writer)
					return nil
				})
				require.Equal(t, s.done, s.get(t, "/"))
				require.NoError(t, <-s.errs)
				require.ErrorIs(t, got, http.ErrNotSupported)
				require.ErrorIs(t, got, errors.ErrUnsupported)
			})
			attempts++
		}
	}
	t.Logf("response: %d ways to the connection rejected; no byte reached the client", attempts)
}

func TestResponse_PushIsUnsupported(t *testing.T) {
	var cfg flowhook.Config
	pushes := true
	cfg.Add(flowtest.LoginBefore, "pushes", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		_, pushes = x.Writer.(http.Pusher)
		return http.NewResponseController(x.Writer).Flush()
	}))
	p, err := flowhook.New(&cfg, flowhook.Options{OnError: func(w http.ResponseWriter, _ *http.Request, err error) {
		require.ErrorIs(t, err, http.ErrNotSupported)
		_, real := w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Pusher)
		require.True(t, real)
		http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
	}})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(p.Middleware(flowhook.Login)(http.NotFoundHandler()))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	res, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	require.False(t, pushes)
}

// A lateWriter is a hook that starts a goroutine, which writes on demand.
type lateWriter struct {
	now  chan bool
	errs chan error // of its Writes
}

func (l *lateWriter) Run(_ context.Context, x *flowhook.Exchange) error {
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

// writes makes the goroutine write and returns the results.
func (l *lateWriter) writes() error {
	l.now <- true
	return <-l.errs
}

// TestResponse_WriteAfterRun lets a hook's goroutine write at every later moment of a request.
func TestResponse_WriteAfterRun(t *testing.T) {
	login := func(p *flowhook.Pipeline, ctx context.Context, save func(context.Context) error) error {
		_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, save)
		return err
	}
	for _, row := range []struct {
		name  string
		serve func(p *flowhook.Pipeline, l *lateWriter, r *http.Request) (late, err error)
		after func(l *lateWriter, late *error) flowtest.Act // what the hook at After does
		fails bool
	}{
		{name: "after the run", serve: func(p *flowhook.Pipeline, l *lateWriter, r *http.Request) (late, err error) {
			return l.writes(), nil
		}},
		{name: "in save of a later run", serve: func(p *flowhook.Pipeline, l *lateWriter, r *http.Request) (late,
			err error) {
			err = login(p, r.Context(), func(context.Context) error { late = l.writes(); return nil })
			return late, err
		}},
		{name: "in a hook of a later run", serve: func(p *flowhook.Pipeline, _ *lateWriter, r *http.Request) (late,
			err error) {
			return nil, login(p, r.Context(), nil)
		}, after: func(l *lateWriter, late *error) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.Header().Set("X-After", "staged")
				*late = l.writes()
				return nil
			}
		}},
		{name: "after the commit of a later run", serve: func(p *flowhook.Pipeline, _ *lateWriter,
			r *http.Request) (late, err error) {
			return nil, login(p, r.Context(), nil)
		}, after: func(l *lateWriter, late *error) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.AfterCommit(func(context.Context) error { *late = l.writes(); return nil })
				return nil
			}
		}},
		{name: "after a later run failed", fails: true,
			serve: func(p *flowhook.Pipeline, l *lateWriter, r *http.Request) (late, err error) {
				err = login(p, r.Context(), nil)
				return l.writes(), err
			}, after: func(*lateWriter, *error) flowtest.Act { return flowtest.Refuse }},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := &lateWriter{now: make(chan bool), errs: make(chan error)}
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

// TestResponse_LateWriterDoesNotRace is for the race detector: a hook's goroutine writes all the
// time while later runs of the same exchange begin, write and end.
func TestResponse_LateWriterDoesNotRace(t *testing.T) {
	b := flowtest.NewRunTest(t)
	ended := make(chan bool) // the first run
	var stop atomic.Bool
	var left sync.WaitGroup
	b.Add(flowtest.LoginBefore, "starts a goroutine", func(_ context.Context, x *flowhook.Exchange) error {
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

func TestResponse_StatusesWithoutBody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(status)
			_, err := x.Writer.Write([]byte("body"))
			require.ErrorIs(t, err, http.ErrBodyNotAllowed)
			return nil
		})
		handled, err := b.Run(flowhook.After)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, status, b.Recorder.Code)
		require.Empty(t, b.Recorder.Body.String())
	}
}

func TestResponse_HighestStatus(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginGate, "hook", flowtest.AnswerWith(999, "odd"))
	handled, err := b.Complete(nil)
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, 999, b.Recorder.Code)
}

func TestResponse_ReplacedWriterIsReported(t *testing.T) {
	for name, replace := range map[string]flowtest.Act{
		"writer":  func(_ context.Context, x *flowhook.Exchange) error { x.Writer = httptest.NewRecorder(); return nil },
		"request": func(_ context.Context, x *flowhook.Exchange) error { x.Request = flowtest.NewRequest(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginAfter, "hook", replace)
			handled, err := b.Run(flowhook.After)
			require.False(t, handled)
			require.ErrorContains(t, err, "replaced the exchange")
			b.RequireUntouched()

			b = flowtest.NewRunTest(t)
			handled, err = b.Complete(func(ctx context.Context) error { return replace(ctx, b.Exchange) })
			require.False(t, handled)
			require.ErrorContains(t, err, "flowhook: save: replaced")
			b.RequireUntouched()
		})
	}
}

// A closedWriter is a writer whose client is gone.
type closedWriter struct{ *httptest.ResponseRecorder }

func (closedWriter) Write([]byte) (int, error) { return 0, net.ErrClosed }

func TestResponse_UndeliveredAnswerIsLogged(t *testing.T) {
	for _, gone := range []bool{true, false} {
		b := flowtest.NewRunTest(t)
		if gone {
			b.Exchange.Writer = closedWriter{b.Recorder}
		}
		b.Add(flowtest.LoginAfter, "hook", flowtest.AnswerWith(http.StatusOK, "body"))
		handled, err := b.Run(flowhook.After)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, gone, strings.Contains(b.Log.String(), "the answer did not reach the client"))
	}
}

// A writer kept from the first run fails in every later run.
func TestResponse_WriterKeptFromEarlierRun(t *testing.T) {
	for _, later := range []int{1, 2, 4, 5, 8} {
		t.Run(fmt.Sprint(later), func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			runs := 0
			var kept http.ResponseWriter
			b.Add(flowtest.LoginFailed, "hook", func(_ context.Context, x *flowhook.Exchange) error {
				if runs++; runs == 1 {
					kept = x.Writer // untouched
				}
				if runs == 1+later {
					_, err := io.WriteString(kept, "stray")
					require.ErrorContains(t, err, "write after the chain has ended")
					kept.Header().Set("X-Stray", "1")
					kept.WriteHeader(http.StatusTeapot)
				}
				return nil
			})
			for range 1 + later {
				handled, err := b.Run(flowhook.Failed)
				require.NoError(t, err)
				require.False(t, handled)
			}
			require.Equal(t, 1+later, runs)
			b.RequireUntouched()
		})
	}
}

// A write to the writer of a failed run is an error, even if no later run has begun.
func TestResponse_WriterKeptFromFailedRun(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var kept http.ResponseWriter
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		kept = x.Writer
		return flowtest.ErrRefused
	})
	_, err := b.Run(flowhook.After)
	require.ErrorIs(t, err, flowtest.ErrRefused)
	_, err = io.WriteString(kept, "stray")
	require.ErrorContains(t, err, "write after the chain has ended")
}

func TestResponse_WrittenBytesAreCopied(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		text := []byte("answer")
		_, err := x.Writer.Write(text)
		copy(text, "######")
		return err
	})
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, "answer", b.Recorder.Body.String())
}

func TestResponse_FirstMisuseIsReported(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.WriteHeader(99)
		x.Writer.WriteHeader(1000)
		return nil
	})
	_, err := b.Run(flowhook.After)
	require.ErrorContains(t, err, "status 99;")
}

// The header map that a hook keeps is not the map that is sent.
func TestResponse_HeaderKeptByHook(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		header := x.Writer.Header()
		header.Set("X-Hook", "in time")
		header["X-Values"] = []string{"in time"}
		x.AfterCommit(func(context.Context) error {
			header.Set("X-Late", "1")
			header["X-Values"][0] = "late"
			header.Del("X-Hook")
			return nil
		})
		return nil
	})
	_, err := b.Run(flowhook.After)
	require.NoError(t, err)
	require.Equal(t, http.Header{"X-Host": {"kept"}, "X-Hook": {"in time"}, "X-Values": {"in time"}},
		b.Recorder.Header())
}

// A hook starts a goroutine that keeps the writer and first uses it during a later run.
func TestResponse_UnusedWriterKeptForLaterRuns(t *testing.T) {
	for _, where := range []string{"gate", "save", "after", "commit", "failed"} {
		t.Run(where, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			var kept http.ResponseWriter
			write := func(here string) flowtest.Act {
				return func(context.Context, *flowhook.Exchange) error {
					if here == where {
						kept.WriteHeader(http.StatusInternalServerError)
						kept.Header().Set("X-Stray", "1")
						_, err := kept.Write([]byte("stray"))
						require.Error(t, err)
					}
					return nil
				}
			}
			b.Add(flowtest.LoginBefore, "keeps", func(_ context.Context, x *flowhook.Exchange) error {
				kept = x.Writer
				return nil
			})
			b.Add(flowtest.LoginGate, "gate", write("gate"))
			b.Add(flowtest.LoginAfter, "after", write("after"), func(_ context.Context, x *flowhook.Exchange) error {
				if where == "commit" {
					kept = x.Writer // of this very run
				}
				if where == "failed" {
					return flowtest.ErrRefused
				}
				return nil
			})
			b.Add(flowtest.LoginFailed, "failed", write("failed"))
			b.Options.Store = transactionFunc(func(ctx context.Context, fn func(context.Context) error) error {
				if err := fn(ctx); err != nil {
					return err
				}
				return write("commit")(ctx, nil)
			})
			p := b.Pipeline()
			_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			require.NoError(t, err)
			saved := false
			handled, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
				saved = true
				return write("save")(ctx, nil)
			})
			require.False(t, handled)
			require.True(t, saved)
			require.Equal(t, where == "failed", err != nil, err)
			b.RequireUntouched()
		})
	}
}

func TestResponse_WriterOfEndedRunIsRejected(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginBefore, "keeps", func(_ context.Context, x *flowhook.Exchange) error {
		x.AfterCommit(func(context.Context) error { return nil })
		return nil
	})
	var kept http.ResponseWriter
	b.Add(flowtest.LoginBefore, "keeps too", func(_ context.Context, x *flowhook.Exchange) error {
		kept = x.Writer
		return nil
	})
	p := b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	b.Exchange.Writer = kept
	_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
}

// A brokenPipe is a writer that panics when the response is sent.
type brokenPipe struct{ http.ResponseWriter }

func (brokenPipe) WriteHeader(int) { panic("broken pipe") }

func TestResponse_AnswerPanicsOnDelivery(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Exchange.Writer = brokenPipe{b.Recorder}
	b.Add(flowtest.LoginAfter, "answers", flowtest.AnswerWith(302, ""))
	p := b.Pipeline()
	require.PanicsWithValue(t, "broken pipe", func() { p.Complete(b.Context, flowhook.Login, flowhook.Password, nil) })
	_, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrAnswered)
	require.Equal(t, []string{"answers"}, b.Ran)
}
