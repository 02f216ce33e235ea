package acceptance_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// TestDocument checks every sentence of the document about its ten examples, with a service on a
// real server.
func TestDocument(t *testing.T) {
	used := map[string]bool{}
	document := func(t *testing.T, name string) string { used[name] = true; return flowtest.Document(t, name) }
	t.Cleanup(func() { // when all rows have run
		require.Len(t, used, 10, "an example of the document is not tested")
		t.Logf("document: %d examples tested over TLS", len(used))
	})
	const maintenance = "https://www.ory.sh/maintenance"

	for _, trouble := range []struct {
		name string
		with func(h *flowtest.Service, o *flowhook.Options)
	}{{"", flowtest.WithUsers()}, {" while the store is down", flowtest.WithStoreDown}} {
		for _, row := range []struct{ file, get, post string }{
			{"01-login-before.yml", "/login", "/login/password"},
			{"05-registration-before.yml", "/registration", "/registration/password"},
		} {
			t.Run(row.file+" redirects every request"+trouble.name, func(t *testing.T) {
				h := flowtest.NewService(t, document(t, row.file), trouble.with)
				for _, res := range []flowtest.Answer{h.Browser().GetPath(row.get),
					h.Browser().PostPath(row.post, "user", "alice")} {
					require.Equal(t, http.StatusFound, res.StatusCode)
					require.Equal(t, []string{maintenance}, res.Header["Location"])
					require.Empty(t, res.Header["Set-Cookie"])
				}
				require.Empty(t, h.ReachedHandlers(), "the handler was reached")
			})
		}
	}

	t.Run("02-login-after.yml redirects after an OIDC login with a session", func(t *testing.T) {
		h := flowtest.NewService(t, document(t, "02-login-after.yml"), flowtest.WithUsers(flowtest.Alice))
		b := h.Browser()
		res := b.PostPath("/login/oidc", "user", "alice")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://www.ory.sh/"}, res.Header["Location"])
		require.Len(t, res.Header["Set-Cookie"], 1)
		require.Equal(t, "alice", b.WhoAmI())
	})

	t.Run("02-login-after.yml does not redirect a password login", func(t *testing.T) {
		h := flowtest.NewService(t, document(t, "02-login-after.yml"), flowtest.WithUsers(flowtest.Alice))
		b := h.Browser()
		res := b.PostPath("/login/password", "user", "alice")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Empty(t, res.Header["Location"])
		require.Equal(t, "alice", b.WhoAmI())
	})

	t.Run("03-login-after-redirect.yml enforces its URL", func(t *testing.T) {
		h := flowtest.NewService(t, document(t, "03-login-after-redirect.yml"), flowtest.WithUsers(flowtest.Alice))
		b := h.Browser()
		res := b.PostPath("/login/password", "user", "alice")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://url-to-redirect/to"}, res.Header["Location"])
		require.Equal(t, "alice", b.WhoAmI())
	})

	for _, file := range []string{"02-login-after.yml", "04-login-after-revoke.yml"} {
		for _, way := range []flowtest.SignInMode{flowtest.SignInByComplete, flowtest.SignInByRun,
			flowtest.SignInByOwnSessions} {
			t.Run(file+" revokes earlier sessions with "+string(way), func(t *testing.T) {
				h := flowtest.NewService(t, document(t, file), flowtest.WithUsers(flowtest.Alice, flowtest.Bob),
					func(h *flowtest.Service, _ *flowhook.Options) { h.SignIn = way })
				phone, laptop, other := h.Browser(), h.Browser(), h.Browser()
				require.Equal(t, http.StatusOK, other.PostPath("/login/password", "user", "bob").StatusCode)
				require.Equal(t, http.StatusOK, phone.PostPath("/login/password", "user", "alice").StatusCode)
				require.Equal(t, "alice", phone.WhoAmI())
				require.Equal(t, http.StatusOK, laptop.PostPath("/login/password", "user", "alice").StatusCode)

				require.Equal(t, "anonymous", phone.WhoAmI(), "an earlier session is alive")
				require.Equal(t, "alice", laptop.WhoAmI(), "the new session was ended")
				require.Equal(t, "bob", other.WhoAmI(), "another user's session was ended")
			})
		}
	}

	t.Run("05-registration-before.yml redirects an OIDC callback that began as a login", func(t *testing.T) {
		h := flowtest.NewService(t, document(t, "05-registration-before.yml"))
		res := h.Browser().GetPath("/login/oidc?user=nobody")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{maintenance}, res.Header["Location"])
		_, saved := h.Store.User(t.Context(), "nobody")
		require.False(t, saved)
	})

	for _, strategy := range []string{"password", "oidc"} {
		t.Run("06-registration-after.yml signs a new user in by "+strategy, func(t *testing.T) {
			h := flowtest.NewService(t, document(t, "06-registration-after.yml"))
			b := h.Browser()
			res := b.PostPath("/registration/"+strategy, "user", "carol")
			require.Equal(t, http.StatusOK, res.StatusCode)
			requireSessionCookie(t, res)
			require.Equal(t, "carol", b.WhoAmI())
			_, saved := h.Store.User(t.Context(), "carol")
			require.True(t, saved)
		})
	}

	t.Run("06-registration-after.yml runs after save", func(t *testing.T) {
		saved := false
		h := flowtest.NewService(t, document(t, "06-registration-after.yml"),
			func(h *flowtest.Service, o *flowhook.Options) {
				o.Issue = func(ctx context.Context, x *flowhook.Exchange) error {
					_, saved = h.Store.User(ctx, "carol")
					return nil
				}
			})
		require.Equal(t, http.StatusOK, h.Browser().PostPath("/registration/password", "user", "carol").StatusCode)
		require.True(t, saved)
	})

	t.Run("07-session-secrets.yml signs a new user in", func(t *testing.T) {
		h := flowtest.NewService(t, document(t, "07-session-secrets.yml"))
		b := h.Browser()
		requireSessionCookie(t, b.PostPath("/registration/password", "user", "carol"))
		require.Equal(t, "carol", b.WhoAmI())
	})

	t.Run("08-registration-after-redirect.yml disables registration", func(t *testing.T) {
		h := flowtest.NewService(t, document(t, "08-registration-after-redirect.yml"))
		res := h.Browser().PostPath("/registration/password", "user", "carol")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://url-to-redirect/to"}, res.Header["Location"])
		_, saved := h.Store.User(t.Context(), "carol")
		require.False(t, saved, "the identity was saved")
	})

	for _, row := range []struct{ file, strategy, to string }{
		{"09-settings-after.yml", "profile", "https://www.ory.sh/"},
		{"09-settings-after.yml", "password", "https://www.ory.sh/"},
		{"10-settings-after-strategy.yml", "profile", "https://www.ory.sh/settings-updated"},
		{"10-settings-after-strategy.yml", "password", ""},
	} {
		t.Run(row.file+" saves and redirects by "+row.strategy, func(t *testing.T) {
			h := flowtest.NewService(t, document(t, row.file), flowtest.WithUsers(flowtest.Alice))
			b := h.Browser()
			b.PostPath("/login/password", "user", "alice")
			res := b.PostPath("/settings/"+row.strategy, "name", "Alice A.")
			if row.to == "" {
				require.Equal(t, http.StatusOK, res.StatusCode)
			} else {
				require.Equal(t, http.StatusFound, res.StatusCode)
				require.Equal(t, []string{row.to}, res.Header["Location"])
			}
			u, _ := h.Store.User(t.Context(), "alice")
			require.Equal(t, "Alice A.", u.Name)
		})
	}

	t.Run("settings have no before hooks", func(t *testing.T) {
		for _, before := range []string{"", " []", " [{hook: redirect, config: {to: /}}]", "\n      hooks: []"} {
			cfg, err := flowhook.ParseConfig([]byte("selfservice:\n  settings:\n    before:" + before + "\n"))
			require.NoError(t, err)
			_, err = flowhook.New(cfg, flowhook.Options{})
			require.ErrorContains(t, err, "settings flows do not have before hooks")
			require.ErrorContains(t, err, "3:")
		}
	})
}

func requireSessionCookie(t *testing.T, res flowtest.Answer) {
	t.Helper()
	require.Len(t, res.Header["Set-Cookie"], 1)
	require.Regexp(t, `^__Host-session=[A-Za-z0-9_=-]+; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax$`,
		res.Header.Get("Set-Cookie"))
}
