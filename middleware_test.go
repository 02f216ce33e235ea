package flowhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// handlerWrites are the ways in which a handler writes to its own ResponseWriter.
var handlerWrites = map[string]func(w http.ResponseWriter, r *http.Request) error{
	"redirect": func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/welcome", http.StatusSeeOther)
		return nil
	},
	"write_header": func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(http.StatusAccepted); return nil },
	"write": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write([]byte("welcome"))
		return err
	},
	"write_string": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "welcome")
		return err
	},
	"copy": func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.Copy(w, strings.NewReader("welcome"))
		return err
	},
	"early_hints": func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(http.StatusEarlyHints); return nil },
	"flush":       func(w http.ResponseWriter, _ *http.Request) error { w.(http.Flusher).Flush(); return nil },
	"controller_flush": func(w http.ResponseWriter, _ *http.Request) error {
		return http.NewResponseController(w).Flush()
	},
	"hijack": func(w http.ResponseWriter, _ *http.Request) error {
		_, _, err := w.(http.Hijacker).Hijack()
		return err
	},
	"controller_hijack": func(w http.ResponseWriter, _ *http.Request) error {
		_, _, err := http.NewResponseController(w).Hijack()
		return err
	},
}

// wrapper is a middleware's ResponseWriter, such as one that logs statuses.
type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// loginOver serves a login under Middleware on a real server and returns all bytes that a client
// reads, except the date. The handler responds with "done" or ErrorPage.
func loginOver(t *testing.T, p *flowhook.Pipeline, login func(w http.ResponseWriter, r *http.Request) error) string {
	t.Helper()
	srv := httptest.NewServer(p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		switch err := login(w, r); {
		case err == nil:
			io.WriteString(w, "done")
		case !errors.Is(err, errHandled):
			http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
		}
	})))
	defer srv.Close()
	var answer strings.Builder
	for line := range strings.Lines(flowtest.RawRequest(t, srv.Listener.Addr().String(), "/", "")) {
		if !strings.HasPrefix(line, "Date: ") {
			answer.WriteString(line)
		}
	}
	return answer.String()
}

var errHandled = errors.New("a hook has answered")

func TestMiddleware_HandlerWritesDuringRun(t *testing.T) {
	for name, write := range handlerWrites {
		for _, row := range []struct {
			name string
			run  func(ctx context.Context, p *flowhook.Pipeline, write func() error) error
		}{
			{"save", func(ctx context.Context, p *flowhook.Pipeline, write func() error) error {
				_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error {
					_ = write()
					return nil
				})
				return err
			}},
			{"hook", func(ctx context.Context, p *flowhook.Pipeline, write func() error) error {
				ctx = context.WithValue(ctx, writeKey{}, write)
				_, err := p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
				return err
			}},
		} {
			for _, wrapped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/wrapped_%t", name, row.name, wrapped), func(t *testing.T) {
					b := flowtest.NewRunTest(t)
					b.Add(flowtest.LoginAfter, "hook", func(ctx context.Context, _ *flowhook.Exchange) error {
						if write, ok := ctx.Value(writeKey{}).(func() error); ok {
							_ = write()
						}
						return nil
					})
					p := b.Pipeline()
					page := loginOver(t, p, func(http.ResponseWriter, *http.Request) error {
						return flowtest.ErrRefused
					})
					var failed, refused error
					raw := loginOver(t, p, func(w http.ResponseWriter, r *http.Request) error {
						if wrapped {
							w = wrapper{w}
							flowhook.MustFromContext(r.Context()).Writer = w
							if name == "flush" || name == "hijack" {
								return flowtest.ErrRefused // a wrapper has no such method
							}
						}
						failed = row.run(r.Context(), p, func() error { refused = write(w, r); return nil })
						return failed
					})
					require.Equal(t, page, raw, "want only the error page")
					if wrapped && (name == "flush" || name == "hijack") {
						return
					}
					require.Equal(t, "rollback", b.Store.Entries[len(b.Store.Entries)-1])
					if row.name == "save" {
						require.ErrorContains(t, failed, "flowhook: save: it has answered")
					} else {
						require.ErrorContains(t, failed, "hook hook")
						require.ErrorContains(t, failed, "the handler's ResponseWriter was written to")
					}
					switch name {
					case "redirect", "write_header", "early_hints", "flush":
						require.NoError(t, refused, "the method returns no error")
					default:
						require.ErrorContains(t, refused, "flowhook: write while hooks run")
					}
				})
			}
		}
	}
}

type writeKey struct{}

func TestMiddleware_HandlerWritesOutsideRun(t *testing.T) {
	for name, write := range handlerWrites {
		if strings.Contains(name, "hijack") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.After} {
				b := flowtest.NewRunTest(t)
				b.Add(flowtest.LoginBefore, "before")
				if phase == flowhook.After {
					b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
				}
				raw := loginOver(t, b.Pipeline(), func(w http.ResponseWriter, r *http.Request) error {
					if phase == flowhook.After {
						_, err := b.Built.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
						require.ErrorIs(t, err, flowtest.ErrRefused)
					}
					require.NoError(t, write(w, r))
					return nil
				})
				direct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					write(w, r)
					io.WriteString(w, "done")
				}))
				var want strings.Builder
				for line := range strings.Lines(flowtest.RawRequest(t, direct.Listener.Addr().String(), "/", "")) {
					if !strings.HasPrefix(line, "Date: ") {
						want.WriteString(line)
					}
				}
				direct.Close()
				require.Equal(t, want.String(), raw, "the response must be the same without Middleware")
			}
		})
	}

	t.Run("hijack", func(t *testing.T) {
		p, err := flowhook.New(nil, flowhook.Options{})
		require.NoError(t, err)
		raw := loginOver(t, p, func(w http.ResponseWriter, _ *http.Request) error {
			conn, _, err := http.NewResponseController(w).Hijack()
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "raw")
			require.NoError(t, err)
			return errHandled
		})
		require.Equal(t, "raw", raw)
	})

	t.Run("deadlines are set through Unwrap", func(t *testing.T) {
		p, err := flowhook.New(nil, flowhook.Options{})
		require.NoError(t, err)
		loginOver(t, p, func(w http.ResponseWriter, _ *http.Request) error {
			return http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
		})
	})

	t.Run("writer without Flush or Hijack returns ErrNotSupported", func(t *testing.T) {
		p := flowtest.NewSessionTest(t, sessionHookYAML).Pipeline
		p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrNotSupported)
			_, _, err := http.NewResponseController(w).Hijack()
			require.ErrorIs(t, err, http.ErrNotSupported)
			require.NoError(t, p.Sessions().End(r.Context(), flowhook.MustFromContext(r.Context())),
				"the response has begun")
		})).ServeHTTP(flowtest.DiscardWriter{}, flowtest.NewRequest())
	})
}

func TestMiddleware_AnswerPassesGuard(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "hook", flowtest.AnswerWith(http.StatusFound, "moved"))
	raw := loginOver(t, b.Pipeline(), func(w http.ResponseWriter, r *http.Request) error {
		outer := wrapper{w}
		flowhook.MustFromContext(r.Context()).Writer = outer
		handled, err := b.Built.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		require.True(t, handled)
		return errHandled
	})
	require.Contains(t, raw, "HTTP/1.1 302 Found\r\n")
	require.Contains(t, raw, "\r\n\r\nmoved")
}

// A write after the commit is dropped and logged, because nothing can fail any more.
func TestMiddleware_HandlerWritesAfterCommit(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		x.AfterCommit(func(ctx context.Context) error {
			_, err := ctx.Value(writeKey{}).(http.ResponseWriter).Write([]byte("late"))
			require.Error(t, err)
			return nil
		})
		return nil
	})
	raw := loginOver(t, b.Pipeline(), func(w http.ResponseWriter, r *http.Request) error {
		_, err := b.Built.Complete(context.WithValue(r.Context(), writeKey{}, w), flowhook.Login, flowhook.Password,
			nil)
		return err
	})
	require.NotContains(t, raw, "late")
	require.Contains(t, raw, "\r\n\r\ndone")
	require.Contains(t, b.Log.String(), "a write after the chain has ended was dropped")
}

func TestMiddleware_ResponseHasBegun(t *testing.T) {
	begin := map[string]func(w http.ResponseWriter) error{
		"write_header": func(w http.ResponseWriter) error { w.WriteHeader(http.StatusOK); return nil },
		"write":        func(w http.ResponseWriter) error { _, err := io.WriteString(w, "begun "); return err },
		"flush":        func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"switching": func(w http.ResponseWriter) error {
			w.WriteHeader(http.StatusSwitchingProtocols)
			return nil
		},
		"hijack": func(w http.ResponseWriter) error {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
			return err
		},
	}
	header := func(_ context.Context, x *flowhook.Exchange) error { x.Writer.Header().Set("X-Hook", "1"); return nil }
	look := func(_ context.Context, x *flowhook.Exchange) error { x.Writer.Header().Get("X-Hook"); return nil }
	for name, begin := range begin {
		for _, row := range []struct {
			name string
			act  flowtest.Act
			want string
		}{
			{"answer fails", flowtest.AnswerWith(http.StatusFound, ""), "the response has already begun"},
			{"header fails", header, "the response has already begun"},
			{"hook without a response runs", look, ""},
		} {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				b := flowtest.NewRunTest(t)
				b.Add(flowtest.LoginAfter, "hook", row.act)
				p := b.Pipeline()
				loginOver(t, p, func(w http.ResponseWriter, r *http.Request) error {
					require.NoError(t, begin(w))
					saved := false
					handled, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password,
						func(context.Context) error { saved = true; return nil })
					require.False(t, handled)
					require.True(t, saved)
					if row.want == "" {
						require.NoError(t, err)
					} else {
						require.ErrorContains(t, err, row.want)
						require.Equal(t, "rollback", b.Store.Entries[len(b.Store.Entries)-1])
					}
					return errHandled
				})
			})
		}
		t.Run(name+"/no_session_is_issued_or_ended", func(t *testing.T) {
			store := flowtest.NewRecordingStore()
			cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: [{hook: session}]}}" +
				flowtest.SecretYAML))
			require.NoError(t, err)
			p, err := flowhook.New(cfg, flowhook.Options{Store: store, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			loginOver(t, p, func(w http.ResponseWriter, r *http.Request) error {
				x := flowhook.MustFromContext(r.Context())
				x.Identity = &flowhook.Identity{ID: "alice"}
				require.NoError(t, begin(w))
				_, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
				require.ErrorIs(t, err, flowhook.ErrAnswered)
				require.ErrorContains(t, err, "hook session")
				require.ErrorIs(t, p.Sessions().Issue(r.Context(), x), flowhook.ErrAnswered)
				require.ErrorIs(t, p.Sessions().End(r.Context(), x), flowhook.ErrAnswered)
				require.Empty(t, store.Take(), "nothing was stored")
				return errHandled
			})
		})
	}

	t.Run("early hints do not begin the response", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, sessionHookYAML)
		raw := loginOver(t, d.Pipeline, func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			flowhook.MustFromContext(r.Context()).Identity = &flowhook.Identity{ID: "alice"}
			_, err := d.Pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
			return err
		})
		require.Contains(t, raw, "HTTP/1.1 103 Early Hints\r\n")
		require.Contains(t, raw, "HTTP/1.1 200 OK\r\n")
		require.Contains(t, raw, "Set-Cookie: __Host-session=")
	})
}

// A new run forgets the rejected writes of the run before it.
func TestMiddleware_RunsAfterRejectedWrite(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginFailed, "failed")
	b.Add(flowtest.At(flowhook.Settings, flowhook.Failed, flowhook.Password), "refuses",
		func(ctx context.Context, _ *flowhook.Exchange) error {
			ctx.Value(writeKey{}).(http.ResponseWriter).Header().Del("X-Save")
			return flowtest.ErrRefused
		})
	raw := loginOver(t, b.Pipeline(), func(w http.ResponseWriter, r *http.Request) error {
		login := func(save func(context.Context) error) error {
			_, err := b.Built.Complete(r.Context(), flowhook.Login, flowhook.Password, save)
			return err
		}
		require.Error(t, login(func(context.Context) error {
			w.Header().Set("X-Undone", "1")
			w.WriteHeader(http.StatusTeapot)
			return nil
		}))
		require.Equal(t, []string{"failed"}, b.Ran, "the hooks at failed must run")
		require.NoError(t, login(func(context.Context) error { w.Header().Set("X-Save", "1"); return nil }))
		w.Header().Set("X-Handler", "1")
		ctx := context.WithValue(r.Context(), writeKey{}, w)
		_, err := b.Built.Run(ctx, flowhook.Settings, flowhook.Failed, flowhook.Password)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		_, err = b.Built.Run(r.Context(), flowhook.Login, flowhook.Failed, flowhook.Password)
		return err
	})
	require.NotContains(t, raw, "X-Undone")
	require.Contains(t, raw, "\r\nX-Save: 1\r\n")
	require.Contains(t, raw, "\r\nX-Handler: 1\r\n")
	require.Contains(t, raw, "\r\n\r\ndone")
}

// A handler that runs another flow's handler inside a hook is rejected, and can report that.
func TestMiddleware_InsideRun(t *testing.T) {
	b := flowtest.NewRunTest(t)
	inner := httptest.NewRecorder()
	var p *flowhook.Pipeline
	b.Add(flowtest.LoginAfter, "hook", func(ctx context.Context, x *flowhook.Exchange) error {
		p.Middleware(flowhook.Settings)(http.NotFoundHandler()).ServeHTTP(inner, x.Request)
		return nil
	})
	p = b.Pipeline()
	b.Exchange.Request = b.Exchange.Request.WithContext(b.Context)
	_, err := b.Complete(nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, inner.Code, "OnError must respond")
	require.Contains(t, b.Log.String(), "run inside a run")
}

// A header map that the handler fetched before the run is restored, too.
func TestMiddleware_HeaderFetchedBeforeRun(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "hook", func(ctx context.Context, _ *flowhook.Exchange) error {
		ctx.Value(writeKey{}).(http.Header).Set("X-Leak", "1")
		return flowtest.ErrRefused
	})
	raw := loginOver(t, b.Pipeline(), func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("X-Handler", "1")
		ctx := context.WithValue(r.Context(), writeKey{}, w.Header())
		_, err := b.Built.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		return nil
	})
	require.NotContains(t, raw, "X-Leak")
	require.Contains(t, raw, "\r\nX-Handler: 1\r\n")
}

// A strayHeader writes to the handler's ResponseWriter whenever its Header method is called.
type strayHeader struct {
	http.ResponseWriter
	now *bool
}

func (w strayHeader) Header() http.Header {
	if *w.now {
		io.WriteString(w.ResponseWriter, "stray")
	}
	return w.ResponseWriter.Header()
}

// The guard stays closed until Complete returns, including the run of the hooks at failed.
func TestMiddleware_HandlerWritesBetweenRunsOfComplete(t *testing.T) {
	b := flowtest.NewRunTest(t)
	now := false
	b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error {
		now = true
		return flowtest.ErrRefused
	})
	b.Add(flowtest.LoginFailed, "failed", func(ctx context.Context, x *flowhook.Exchange) error {
		now = false
		return flowtest.AnswerWith(http.StatusFound, "moved")(ctx, x)
	})
	raw := loginOver(t, b.Pipeline(), func(w http.ResponseWriter, r *http.Request) error {
		flowhook.MustFromContext(r.Context()).Writer = strayHeader{w, &now}
		handled, err := b.Built.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		require.True(t, handled)
		return errHandled
	})
	require.NotContains(t, raw, "stray")
	require.Contains(t, raw, "HTTP/1.1 302 Found\r\n")
}

func TestMiddleware_InvalidStatusPanics(t *testing.T) {
	d := flowtest.NewSessionTest(t, sessionHookYAML)
	raw := loginOver(t, d.Pipeline, func(w http.ResponseWriter, r *http.Request) error {
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: "alice"}
		require.Panics(t, func() { w.WriteHeader(1000) })
		return d.Issue(r.Context(), x)
	})
	require.Contains(t, raw, "Set-Cookie: __Host-session=")
}

func TestMiddleware_NestedRestoresWriter(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	outer, inner := httptest.NewRecorder(), httptest.NewRecorder()
	unwrap := func(w http.ResponseWriter) http.ResponseWriter {
		return w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
	}
	p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, _ := flowhook.FromContext(r.Context())
		p.Middleware(flowhook.Registration)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, _ := flowhook.FromContext(r.Context())
			require.Same(t, x, got)
			require.Same(t, w, x.Writer)
			require.Same(t, inner, unwrap(w))
		})).ServeHTTP(inner, r)
		require.Same(t, w, x.Writer)
		require.Same(t, outer, unwrap(w))
		require.Same(t, r, x.Request)
		p.Middleware(flowhook.Registration)(http.HandlerFunc(func(again http.ResponseWriter, _ *http.Request) {
			require.Same(t, w, again, "the writer is guarded twice")
		})).ServeHTTP(w, r)
	})).ServeHTTP(outer, flowtest.NewRequest())
}

func TestMiddleware_BeforeHookFails(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginBefore, "before", flowtest.Refuse)
	reached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	b.Pipeline().Middleware(flowhook.Login)(reached).ServeHTTP(b.Recorder, flowtest.NewRequest())
	require.Equal(t, http.StatusInternalServerError, b.Recorder.Code)
	require.Contains(t, b.Log.String(), "refused")

	var got error
	b.Options.OnError = func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	rec := httptest.NewRecorder()
	b.Built = nil
	b.Pipeline().Middleware(flowhook.Login)(reached).ServeHTTP(rec, flowtest.NewRequest())
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.True(t, errors.Is(got, flowtest.ErrRefused))
}

// A hook that calls a wrapped handler with its own request runs inside its run.
func TestMiddleware_InsideRunIsNested(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var p *flowhook.Pipeline
	var got error
	b.Options.OnError = func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }
	b.Add(flowtest.At(flowhook.Settings, flowhook.Before, flowhook.FlowWide), "other", flowtest.Refuse)
	b.Add(flowtest.LoginAfter, "hook", func(ctx context.Context, x *flowhook.Exchange) error {
		staged := x.Writer
		p.Middleware(flowhook.Settings)(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(),
			flowtest.NewRequest().WithContext(ctx))
		require.Same(t, staged, x.Writer)
		return nil
	})
	p = b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.ErrorIs(t, got, flowhook.ErrNested)
}

// A context that a service logs must not show the user.
func TestMiddleware_ContextText(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	var text string
	handler := p.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{{Via: "email", Value: "a@example.org"}}}
		_, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		text = fmt.Sprintf("%v %+v", r.Context(), r.Context())
	}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "POST", "/", nil))
	require.NotContains(t, text, "alice")
	require.NotContains(t, text, "example.org")
	require.Contains(t, text, "WithExchange")
}
