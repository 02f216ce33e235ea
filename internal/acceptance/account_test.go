package acceptance_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// An accountStore is a memstore with a table of the host's own: the addresses of each account. It
// remembers what was stored and fails where a test tells it to.
type accountStore struct {
	*memstore.Store

	mu       sync.Mutex
	accounts map[string][]flowhook.Address // committed
	sessions []string                      // the IDs of all sessions that were created, also in vain
	tokens   []flowhook.Token              // likewise
	calls    map[string]int                // by method
	fail     map[string]error              // by method
}

func newAccountStore() *accountStore {
	return &accountStore{Store: memstore.New(), accounts: map[string][]flowhook.Address{},
		calls: map[string]int{}, fail: map[string]error{}}
}

// call counts a call and returns the error that the test wants.
func (s *accountStore) call(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[method]++
	return s.fail[method]
}

// count returns how often a method was called since the last count of it.
func (s *accountStore) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.calls[method]
	delete(s.calls, method)
	return n
}

// failing makes a method fail, or lets it work again if err is nil.
func (s *accountStore) failing(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[method] = err
}

type pendingAccountsKey struct{}

func (s *accountStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if err := s.call("Transaction"); err != nil {
		return err
	}
	if ctx.Value(pendingAccountsKey{}) != nil {
		return s.Store.Transaction(ctx, id, fn)
	}
	pending := map[string][]flowhook.Address{}
	ctx = context.WithValue(ctx, pendingAccountsKey{}, pending)
	return s.Store.Transaction(ctx, id, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		maps.Copy(s.accounts, pending)
		return nil
	})
}

func (s *accountStore) CreateSession(ctx context.Context, v flowhook.Session) error {
	if err := s.call("CreateSession"); err != nil {
		return err
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, v.ID)
	s.mu.Unlock()
	return s.Store.CreateSession(ctx, v)
}

func (s *accountStore) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
	if err := s.call("CreateToken"); err != nil {
		return false, err
	}
	created, err := s.Store.CreateToken(ctx, v, notSince)
	if created {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tokens = append(s.tokens, v)
	}
	return created, err
}

func (s *accountStore) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (flowhook.Token, error) {
	if err := s.call("ConsumeToken"); err != nil {
		return flowhook.Token{}, err
	}
	return s.Store.ConsumeToken(ctx, p, hash, now)
}

func (s *accountStore) DeleteToken(ctx context.Context, hash []byte) error {
	if err := s.call("DeleteToken"); err != nil {
		return err
	}
	return s.Store.DeleteToken(ctx, hash)
}

func (s *accountStore) CountAttempt(
	ctx context.Context, p flowhook.Purpose, id string, a flowhook.Address, now time.Time,
) (int, error) {
	if err := s.call("CountAttempt"); err != nil {
		return 0, err
	}
	return s.Store.CountAttempt(ctx, p, id, a, now)
}

// save writes the addresses of an account, in the transaction of ctx if there is one.
func (s *accountStore) save(ctx context.Context, id string, addresses []flowhook.Address) {
	if pending, ok := ctx.Value(pendingAccountsKey{}).(map[string][]flowhook.Address); ok {
		pending[id] = slices.Clone(addresses)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id] = slices.Clone(addresses)
}

// addresses returns the addresses of an account, as the transaction of ctx sees them.
func (s *accountStore) addresses(ctx context.Context, id string) []flowhook.Address {
	if pending, ok := ctx.Value(pendingAccountsKey{}).(map[string][]flowhook.Address); ok && pending[id] != nil {
		return slices.Clone(pending[id])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accounts[id])
}

// taken reports whether another account has the address.
func (s *accountStore) taken(id string, a flowhook.Address) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, addresses := range s.accounts {
		if other != id && indexOf(addresses, a) >= 0 {
			return true
		}
	}
	return false
}

// indexOf returns where the list has the address, verified or not, or -1.
func indexOf(list []flowhook.Address, a flowhook.Address) int {
	return slices.IndexFunc(list, func(b flowhook.Address) bool { return a.Via == b.Via && a.Value == b.Value })
}

// liveSessions returns the IDs of the sessions in the store.
func (s *accountStore) liveSessions(t testing.TB) (ids []string) {
	t.Helper()
	s.mu.Lock()
	all := slices.Clone(s.sessions)
	s.mu.Unlock()
	for _, id := range all {
		if _, err := s.Store.FindSession(t.Context(), id); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

var errRollBack = errors.New("roll back")

// liveTokens returns the tokens in the store that have not expired, used or not.
func (s *accountStore) liveTokens(t testing.TB, now time.Time) (live []flowhook.Token) {
	t.Helper()
	s.mu.Lock()
	all := slices.Clone(s.tokens)
	s.mu.Unlock()
	err := s.Store.Transaction(t.Context(), "", func(ctx context.Context) error {
		for _, v := range all {
			if _, err := s.Store.ConsumeToken(ctx, v.Purpose, v.Hash, now); err == nil || errors.Is(err, flowhook.ErrUsedToken) {
				live = append(live, v)
			}
		}
		return errRollBack
	})
	require.ErrorIs(t, err, errRollBack)
	return live
}

// An accountService is a service on a real server whose users have any number of addresses.
type accountService struct {
	t        testing.TB
	pipeline *flowhook.Pipeline
	store    *accountStore
	mail     *flowtest.Mailbox
	clock    *flowtest.Clock
	log      *flowtest.LogBuffer
	server   *httptest.Server

	// A test may set these before it sends a request.
	saves func(ctx context.Context) error // called at the end of save
	runs  bool                            // settings call Run instead of Complete
	hides bool                            // settings do not set x.Previous
}

const accountSecret = "an-account-service-secret"

// newAccountService starts a service with the text of a file.
func newAccountService(
	t testing.TB, text string, change ...func(s *accountService, o *flowhook.Options),
) *accountService {
	t.Helper()
	s := &accountService{t: t, store: newAccountStore(), mail: &flowtest.Mailbox{}, clock: flowtest.NewClock(),
		log: &flowtest.LogBuffer{}}
	o := flowhook.Options{Store: s.store, Courier: s.mail, Now: s.clock.Now, Secrets: []string{accountSecret},
		Strategies:      []flowhook.Strategy{"magic"},
		VerificationURL: "https://auth.example/verify", RecoveryURL: "https://auth.example/recover",
		Logger: slog.New(slog.NewTextHandler(s.log, nil))}
	for _, c := range change {
		c(s, &o)
	}
	var err error
	s.pipeline, err = flowhook.New(flowtest.Parse(t, text), o)
	require.NoError(t, err)
	mux := http.NewServeMux()
	route := func(pattern string, flow flowhook.Flow, serve http.HandlerFunc) {
		mux.Handle(pattern, s.pipeline.Middleware(flow)(serve))
	}
	route("POST /login", flowhook.Login, s.login)
	route("POST /registration", flowhook.Registration, s.register)
	route("POST /settings", flowhook.Settings, s.settings)
	route("POST /code", flowhook.Recovery, s.code)
	route("POST /recovery", flowhook.Recovery, s.recover)
	mux.HandleFunc("POST /redeem", s.redeem)
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		if session, err := s.pipeline.Sessions().FromRequest(r); err == nil {
			io.WriteString(w, session.IdentityID)
		}
	})
	s.server = httptest.NewTLSServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// identity returns the identity of an account.
func (s *accountService) identity(ctx context.Context, id string) *flowhook.Identity {
	return &flowhook.Identity{ID: id, Addresses: s.store.addresses(ctx, id)}
}

// finish answers a request whose flow has ended.
func (s *accountService) finish(w http.ResponseWriter, r *http.Request, handled bool, err error) {
	switch {
	case handled:
	case err != nil:
		s.pipeline.AnswerError(w, r, err)
	default:
		io.WriteString(w, "done")
	}
}

// save writes the addresses of the identity.
func (s *accountService) save(ctx context.Context) error {
	x := flowhook.MustFromContext(ctx)
	s.store.save(ctx, x.Identity.ID, x.Identity.Addresses)
	if s.saves != nil {
		return s.saves(ctx)
	}
	return nil
}

// login signs in the user that the form names, with a strategy.
func (s *accountService) login(w http.ResponseWriter, r *http.Request) {
	flowhook.MustFromContext(r.Context()).Identity = s.identity(r.Context(), r.FormValue("user"))
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Strategy(r.FormValue("strategy")), nil)
	s.finish(w, r, handled, err)
}

// register creates an account with the addresses in the form.
func (s *accountService) register(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	x.Identity = &flowhook.Identity{ID: r.FormValue("user"), Addresses: emails(r.PostForm["address"]...)}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Registration, flowhook.Password, s.save)
	s.finish(w, r, handled, err)
}

// settings gives the user the addresses in the form. Those that the account has already stay
// verified.
func (s *accountService) settings(w http.ResponseWriter, r *http.Request) {
	session, err := s.pipeline.Sessions().FromRequest(r)
	if err != nil {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	x, before := flowhook.MustFromContext(r.Context()), s.identity(r.Context(), session.IdentityID)
	if !s.hides {
		x.Previous = before
	}
	r.FormValue("address") // parses the form
	x.Session, x.Identity = session, &flowhook.Identity{ID: before.ID, Addresses: emails(r.PostForm["address"]...)}
	for i, a := range x.Identity.Addresses {
		if k := indexOf(before.Addresses, a); k >= 0 {
			x.Identity.Addresses[i] = before.Addresses[k]
		}
	}
	if !s.runs {
		handled, err := s.pipeline.Complete(r.Context(), flowhook.Settings, flowhook.Profile, s.save)
		s.finish(w, r, handled, err)
		return
	}
	handled, err := s.pipeline.Run(r.Context(), flowhook.Settings, flowhook.BeforePersist, flowhook.Profile)
	if err == nil && !handled {
		err = s.save(r.Context())
	}
	if err == nil && !handled {
		handled, err = s.pipeline.Run(r.Context(), flowhook.Settings, flowhook.After, flowhook.Profile)
	}
	s.finish(w, r, handled, err)
}

// redeem redeems the link of a verification or of a change.
func (s *accountService) redeem(w http.ResponseWriter, r *http.Request) {
	s.finish(w, r, false, s.pipeline.Redeem(r.Context(), r.FormValue("token"), s.confirm))
}

// recover redeems the link of a recovery email and signs the user in.
func (s *accountService) recover(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Recovery, flowhook.Link, func(ctx context.Context) error {
		return s.pipeline.RedeemRecovery(ctx, r.FormValue("token"), func(ctx context.Context, v flowhook.Token) error {
			x.Identity = s.identity(ctx, v.IdentityID)
			return s.confirm(ctx, v)
		})
	})
	s.finish(w, r, handled, err)
}

// code redeems the code in the form. It signs in a user who recovers an account.
func (s *accountService) code(w http.ResponseWriter, r *http.Request) {
	purpose, user := flowhook.Purpose(r.FormValue("purpose")), r.FormValue("user")
	err := s.pipeline.RedeemCode(r.Context(), purpose, user, emails(r.FormValue("address"))[0], r.FormValue("code"),
		s.confirm)
	handled := false
	if err == nil && purpose == flowhook.PurposeRecovery {
		flowhook.MustFromContext(r.Context()).Identity = s.identity(r.Context(), user)
		handled, err = s.pipeline.Complete(r.Context(), flowhook.Recovery, flowhook.Code, nil)
	}
	s.finish(w, r, handled, err)
}

// confirm does what a token says, as the documentation of Redeem asks.
func (s *accountService) confirm(ctx context.Context, v flowhook.Token) error {
	list := s.store.addresses(ctx, v.IdentityID)
	if v.Purpose != flowhook.PurposeAddressChange {
		i := indexOf(list, v.Address)
		if i < 0 {
			return flowhook.ErrBadToken
		}
		list[i].Verified = true
		s.store.save(ctx, v.IdentityID, list)
		return nil
	}
	c, err := v.Change()
	if err != nil {
		return err
	}
	if s.store.taken(v.IdentityID, c.To) {
		return flowhook.ErrBadToken
	}
	c.To.Verified = true
	i := indexOf(list, c.From)
	switch {
	case c.Undo:
		if i < 0 {
			i = max(0, indexOf(list, c.To))
		}
		list[i] = c.To
		if err := s.store.DeleteSessions(ctx, v.IdentityID, ""); err != nil {
			return err
		}
	case c.From == flowhook.Address{}:
		list = append(list, c.To)
	case i < 0:
		return flowhook.ErrBadToken
	default:
		list[i] = c.To
	}
	s.store.save(ctx, v.IdentityID, list)
	return nil
}

// emails returns unverified email addresses.
func emails(values ...string) (list []flowhook.Address) {
	for _, v := range values {
		list = append(list, flowhook.Address{Via: "email", Value: v})
	}
	return list
}

// verified returns a verified email address.
func verified(value string) flowhook.Address {
	return flowhook.Address{Via: "email", Value: value, Verified: true}
}

// A visitor is a client with a cookie jar. It returns redirects instead of following them.
type visitor struct {
	service *accountService
	client  *http.Client
	accept  string // the Accept header; may be empty
}

func (s *accountService) visitor(accept string) *visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &visitor{s, &http.Client{Transport: s.server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, accept}
}

// post posts a form of name-value pairs.
func (v *visitor) post(path string, pairs ...string) flowtest.Answer {
	v.service.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.send(http.MethodPost, path, form.Encode())
}

func (v *visitor) send(method, path, body string) flowtest.Answer {
	t := v.service.t
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, v.service.server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if v.accept != "" {
		r.Header.Set("Accept", v.accept)
	}
	res, err := v.client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return flowtest.Answer{Response: res, Text: string(text)}
}

// whoami returns the identity that the client is signed in as, or "".
func (v *visitor) whoami() string {
	v.service.t.Helper()
	return v.send(http.MethodGet, "/whoami", "").Text
}

// secretIn returns the secret of the link in an email.
func secretIn(t testing.TB, m flowhook.Message) string {
	t.Helper()
	u, err := url.Parse(m.Link)
	require.NoError(t, err)
	require.Len(t, u.Query().Get("token"), 43)
	return u.Query().Get("token")
}

// recipients returns whom messages go to, sorted.
func recipients(messages []flowhook.Message) (to []string) {
	for _, m := range messages {
		to = append(to, m.To)
	}
	slices.Sort(to)
	return to
}
