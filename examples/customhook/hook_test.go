package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
)

const token = "a token for the test"

// startService starts the service that the hook asks and sets the environment variables that
// auth.yml refers to. It returns the domains that the hook asked about.
func startService(t *testing.T, answer http.HandlerFunc) (asked *[]string) {
	asked = new([]string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Error("the request has no token")
		}
		*asked = append(*asked, r.FormValue("domain"))
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	t.Setenv("DISPOSABLE_SERVICE", srv.URL)
	t.Setenv("DISPOSABLE_TOKEN", token)
	return asked
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// registration runs a registration by password and reports whether the user was saved.
func registration(rig *hooktest.Rig, email string) (got *hooktest.Result, saved bool) {
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "eve",
		Addresses: []flowhook.Address{{Via: "email", Value: email}}}}
	got = rig.Complete(flowhook.Registration, flowhook.Password, x,
		func(context.Context) error { saved = true; return nil })
	return got, saved
}

func TestConfig(t *testing.T) {
	startService(t, status(http.StatusNotFound))
	hooktest.CheckFile(t, "auth.yml", options())
}

func TestBlockDisposable(t *testing.T) {
	t.Run("disposable address is rejected", func(t *testing.T) {
		asked := startService(t, status(http.StatusOK))
		got, saved := registration(hooktest.New(t, "auth.yml", options()), "eve@disposable.example")
		require.NoError(t, got.Err)
		require.Equal(t, http.StatusForbidden, got.Status)
		require.Contains(t, got.Body, "a permanent email address")
		require.Equal(t, []string{"block_disposable"}, got.Ran)
		require.Equal(t, []string{"disposable.example"}, *asked)
		require.False(t, saved)
	})

	t.Run("other addresses are accepted", func(t *testing.T) {
		asked := startService(t, status(http.StatusNotFound))
		got, saved := registration(hooktest.New(t, "auth.yml", options()), "eve@elsewhere.example")
		require.NoError(t, got.Err)
		require.False(t, got.Handled)
		require.Equal(t, []string{"elsewhere.example"}, *asked)
		require.True(t, saved)
	})

	t.Run("trusted domains are not looked up", func(t *testing.T) {
		asked := startService(t, status(http.StatusOK))
		got, saved := registration(hooktest.New(t, "auth.yml", options()), "eve@Example.ORG")
		require.NoError(t, got.Err)
		require.Empty(t, *asked)
		require.True(t, saved)
	})

	t.Run("service fails", func(t *testing.T) {
		startService(t, status(http.StatusInternalServerError))
		rig := hooktest.New(t, "auth.yml", options())
		got, saved := registration(rig, "eve@elsewhere.example")
		require.ErrorContains(t, got.Err, "500")
		require.ErrorContains(t, got.Err, "auth.yml:7:17")
		require.False(t, saved)

		t.Setenv("DISPOSABLE_SERVICE", "http://127.0.0.1:1") // nothing listens there
		got, _ = registration(hooktest.New(t, "auth.yml", options()), "eve@elsewhere.example")
		for _, secret := range []string{token, "eve", "elsewhere"} {
			require.NotContains(t, got.Err.Error()+got.Log, secret)
		}
	})

	// A shorter timeout than in auth.yml keeps the test fast.
	t.Run("timeout ends the hook", func(t *testing.T) {
		startService(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		text, err := os.ReadFile("auth.yml")
		require.NoError(t, err)
		require.Contains(t, string(text), "timeout: 2s")
		cfg, err := flowhook.ParseConfig([]byte(strings.Replace(string(text), "timeout: 2s", "timeout: 20ms", 1)))
		require.NoError(t, err)
		got, saved := registration(hooktest.NewWith(t, cfg, options()), "eve@slow.example")
		require.ErrorIs(t, got.Err, context.DeadlineExceeded)
		require.ErrorContains(t, got.Err, "hook block_disposable (7:17): not done within its timeout of 20ms")
		require.False(t, saved)
	})
}

// TestRegister runs the hook together with the service's handler.
func TestRegister(t *testing.T) {
	startService(t, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("domain") != "disposable.example" {
			http.NotFound(w, r)
		}
	})
	rig := hooktest.New(t, "auth.yml", options())
	for email, want := range map[string]struct {
		status int
		body   string
	}{
		"alice@elsewhere.example": {http.StatusOK, "Welcome!\n"},
		"eve@disposable.example":  {http.StatusForbidden, "Please register with a permanent email address.\n"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/registration?email="+email, nil)
		got := rig.Serve(flowhook.Registration, register(rig.Pipeline), r)
		require.Equal(t, want.status, got.Status)
		require.Equal(t, want.body, got.Body)
		require.Equal(t, []string{"block_disposable"}, got.Ran)
	}
}

func TestConfig_Bad(t *testing.T) {
	startService(t, status(http.StatusOK))
	text, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	for _, row := range []struct{ name, old, new, want string }{
		{"point after saving", "phase: before_persist", "phase: after", "7:17: .*write phase: before_persist"},
		{"misspelled key", "trusted:", "trustd:", `13:13: .*did you mean "trusted"`},
		{"no token", "token: ${DISPOSABLE_TOKEN}", "", "7:17: .*a token for it"},
		{"no service", "${DISPOSABLE_SERVICE}", "/ask", "7:17: .*needs the URL"},
		{"unset variable", "${DISPOSABLE_TOKEN}", "${DISPOSABLE_TOKENS}", "12:20: .*DISPOSABLE_TOKENS.* is not set"},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Contains(t, string(text), row.old)
			cfg, err := flowhook.ParseConfig([]byte(strings.Replace(string(text), row.old, row.new, 1)))
			require.NoError(t, err)
			_, err = flowhook.New(cfg, options())
			require.Error(t, err)
			require.Regexp(t, row.want, err.Error())
			require.NotContains(t, err.Error(), "\n", "there must be only one error")
		})
	}
}
