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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// A SignInMode is how the login handler of a Service signs users in.
type SignInMode string

const (
	SignInByComplete    SignInMode = "Complete"     // the session is issued in save
	SignInByRun         SignInMode = "Run"          // the session is issued, then After runs
	SignInByOwnSessions SignInMode = "own sessions" // in a cookie of its own
)

// A Service is a complete auth service around a pipeline, on a real server.
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
	reached  []string // the handlers reached, such as "POST /login/password"
}

// SecretYAML is the secret of a file without one.
const SecretYAML = "\nsecrets:\n  session: [a-secret-for-the-tests]\n"

// NewService starts a service with the text of a file. If the text has no secrets, NewService adds
// one.
func NewService(t *testing.T, text string, change ...func(h *Service, o *flowhook.Options)) *Service {
	t.Helper()
	h := &Service{T: t, Store: NewUserStore(), Mail: &Mailbox{}, Clock: NewClock(), Log: &LogBuffer{},
		SignIn: SignInByComplete}
	if !strings.Contains(text, "secrets:") {
		text += SecretYAML
	}
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	o := flowhook.Options{Store: h.Store, Courier: h.Mail, VerificationURL: "https://auth.example/verify",
		Now:    h.Clock.Now,
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
	route := func(pattern string, flow flowhook.Flow,
		serve func(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange)) {
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

// who returns the identity that a request is signed in as.
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

// issueOwn signs a user in with a session cookie of the host's own.
func (h *Service) issueOwn(ctx context.Context, x *flowhook.Exchange) error {
	id := "own-" + rand.Text()
	s := flowhook.Session{ID: id, IdentityID: x.Identity.ID, IssuedAt: h.Clock.Now(),
		ExpiresAt: h.Clock.Now().Add(time.Hour)}
	if err := h.Store.CreateSession(ctx, s); err != nil {
		return err
	}
	x.Session = &s
	http.SetCookie(x.Writer, &http.Cookie{Name: "own", Value: id, Path: "/", Secure: true, HttpOnly: true})
	return nil
}

// login signs in the user that ?user= names. The callback of a provider (GET) registers an unknown
// user.
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
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Login, strategy,
		func(ctx context.Context) error { return issue(ctx, x) })
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

// settings changes the name, and the address if a new one is posted.
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
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Settings, flowhook.Strategy(r.PathValue("strategy")),
		func(ctx context.Context) error {
			return h.Store.SaveUser(ctx, u)
		})
	h.done(w, handled, err)
}

// verification redeems ?token=.
func (h *Service) verification(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	handled, err := h.Pipeline.Complete(r.Context(), flowhook.Verification, flowhook.Link,
		func(ctx context.Context) error {
			return h.Pipeline.Redeem(ctx, r.FormValue("token"),
				func(ctx context.Context, v flowhook.Token) error {
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
		http.Error(w, "this link has expired or was already used", http.StatusGone)
		return
	}
	h.done(w, handled, err)
}

// ErrorPage is the response of a handler to an error.
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

// ReachedHandlers returns the handlers that were reached since the last call.
func (h *Service) ReachedHandlers() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	reached := h.reached
	h.reached = nil
	return reached
}

// Browser returns a new browser with an empty cookie jar.
func (h *Service) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	require.NoError(h.T, err)
	return &Browser{service: h, Client: &http.Client{Transport: h.Server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}
