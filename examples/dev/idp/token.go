package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

const tokenLife = 10 * time.Minute

// verifier matches a PKCE code verifier (RFC 7636, 4.1).
var verifier = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// token exchanges a code for an ID token. It authenticates the client.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "the form could not be read")
		return
	}
	f := r.PostForm
	for name, values := range f {
		if len(values) > 1 {
			refuse(w, http.StatusBadRequest, "invalid_request", "the parameter "+name+" appears more than once")
			return
		}
	}
	if !p.isClient(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="development provider"`)
		refuse(w, http.StatusUnauthorized, "invalid_client", "unknown client or wrong secret")
		return
	}
	if f.Get("grant_type") != "authorization_code" {
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be authorization_code")
		return
	}
	g, ok := p.redeem(f.Get("code")) // a code can be tried only once, even if the request fails
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	switch {
	case !ok:
		refuse(w, http.StatusBadRequest, "invalid_grant", "the code is unknown, already used, or older than a minute")
	case f.Get("redirect_uri") != g.RedirectURI:
		refuse(w, http.StatusBadRequest, "invalid_grant",
			"the redirect_uri differs from the one in the authorization request")
	case !verifier.MatchString(f.Get("code_verifier")) || base64.RawURLEncoding.EncodeToString(sum[:]) != g.Challenge:
		refuse(w, http.StatusBadRequest, "invalid_grant", "the code_verifier does not match the code_challenge")
	default:
		p.issue(w, g)
	}
}

// isClient authenticates the client with client_secret_basic or client_secret_post, but not both at
// once.
func (p *Provider) isClient(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	posted := r.PostForm.Has("client_secret")
	switch {
	case basic && posted:
		return false
	case basic: // both are form-encoded (RFC 6749, 2.3.1)
		var errID, errSecret error
		id, errID = url.QueryUnescape(id)
		secret, errSecret = url.QueryUnescape(secret)
		if errID != nil || errSecret != nil || (r.PostForm.Has("client_id") && r.PostForm.Get("client_id") != id) {
			return false
		}
	default:
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	return subtle.ConstantTimeCompare([]byte(id), []byte(p.o.ClientID)) == 1 &&
		subtle.ConstantTimeCompare([]byte(secret), []byte(p.o.ClientSecret)) == 1
}

// issue answers with an ID token for a grant.
func (p *Provider) issue(w http.ResponseWriter, g grant) {
	now := p.o.Now()
	claims := map[string]any{
		"iss":       p.issuer,
		"sub":       subject(g.email),
		"aud":       g.ClientID,
		"iat":       now.Unix(),
		"exp":       now.Add(tokenLife).Unix(),
		"auth_time": g.at.Unix(),
	}
	if g.Nonce != "" {
		claims["nonce"] = g.Nonce
	}
	if slices.Contains(g.Scopes, "email") {
		claims["email"], claims["email_verified"] = g.email, g.verified
	}
	if slices.Contains(g.Scopes, "profile") {
		claims["name"] = g.name
	}
	token, err := jwt.Signed(p.signer).Claims(claims).Serialize()
	if err != nil {
		p.o.Logger.Error("signing an ID token failed", "error", err)
		refuse(w, http.StatusInternalServerError, "server_error", "signing failed")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), // unused: the ID token has all claims
		"token_type":   "Bearer",
		"expires_in":   int(tokenLife.Seconds()),
		"scope":        strings.Join(g.Scopes, " "),
		"id_token":     token,
	})
}

// subject returns the subject for an address. It is the same after a restart.
func subject(email string) string {
	sum := sha256.Sum256([]byte("devoidc:" + strings.ToLower(email)))
	return hex.EncodeToString(sum[:16])
}

func refuse(w http.ResponseWriter, status int, problem, description string) {
	writeJSON(w, status, map[string]string{"error": problem, "error_description": description})
}
