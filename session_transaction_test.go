package flowhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

const outsideTheTransaction = "the context is not the transaction's"

type read = func(ctx context.Context, p *flowhook.Pipeline, x *flowhook.Exchange) (*flowhook.Session, error)

// readers are the two ways to read a session, of a request whose cookie is the token.
var readers = map[string]read{
	"FromRequest": func(ctx context.Context, p *flowhook.Pipeline, x *flowhook.Exchange) (*flowhook.Session, error) {
		return p.Sessions().FromRequest(x.Request.WithContext(ctx))
	},
	"FromToken": func(ctx context.Context, p *flowhook.Pipeline, x *flowhook.Exchange) (*flowhook.Session, error) {
		_, token, _ := strings.Cut(x.Request.Header.Get("Cookie"), "=")
		return p.Sessions().FromToken(ctx, token)
	},
}

// In save and in hooks at after, a session is read with the transaction's context. A read with the
// request's context would wait for the connection that the transaction holds, until that context ends.
func TestSessions_ReadInATransaction(t *testing.T) {
	for name, read := range readers {
		for _, row := range []struct {
			where string
			point flowhook.Point
			in    bool // in the transaction
		}{
			{"before", flowtest.At(flowhook.Settings, flowhook.Before, flowhook.FlowWide), false},
			{"before_persist", flowtest.At(flowhook.Settings, flowhook.BeforePersist, flowhook.FlowWide), false},
			{"save", flowhook.Point{}, true},
			{"after", flowtest.At(flowhook.Settings, flowhook.After, flowhook.FlowWide), true},
			{"failed", flowtest.At(flowhook.Settings, flowhook.Failed, flowhook.FlowWide), false},
			{"AfterCommit", flowhook.Point{}, false},
		} {
			t.Run(name+"/"+row.where, func(t *testing.T) {
				d := flowtest.NewSessionTest(t, "")
				cookie, s := d.SignIn("alice")
				var x *flowhook.Exchange
				var requests context.Context
				visited := false
				look := func(ctx context.Context) error {
					visited = true
					found, err := read(ctx, d.Pipeline, x)
					require.NoError(t, err, "with the context of the hook")
					require.Equal(t, s, *found)
					child, cancel := context.WithCancel(ctx)
					defer cancel()
					_, err = read(child, d.Pipeline, x)
					require.NoError(t, err, "with one derived from it")

					found, err = read(requests, d.Pipeline, x)
					if row.in {
						require.ErrorContains(t, err, outsideTheTransaction)
						require.NotErrorIs(t, err, flowhook.ErrNoSession)
						require.Nil(t, found)
						return nil
					}
					require.NoError(t, err, "with the context of the request")
					require.Equal(t, s, *found)
					return nil
				}
				var cfg flowhook.Config
				if row.point != (flowhook.Point{}) {
					hook := func(ctx context.Context, _ *flowhook.Exchange) error { return look(ctx) }
					cfg.Add(row.point, "look", flowhook.HookFunc(hook))
				}
				opts := d.Options
				opts.Secrets = []string{flowtest.Secret}
				p, err := flowhook.New(&cfg, opts)
				require.NoError(t, err)
				d.Pipeline = p
				mux := p.Middleware(flowhook.Settings)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, err := p.Complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
						switch row.where {
						case "save":
							return look(ctx)
						case "AfterCommit":
							x.AfterCommit(look)
						case "failed":
							return flowtest.ErrRefused
						}
						return nil
					})
					require.Equal(t, row.where == "failed", errors.Is(err, flowtest.ErrRefused), "%v", err)
					found, err := read(r.Context(), p, x)
					require.NoError(t, err, "after the run")
					require.Equal(t, s, *found)
				}))
				soon, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a read that waits would wait for this
				defer cancel()
				v := flowtest.NewVisitor("alice", cookie)
				x, requests = v.Exchange, flowhook.NewContext(soon, v.Exchange)
				x.Request = x.Request.WithContext(requests)
				mux.ServeHTTP(v.Recorder, x.Request)
				require.True(t, visited)
			})
		}
	}

	t.Run("Run", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookie, _ := d.SignIn("alice")
		b := flowtest.NewRunTest(t)
		b.Options.Store, b.Options.Now, b.Options.Secrets = d.Store, d.Clock.Now, []string{flowtest.Secret}
		b.Exchange.Request.Header.Set("Cookie", cookie)
		b.Exchange.Request = b.Exchange.Request.WithContext(b.Context)
		var p *flowhook.Pipeline
		b.Add(flowtest.LoginAfter, "look", func(context.Context, *flowhook.Exchange) error {
			_, err := p.Sessions().FromRequest(b.Exchange.Request)
			return err
		})
		p = b.Pipeline()
		for range 2 {
			_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
			require.ErrorContains(t, err, outsideTheTransaction)
			_, err = p.Sessions().FromRequest(b.Exchange.Request)
			require.NoError(t, err, "the run is over")
		}
	})

	t.Run("another exchange's transaction", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookie, _ := d.SignIn("alice")
		require.NoError(t, d.CompleteLogin(flowtest.NewVisitor("bob"), func(ctx context.Context) error {
			v := flowtest.NewVisitor("", cookie)
			_, err := d.FromRequest(v.Request.WithContext(flowhook.NewContext(ctx, v.Exchange)))
			return err
		}), "a read in it is part of it")
	})
}

// The handler's own goroutines may read the session while the exchange is in a run: the read succeeds or is refused.
func TestSessions_ReadOnAnotherGoroutine(t *testing.T) {
	h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice))
	sessions := h.Pipeline.Sessions()
	settings := h.Pipeline.Middleware(flowhook.Settings)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, _ := flowhook.FromContext(r.Context())
		x.Identity = flowtest.Alice.Identity()
		var wg sync.WaitGroup
		done := make(chan struct{})
		for range 2 {
			wg.Go(func() {
				for {
					if s, err := sessions.FromRequest(r); err == nil && s.IdentityID != "alice" ||
						err != nil && !strings.Contains(err.Error(), outsideTheTransaction) {
						t.Errorf("%v, %v", s, err)
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for range testkit.Times(t, 500) {
			if _, err := h.Pipeline.Complete(r.Context(), flowhook.Settings, flowhook.Profile, nil); err != nil {
				t.Error(err)
			}
		}
		close(done)
		wg.Wait()
		io.WriteString(w, "done")
	}))
	b := h.Browser()
	b.PostPath("/login/password", "user", "alice")
	r := flowtest.NewRequest()
	r.AddCookie(&http.Cookie{Name: flowtest.CookieName, Value: b.Cookies()[flowtest.CookieName]})
	v := flowtest.NewVisitor("")
	settings.ServeHTTP(v.Recorder, r)
	require.Equal(t, "done", v.Recorder.Body.String())
}
