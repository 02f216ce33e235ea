package flowhook_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// user is a row of the host's own table.
type user struct {
	ID, Email, Name string
	Verified        bool
}

func (u user) identity() *flowhook.Identity {
	return &flowhook.Identity{ID: u.ID, Data: u,
		Addresses: []flowhook.Address{{Via: "email", Value: u.Email, Verified: u.Verified}}}
}

// hostStore is memstore with the host's own table in the same transactions.
type hostStore struct {
	*memstore.Store
	mu    sync.Mutex
	users map[string]user
}

func newHostStore() *hostStore {
	return &hostStore{Store: memstore.New(), users: map[string]user{}}
}

type pendingKey struct{}

func (s *hostStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if ctx.Value(pendingKey{}) != nil {
		return s.Store.Transaction(ctx, id, fn)
	}
	pending := map[string]user{}
	var was map[string]user
	err := s.Store.Transaction(context.WithValue(ctx, pendingKey{}, pending), id, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		was = maps.Clone(s.users)
		maps.Copy(s.users, pending)
		return nil
	})
	if err != nil && was != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for id := range pending {
			delete(s.users, id)
			if u, ok := was[id]; ok {
				s.users[id] = u
			}
		}
	}
	return err
}

func (s *hostStore) SaveUser(ctx context.Context, u user) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if pending, ok := ctx.Value(pendingKey{}).(map[string]user); ok {
		pending[u.ID] = u
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[u.ID] = u
	return nil
}

func (s *hostStore) User(ctx context.Context, id string) (user, bool) {
	if pending, ok := ctx.Value(pendingKey{}).(map[string]user); ok {
		if u, ok := pending[id]; ok {
			return u, true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[id]
	return u, ok
}

// mailbox is a courier that keeps what it is given.
type mailbox struct {
	mu    sync.Mutex
	mails []flowhook.Message
}

func (m *mailbox) Send(_ context.Context, mail flowhook.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, mail)
	return nil
}

// take empties the mailbox.
func (m *mailbox) take() []flowhook.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	mails := m.mails
	m.mails = nil
	return mails
}

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// logbook is a log that tests read.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// signIn is how a host's login handler goes about it.
type signIn string

const (
	byComplete    signIn = "Complete"                    // the session is issued in save
	byRun         signIn = "Run after a save of its own" // the session is issued, then After runs
	byOwnSessions signIn = "sessions of the host's own"  // in a cookie of its own
)

// host is an auth service around a pipeline, as its owner would write it, on a real server.
type host struct {
	t        *testing.T
	pipeline *flowhook.Pipeline
	store    *hostStore
	mail     *mailbox
	clock    *clock
	log      *logbook
	srv      *httptest.Server
	signIn   signIn
	mu       sync.Mutex
	reached  []string // the handlers that were reached, by path
}

const secretYAML = "\nsecrets:\n  session: [a-secret-for-the-tests]\n"

// newHost starts a service with a file's text. Where the text has no secrets, it gets one.
func newHost(t *testing.T, text string, change ...func(h *host, o *flowhook.Options)) *host {
	t.Helper()
	h := &host{t: t, store: newHostStore(), mail: &mailbox{}, clock: newClock(), log: &logbook{}, signIn: byComplete}
	if !strings.Contains(text, "secrets:") {
		text += secretYAML
	}
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	o := flowhook.Options{Store: h.store, Courier: h.mail, VerificationURL: "https://auth.example/verify", Now: h.clock.Now,
		Logger: slog.New(slog.NewTextHandler(h.log, nil))}
	for _, c := range change {
		c(h, &o)
	}
	h.pipeline, err = flowhook.New(cfg, o)
	require.NoError(t, err)
	h.srv = httptest.NewTLSServer(h.routes())
	h.srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(h.log, nil), slog.LevelError)
	t.Cleanup(h.srv.Close)
	return h
}

func (h *host) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, flow flowhook.Flow, serve func(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange)) {
		mux.Handle(pattern, h.pipeline.Middleware(flow)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		h.done(w, false, h.pipeline.Sessions().End(r.Context(), x))
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
func (h *host) who(r *http.Request) (string, error) {
	if h.signIn == byOwnSessions {
		c, err := r.Cookie("own")
		if err != nil {
			return "", flowhook.ErrNoSession
		}
		s, err := h.store.FindSession(r.Context(), c.Value)
		if errors.Is(err, flowhook.ErrNotFound) {
			return "", flowhook.ErrNoSession
		}
		return s.IdentityID, err
	}
	s, err := h.pipeline.Sessions().FromRequest(r)
	if err != nil {
		return "", err
	}
	return s.IdentityID, nil
}

// issueOwn is a host's own way to sign somebody in.
func (h *host) issueOwn(ctx context.Context, x *flowhook.Exchange) error {
	id := "own-" + newID()
	s := flowhook.Session{ID: id, IdentityID: x.Identity.ID, IssuedAt: h.clock.Now(), ExpiresAt: h.clock.Now().Add(time.Hour)}
	if err := h.store.CreateSession(ctx, s); err != nil {
		return err
	}
	x.Session = &s
	http.SetCookie(x.Writer, &http.Cookie{Name: "own", Value: id, Path: "/", Secure: true, HttpOnly: true})
	return nil
}

// login signs in whoever ?user= names; the callback of a provider, at GET, may find that it is nobody yet.
func (h *host) login(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	strategy := flowhook.Strategy(r.PathValue("strategy"))
	u, known := h.store.User(r.Context(), r.FormValue("user"))
	if !known && strategy == flowhook.OIDC {
		h.pipeline.Middleware(flowhook.Registration)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.register(w, r, x)
		})).ServeHTTP(w, r)
		return
	}
	if !known {
		http.Error(w, "wrong user or password", http.StatusUnauthorized)
		return
	}
	x.Identity = u.identity()
	issue := h.pipeline.Sessions().Issue
	if h.signIn == byOwnSessions {
		issue = h.issueOwn
	}
	if h.signIn == byRun {
		err := issue(r.Context(), x)
		handled := false
		if err == nil {
			handled, err = h.pipeline.Run(r.Context(), flowhook.Login, flowhook.After, strategy)
		}
		h.done(w, handled, err)
		return
	}
	handled, err := h.pipeline.Complete(r.Context(), flowhook.Login, strategy, func(ctx context.Context) error { return issue(ctx, x) })
	h.done(w, handled, err)
}

func (h *host) register(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	strategy := flowhook.Strategy(r.PathValue("strategy"))
	u := user{ID: r.FormValue("user"), Email: r.FormValue("user") + "@example.org"}
	x.Identity = u.identity()
	handled, err := h.pipeline.Complete(r.Context(), flowhook.Registration, strategy, func(ctx context.Context) error {
		return h.store.SaveUser(ctx, u)
	})
	h.done(w, handled, err)
}

// settings changes the name, and the address where a new one is given.
func (h *host) settings(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	s, err := h.pipeline.Sessions().FromRequest(r)
	if err != nil {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	u, _ := h.store.User(r.Context(), s.IdentityID)
	u.Name = r.FormValue("name")
	if email := r.FormValue("email"); email != "" {
		u.Email, u.Verified = email, false
	}
	x.Identity, x.Session = u.identity(), s
	handled, err := h.pipeline.Complete(r.Context(), flowhook.Settings, flowhook.Strategy(r.PathValue("strategy")), func(ctx context.Context) error {
		return h.store.SaveUser(ctx, u)
	})
	h.done(w, handled, err)
}

// verification redeems ?token=.
func (h *host) verification(w http.ResponseWriter, r *http.Request, x *flowhook.Exchange) {
	handled, err := h.pipeline.Complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return h.pipeline.Redeem(ctx, r.FormValue("token"), func(ctx context.Context, v flowhook.VerificationToken) error {
			u, ok := h.store.User(ctx, v.IdentityID)
			if !ok || u.Email != v.Address.Value {
				return flowhook.ErrBadToken
			}
			u.Verified = true
			x.Identity = u.identity()
			return h.store.SaveUser(ctx, u)
		})
	})
	if errors.Is(err, flowhook.ErrBadToken) {
		http.Error(w, "this link is expired or already used", http.StatusGone)
		return
	}
	h.done(w, handled, err)
}

const errorPage = "something went wrong, nothing was changed"

func (h *host) done(w http.ResponseWriter, handled bool, err error) {
	switch {
	case handled:
	case err != nil:
		slog.New(slog.NewTextHandler(h.log, nil)).Error("the flow failed", "error", err)
		http.Error(w, errorPage, http.StatusInternalServerError)
	default:
		io.WriteString(w, "done")
	}
}

// handlers gives the handlers that were reached since the last call.
func (h *host) handlers() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	reached := h.reached
	h.reached = nil
	return reached
}

// browser is a client with a cookie jar that shows redirects instead of following them.
type browser struct {
	*http.Client
	h *host
}

func (h *host) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	return &browser{h: h, Client: &http.Client{Transport: h.srv.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

func (b *browser) get(path string) answer {
	b.h.t.Helper()
	res, err := b.Get(b.h.srv.URL + path)
	return b.read(res, err)
}

// post sends a form of the pairs.
func (b *browser) post(path string, pairs ...string) answer {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := b.PostForm(b.h.srv.URL+path, form)
	return b.read(res, err)
}

func (b *browser) read(res *http.Response, err error) answer {
	b.h.t.Helper()
	require.NoError(b.h.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(b.h.t, err)
	return answer{res, string(body)}
}

func (b *browser) who() string { b.h.t.Helper(); return b.get("/whoami").body }

// cookies gives those in the jar, by name.
func (b *browser) cookies() map[string]string {
	u, _ := url.Parse(b.h.srv.URL)
	m := map[string]string{}
	for _, c := range b.Jar.Cookies(u) {
		m[c.Name] = c.Value
	}
	return m
}
