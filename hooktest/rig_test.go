package hooktest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
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

func TestRig_KeepsStateBetweenRuns(t *testing.T) {
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
func TestRig_DetectsNoOpHook(t *testing.T) {
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

func TestRig_UsesOptions(t *testing.T) {
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
	require.PanicsWithValue(t, "hooktest: the rig has no clock because Options.Now is set; advance your own clock",
		func() { rig.Clock.Advance(time.Hour) })
	clock.Advance(24 * time.Hour)
	require.Empty(t, rig.Sessions("alice"))

	sent.err = errors.New("no route to the mail server")
	clock.Advance(time.Hour)
	got = rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), nil)
	require.NoError(t, got.Err, "it is too late to undo anything")
	require.Empty(t, got.Mails, "the courier did not take it")
	require.Contains(t, log.String(), "the courier did not send the email")

	same := hooktest.New(t, "testdata/auth.yml", opts)
	x := exchange("alice")
	x.Request = post()
	x.Request.AddCookie(got.Cookies[0])
	session, err := same.Pipeline.Sessions().FromRequest(x.Request)
	require.NoError(t, err, "the secret is the same")
	require.Equal(t, got.SignedIn, session)
}

// The file's secret signs, not one that is filled in.
func TestRig_FileSecret(t *testing.T) {
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
	for _, accept := range [][]string{nil, {"unused-secrets"}} {
		opts.Accept = accept
		_, err := hooktest.New(t, path, opts).Pipeline.Sessions().FromRequest(next)
		require.NoError(t, err, accept)
	}
}

func TestRig_SecretForSave(t *testing.T) {
	rig := hooktest.NewWith(t, nil, flowhook.Options{})
	x := exchange("alice")
	got := rig.Complete(flowhook.Login, flowhook.Password, x, func(ctx context.Context) error { return rig.Pipeline.Sessions().Issue(ctx, x) })
	require.NoError(t, got.Err)
	require.Equal(t, "alice", got.SignedIn.IdentityID)
}

// noRollback is a store without transactions.
type noRollback struct{ *memstore.Store }

func (noRollback) Transaction(ctx context.Context, _ string, fn func(ctx context.Context) error) error {
	return fn(ctx)
}

// A session that a failed run has left in the store is seen, as is one that was there before.
func TestSessions_OfStore(t *testing.T) {
	opts := flowhook.Options{Store: noRollback{memstore.New()}}
	fail := flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return errGate })
	var hooks, save flowhook.Config
	hooks.Add(at(flowhook.Login, flowhook.After, flowhook.Password), "session", nil)
	hooks.Add(at(flowhook.Login, flowhook.After, flowhook.Password), "fails", fail)
	rig := hooktest.NewWith(t, &hooks, opts)
	got := rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), nil)
	require.Equal(t, []string{"session", "fails"}, got.Ran)
	require.ErrorIs(t, got.Err, errGate)
	require.Len(t, got.Sessions, 1, "issued by a hook")
	require.Nil(t, got.SignedIn)

	save.Add(at(flowhook.Login, flowhook.After, flowhook.Password), "fails", fail)
	rig = hooktest.NewWith(t, &save, opts)
	x := exchange("bob")
	got = rig.Complete(flowhook.Login, flowhook.Password, x, func(ctx context.Context) error { return rig.Pipeline.Sessions().Issue(ctx, x) })
	require.ErrorIs(t, got.Err, errGate)
	require.Len(t, got.Sessions, 1, "issued by save")

	old := flowhook.Session{ID: "old", IdentityID: "carol", IssuedAt: rig.Clock.Now(), ExpiresAt: rig.Clock.Now().Add(time.Hour)}
	require.NoError(t, rig.Store.(flowhook.SessionStore).CreateSession(t.Context(), old))
	x = exchange("carol")
	x.Session = &old
	require.Equal(t, []flowhook.Session{old}, rig.Run(at(flowhook.Settings, flowhook.After, flowhook.Profile), x).Sessions)
}

func TestNew_InvalidOptions(t *testing.T) {
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
func TestRig_Concurrent(t *testing.T) {
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
