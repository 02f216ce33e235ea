package acceptance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

const atOnce = 64

// newSeed returns a random source and its seed.
func newSeed() (*rand.Rand, uint64) {
	seed := rand.Uint64()
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// A loginRace is many clients of one user, each with its own cookie jar.
type loginRace struct {
	*httptest.Server
	t        *testing.T
	pipeline *flowhook.Pipeline
	store    *faultStore
	clients  [atOnce]*http.Client
}

// A signInCase is a chain at login, and how the handler runs it.
type signInCase struct {
	name  string
	hooks []string
	loses bool // one that is overtaken fails
	login func(c *loginRace, ctx context.Context, x *flowhook.Exchange) (bool, error)
}

func complete(issues bool) func(c *loginRace, ctx context.Context, x *flowhook.Exchange) (bool, error) {
	return func(c *loginRace, ctx context.Context, x *flowhook.Exchange) (bool, error) {
		return c.pipeline.Complete(ctx, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			if issues {
				return c.pipeline.Sessions().Issue(ctx, x)
			}
			return nil
		})
	}
}

var signInCases = []signInCase{
	{"Complete, revoking first", []string{"revoke_active_sessions", "session"}, false, complete(false)},
	{"Complete, revoking last", []string{"session", "revoke_active_sessions"}, false, complete(false)},
	{"Complete, issued in save", []string{"revoke_active_sessions"}, false, complete(true)},
	{"Run, revoking first", []string{"revoke_active_sessions", "session"}, false,
		func(c *loginRace, ctx context.Context, _ *flowhook.Exchange) (bool, error) {
			return c.pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		}},
	{"Run, issued before it", []string{"revoke_active_sessions"}, true,
		func(c *loginRace, ctx context.Context, x *flowhook.Exchange) (bool, error) {
			if err := c.pipeline.Sessions().Issue(ctx, x); err != nil {
				return false, err
			}
			return c.pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		}},
}

func newLoginRace(t *testing.T, s signInCase) *loginRace {
	c := &loginRace{t: t, store: &faultStore{}}
	c.store.clear()
	var cfg flowhook.Config
	for _, hook := range s.hooks {
		cfg.Add(flowtest.LoginAfter, hook, nil)
	}
	var err error
	c.pipeline, err = flowhook.New(&cfg, flowhook.Options{Store: c.store, Now: flowtest.NewClock().Now,
		Secrets: []string{"a-secret-for-the-tests"},
		Logger:  slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("POST /login", c.pipeline.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		x, _ := flowhook.FromContext(r.Context())
		x.Identity = newIdentity()
		handled, err := s.login(c, r.Context(), x)
		switch {
		case handled:
		case err != nil:
			w.Header().Del("Set-Cookie") // what the handler itself has issued
			status := http.StatusInternalServerError
			if errors.Is(err, flowhook.ErrNotFound) {
				status = http.StatusConflict // another login was faster
			}
			http.Error(w, err.Error(), status)
		default:
			io.WriteString(w, "done")
		}
	})))
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		if s, err := c.pipeline.Sessions().FromRequest(r); err == nil {
			io.WriteString(w, s.IdentityID)
		} else {
			io.WriteString(w, err.Error())
		}
	})
	c.Server = httptest.NewTLSServer(mux)
	t.Cleanup(c.Close)
	transport := c.Client().Transport.(*http.Transport)
	transport.MaxIdleConnsPerHost = atOnce
	for i := range c.clients {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		c.clients[i] = &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute}
	}
	return c
}

// visit returns the status and body of a page, and the session cookie that came with it.
func (c *loginRace) visit(client int, method, path string) (status int, body, token string, err error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+path, nil)
	if err != nil {
		return 0, "", "", err
	}
	res, err := c.clients[client].Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	for _, cookie := range res.Cookies() {
		token = cookie.Value
	}
	return res.StatusCode, string(b), token, err
}

func TestRaces_OneSessionSurvivesLogins(t *testing.T) {
	chance, seed := newSeed()
	rounds := testkit.Times(t, 200)
	for _, s := range signInCases {
		t.Run(s.name, func(t *testing.T) {
			c := newLoginRace(t, s)
			for range rounds {
				c.round(s, chance.IntN(atOnce))
			}
		})
	}
	t.Logf("%d concurrent logins, %d rounds each in %d ways: one session survives each round, and its cookie was delivered (seed %d)",
		atOnce, rounds, len(signInCases), seed)
}

// round lets all clients log in at the same time.
func (c *loginRace) round(s signInCase, another int) {
	var tokens [atOnce]string
	flowtest.Concurrently(atOnce, func(i int) {
		status, body, token, err := c.visit(i, "POST", "/login")
		switch {
		case err != nil:
			c.t.Error(err)
		case status == http.StatusOK && token != "":
			tokens[i] = token
		case !s.loses || token != "" || status != http.StatusConflict:
			c.t.Errorf("status %d, cookie %t: %s", status, token != "", body)
		}
	})
	is, err := c.store.contents(time.Time{})
	require.NoError(c.t, err)
	require.Len(c.t, is.sessions, 1)
	winner := -1
	for i, token := range tokens {
		if token == "" {
			continue
		}
		session, err := c.pipeline.Sessions().FromToken(c.t.Context(), token)
		if err != nil {
			require.ErrorIs(c.t, err, flowhook.ErrNoSession)
			continue
		}
		require.Equal(c.t, -1, winner, "two cookies are valid")
		require.Contains(c.t, is.sessions, session.ID)
		winner = i
		c.store.forget(session.ID)
	}
	require.NotEqual(c.t, -1, winner, "the surviving session was not delivered to a client")
	for _, client := range []int{winner, another} {
		_, body, _, err := c.visit(client, "GET", "/whoami")
		require.NoError(c.t, err)
		require.Equal(c.t, client == winner, body == identityID, body)
	}
}
