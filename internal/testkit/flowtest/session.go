package flowtest

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// CookieName is the default name of the session cookie.
const CookieName = "__Host-session"

// A SessionTest is a pipeline and its sessions over a RecordingStore.
type SessionTest struct {
	*flowhook.Sessions
	T        testing.TB
	Pipeline *flowhook.Pipeline
	Store    *RecordingStore
	Clock    *Clock
	Mail     *Mailbox
	Log      *LogBuffer
	Options  flowhook.Options
}

// NewSessionTest makes a SessionTest with the text of a file. If the text has no secrets,
// NewSessionTest adds one.
func NewSessionTest(t testing.TB, text string, change ...func(d *SessionTest)) *SessionTest {
	t.Helper()
	d := &SessionTest{T: t, Store: NewRecordingStore(), Clock: NewClock(), Mail: &Mailbox{}, Log: &LogBuffer{}}
	d.Options = flowhook.Options{Store: d.Store, Courier: d.Mail, VerificationURL: "https://auth.example/verify",
		Now:    d.Clock.Now,
		Logger: slog.New(slog.NewTextHandler(d.Log, nil))}
	for _, c := range change {
		c(d)
	}
	if !strings.Contains(text, "secrets:") && d.Options.Secrets == nil {
		text += SecretYAML
	}
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	d.Pipeline, err = flowhook.New(cfg, d.Options)
	require.NoError(t, err)
	d.Sessions = d.Pipeline.Sessions()
	return d
}

// WithoutReplace makes the store one without ReplaceSession.
func WithoutReplace(d *SessionTest) {
	d.Options.Store = struct {
		flowhook.Store
		flowhook.SessionStore
		flowhook.TokenStore
	}{d.Store, d.Store, d.Store}
}

// A Visitor is an exchange and its recorded response.
type Visitor struct {
	*flowhook.Exchange
	Recorder *httptest.ResponseRecorder
}

// NewVisitor returns a request of an identity, or of an anonymous user if identity is empty. All
// cookies are in one header.
func NewVisitor(identity string, cookies ...string) Visitor {
	v := Visitor{&flowhook.Exchange{Request: NewRequest()}, httptest.NewRecorder()}
	v.Writer = v.Recorder
	if identity != "" {
		v.Identity = &flowhook.Identity{ID: identity}
	}
	if len(cookies) > 0 {
		v.Request.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	return v
}

// SignIn issues a session and returns it with its cookie, as "name=value".
func (d *SessionTest) SignIn(identity string) (cookie string, s flowhook.Session) {
	d.T.Helper()
	v := NewVisitor(identity)
	require.NoError(d.T, d.Issue(d.T.Context(), v.Exchange))
	require.Len(d.T, v.Recorder.Result().Cookies(), 1)
	c := v.Recorder.Result().Cookies()[0]
	return c.Name + "=" + c.Value, *v.Session
}

// IdentityOf returns the identity that a request with these cookies is signed in as, or "".
func (d *SessionTest) IdentityOf(cookies ...string) string {
	d.T.Helper()
	s, err := d.FromRequest(NewVisitor("", cookies...).Request)
	if err != nil {
		require.ErrorIs(d.T, err, flowhook.ErrNoSession)
		require.Nil(d.T, s)
		return ""
	}
	return s.IdentityID
}

// CompleteLogin completes a login by password.
func (d *SessionTest) CompleteLogin(v Visitor, save func(ctx context.Context) error) error {
	d.T.Helper()
	handled, err := d.Pipeline.Complete(flowhook.NewContext(d.T.Context(), v.Exchange), flowhook.Login,
		flowhook.Password, save)
	require.False(d.T, handled)
	return err
}

// SetCookies returns the Set-Cookie headers of the response.
func SetCookies(v Visitor) []string { return v.Recorder.Header()["Set-Cookie"] }

// Secret is the secret in SecretYAML.
const Secret = "a-secret-for-the-tests"

// SignToken makes a session token as flowhook does: in the format of gorilla/securecookie, with a
// key derived from the secret. If the format changes, an upgrade signs all users out.
func SignToken(secret, name, date, content string) string {
	return EncodeToken(date, content, func(signed string) []byte {
		mac := hmac.New(sha256.New, ExpandKey(secret))
		mac.Write([]byte(name + "|" + signed))
		return mac.Sum(nil)
	})
}

// EncodeToken encodes a token with the result of mac, in the format of gorilla/securecookie.
func EncodeToken(date, content string, mac func(signed string) []byte) string {
	signed := date + "|" + base64.URLEncoding.EncodeToString([]byte(content))
	return base64.URLEncoding.EncodeToString([]byte(signed + "|" + string(mac(signed))))
}

// ExpandKey derives the signing key from a secret as flowhook does.
func ExpandKey(secret string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "flowhook session token", 64)
	if err != nil {
		panic(err)
	}
	return key
}

// CookiesOf signs an identity in n times and returns the cookies and the IDs of the sessions.
func (d *SessionTest) CookiesOf(identity string, n int) (cookies, ids []string) {
	d.T.Helper()
	for range n {
		cookie, s := d.SignIn(identity)
		cookies, ids = append(cookies, cookie), append(ids, s.ID)
	}
	return cookies, ids
}

// LiveSessions counts the live sessions of each identity. It requires that these identities are
// all.
func (d *SessionTest) LiveSessions(identities ...string) map[string]int {
	d.T.Helper()
	count := map[string]int{}
	for _, id := range d.Store.Created() {
		if s, err := d.Store.Store.FindSession(d.T.Context(), id); err == nil {
			require.Contains(d.T, identities, s.IdentityID)
			count[s.IdentityID]++
		}
	}
	return count
}
