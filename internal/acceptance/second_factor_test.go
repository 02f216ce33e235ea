package acceptance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// The functions and the variable shown in docs/second-factor.md are in this file unchanged.

var secondFactorServes = []flowhook.Point{
	{Flow: flowhook.Login, Strategy: flowhook.Password},
	{Flow: flowhook.Login, Strategy: flowhook.TOTP},
}

func (s *secondFactorService) password(w http.ResponseWriter, r *http.Request) {
	user, ok := s.checkPassword(r)
	if !ok {
		s.failed(w, r, flowhook.Password, user, errors.New("wrong password"))
		return
	}
	if user.hasTOTP {
		s.remember(w, user) // no session yet
		http.Redirect(w, r, "/login/code", http.StatusSeeOther)
		return
	}
	s.complete(w, r, flowhook.Password, user)
}

func (s *secondFactorService) code(w http.ResponseWriter, r *http.Request) {
	user, ok := s.remembered(r)
	if !ok {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	if !user.codeIs(r.FormValue("code")) {
		s.failed(w, r, flowhook.TOTP, user, errors.New("wrong code"))
		return
	}
	s.complete(w, r, flowhook.TOTP, user)
}

func (s *secondFactorService) complete(w http.ResponseWriter, r *http.Request, by flowhook.Strategy, user secondFactorUser) {
	x := flowhook.MustFromContext(r.Context())
	x.Identity = &flowhook.Identity{ID: user.id}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, by, func(ctx context.Context) error {
		s.forget(user) // it works once
		return s.pipeline.Sessions().Issue(ctx, x)
	})
	switch {
	case handled:
	case err != nil:
		http.Error(w, "something went wrong", http.StatusInternalServerError)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *secondFactorService) failed(
	w http.ResponseWriter, r *http.Request, by flowhook.Strategy, user secondFactorUser, why error,
) {
	x := flowhook.MustFromContext(r.Context())
	if user.id != "" { // otherwise there is no such account
		x.Identity = &flowhook.Identity{ID: user.id}
	}
	x.Err = why
	handled, err := s.pipeline.Run(r.Context(), flowhook.Login, flowhook.Failed, by)
	if err != nil {
		slog.ErrorContext(r.Context(), "run the hooks at failed", "error", err)
	}
	if !handled {
		http.Error(w, why.Error(), http.StatusUnauthorized)
	}
}

// A secondFactorService has two users: dana has a second factor, erik does not.
type secondFactorService struct {
	pipeline *flowhook.Pipeline
	pending  map[string]secondFactorUser // by the cookie's value; requests come one at a time
	log      *trail
}

type secondFactorUser struct {
	id      string
	hasTOTP bool
}

func (u secondFactorUser) codeIs(code string) bool { return code == "123456" }

func (s *secondFactorService) checkPassword(r *http.Request) (secondFactorUser, bool) {
	id := r.FormValue("user")
	if id != "dana" && id != "erik" {
		return secondFactorUser{}, false
	}
	return secondFactorUser{id, id == "dana"}, r.FormValue("password") == "right"
}

func (s *secondFactorService) remember(w http.ResponseWriter, u secondFactorUser) {
	s.pending["pending-"+u.id] = u
	http.SetCookie(w, &http.Cookie{Name: "pending", Value: "pending-" + u.id, Path: "/", Secure: true, HttpOnly: true})
}

func (s *secondFactorService) remembered(r *http.Request) (secondFactorUser, bool) {
	c, err := r.Cookie("pending")
	if err != nil {
		return secondFactorUser{}, false
	}
	u, ok := s.pending[c.Value]
	return u, ok
}

func (s *secondFactorService) forget(u secondFactorUser) { delete(s.pending, "pending-"+u.id) }

// secondFactorBlocks returns the page's blocks of code in a language.
func secondFactorBlocks(t *testing.T, language string) (texts []string) {
	t.Helper()
	page, err := os.ReadFile(inRoot("docs/second-factor.md"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		texts = append(texts, m[1])
	}
	return texts
}

// newSecondFactorService starts the service of the page with the page's own configuration.
func newSecondFactorService(t *testing.T) (*secondFactorService, *httptest.Server) {
	t.Helper()
	blocks := secondFactorBlocks(t, "yaml")
	require.Len(t, blocks, 1)
	s := &secondFactorService{pending: map[string]secondFactorUser{}, log: &trail{}}
	note := func(p flowhook.Point, _ func(any) error) (flowhook.Hook, error) {
		return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
			line := x.Point().String() + " at " + p.String()
			switch {
			case p.Phase != flowhook.Failed:
			case x.Identity == nil:
				line += " of nobody"
			default:
				line += " of " + x.Identity.ID
			}
			s.log.leave(line)
			return nil
		}), nil
	}
	cfg := flowtest.Parse(t, blocks[0])
	opts := flowhook.Options{
		Store: memstore.New(), Secrets: []string{flowtest.StrongSecret}, Serves: secondFactorServes, Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"audit": note, "breached_password": note},
	}
	require.Empty(t, cfg.Check(opts))
	var err error
	s.pipeline, err = flowhook.New(cfg, opts)
	require.NoError(t, err)

	mux := http.NewServeMux()
	login := s.pipeline.Middleware(flowhook.Login)
	mux.Handle("POST /login/password", login(http.HandlerFunc(s.password)))
	mux.Handle("POST /login/code", login(http.HandlerFunc(s.code)))
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		if session, err := s.pipeline.Sessions().FromRequest(r); err == nil {
			io.WriteString(w, session.IdentityID)
		}
	})
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	return s, srv
}

func TestSecondFactorPage(t *testing.T) {
	s, srv := newSecondFactorService(t)
	browser := func() (post func(path string, form ...string) (status int, location string), who func() string) {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		client := &http.Client{Transport: srv.Client().Transport, Jar: jar,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		post = func(path string, form ...string) (int, string) {
			values := url.Values{}
			for i := 0; i < len(form); i += 2 {
				values.Set(form[i], form[i+1])
			}
			res, err := client.PostForm(srv.URL+path, values)
			require.NoError(t, err)
			res.Body.Close()
			return res.StatusCode, res.Header.Get("Location")
		}
		who = func() string {
			res, err := client.Get(srv.URL + "/whoami")
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			return string(body)
		}
		return post, who
	}
	const before = "login/before at login/before"
	signIn := func(t *testing.T) (post func(path string, form ...string) (int, string), who func() string) {
		post, who = browser()
		_, to := post("/login/password", "user", "dana", "password", "right")
		require.Equal(t, "/login/code", to)
		require.Empty(t, who(), "the password alone must not sign in")
		require.Equal(t, []string{before}, s.log.take())
		return post, who
	}

	t.Run("password completes a login without a second factor", func(t *testing.T) {
		post, who := browser()
		_, to := post("/login/password", "user", "erik", "password", "right")
		require.Equal(t, "/", to)
		require.Equal(t, "erik", who())
		require.Equal(t, []string{before, "login/before_persist/password at login/before_persist/password",
			"login/after/password at login/after"}, s.log.take())
	})

	t.Run("code completes a login without the hooks under password", func(t *testing.T) {
		post, who := signIn(t)
		_, to := post("/login/code", "code", "123456")
		require.Equal(t, "/", to)
		require.Equal(t, "dana", who())
		require.Equal(t, []string{before, "login/after/totp at login/after"}, s.log.take())

		again, whoAgain := signIn(t)
		again("/login/code", "code", "123456")
		require.Equal(t, "dana", whoAgain())
		require.Empty(t, who(), "the flow-wide revoke_active_sessions must end the older session")
		s.log.take()
	})

	t.Run("wrong code runs the hooks at failed", func(t *testing.T) {
		post, who := signIn(t)
		status, _ := post("/login/code", "code", "000000")
		require.Equal(t, http.StatusUnauthorized, status)
		require.Empty(t, who())
		require.Equal(t, []string{before, "login/failed/totp at login/failed of dana"}, s.log.take())
	})

	t.Run("wrong password runs the hooks at failed", func(t *testing.T) {
		for user, account := range map[string]string{"dana": "dana", "erik": "erik", "mallory": "nobody"} {
			post, who := browser()
			status, _ := post("/login/password", "user", user, "password", "wrong")
			require.Equal(t, http.StatusUnauthorized, status)
			require.Empty(t, who())
			require.Equal(t, []string{before, "login/failed/password at login/failed of " + account}, s.log.take())
		}
	})

	t.Run("page shows these functions", func(t *testing.T) {
		source, err := os.ReadFile(inRoot("internal/acceptance/second_factor_test.go"))
		require.NoError(t, err)
		blocks := secondFactorBlocks(t, "go")
		require.Len(t, blocks, 5)
		for _, b := range blocks {
			require.True(t, strings.Contains(string(source), "\n"+b), "not in this file:\n%s", b)
		}
	})
}
