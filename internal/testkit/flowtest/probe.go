package flowtest

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// LoginCookie signs a user in and returns the session cookie.
func (h *Service) LoginCookie() *http.Cookie {
	h.T.Helper()
	cookies := h.Browser().PostPath("/login/password", "user", "alice").Cookies()
	require.Len(h.T, cookies, 1)
	return cookies[0]
}

// AcceptsSecret reports whether the service accepts a token that was made from a secret and the ID
// of a session.
func (h *Service) AcceptsSecret(secret string) bool {
	s := flowhook.Session{ID: "KNOWNKNOWNKNOWNKNOWNKNOWNK" + rand.Text(), IdentityID: "alice",
		ExpiresAt: h.Clock.Now().Add(time.Hour)}
	require.NoError(h.T, h.Store.CreateSession(h.T.Context(), s))
	found, err := h.Pipeline.Sessions().FromToken(h.T.Context(), SignToken(secret, CookieName, "1780000000", s.ID))
	if err != nil {
		require.ErrorIs(h.T, err, flowhook.ErrNoSession)
		return false
	}
	return found.IdentityID == "alice"
}

// ReturnTo returns where a request with a return_to parameter is redirected.
func (h *Service) ReturnTo(to string) (string, error) {
	r := NewRequest()
	r.URL.RawQuery = url.Values{"return_to": {to}}.Encode()
	return h.Pipeline.ReturnURL(r, flowhook.Login, flowhook.Password)
}

// DiscreetServer starts a service that does not tell users who has an account: every registration
// gets the same page.
func (h *Service) DiscreetServer() *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := User{ID: r.FormValue("user"), Email: r.FormValue("user") + "@example.org"}
		if _, taken := h.Store.User(r.Context(), u.ID); !taken {
			x := &flowhook.Exchange{Writer: w, Request: r, Identity: u.Identity()}
			_, err := h.Pipeline.Complete(flowhook.NewContext(r.Context(), x), flowhook.Registration, flowhook.Password,
				func(ctx context.Context) error { return h.Store.SaveUser(ctx, u) })
			assert.NoError(h.T, err)
		}
		io.WriteString(w, "We have sent you an email.")
	}))
	h.T.Cleanup(srv.Close)
	return srv
}

// VerificationLink registers a user and returns the link in the email.
func (h *Service) VerificationLink() *url.URL {
	h.Browser().PostPath("/registration/password", "user", "carol")
	mails := h.Mail.Take()
	require.Len(h.T, mails, 1)
	require.Contains(h.T, mails[0].Text, mails[0].Link)
	u, err := url.Parse(mails[0].Link)
	require.NoError(h.T, err)
	require.NotEmpty(h.T, u.Query().Get("token"))
	return u
}
