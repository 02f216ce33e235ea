package hooktest_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
)

// A service has the handlers that the tests serve. Users sign in by their name alone.
type service struct {
	pipeline *flowhook.Pipeline
	errSave  error
}

func (s *service) register(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	x.Identity = identity(r.FormValue("name"), r.FormValue("domain"))
	save := func(context.Context) error { return s.errSave }
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Registration, flowhook.Password, save)
	s.answer(w, handled, err)
}

func (s *service) login(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	x.Identity = &flowhook.Identity{ID: r.FormValue("name")}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		if s.errSave != nil {
			return s.errSave
		}
		return s.pipeline.Sessions().Issue(ctx, x)
	})
	s.answer(w, handled, err)
}

func (s *service) answer(w http.ResponseWriter, handled bool, err error) {
	switch {
	case handled:
	case err != nil:
		http.Error(w, "something went wrong", http.StatusInternalServerError)
	default:
		w.Header().Set("X-Handler", "yes")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "welcome")
	}
}

func TestServe(t *testing.T) {
	newService := func(t testing.TB) (*hooktest.Rig, *service) {
		rig := newRig(t)
		return rig, &service{pipeline: rig.Pipeline}
	}
	alice := func() *http.Request { return post("name", "alice", "domain", "example.org") }
	run := func(flow flowhook.Flow, phase flowhook.Phase, strategy flowhook.Strategy, name string) hooktest.HookRun {
		return hooktest.HookRun{Point: at(flow, phase, strategy), Name: name}
	}

	t.Run("returns the handler's answer, emails, sessions and hooks", func(t *testing.T) {
		rig, s := newService(t)
		got := rig.Serve(flowhook.Registration, http.HandlerFunc(s.register), alice())
		require.NoError(t, got.Err)
		require.False(t, got.Handled)
		require.Equal(t, http.StatusCreated, got.Status)
		require.Equal(t, "yes", got.Header.Get("X-Handler"))
		require.Equal(t, "7", got.Header.Get("Content-Length"), "a server has sent it")
		require.Equal(t, "welcome", got.Body)
		require.Len(t, got.Cookies, 1)
		require.Equal(t, "alice", got.SignedIn.IdentityID)
		require.Equal(t, []flowhook.Session{*got.SignedIn}, got.Sessions)
		require.Len(t, got.Mails, 1)
		require.Equal(t, "alice@example.org", got.Mails[0].To)
		require.Equal(t, []string{"refuse", "session", "verify"}, got.Ran)
		require.Equal(t, []hooktest.HookRun{
			run(flowhook.Registration, flowhook.BeforePersist, flowhook.Password, "refuse"),
			run(flowhook.Registration, flowhook.After, flowhook.Password, "session"),
			run(flowhook.Registration, flowhook.After, flowhook.Password, "verify"),
		}, got.Hooks)
	})

	t.Run("runs before hooks first, and the next request is signed in", func(t *testing.T) {
		rig, s := newService(t)
		registered := rig.Serve(flowhook.Registration, http.HandlerFunc(s.register), alice())
		rig.Clock.Advance(time.Minute)
		r := post("name", "alice")
		r.AddCookie(registered.Cookies[0])
		got := rig.Serve(flowhook.Login, http.HandlerFunc(s.login), r)
		require.Equal(t, http.StatusCreated, got.Status)
		require.Equal(t, []flowhook.Session{*got.SignedIn}, got.Sessions, "revoke_active_sessions has ended the first one")
		require.NotEqual(t, registered.SignedIn.ID, got.SignedIn.ID)
		require.Equal(t, "hello", got.Header.Get("X-Greeting"))
		require.Equal(t, []hooktest.HookRun{
			run(flowhook.Login, flowhook.Before, flowhook.FlowWide, "gatekeeper"),
			run(flowhook.Login, flowhook.After, flowhook.Password, "revoke_active_sessions"),
			run(flowhook.Login, flowhook.After, flowhook.Password, "session"),
			run(flowhook.Login, flowhook.After, flowhook.FlowWide, "greet"),
		}, got.Hooks)
		require.Equal(t, "login/after/password session", got.Hooks[2].String())
	})

	t.Run("returns the answer of a hook", func(t *testing.T) {
		rig, s := newService(t)
		eve := post("name", "eve", "domain", "elsewhere.example")
		got := rig.Serve(flowhook.Registration, http.HandlerFunc(s.register), eve)
		require.NoError(t, got.Err)
		require.True(t, got.Handled)
		require.Equal(t, http.StatusForbidden, got.Status)
		require.Equal(t, "not from there\n", got.Body)
		require.Empty(t, got.Header.Get("X-Handler"))
		require.Empty(t, got.Mails)
		require.Empty(t, got.Sessions)
	})

	t.Run("does not reach the handler if a before hook answers", func(t *testing.T) {
		var cfg flowhook.Config
		cfg.Add(at(flowhook.Login, flowhook.Before, flowhook.FlowWide), "closed", flowhook.Redirect("/closed"))
		got := hooktest.NewWith(t, &cfg, flowhook.Options{}).Serve(flowhook.Login,
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }), nil)
		require.True(t, got.Handled)
		require.Equal(t, http.StatusFound, got.Status)
		require.Equal(t, "/closed", got.Header.Get("Location"))
	})

	t.Run("returns what OnError answers if a before hook fails", func(t *testing.T) {
		rig, s := newService(t)
		got := rig.Serve(flowhook.Login, http.HandlerFunc(s.login), post("gate", "shut"))
		require.False(t, got.Handled)
		require.NoError(t, got.Err)
		require.Equal(t, http.StatusInternalServerError, got.Status)
		require.Contains(t, got.Log, errGate.Error())
		require.Equal(t, []string{"gatekeeper"}, got.Ran)
	})

	t.Run("returns what the handler makes of an error", func(t *testing.T) {
		rig, s := newService(t)
		s.errSave = errors.New("the disk is full")
		got := rig.Serve(flowhook.Login, http.HandlerFunc(s.login), post("name", "alice"))
		require.False(t, got.Handled)
		require.NoError(t, got.Err)
		require.Equal(t, http.StatusInternalServerError, got.Status)
		require.Equal(t, []string{"gatekeeper", "slow_down"}, got.Ran)
		require.Nil(t, got.SignedIn)

		got = rig.Serve(flowhook.Login, http.HandlerFunc(s.login), post("name", "alice", "answer", "1"))
		require.True(t, got.Handled, "by a hook at failed")
		require.Equal(t, http.StatusTooManyRequests, got.Status)
	})

	t.Run("serves a handler that runs no hooks", func(t *testing.T) {
		got := hooktest.NewWith(t, nil, flowhook.Options{}).Serve(flowhook.Logout, http.NotFoundHandler(), nil)
		require.False(t, got.Handled)
		require.Equal(t, http.StatusNotFound, got.Status)
		require.Empty(t, got.Ran)
		require.Empty(t, got.Hooks)
		silent := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		got = hooktest.NewWith(t, nil, flowhook.Options{}).Serve(flowhook.Logout, silent, nil)
		require.Equal(t, http.StatusOK, got.Status, "as a server answers for it")
	})

	t.Run("refuses a request before the first hook", func(t *testing.T) {
		cfg, err := flowhook.ParseConfig([]byte(`
selfservice:
  allowed_return_urls: [/app]
  login: {after: {hooks: [{hook: redirect, config: {to: /, allow_user_defined_redirect: true}}]}}
`))
		require.NoError(t, err)
		got := hooktest.NewWith(t, cfg, flowhook.Options{}).Serve(flowhook.Login, http.NotFoundHandler(),
			httptest.NewRequest(http.MethodPost, "/login?return_to=https://elsewhere.example/", nil))
		require.Equal(t, http.StatusBadRequest, got.Status)
		require.False(t, got.Handled)
		require.Empty(t, got.Ran)
		require.Empty(t, got.Sessions)
	})

	t.Run("passes the request on as it is", func(t *testing.T) {
		type key struct{}
		r := post("name", "alice")
		r = r.WithContext(context.WithValue(r.Context(), key{}, "from outside"))
		r.RemoteAddr = "203.0.113.7:4711"
		r.SetPathValue("strategy", "password")
		got := newRig(t).Serve(flowhook.Login, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "from outside", r.Context().Value(key{}))
			require.Equal(t, "203.0.113.7:4711", r.RemoteAddr)
			require.Equal(t, "password", r.PathValue("strategy"))
			require.Equal(t, "alice", r.PostFormValue("name"))
			require.Same(t, r, flowhook.MustFromContext(r.Context()).Request)
			w.WriteHeader(http.StatusAccepted)
		}), r)
		require.Equal(t, http.StatusAccepted, got.Status)

		r, err := http.NewRequest(http.MethodPost, "https://auth.example/login", nil)
		require.NoError(t, err)
		got = newRig(t).Serve(flowhook.Login, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.NoError(t, r.ParseForm(), "a request that a server reads has a body")
		}), r)
		require.Equal(t, http.StatusOK, got.Status)
		require.Nil(t, r.Body, "the test's request stays as it was")
	})

	t.Run("uses the exchange that the request carries", func(t *testing.T) {
		x := exchange("alice")
		r := post()
		got := newRig(t).Serve(flowhook.Logout, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			require.Same(t, x, flowhook.MustFromContext(r.Context()))
		}), r.WithContext(flowhook.NewContext(r.Context(), x)))
		require.Equal(t, http.StatusOK, got.Status)
	})

	t.Run("returns what is on the wire", func(t *testing.T) {
		rig := newRig(t)
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, err := io.WriteString(packed, "hello")
			require.NoError(t, err)
			require.NoError(t, packed.Close())
		})
		got := rig.Serve(flowhook.Logout, handler, httptest.NewRequest(http.MethodGet, "/", nil))
		require.Equal(t, "gzip", got.Header.Get("Content-Encoding"))
		require.Equal(t, "\x1f\x8b", got.Body[:2])
		got = rig.Serve(flowhook.Logout, handler, httptest.NewRequest(http.MethodHead, "/", nil))
		require.Equal(t, http.StatusOK, got.Status)
		require.Empty(t, got.Body)
	})

	t.Run("reports that the handler aborted, with the sessions of before", func(t *testing.T) {
		rig, s := newService(t)
		rig.Serve(flowhook.Registration, http.HandlerFunc(s.register), alice())
		got := rig.Serve(flowhook.Settings, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			flowhook.MustFromContext(r.Context()).Identity = identity("alice", "example.org")
			fmt.Fprint(w, "half")
			panic(http.ErrAbortHandler)
		}), nil)
		require.Equal(t, http.ErrAbortHandler, got.Err)
		require.False(t, got.Handled)
		require.Zero(t, got.Status)
		require.Empty(t, got.Body)
		require.Len(t, got.Sessions, 1)
	})

	t.Run("passes on a panic of the handler, and lets a test end in it", func(t *testing.T) {
		rig := newRig(t)
		require.PanicsWithValue(t, "in the handler", func() {
			rig.Serve(flowhook.Logout, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				panic("in the handler")
			}), nil)
		})
		ended := make(chan bool)
		go func() {
			defer close(ended)
			rig.Serve(flowhook.Logout, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }), nil)
			t.Error("the test went on")
		}()
		<-ended
	})

	t.Run("finds the session that a handler issued after Run", func(t *testing.T) {
		rig := newRig(t)
		got := rig.Serve(flowhook.Verification, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			x := flowhook.MustFromContext(r.Context())
			x.Identity = identity("alice", "example.org")
			require.NoError(t, rig.Pipeline.Sessions().Issue(r.Context(), x))
		}), nil)
		require.Equal(t, "alice", got.SignedIn.IdentityID)
		require.Equal(t, []flowhook.Session{*got.SignedIn}, got.Sessions)
	})
}
