package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

func TestSessions_ExpireToTheMicrosecond(t *testing.T) {
	for _, lifespan := range []time.Duration{time.Second, 90 * time.Minute, 24 * time.Hour, 8760 * time.Hour} {
		d := flowtest.NewSessionTest(t, fmt.Sprintf("session: {lifespan: %s}\n", lifespan))
		token, err := d.Create(t.Context(), flowtest.NewVisitor("alice").Exchange)
		require.NoError(t, err)
		cookie := "__Host-session=" + token
		for _, row := range []struct {
			wait time.Duration
			who  string
		}{
			{0, "alice"},
			{lifespan - time.Microsecond, "alice"},
			{210 * time.Nanosecond, "alice"}, // the last nanosecond of the microsecond before: the clock is at 789 ns
			{time.Nanosecond, ""},
			{time.Hour, ""},
		} {
			d.Clock.Add(row.wait)
			require.Equal(t, row.who, d.IdentityOf(cookie), "%s, %s later", lifespan, row.wait)
			_, err := d.FromToken(t.Context(), token)
			require.Equal(t, row.who == "", errors.Is(err, flowhook.ErrNoSession))
		}
	}
}

func TestSessions_RevokedAtNextRequest(t *testing.T) {
	for name, revoke := range map[string]func(d *flowtest.SessionTest, s flowhook.Session) error{
		"by DeleteSession": func(d *flowtest.SessionTest, s flowhook.Session) error {
			return d.Store.DeleteSession(d.T.Context(), s.ID)
		},
		"by DeleteSessions": func(d *flowtest.SessionTest, s flowhook.Session) error {
			return d.Store.DeleteSessions(d.T.Context(), s.IdentityID, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			cookie, s := d.SignIn("alice")
			require.Equal(t, "alice", d.IdentityOf(cookie))
			require.NoError(t, revoke(d, s))
			require.Empty(t, d.IdentityOf(cookie))
		})
	}
}

// A substituteStore is a store that returns another session than the requested one.
type substituteStore struct {
	*flowtest.RecordingStore
	other flowhook.Session
}

func (o substituteStore) FindSession(context.Context, string) (flowhook.Session, error) {
	return o.other, nil
}

func TestSessions_StoreReturnsAnotherSession(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	cookie, _ := d.SignIn("alice")
	_, other := d.SignIn("bob")
	d.Options.Store = substituteStore{d.Store, other}
	d = flowtest.NewSessionTest(t, "", func(n *flowtest.SessionTest) { n.Options = d.Options })
	require.Empty(t, d.IdentityOf(cookie))
}

func TestSessions_ReadsAskStore(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	cookie, s := d.SignIn("alice")
	d.Store.Take()
	for range 3 {
		require.Equal(t, "alice", d.IdentityOf(cookie))
		require.Equal(t, []string{"FindSession " + s.ID}, d.Store.Take())
	}
}

// A failing store is an error. The request is not anonymous, and no cookie is sent.
func TestSessions_StoreFails(t *testing.T) {
	errTrouble := errors.New("trouble")
	steps := []func(*flowtest.SessionTest){flowtest.WithoutReplace}
	for _, row := range []struct {
		method string
		call   string
		change []func(*flowtest.SessionTest)
	}{
		{"ReplaceSession", "Issue", nil}, {"ReplaceSession", "Create", nil}, {"DeleteSession", "End", nil},
		{"Transaction", "Issue", steps}, {"Transaction", "Create", steps},
		{"CreateSession", "Issue", steps}, {"CreateSession", "Create", steps},
		{"DeleteSession", "Issue", steps}, {"DeleteSession", "Create", steps},
		{"FindSession", "FromRequest", nil}, {"FindSession", "FromToken", nil},
	} {
		t.Run(row.method+" at "+row.call, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "", row.change...)
			cookie, s := d.SignIn("alice")
			calls := map[string]func(v flowtest.Visitor) error{
				"Issue":  func(v flowtest.Visitor) error { return d.Issue(t.Context(), v.Exchange) },
				"Create": func(v flowtest.Visitor) error { _, err := d.Create(t.Context(), v.Exchange); return err },
				"End":    func(v flowtest.Visitor) error { return d.End(t.Context(), v.Exchange) },
				"FromRequest": func(v flowtest.Visitor) error {
					got, err := d.FromRequest(v.Request)
					require.Equal(t, err == nil, got != nil)
					return err
				},
				"FromToken": func(flowtest.Visitor) error {
					_, token, _ := strings.Cut(cookie, "=")
					got, err := d.FromToken(t.Context(), token)
					require.Equal(t, err == nil, got != nil)
					return err
				},
			}
			v := flowtest.NewVisitor("bob", cookie)
			v.Session = &s
			d.Store.Fail[row.method] = errTrouble
			err := calls[row.call](v)
			require.ErrorIs(t, err, errTrouble)
			require.NotErrorIs(t, err, flowhook.ErrNoSession)
			require.Empty(t, flowtest.SetCookies(v))
			require.Equal(t, &s, v.Session)

			delete(d.Store.Fail, row.method)
			require.Equal(t, "alice", d.IdentityOf(cookie), "something was changed")
			require.NoError(t, calls[row.call](v), "a second time")
		})
	}

	t.Run("ended context is an error", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookie, _ := d.SignIn("alice")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := d.FromRequest(flowtest.NewVisitor("", cookie).Request.WithContext(ctx))
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, flowhook.ErrNoSession)
		_, token, _ := strings.Cut(cookie, "=")
		_, err = d.FromToken(ctx, token)
		require.ErrorIs(t, err, context.Canceled)
	})

	t.Run("login over HTTP gets the error page without a cookie", func(t *testing.T) {
		for _, method := range []string{"Transaction", "CreateSession"} {
			store := flowtest.NewRecordingStore()
			h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice),
				func(_ *flowtest.Service, o *flowhook.Options) { o.Store = store })
			b := h.Browser()
			store.Fail[method] = errTrouble
			res := b.PostPath("/login/password", "user", "alice")
			require.Equal(t, http.StatusInternalServerError, res.StatusCode)
			require.Empty(t, res.Header["Set-Cookie"])
			delete(store.Fail, method)
			require.Equal(t, http.StatusOK, b.PostPath("/login/password", "user", "alice").StatusCode)
			require.Equal(t, "alice", b.WhoAmI())

			store.Fail["FindSession"] = errTrouble
			require.Equal(t, http.StatusServiceUnavailable, b.GetPath("/whoami").StatusCode)
		}
	})
}

// A sessionless store has only transactions.
type sessionless struct{ flowhook.Store }

func TestSessions_NotConfigured(t *testing.T) {
	for name, opts := range map[string]flowhook.Options{
		"no store": {Secrets: []string{"a-secret-for-the-tests"}},
		"store without SessionStore": {Secrets: []string{"a-secret-for-the-tests"},
			Store: sessionless{flowtest.NewRecordingStore()}},
		"no secrets":                      {Store: flowtest.NewRecordingStore()},
		"neither":                         {},
		"no secrets, with a debug logger": {Store: flowtest.NewRecordingStore(), Logger: slog.New(slog.DiscardHandler)},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := flowhook.New(&flowhook.Config{}, opts)
			require.NoError(t, err)
			s := p.Sessions()
			require.NotNil(t, s)
			v := flowtest.NewVisitor("alice", "__Host-session=x", "session=x")
			require.ErrorIs(t, s.Issue(t.Context(), v.Exchange), flowhook.ErrNotConfigured)
			_, err = s.Create(t.Context(), v.Exchange)
			require.ErrorIs(t, err, flowhook.ErrNotConfigured)
			require.ErrorIs(t, s.End(t.Context(), v.Exchange), flowhook.ErrNotConfigured)
			_, err = s.FromRequest(v.Request)
			require.ErrorIs(t, err, flowhook.ErrNotConfigured)
			require.NotErrorIs(t, err, flowhook.ErrNoSession)
			_, err = s.FromToken(t.Context(), "x")
			require.ErrorIs(t, err, flowhook.ErrNotConfigured)
			require.Empty(t, flowtest.SetCookies(v))
		})
	}
}

func TestSessions_ConcurrentUse(t *testing.T) {
	const users = 64
	d := flowtest.NewSessionTest(t, "")
	rounds := testkit.Times(t, 100)
	var wg sync.WaitGroup
	for n := range users {
		wg.Go(func() {
			me := fmt.Sprintf("user %d", n%8) // eight share an identity, and wait for each other
			for range rounds {
				v := flowtest.NewVisitor(me)
				if err := d.Issue(t.Context(), v.Exchange); err != nil {
					t.Error(err)
					return
				}
				cookie, _, _ := strings.Cut(flowtest.SetCookies(v)[0], ";")
				v = flowtest.NewVisitor(me, cookie)
				s, err := d.FromRequest(v.Request)
				if err != nil || s.IdentityID != me {
					t.Errorf("%s is %v, %v", me, s, err)
					return
				}
				if err := d.End(t.Context(), v.Exchange); err != nil {
					t.Error(err)
				}
				if _, err := d.FromRequest(v.Request); !errors.Is(err, flowhook.ErrNoSession) {
					t.Errorf("ended, but %v", err)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d concurrent users, %d rounds of sign-in, request and sign-out: no user was mistaken for another", users,
		rounds)
}

const outsideTheTransaction = "the context is not the transaction's"

type read = func(ctx context.Context, p *flowhook.Pipeline, x *flowhook.Exchange) (*flowhook.Session, error)

// readers are the two ways to read a session.
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
func TestSessions_ReadInTransaction(t *testing.T) {
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
					require.NoError(t, err, "with the hook's context")
					require.Equal(t, s, *found)
					child, cancel := context.WithCancel(ctx)
					defer cancel()
					_, err = read(child, d.Pipeline, x)
					require.NoError(t, err, "with a derived context")

					found, err = read(requests, d.Pipeline, x)
					if row.in {
						require.ErrorContains(t, err, outsideTheTransaction)
						require.NotErrorIs(t, err, flowhook.ErrNoSession)
						require.Nil(t, found)
						return nil
					}
					require.NoError(t, err, "with the request's context")
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
					_, err := p.Complete(r.Context(), flowhook.Settings, flowhook.Profile,
						func(ctx context.Context) error {
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
				soon, cancel := context.WithTimeout(t.Context(),
					10*time.Second) // a read that waits would wait for this
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

	t.Run("transaction of another exchange", func(t *testing.T) {
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
func TestSessions_ReadOnOtherGoroutine(t *testing.T) {
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
