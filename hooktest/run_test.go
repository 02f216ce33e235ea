package hooktest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
)

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
		require.Equal(t, hooktest.HookRun{Point: at(flowhook.Login, flowhook.After, flowhook.FlowWide), Name: "greet"}, got.Hooks[3])
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
