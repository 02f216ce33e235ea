package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/gorilla/securecookie"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// The service's own flows, in addition to flowhook's.
const (
	signOutEverywhere flowhook.Flow = "sign_out_everywhere"
	confirmAddress    flowhook.Flow = "confirm_address" // sends the verification email again
	deleteAccount     flowhook.Flow = "delete_account"
)

// A service holds what the handlers need. It is safe for concurrent use. Several services may share
// one database.
type service struct {
	config        config
	log           *slog.Logger
	now           func() time.Time
	db            *database
	store         store
	pipeline      *flowhook.Pipeline
	recorder      *hookpage.Recorder // what the hooks did, for /debug/hooks
	metrics       *metrics
	stopping      atomic.Bool // readyz fails
	courier       flowhook.Courier
	passwords     *passwords
	limit         *ratelimit.RateLimit
	refusalRows   *rate.Limiter  // of rate_limit's refusals
	callbackRows  *rate.Limiter  // of callbacks that no provider has vouched for
	requestRows   *rate.Limiter  // of requests for emails
	proxyWarnings *rate.Limiter  // of X-Forwarded-For that is ignored
	recoveries    sync.WaitGroup // emails that are being queued by later
	recoveryTurns *semaphore.Weighted
	pages         *pages
	kept          securecookie.Codec
	providers     []*provider        // the OpenID providers, in the order of the buttons
	codec         securecookie.Codec // of the cookies around sign-ins with a provider
	inbox         http.Handler       // serves /dev/mail/; nil if there is no development inbox
}

// newService makes a service. The tables must exist.
func newService(c config, db *database, courier flowhook.Courier, inbox http.Handler,
	log *slog.Logger) (*service, error) {
	s := &service{config: c, log: log, now: time.Now, db: db, courier: courier, inbox: inbox,
		refusalRows: newRefusalRows(), callbackRows: newRefusalRows(), requestRows: newRefusalRows(),
		proxyWarnings: rate.NewLimiter(rate.Every(time.Minute), 1),
		recoveryTurns: semaphore.NewWeighted(recoveriesAtOnce), recorder: hookpage.NewRecorder(),
		kept: newKeptCodec(c.KeptKey), codec: newCookieCodec(c.OIDCKey)}
	for _, one := range c.Providers {
		p := newProvider(one, c.PublicURL)
		p.now = func() time.Time { return s.now() }
		s.providers = append(s.providers, p)
	}
	var err error
	if s.store, err = db.newStore(sqlstore.Options{AnswerTimeout: c.Limits.answer}); err != nil {
		return nil, err
	}
	if s.passwords, err = newPasswords(); err != nil {
		return nil, err
	}
	if s.pages, err = newPages(log, c.Brand, s.providers, template.FuncMap{
		"providers": func() []*provider { return s.providers },
		"inbox":     func() bool { return s.inbox != nil },
		"code":      func(flow string) bool { return s.usesCode(flowhook.Flow(flow)) },
	}); err != nil {
		return nil, err
	}
	if s.limit, err = s.newRateLimit(); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(); err != nil {
		return nil, err
	}
	if err := errors.Join(s.watchQueue(), s.watchConfig()); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	hooks, err := c.loadHooks()
	if err != nil {
		return nil, fmt.Errorf("AUTH_CONFIG: %w", err)
	}
	s.pipeline, err = flowhook.New(hooks, s.options())
	return s, err
}

// options returns the options of the pipeline.
func (s *service) options() flowhook.Options {
	return flowhook.Options{
		Store: s.store,
		Hooks: map[string]flowhook.HookFactory{"audit": s.newAudit, "rate_limit": s.limit.Factory,
			"new_device": s.newNewDevice},
		Flows:           []flowhook.Flow{signOutEverywhere, confirmAddress, deleteAccount},
		Secrets:         s.config.Secrets, // empty if the file has them
		Courier:         brandedCourier{s},
		Outbox:          true, // the queue is in the same database
		VerificationURL: s.config.PublicURL + "/verify",
		RecoveryURL:     s.config.PublicURL + "/recovery/new",
		Wrap:            s.wrapHook,
		Logger:          s.log,
		Now:             func() time.Time { return s.now() },
		OnError:         s.beforeFailed,
	}
}

// maxAttempts is how often a transaction that conflicts is attempted.
const maxAttempts = 5

// complete calls the pipeline's Complete, and again after a deadlock or a serialization failure.
//
// Retrying is safe after such an error: nothing was saved, and Complete has restored the exchange
// and the header. Everything that save does here is in the transaction, email included. What cannot
// be repeated, such as redeeming a provider's code, happens earlier. After any other error a retry
// is unsafe: an interrupted commit may have taken effect. The hooks at failed run for each attempt,
// so the audit log shows them all.
func (s *service) complete(ctx context.Context, flow flowhook.Flow, strategy flowhook.Strategy,
	save func(ctx context.Context) error) (handled bool, err error) {
	err = s.retry(ctx, func() error {
		handled, err = s.pipeline.Complete(ctx, flow, strategy, save)
		return err
	})
	return handled, err
}

// transaction runs fn in a transaction of the store and retries conflicts, as complete does.
func (s *service) transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	return s.retry(ctx, func() error { return s.store.Transaction(ctx, identityID, fn) })
}

func (s *service) retry(ctx context.Context, try func() error) (err error) {
	for attempt := range maxAttempts {
		if err = try(); !sqlstore.IsConflict(err) {
			return err
		}
		select { // a random delay, so that the same requests do not conflict again
		case <-time.After(time.Duration(rand.IntN(20<<attempt)) * time.Millisecond):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return err
		}
	}
	return err
}

// runFailed runs the hooks at failed when a flow ends before Complete. It reports whether one of
// them answered.
func (s *service) runFailed(ctx context.Context, x *flowhook.Exchange, flow flowhook.Flow, strategy flowhook.Strategy,
	cause error) (handled bool) {
	x.Err = cause
	handled, err := s.pipeline.Run(ctx, flow, flowhook.Failed, strategy)
	if err != nil {
		s.log.ErrorContext(ctx, "a hook at failed returned an error", "flow", string(flow), "error", err)
	}
	return handled
}

// issue signs x.Identity in. The login handlers call it in their save: in the transaction, so that
// the list of sessions is always complete. The session hook does the same; see wrapHook.
func (s *service) issue(ctx context.Context, x *flowhook.Exchange) error {
	if err := s.pipeline.Sessions().Issue(ctx, x); err != nil {
		return err
	}
	return s.signedInNow(ctx, x)
}

// exchange returns the exchange that Middleware put into the request's context.
func exchange(r *http.Request) *flowhook.Exchange { return flowhook.MustFromContext(r.Context()) }

// show renders a public page, with the header for the signed-in user, if any. If the user cannot be
// determined within a second, it renders the header for visitors, because the page itself does not
// need the database.
func (s *service) show(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.User = s.visitor(r)
	s.pages.render(w, r, status, name, p)
}

// visitor returns the signed-in user. It returns nil if there is none or if the lookup fails or
// takes longer than a second.
func (s *service) visitor(r *http.Request) *user {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	u, _, err := s.current(r.WithContext(ctx))
	if err != nil {
		return nil
	}
	return &u
}

// signedIn returns the signed-in user. If there is none, if the lookup fails, or if the request is a
// form of another account, it answers the request and returns false.
func (s *service) signedIn(w http.ResponseWriter, r *http.Request) (u user, session *flowhook.Session, ok bool) {
	u, session, err := s.current(r)
	switch {
	case errors.Is(err, flowhook.ErrNoSession):
		s.toSignIn(w, r)
	case err != nil:
		s.fail(w, r, err)
	case ofAnother(r, u):
		s.pages.render(w, r, http.StatusConflict, "error", page{Title: "You have changed accounts", User: &u,
			Data: "Nothing was changed. The form that you sent belongs to another account, but you are signed in as " +
				u.Email + " now. To change the other account, sign out and sign in to it again."})
	default:
		return u, session, true
	}
	return user{}, nil, false
}

// accountField is the hidden field with the ID of the account that a form changes.
const accountField = "account"

// ofAnother reports whether a form belongs to another account than that of u: it was still open in
// another tab when u signed in.
func ofAnother(r *http.Request, u user) bool {
	return r.PostForm.Has(accountField) && r.PostForm.Get(accountField) != u.ID
}

// current returns the signed-in user and the session, or flowhook.ErrNoSession.
func (s *service) current(r *http.Request) (user, *flowhook.Session, error) {
	session, err := s.pipeline.Sessions().FromRequest(r)
	if err != nil {
		return user{}, nil, err
	}
	u, err := s.db.userByID(r.Context(), session.IdentityID)
	if errors.Is(err, errNoUser) {
		return user{}, nil, flowhook.ErrNoSession
	}
	if err == nil {
		setUser(r.Context(), u.ID)
	}
	return u, session, err
}

// checkSession returns flowhook.ErrNoSession if the session no longer exists in the transaction of
// ctx. It may have been ended elsewhere after the handler read it; then the request must not change
// anything.
func (s *service) checkSession(ctx context.Context, session *flowhook.Session) error {
	_, err := s.store.FindSession(ctx, session.ID)
	if errors.Is(err, flowhook.ErrNotFound) {
		return flowhook.ErrNoSession
	}
	return err
}
