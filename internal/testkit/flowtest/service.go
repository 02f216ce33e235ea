package flowtest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loginCookie is the session cookie of somebody who signs in.
func (h *Service) LoginCookie() *http.Cookie {
	h.T.Helper()
	cookies := h.Browser().PostPath("/login/password", "user", "alice").Cookies()
	require.Len(h.T, cookies, 1)
	return cookies[0]
}

// accepts says whether a token is good that somebody has made who knows no more than a secret, and the ID of a session.
func (h *Service) AcceptsSecret(secret string) bool {
	s := flowhook.Session{ID: "KNOWNKNOWNKNOWNKNOWNKNOWNK" + rand.Text(), IdentityID: "alice", ExpiresAt: h.Clock.Now().Add(time.Hour)}
	require.NoError(h.T, h.Store.CreateSession(h.T.Context(), s))
	found, err := h.Pipeline.Sessions().FromToken(h.T.Context(), SignToken(secret, CookieName, "1780000000", s.ID))
	if err != nil {
		require.ErrorIs(h.T, err, flowhook.ErrNoSession)
		return false
	}
	return found.IdentityID == "alice"
}

// returnTo asks where a request goes that names a URL.
func (h *Service) ReturnTo(to string) (string, error) {
	r := NewRequest()
	r.URL.RawQuery = url.Values{"return_to": {to}}.Encode()
	return h.Pipeline.ReturnURL(r, flowhook.Login, flowhook.Password)
}

// A discreet service does all that it can to keep to itself who has an account: whoever registers gets the same page.
func (h *Service) DiscreetServer() *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := User{ID: r.FormValue("user"), Email: r.FormValue("user") + "@example.org"}
		if _, taken := h.Store.User(r.Context(), u.ID); !taken {
			x := &flowhook.Exchange{Writer: w, Request: r, Identity: u.Identity()}
			_, err := h.Pipeline.Complete(flowhook.NewContext(r.Context(), x), flowhook.Registration, flowhook.Password,
				func(ctx context.Context) error { return h.Store.SaveUser(ctx, u) })
			assert.NoError(h.T, err)
		}
		io.WriteString(w, "We have sent you a mail.")
	}))
	h.T.Cleanup(srv.Close)
	return srv
}

// link gives where the mail leads that somebody gets who registers.
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

func Document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "document", name))
	require.NoError(t, err)
	return string(text)
}

func WithStoreDown(h *Service, o *flowhook.Options) { o.Store = DownStore{h.Store} }

func WithUsers(users ...User) func(h *Service, o *flowhook.Options) {
	return func(h *Service, o *flowhook.Options) {
		for _, u := range users {
			h.Store.Users[u.ID] = u
		}
	}
}

var Alice, Bob = User{ID: "alice", Email: "alice@example.org"}, User{ID: "bob", Email: "bob@example.org"}

const VerifyYAML = `
selfservice:
  registration: {after: [{hook: verify}]}
  settings: {after: [{hook: verification}]}
`

var LinkToken = regexp.MustCompile(`https://auth\.example/verify\?token=([A-Za-z0-9_-]{43})`)

// user is a row of the host's own table.
type User struct {
	ID, Email, Name string
	Verified        bool
}

func (u User) Identity() *flowhook.Identity {
	return &flowhook.Identity{ID: u.ID, Data: u,
		Addresses: []flowhook.Address{{Via: "email", Value: u.Email, Verified: u.Verified}}}
}

// signIn is how a host's login handler goes about it.
type SignInMode string

const (
	SignInByComplete    SignInMode = "Complete"                    // the session is issued in save
	SignInByRun         SignInMode = "Run after a save of its own" // the session is issued, then After runs
	SignInByOwnSessions SignInMode = "sessions of the host's own"  // in a cookie of its own
)

// host is an auth service around a pipeline, as its owner would write it, on a real server.
type Service struct {
	T        *testing.T
	Pipeline *flowhook.Pipeline
	Store    *UserStore
	Mail     *Mailbox
	Clock    *Clock
	Log      *LogBuffer
	Server   *httptest.Server
	SignIn   SignInMode
	mu       sync.Mutex
	reached  []string // the handlers that were reached, by path
}

const SecretYAML = "\nsecrets:\n  session: [a-secret-for-the-tests]\n"

// newHost starts a service with a file's text. Where the text has no secrets, it gets one.
func NewService(t *testing.T, text string, change ...func(h *Service, o *flowhook.Options)) *Service {
	t.Helper()
	h := &Service{T: t, Store: NewUserStore(), Mail: &Mailbox{}, Clock: NewClock(), Log: &LogBuffer{}, SignIn: SignInByComplete}
	if !strings.Contains(text, "secrets:") {
		text += SecretYAML
	}
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	o := flowhook.Options{Store: h.Store, Courier: h.Mail, VerificationURL: "https://auth.example/verify", Now: h.Clock.Now,
		Logger: slog.New(slog.NewTextHandler(h.Log, nil))}
	for _, c := range change {
		c(h, &o)
	}
	h.Pipeline, err = flowhook.New(cfg, o)
	require.NoError(t, err)
	h.Server = httptest.NewTLSServer(h.routes())
	h.Server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(h.Log, nil), slog.LevelError)
	t.Cleanup(h.Server.Close)
	return h
}

func (h *Service) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, flow flowhook.Flow, serve func(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange)) {
		mux.Handle(pattern, h.Pipeline.Middleware(flow)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.mu.Lock()
			h.reached = append(h.reached, r.Method+" "+r.URL.Path)
			h.mu.Unlock()
			x, _ := flowhook.FromContext(r.Context())
			x.Writer = w
			serve(w, r, x)
		})))
	}
	form := func(w http.ResponseWriter, _ *http.Request, _ *flowhook.Exchange) { io.WriteString(w, "a form") }
	route("GET /login", flowhook.Login, form)
	route("POST /login/{strategy}", flowhook.Login, h.login)
	route("GET /login/{strategy}", flowhook.Login, h.login)
	route("GET /registration", flowhook.Registration, form)
	route("POST /registration/{strategy}", flowhook.Registration, h.register)
	route("POST /settings/{strategy}", flowhook.Settings, h.settings)
	route("POST /verification", flowhook.Verification, h.verification)
	route("POST /logout", flowhook.Logout, func(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
		h.done(w, false, h.Pipeline.Sessions().End(r.Context(), x))
	})
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		id, err := h.who(r)
		switch {
		case errors.Is(err, flowhook.ErrNoSession):
			io.WriteString(w, "anonymous")
		case err != nil:
			http.Error(w, "the store is in trouble", http.StatusServiceUnavailable)
		default:
			io.WriteString(w, id)
		}
	})
	return mux
}

// who gives the identity that a request is signed in as.
func (h *Service) who(r *http.Request) (string, error) {
	if h.SignIn == SignInByOwnSessions {
		c, err := r.Cookie("own")
		if err != nil {
			return "", flowhook.ErrNoSession
		}
		s, err := h.Store.FindSession(r.Context(), c.Value)
		if errors.Is(err, flowhook.ErrNotFound) {
			return "", flowhook.ErrNoSession
		}
		return s.IdentityID, err
	}
	s, err := h.Pipeline.Sessions().FromRequest(r)
	if err != nil {
		return "", err
	}
	return s.IdentityID, nil
}

// issueOwn is a host's own way to sign somebody in.
func (h *Service) issueOwn(ctx context.Context, x *flowhook.Exchange) error {
	id := "own-" + rand.Text()
	s := flowhook.Session{ID: id, IdentityID: x.Identity.ID, IssuedAt: h.Clock.Now(), ExpiresAt: h.Clock.Now().Add(time.Hour)}
	if err := h.Store.CreateSession(ctx, s); err != nil {
		return err
	}
	x.Session = &s
	http.SetCookie(x.Writer, &http.Cookie{Name: "own", Value: id, Path: "/", Secure: true, HttpOnly: true})
	return nil
}

// login signs in whoever ?user= names; the callback of a provider, at GET, may find that it is nobody yet.
func (h *Service) login(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	strategy := flowhook.Strategy(r.PathValue("strategy"))
	u, known := h.Store.User(r.Context(), r.FormValue("user"))
	if !known && strategy == flowhook.OIDC {
		h.Pipeline.Middleware(flowhook.Registration)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.register(w, r, x)
		})).ServeHTTP(w, r)
		return
	}
	if !known {
		http.Error(w, "wrong user or password", http.StatusUnauthorized)
		return
	}
	x.Identity = u.Identity()
	issue := h.Pipeline.Sessions().Issue
	if h.SignIn == SignInByOwnSessions {
		issue = h.issueOwn
	}
	if h.SignIn == SignInByRun {
		err := issue(r.Context(), x)
		handled := false
		if err == nil {
			handled, err = h.Pipeline.Run(r.Context(), flowhook.Login, flowhook.After, strategy)
		}
		h.done(w, handled, err)
		return
	}
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Login, strategy, func(ctx context.Context) error { return issue(ctx, x) })
	h.done(w, handled, err)
}

func (h *Service) register(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	strategy := flowhook.Strategy(r.PathValue("strategy"))
	u := User{ID: r.FormValue("user"), Email: r.FormValue("user") + "@example.org"}
	x.Identity = u.Identity()
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Registration, strategy, func(ctx context.Context) error {
		return h.Store.SaveUser(ctx, u)
	})
	h.done(w, handled, err)
}

// settings changes the name, and the address where a new one is given.
func (h *Service) settings(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	s, err := h.Pipeline.Sessions().FromRequest(r)
	if err != nil {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	u, _ := h.Store.User(r.Context(), s.IdentityID)
	u.Name = r.FormValue("name")
	if email := r.FormValue("email"); email != "" {
		u.Email, u.Verified = email, false
	}
	x.Identity, x.Session = u.Identity(), s
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Settings, flowhook.Strategy(r.PathValue("strategy")), func(ctx context.Context) error {
		return h.Store.SaveUser(ctx, u)
	})
	h.done(w, handled, err)
}

// verification redeems ?token=.
func (h *Service) verification(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return h.Pipeline.Redeem(ctx, r.FormValue("token"), func(ctx context.Context, v flowhook.VerificationToken) error {
			u, ok := h.Store.User(ctx, v.IdentityID)
			if !ok || u.Email != v.Address.Value {
				return flowhook.ErrBadToken
			}
			u.Verified = true
			x.Identity = u.Identity()
			return h.Store.SaveUser(ctx, u)
		})
	})
	if errors.Is(err, flowhook.ErrBadToken) {
		http.Error(w, "this link is of no use any more", http.StatusGone)
		return
	}
	h.done(w, handled, err)
}

const ErrorPage = "something went wrong, nothing was changed"

func (h *Service) done(w http.ResponseWriter, handled bool, err error) {
	switch {
	case handled:
	case err != nil:
		slog.New(slog.NewTextHandler(h.Log, nil)).Error("the flow failed", "error", err)
		http.Error(w, ErrorPage, http.StatusInternalServerError)
	default:
		io.WriteString(w, "done")
	}
}

// handlers gives the handlers that were reached since the last call.
func (h *Service) ReachedHandlers() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	reached := h.reached
	h.reached = nil
	return reached
}

func (h *Service) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	require.NoError(h.T, err)
	return &Browser{service: h, Client: &http.Client{Transport: h.Server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}
