package acceptance_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

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
	saves  func(ctx context.Context) error // called at the end of save
	runs   bool                            // settings call Run instead of Complete
	hides  bool                            // settings do not set x.Previous
	trusts bool                            // settings call every address verified
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
		x.Identity.Addresses[i].Verified = x.Identity.Addresses[i].Verified || s.trusts
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
