package hooktest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

var errGate = errors.New("the gate is shut")

// options are those of a service with hooks of its own.
func options() flowhook.Options {
	hook := func(run flowhook.HookFunc) flowhook.HookFactory {
		return func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return run, nil }
	}
	return flowhook.Options{Hooks: map[string]flowhook.HookFactory{
		"gatekeeper": hook(func(_ context.Context, x *flowhook.Exchange) error {
			if x.Request.FormValue("gate") == "shut" {
				return errGate
			}
			return nil
		}),
		"greet": hook(func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.Header().Set("X-Greeting", "hello")
			return nil
		}),
		"slow_down": hook(func(_ context.Context, x *flowhook.Exchange) error {
			if x.Request.FormValue("answer") != "" {
				x.Writer.WriteHeader(http.StatusTooManyRequests)
			}
			return nil
		}),
		"refuse": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			var config struct{ Domain string }
			return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
				if strings.HasSuffix(x.Identity.Addresses[0].Value, "@"+config.Domain) {
					http.Error(x.Writer, "not from there", http.StatusForbidden)
				}
				return nil
			}), decode(&config)
		},
	}}
}

func newRig(t testing.TB) *hooktest.Rig { return hooktest.New(t, "testdata/auth.yml", options()) }

func identity(name, domain string) *flowhook.Identity {
	return &flowhook.Identity{ID: name, Addresses: []flowhook.Address{{Via: "email", Value: name + "@" + domain}}}
}

func exchange(name string) *flowhook.Exchange {
	return &flowhook.Exchange{Identity: identity(name, "example.org")}
}

// post is a request with a form.
func post(pairs ...string) *http.Request {
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func at(flow flowhook.Flow, phase flowhook.Phase, strategy flowhook.Strategy) flowhook.Point {
	return flowhook.Point{Flow: flow, Phase: phase, Strategy: strategy}
}

func TestComplete(t *testing.T) {
	t.Run("gives what ran, the mails, the sessions and the cookies", func(t *testing.T) {
		rig := newRig(t)
		x, saved := exchange("alice"), false
		got := rig.Complete(flowhook.Registration, flowhook.Password, x, func(context.Context) error { saved = true; return nil })
		require.NoError(t, got.Err)
		require.False(t, got.Handled)
		require.True(t, saved)
		require.Equal(t, []string{"refuse", "session", "verify"}, got.Ran)
		require.Len(t, got.Mails, 1)
		require.Equal(t, "alice@example.org", got.Mails[0].To)
		require.Contains(t, got.Mails[0].Link, "https://auth.example/verify?token=")
		require.Len(t, got.Sessions, 1)
		require.Equal(t, "alice", got.SignedIn.IdentityID)
		require.Equal(t, got.Sessions[0].ID, got.SignedIn.ID)
		require.Len(t, got.Cookies, 1)
		require.Equal(t, "__Host-session", got.Cookies[0].Name)
		require.Zero(t, got.Status, "no hook has answered")
		require.Empty(t, got.Body)
		require.Same(t, x, got.Exchange)
		require.Nil(t, x.Writer, "it was nil")
	})

	t.Run("gives the answer of a hook as a client reads it", func(t *testing.T) {
		got := newRig(t).Complete(flowhook.Registration, flowhook.Password, &flowhook.Exchange{Identity: identity("eve", "elsewhere.example")},
			func(context.Context) error { t.Error("saved all the same"); return nil })
		require.NoError(t, got.Err)
		require.True(t, got.Handled)
		require.Equal(t, http.StatusForbidden, got.Status)
		require.Equal(t, "not from there\n", got.Body)
		require.Equal(t, "15", got.Header.Get("Content-Length"))
		require.Equal(t, []string{"refuse"}, got.Ran)
		require.Empty(t, got.Mails)
		require.Empty(t, got.Sessions)
		require.Nil(t, got.SignedIn)
	})

	t.Run("runs before first, and what fails there comes back", func(t *testing.T) {
		rig := newRig(t)
		got := rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), nil)
		require.NoError(t, got.Err)
		require.Equal(t, []string{"gatekeeper", "revoke_active_sessions", "session", "greet"}, got.Ran)
		require.Equal(t, "hello", got.Header.Get("X-Greeting"), "headers leave with the handler's answer")

		x := exchange("alice")
		x.Request = post("gate", "shut")
		got = rig.Complete(flowhook.Login, flowhook.Password, x, nil)
		require.ErrorIs(t, got.Err, errGate)
		require.Equal(t, []string{"gatekeeper"}, got.Ran)
		require.Len(t, got.Sessions, 1, "that of the first login")
		require.Nil(t, got.SignedIn)
	})

	t.Run("counts the failed hooks among those that ran, answering or not", func(t *testing.T) {
		errSave := errors.New("the disk is full")
		save := func(context.Context) error { return errSave }
		rig := newRig(t)
		got := rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), save)
		require.Equal(t, errSave, got.Err)
		require.Equal(t, []string{"gatekeeper", "slow_down"}, got.Ran)
		x := exchange("alice")
		x.Request = post("answer", "1")
		got = rig.Complete(flowhook.Login, flowhook.Password, x, save)
		require.NoError(t, got.Err)
		require.Equal(t, http.StatusTooManyRequests, got.Status)
		require.Contains(t, got.Log, "the disk is full")
		require.NotContains(t, got.Log, "time=")
	})
}

func TestRigKeepsStoreClockAndSecretBetweenRuns(t *testing.T) {
	rig := newRig(t)
	issue := func(x *flowhook.Exchange) func(context.Context) error {
		return func(ctx context.Context) error { return rig.Pipeline.Sessions().Issue(ctx, x) }
	}
	settings := func() *hooktest.Result { // no hook revokes there
		x := exchange("alice")
		return rig.Complete(flowhook.Settings, flowhook.Profile, x, issue(x))
	}
	first := settings()
	require.NotNil(t, first.SignedIn, "save has issued it: %v", first.Err)
	rig.Clock.Advance(time.Minute)
	second := settings()
	require.Len(t, second.Sessions, 2)
	require.Equal(t, first.SignedIn.ID, second.Sessions[0].ID, "the oldest is the first")
	require.Equal(t, time.Minute, second.Sessions[1].IssuedAt.Sub(second.Sessions[0].IssuedAt))
	rig.Complete(flowhook.Settings, flowhook.Profile, exchange("bob"), nil)

	x := exchange("alice")
	x.Request = post()
	x.Request.AddCookie(first.Cookies[0])
	third := rig.Complete(flowhook.Login, flowhook.Password, x, nil)
	require.NoError(t, third.Err)
	require.Len(t, third.Sessions, 1, "revoke_active_sessions has ended the others")
	require.Equal(t, third.SignedIn.ID, third.Sessions[0].ID)
	require.Empty(t, rig.Sessions("bob"))

	rig.Clock.Advance(24*time.Hour - time.Microsecond)
	require.Len(t, rig.Sessions("alice"), 1)
	rig.Clock.Advance(time.Microsecond)
	require.Empty(t, rig.Sessions("alice"))
	_, err := rig.Store.(flowhook.SessionStore).FindSession(t.Context(), third.SignedIn.ID)
	require.NoError(t, err, "it is there, and over")
}

// A hook of which the work is left out is seen.
func TestNoOpIsSeen(t *testing.T) {
	nothing := func(flowhook.Point, string, flowhook.Hook) flowhook.Hook {
		return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return nil })
	}
	opts := options()
	opts.Wrap = nothing
	rig := hooktest.New(t, "testdata/auth.yml", opts)
	got := rig.Complete(flowhook.Registration, flowhook.Password, &flowhook.Exchange{Identity: identity("eve", "elsewhere.example")}, nil)
	require.Equal(t, []string{"refuse", "session", "verify"}, got.Ran)
	require.False(t, got.Handled)
	require.Zero(t, got.Status)
	require.Empty(t, got.Mails)
	require.Empty(t, got.Sessions)
	require.Empty(t, got.Cookies)
	require.Nil(t, got.SignedIn)
}

func TestRun(t *testing.T) {
	t.Run("runs one point, after those that come before it", func(t *testing.T) {
		rig := newRig(t)
		after := at(flowhook.Login, flowhook.After, flowhook.Password)
		require.ErrorIs(t, rig.Run(after, exchange("alice")).Err, flowhook.ErrPhaseSkipped)

		x := exchange("alice")
		require.Equal(t, []string{"gatekeeper"}, rig.Run(at(flowhook.Login, flowhook.Before, flowhook.FlowWide), x).Ran)
		got := rig.Run(after, x)
		require.NoError(t, got.Err)
		require.Equal(t, []string{"revoke_active_sessions", "session", "greet"}, got.Ran)
		require.Equal(t, "alice", got.SignedIn.IdentityID)
	})

	t.Run("shows hooks the request of the test, or one of its own, with the exchange in its context", func(t *testing.T) {
		var cfg flowhook.Config
		gate := at(flowhook.Login, flowhook.Before, flowhook.FlowWide)
		var method, name string
		cfg.Add(gate, "looks", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
			method, name = x.Request.Method, x.Request.FormValue("name")
			in, _ := flowhook.FromContext(x.Request.Context())
			require.Same(t, x, in)
			x.Writer.WriteHeader(http.StatusAccepted)
			_, err := io.WriteString(x.Writer, "<p>seen</p>")
			return err
		}))
		rig := hooktest.NewWith(t, &cfg, flowhook.Options{})
		got := rig.Run(gate, nil)
		require.Equal(t, "POST", method)
		require.Empty(t, name)
		require.Equal(t, "text/html; charset=utf-8", got.Header.Get("Content-Type"), "the server has looked")
		require.Equal(t, "<p>seen</p>", got.Body)
		rig.Run(gate, &flowhook.Exchange{Request: post("name", "alice")})
		require.Equal(t, "alice", name)
		got = rig.Run(gate, &flowhook.Exchange{Request: httptest.NewRequest(http.MethodHead, "/", nil)})
		require.Equal(t, "HEAD", method)
		require.Equal(t, http.StatusAccepted, got.Status)
		require.Empty(t, got.Body, "a client reads no body behind HEAD")
	})

	t.Run("ends as a client sees it where a hook aborts, or the request's context has ended", func(t *testing.T) {
		var cfg flowhook.Config
		gate := at(flowhook.Login, flowhook.Before, flowhook.FlowWide)
		cfg.Add(gate, "aborts", flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { panic(http.ErrAbortHandler) }))
		rig := hooktest.NewWith(t, &cfg, flowhook.Options{})
		got := rig.Run(gate, nil)
		require.Equal(t, http.ErrAbortHandler, got.Err)
		require.Zero(t, got.Status)
		require.Equal(t, []string{"aborts"}, got.Ran)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		got = newRig(t).Run(gate, &flowhook.Exchange{Request: httptest.NewRequestWithContext(ctx, "GET", "/", nil)})
		require.Equal(t, context.Canceled, got.Err)
	})

	t.Run("passes on a panic of save, and lets a test end in it", func(t *testing.T) {
		rig := newRig(t)
		require.PanicsWithValue(t, "in save", func() {
			rig.Complete(flowhook.Settings, flowhook.Profile, exchange("alice"), func(context.Context) error { panic("in save") })
		})
		ended := make(chan bool)
		go func() {
			defer close(ended)
			rig.Complete(flowhook.Settings, flowhook.Profile, exchange("alice"), func(context.Context) error { runtime.Goexit(); return nil })
			t.Error("the test went on")
		}()
		<-ended
	})

	t.Run("ends the test where the request is none", func(t *testing.T) {
		got := under(t, func(fake testing.TB) {
			r := post()
			r.Method = "NO METHOD"
			newRig(fake).Run(at(flowhook.Login, flowhook.Before, flowhook.FlowWide), &flowhook.Exchange{Request: r})
		})
		require.Contains(t, got.fatal, "NO METHOD")
	})
}

func TestRigUsesWhatItIsGiven(t *testing.T) {
	var clock hooktest.Clock
	var log strings.Builder
	sent := &sink{}
	opts := options()
	opts.Store, opts.Now, opts.Courier = memstore.New(), clock.Now, sent
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	opts.Secrets = []string{strings.Repeat("a secret of the service's own ", 2)}
	opts.VerificationURL = "https://www.example.org/confirm"
	var wrapped []string
	opts.Wrap = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			wrapped = append(wrapped, p.String()+" "+name)
			return next.Run(ctx, x)
		})
	}
	rig := hooktest.New(t, "testdata/auth.yml", opts)
	got := rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), nil)
	require.NoError(t, got.Err)
	require.Same(t, opts.Store, rig.Store)
	require.Equal(t, []string{"registration/before_persist/password refuse", "registration/after/password session", "registration/after/password verify"}, wrapped)
	require.Equal(t, []string{"refuse", "session", "verify"}, got.Ran)
	require.Equal(t, got.Mails, sent.mails)
	require.Contains(t, got.Mails[0].Link, "https://www.example.org/confirm?token=")
	require.Contains(t, log.String(), "enumeration")
	require.Nil(t, rig.Clock)
	require.Panics(t, func() { rig.Clock.Advance(time.Hour) })
	clock.Advance(24 * time.Hour)
	require.Empty(t, rig.Sessions("alice"))

	sent.err = errors.New("no route to the mail server")
	clock.Advance(time.Hour)
	got = rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), nil)
	require.NoError(t, got.Err, "it is too late to undo anything")
	require.Empty(t, got.Mails, "the courier did not take it")

	same := hooktest.New(t, "testdata/auth.yml", opts)
	x := exchange("alice")
	x.Request = post()
	x.Request.AddCookie(got.Cookies[0])
	session, err := same.Pipeline.Sessions().FromRequest(x.Request)
	require.NoError(t, err, "the secret is the same")
	require.Equal(t, got.SignedIn, session)
}

// The file's secret signs, not one that is filled in.
func TestRigUsesTheSecretOfTheFile(t *testing.T) {
	path := write(t, "secrets: {session: [0123456789abcdef]}\n")
	issue := func(rig *hooktest.Rig) *hooktest.Result {
		x := exchange("alice")
		return rig.Complete(flowhook.Login, flowhook.Password, x, func(ctx context.Context) error { return rig.Pipeline.Sessions().Issue(ctx, x) })
	}
	opts := flowhook.Options{Store: memstore.New()}
	got := issue(hooktest.New(t, path, opts))
	require.NoError(t, got.Err)
	next := post()
	next.AddCookie(got.Cookies[0])
	_, err := hooktest.New(t, path, opts).Pipeline.Sessions().FromRequest(next)
	require.NoError(t, err)
}

func TestRigRefusesWhatNewRefuses(t *testing.T) {
	got := under(t, func(fake testing.TB) { hooktest.New(fake, "testdata/auth.yml", flowhook.Options{}) })
	for _, hook := range []string{"gatekeeper", "greet", "slow_down", "refuse"} {
		require.Contains(t, got.fatal, `unknown hook "`+hook+`"`)
	}
	require.NotContains(t, got.fatal, "needs")
	opts := options()
	opts.Wrap = func(flowhook.Point, string, flowhook.Hook) flowhook.Hook { return flowhook.HookFunc(nil) }
	got = under(t, func(fake testing.TB) { hooktest.New(fake, "testdata/auth.yml", opts) })
	require.Contains(t, got.fatal, "Options.Wrap made no hook")
	got = under(t, func(fake testing.TB) { hooktest.New(fake, "nowhere.yml", opts) })
	require.Contains(t, got.fatal, "nowhere.yml")
	got = under(t, func(fake testing.TB) { newRig(fake) })
	require.Empty(t, got.fatal)
	require.Contains(t, strings.Join(got.logs, ""), "enumeration", "the findings are shown to the test")
}

// Runs beside each other keep their records apart.
func TestRunsAtOnce(t *testing.T) {
	rig := newRig(t)
	var all sync.WaitGroup
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		all.Go(func() {
			got := rig.Complete(flowhook.Registration, flowhook.Password, exchange(name), nil)
			if len(got.Mails) != 1 || got.Mails[0].To != name+"@example.org" || len(got.Ran) != 3 || got.SignedIn.IdentityID != name {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
	all.Wait()
}

// sink is a courier of the service's own.
type sink struct {
	mails []flowhook.Message
	err   error
}

func (s *sink) Send(_ context.Context, m flowhook.Message) error {
	if s.err == nil {
		s.mails = append(s.mails, m)
	}
	return s.err
}
