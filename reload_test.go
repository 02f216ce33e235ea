package flowhook_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// parse reads a configuration.
func parse(t testing.TB, text string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return cfg
}

// stamping gives options whose host hook "stamp" notes, in the identity's data, which version of the file it is from.
func stamping() flowhook.Options {
	return flowhook.Options{
		Store: memstore.New(), Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"stamp": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			var config struct {
				Version int `yaml:"version"`
			}
			err := decode(&config)
			return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
				stamps := x.Request.Context().Value(stampsKey{}).(*[]int)
				*stamps = append(*stamps, config.Version)
				return nil
			}), err
		}},
	}
}

type stampsKey struct{}

// version is a file that says its number everywhere: in hooks of three phases, in a redirect, in the session's lifespan, and
// in the secrets, where it comes first.
func version(n int, secrets ...string) string {
	return fmt.Sprintf(`
secrets: {session: [%s]}
session: {lifespan: %ds}
selfservice:
  flows:
    login:
      default_browser_return_url: /version/%d
      before: {hooks: [{hook: stamp, config: {version: %d}}]}
      after:
        hooks: [{hook: stamp, config: {version: %d}}]
        password: {hooks: [{hook: stamp, phase: before_persist, config: {version: %d}}, {hook: session}, {hook: stamp, config: {version: %d}}]}
    settings: {after: [{hook: redirect, config: {to: /version/%d}}]}
`, strings.Join(secrets, ", "), 3600+n, n, n, n, n, n, n)
}

func secretOf(n int) string { return fmt.Sprintf("the-secret-of-version-%d", n) }

// A reloaded is a service whose configuration changes while clients sign in again and again.
type reloaded struct {
	t        *testing.T
	pipeline *flowhook.Pipeline
	srv      *httptest.Server
}

// login answers with what it has seen of the configuration: the versions of all hooks that ran, of the lifespan, and of
// the URL to return to; after who came is found to be signed in.
func (s *reloaded) login(w http.ResponseWriter, r *http.Request) {
	x, _ := flowhook.FromContext(r.Context())
	if _, err := r.Cookie("__Host-session"); err == nil {
		if _, err := s.pipeline.Sessions().FromRequest(r); err != nil {
			http.Error(w, "signed out: "+err.Error(), http.StatusUnauthorized)
			return
		}
	}
	x.Identity = &flowhook.Identity{ID: r.FormValue("user")}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, nil)
	if handled || err != nil {
		http.Error(w, fmt.Sprint(handled, err), http.StatusInternalServerError)
		return
	}
	to, err := s.pipeline.ReturnURL(r, flowhook.Login, flowhook.Password)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	seen := *x.Request.Context().Value(stampsKey{}).(*[]int)
	seen = append(seen, int(x.Session.ExpiresAt.Sub(x.Session.IssuedAt)/time.Second)-3600)
	fmt.Fprint(w, seen, " ", to)
}

// TestReloadsUnderLoad has clients sign in, over and over, while the configuration is replaced: each request is served by
// one version from its first hook to its cookie, and nobody is signed out by a rotation of secrets.
func TestReloadsUnderLoad(t *testing.T) {
	reloads, requests := times(1000), times(100_000)
	const clients = 32
	opts := stamping()
	p, err := flowhook.New(parse(t, version(0, secretOf(0))), opts)
	require.NoError(t, err)
	s := &reloaded{t: t, pipeline: p}
	login := p.Middleware(flowhook.Login)(http.HandlerFunc(s.login))
	s.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), stampsKey{}, new([]int))))
	}))
	t.Cleanup(s.srv.Close)

	var served atomic.Int64
	var signed [clients]atomic.Int64 // the version that the client's token may be of, at the least
	var all sync.WaitGroup
	var wrong atomic.Pointer[string]
	complain := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		wrong.CompareAndSwap(nil, &text)
	}
	var versions sync.Map
	due := make(chan bool, requests) // a reload
	for i := range clients {
		all.Go(func() {
			cookie := ""
			for wrong.Load() == nil {
				n := int(served.Add(1))
				if n > requests {
					return
				}
				if n%(requests/(reloads+1)) == 0 {
					due <- true
				}
				r, err := http.NewRequest(http.MethodPost, s.srv.URL+"/?user="+fmt.Sprint("user", i), nil)
				if err != nil {
					complain("%v", err)
					return
				}
				if cookie != "" {
					r.Header.Set("Cookie", "__Host-session="+cookie)
				}
				res, err := s.srv.Client().Do(r)
				if err != nil {
					complain("%v", err)
					return
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				var v [6]int
				if _, err := fmt.Sscanf(string(body), "[%d %d %d %d %d] /version/%d", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]); err != nil || len(res.Cookies()) != 1 {
					complain("answered %d %q: %v", res.StatusCode, body, err)
					return
				}
				if slices.Min(v[:]) != slices.Max(v[:]) {
					complain("a mixture: %s", body)
					return
				}
				cookie = res.Cookies()[0].Value
				versions.Store(v[0], true)
				signed[i].Store(int64(v[0])) // the secrets from here on will do
			}
		})
	}
	done := make(chan bool)
	go func() { all.Wait(); close(done) }()
	for n := 1; n <= reloads; n++ {
		select {
		case <-due:
		case <-done: // something was wrong
		}
		oldest := n
		for i := range signed {
			oldest = min(oldest, int(signed[i].Load()))
		}
		var secrets []string
		for k := n; k >= oldest; k-- {
			secrets = append(secrets, secretOf(k))
		}
		require.NoError(t, p.Reload(parse(t, version(n, secrets...))))
	}
	<-done
	if text := wrong.Load(); text != nil {
		t.Fatal(*text)
	}
	seen := 0
	versions.Range(func(any, any) bool { seen++; return true })
	require.Greater(t, seen, reloads/2, "too few versions were served to prove anything")
	proof(t, "reload: %d reloads under %d requests, %d versions seen: no request saw two of them, and no rotation of the secrets signed anybody out", reloads, requests, seen)
}

// exchangeOf gives an exchange, and the context that carries it.
func exchangeOf(ctx context.Context, id string) (context.Context, *flowhook.Exchange) {
	r := newRequest()
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Identity: &flowhook.Identity{ID: id}}
	ctx = context.WithValue(flowhook.NewContext(ctx, x), stampsKey{}, new([]int))
	x.Request = r.WithContext(ctx)
	return ctx, x
}

func stampsOf(ctx context.Context) []int { return *ctx.Value(stampsKey{}).(*[]int) }

func TestAnExchangeKeepsTheConfigurationThatItBeganWith(t *testing.T) {
	opts := stamping()
	p, err := flowhook.New(parse(t, version(1, secretOf(1))), opts)
	require.NoError(t, err)
	sessions := p.Sessions()
	one, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(one, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)

	require.NoError(t, p.Reload(parse(t, version(2, secretOf(2)))))
	handled, err := p.Complete(one, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err, "its before has run, which is not that of the new configuration")
	require.False(t, handled)
	require.Equal(t, []int{1, 1, 1, 1}, stampsOf(one))
	require.Equal(t, 3601*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
	to, err := p.ReturnURL(x.Request, flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "/version/1", to)
	token, err := sessions.Create(one, x)
	require.NoError(t, err)
	_, err = sessions.FromToken(one, token)
	require.NoError(t, err, "the exchange's secrets are the old ones")
	_, err = sessions.FromToken(t.Context(), token)
	require.ErrorIs(t, err, flowhook.ErrNoSession, "without an exchange, the current ones count")

	two, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(two, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	_, err = p.Complete(two, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 2, 2}, stampsOf(two))
	require.Equal(t, 3602*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
}

// Any first use counts: a read of the session, too, or a run that is refused.
func TestWhatPinsAnExchange(t *testing.T) {
	for name, use := range map[string]func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange){
		"FromRequest": func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) {
			p.Sessions().FromRequest(x.Request)
		},
		"FromToken": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) { p.Sessions().FromToken(ctx, "") },
		"End":       func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) { p.Sessions().End(ctx, x) },
		"ReturnURL": func(p *flowhook.Pipeline, _ context.Context, x *flowhook.Exchange) {
			p.ReturnURL(x.Request, flowhook.Login, flowhook.FlowWide)
		},
		"Run": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) {
			p.Run(ctx, flowhook.Logout, flowhook.Before, flowhook.FlowWide)
		},
		"Complete, refused": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) {
			p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		},
		"nothing": func(*flowhook.Pipeline, context.Context, *flowhook.Exchange) {},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := flowhook.New(parse(t, version(1, secretOf(1))), stamping())
			require.NoError(t, err)
			ctx, x := exchangeOf(t.Context(), "alice")
			use(p, ctx, x)
			require.NoError(t, p.Reload(parse(t, version(2, secretOf(2)))))
			_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			require.NoError(t, err)
			want := 1
			if name == "nothing" {
				want = 2
			}
			require.Equal(t, []int{want}, stampsOf(ctx))
		})
	}
}

func TestAReloadInTheMidstOfAChain(t *testing.T) {
	opts := stamping()
	p, err := flowhook.New(parse(t, version(1, secretOf(1))), opts)
	require.NoError(t, err)
	ctx, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error {
		return p.Reload(parse(t, version(2, secretOf(2))))
	})
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 1, 1}, stampsOf(ctx))
	require.Equal(t, 3601*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
}

func TestABadReloadChangesNothing(t *testing.T) {
	log := &logbook{}
	opts := stamping()
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	p, err := flowhook.New(parse(t, version(1, secretOf(1))), opts)
	require.NoError(t, err)
	was, logged := p.String(), log.String()
	err = p.Reload(parse(t, version(2, "short")+"\n    login2: {}\n"))
	require.Len(t, configErrors(err), 2, "%v", err)
	require.Equal(t, was, p.String())
	require.Equal(t, logged, log.String())
	ctx, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 1, 1}, stampsOf(ctx))
	require.Equal(t, 3601*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
}

// Sessions that were not configured are after a reload that has secrets, and the reverse; the handle is the same.
func TestReloadBringsAndTakesSecrets(t *testing.T) {
	opts := stamping()
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	sessions := p.Sessions()
	_, err = sessions.FromToken(t.Context(), "x")
	require.ErrorIs(t, err, flowhook.ErrNotConfigured)
	require.NoError(t, p.Reload(parse(t, version(1, secretOf(1)))))
	require.Same(t, sessions, p.Sessions())
	_, err = sessions.FromToken(t.Context(), "x")
	require.ErrorIs(t, err, flowhook.ErrNoSession)
	require.NoError(t, p.Reload(nil))
	_, err = sessions.FromToken(t.Context(), "x")
	require.ErrorIs(t, err, flowhook.ErrNotConfigured)
}

// An exchange that several pipelines use keeps the configuration of each: also that of the second has its before behind it.
func TestAnExchangeOfSeveralPipelines(t *testing.T) {
	var pipelines []*flowhook.Pipeline
	for _, n := range []int{1, 5, 7} {
		p, err := flowhook.New(parse(t, version(n, secretOf(n))), stamping())
		require.NoError(t, err)
		pipelines = append(pipelines, p)
	}
	ctx, x := exchangeOf(t.Context(), "alice")
	for _, p := range pipelines {
		_, err := p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.NoError(t, err)
	}
	for i, p := range pipelines {
		require.NoError(t, p.Reload(parse(t, version(10+i, secretOf(10+i)))))
	}
	for _, p := range pipelines {
		_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		token, err := p.Sessions().Create(ctx, x)
		require.NoError(t, err)
		_, err = p.Sessions().FromToken(ctx, token)
		require.NoError(t, err)
		_, err = p.Sessions().FromToken(t.Context(), token)
		require.ErrorIs(t, err, flowhook.ErrNoSession, "signed by the secrets that the exchange keeps")
	}
	require.Equal(t, []int{1, 5, 7, 1, 1, 1, 5, 5, 5, 7, 7, 7}, stampsOf(ctx))
}

// What happens to the Config after Reload, or New, has no effect.
func TestReloadTakesTheConfigAsItIs(t *testing.T) {
	b := newBench(t)
	p := b.pipeline()
	b.add(loginAfter, "one")
	require.NoError(t, p.Reload(&b.cfg))
	b.add(loginAfter, "two")
	_, err := p.Run(b.ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, b.ran)
}

// Nor has what happens to the Options: a Reload has those that New was given.
func TestReloadHasTheOptionsOfNew(t *testing.T) {
	opts := stamping()
	opts.Flows, opts.Strategies, opts.Secrets = []flowhook.Flow{"invite"}, []flowhook.Strategy{"magic"}, []string{secretOf(0)}
	const text = "selfservice: {invite: {after: {magic: [{hook: stamp, config: {version: 1}}, {hook: session}]}}}"
	p, err := flowhook.New(parse(t, text), opts)
	require.NoError(t, err)
	delete(opts.Hooks, "stamp")
	opts.Flows[0], opts.Strategies[0], opts.Secrets[0] = "other", "other", secretOf(9)
	require.NoError(t, p.Reload(parse(t, text)))

	ctx, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(ctx, "invite", flowhook.After, "magic")
	require.NoError(t, err)
	require.Equal(t, []int{1}, stampsOf(ctx))
	token, err := p.Sessions().Create(ctx, x)
	require.NoError(t, err)
	other, err := flowhook.New(nil, flowhook.Options{Store: opts.Store, Secrets: []string{secretOf(0)}, Logger: opts.Logger})
	require.NoError(t, err)
	_, err = other.Sessions().FromToken(t.Context(), token)
	require.NoError(t, err, "signed by the secret that New was given")
}

// A Reload is asked for by a service that runs: what the host's Wrap makes of a new name must not end it.
func TestAPanicOfWrapIsAnErrorOfReload(t *testing.T) {
	opts := stamping()
	opts.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		if name == "redirect" {
			panic("never heard of it")
		}
		return next
	}
	p, err := flowhook.New(parse(t, "selfservice: {login: {before: [{hook: stamp}]}}"), opts)
	require.NoError(t, err)
	was := p.String()
	err = p.Reload(parse(t, "selfservice: {login: {before: [{hook: redirect, config: {to: /x}}]}}"))
	require.EqualError(t, err, "1:39: selfservice.login.before[0].hook: Options.Wrap: panic: never heard of it")
	require.Equal(t, was, p.String())
}
