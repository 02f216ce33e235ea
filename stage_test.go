package flowhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// stand is a host whose one hook does something to its writer, at one phase, on a real server.
type stand struct {
	addr string
	page string // the bytes of the handler's error page
	done string // the bytes where all is well
	errs chan error
}

// standings are the ways in which a hook comes to its writer.
var standings = map[string]func(p *flowhook.Pipeline, r *http.Request) (bool, error){
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

func newStand(t *testing.T, phase string, do flowtest.Act) *stand {
	s := &stand{errs: make(chan error, 1)}
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
		handled, err := standings[phase](p, r)
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

// get gives all bytes of the answer, with one date.
func (s *stand) get(t *testing.T, path string) string {
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

// mib is as much as a hook may answer with.
const mib = 1 << 20

func TestAnAnswerThatCannotBeGivenIsContainedAndNamed(t *testing.T) {
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
		{"a body and then a status", func(_ context.Context, x *flowhook.Exchange) error {
			io.WriteString(x.Writer, "body")
			x.Writer.WriteHeader(http.StatusOK)
			return nil
		}, "answered twice"},
		{"a body of one byte over 1 MiB", write(http.StatusOK, strings.Repeat("x", mib+1)), "1048576"},
		{"a body of 1 MiB, and one byte", func(_ context.Context, x *flowhook.Exchange) error {
			if _, err := x.Writer.Write(make([]byte, mib)); err != nil {
				return err
			}
			if _, err := x.Writer.Write([]byte("x")); err == nil {
				return errors.New("it was taken")
			}
			return nil
		}, "1048576"},
		{"a body that never ends, copied", func(_ context.Context, x *flowhook.Exchange) error {
			_, err := io.Copy(x.Writer, endless{})
			return err
		}, "1048576"},
	} {
		for phase := range standings {
			t.Run(row.name+" at "+phase, func(t *testing.T) {
				s := newStand(t, phase, row.do)
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
	t.Logf("the stage: %d answers that cannot be given: contained, named, not a byte on the wire", attempts)
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, bytes.Repeat([]byte("x"), len(b))), nil }

func TestABodyOfOneMiBArrives(t *testing.T) {
	body := strings.Repeat("~", mib)
	for phase := range standings {
		t.Run(phase, func(t *testing.T) {
			s := newStand(t, phase, func(_ context.Context, x *flowhook.Exchange) error {
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

func TestNothingReachesTheConnectionThroughTheStage(t *testing.T) {
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
		"a Flusher":      flatly(func(w http.ResponseWriter) bool { _, ok := w.(http.Flusher); return ok }),
		"a FlushError":   flatly(func(w http.ResponseWriter) bool { _, ok := w.(interface{ FlushError() error }); return ok }),
		"a Hijacker":     flatly(func(w http.ResponseWriter) bool { _, ok := w.(http.Hijacker); return ok }),
		"a Pusher":       flatly(func(w http.ResponseWriter) bool { _, ok := w.(http.Pusher); return ok }),
		"a ReaderFrom":   flatly(func(w http.ResponseWriter) bool { _, ok := w.(io.ReaderFrom); return ok }),
		"a StringWriter": flatly(func(w http.ResponseWriter) bool { _, ok := w.(io.StringWriter); return ok }),
		"a CloseNotifier": flatly(func(w http.ResponseWriter) bool {
			_, ok := w.(interface{ CloseNotify() <-chan bool })
			return ok
		}),
		"an Unwrap": flatly(func(w http.ResponseWriter) bool {
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
		for phase := range standings {
			t.Run(name+" at "+phase, func(t *testing.T) {
				var got error
				s := newStand(t, phase, func(_ context.Context, x *flowhook.Exchange) error {
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
	t.Logf("the stage: %d ways to the connection refused, not a byte on the wire", attempts)
}

func TestNoPushThroughTheStageOnHTTP2(t *testing.T) {
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
