package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// The service's own flows, beside those that flowhook knows.
const (
	signOutEverywhere flowhook.Flow = "sign_out_everywhere"
	confirmAddress    flowhook.Flow = "confirm_address" // the mail with the link, once more
)

// A service is all that the handlers need. It is safe for concurrent use, and several may share one database.
type service struct {
	config    config
	log       *slog.Logger
	now       func() time.Time
	db        *database
	store     *sqlstore.Store
	pipeline  *flowhook.Pipeline
	recorder  *hookpage.Recorder // what the hooks did, for /debug/hooks
	courier   flowhook.Courier
	passwords *passwords
	tallies   *tallies // of the hook brake; here, so that they outlive a reload
	pages     *pages
	oidc      *provider    // nil: nobody signs in by a provider
	inbox     http.Handler // of /dev/mail; nil: there is none
}

// newService expects that the tables are there.
func newService(c config, db *database, courier flowhook.Courier, oidc *provider, inbox http.Handler, log *slog.Logger) (*service, error) {
	s := &service{config: c, log: log, now: time.Now, db: db, courier: courier, oidc: oidc, inbox: inbox, tallies: newTallies(), recorder: hookpage.NewRecorder()}
	if oidc != nil {
		oidc.now = func() time.Time { return s.now() }
	}
	var err error
	if s.store, err = sqlstore.New(db.DB, db.dialect); err != nil {
		return nil, err
	}
	if s.passwords, err = newPasswords(); err != nil {
		return nil, err
	}
	if s.pages, err = newPages(log, template.FuncMap{
		"provider": func() string { return s.oidc.name() },
		"inbox":    func() bool { return s.inbox != nil },
		"slug":     func(path string) string { return strings.ReplaceAll(strings.Trim(path, "/"), "/", "-") },
	}); err != nil {
		return nil, err
	}
	hooks, err := flowhook.LoadConfig(c.AuthConfig)
	if err != nil {
		return nil, fmt.Errorf("AUTH_CONFIG: %w", err)
	}
	s.pipeline, err = flowhook.New(hooks, flowhook.Options{
		Store:           s.store,
		Hooks:           map[string]flowhook.HookFactory{"audit": s.newAudit, "brake": s.newBrake, "new_device": s.newNewDevice},
		Flows:           []flowhook.Flow{signOutEverywhere, confirmAddress},
		Secrets:         c.Secrets, // none where the file has them
		Issue:           s.issue,
		Courier:         courier,
		Outbox:          true, // the queue is in the same database
		VerificationURL: c.PublicURL + "/verify",
		Wrap:            s.wrapHook,
		Logger:          log,
		Now:             func() time.Time { return s.now() },
		OnError:         s.fail,
	})
	return s, err
}

// attempts is how often a conflict is tried again.
const attempts = 5

// complete is the pipeline's Complete, tried again where the database had to break a deadlock or could not serialise.
//
// That is right because such an error says that nothing was saved, Complete has restored the exchange and the header, and
// everything that save does here is in the transaction, mail included: there is nothing that would be done twice. What
// cannot be repeated (a provider's code, which works once) is done before. It is not right for any other error: a commit
// that was cut off may have taken effect. The hooks at failed run for each attempt, so the audit log shows them all.
func (s *service) complete(ctx context.Context, flow flowhook.Flow, strategy flowhook.Strategy, save func(ctx context.Context) error) (handled bool, err error) {
	err = s.retry(ctx, func() error {
		handled, err = s.pipeline.Complete(ctx, flow, strategy, save)
		return err
	})
	return handled, err
}

// transaction is the store's, tried again likewise. The same holds of fn as of save.
func (s *service) transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	return s.retry(ctx, func() error { return s.store.Transaction(ctx, identityID, fn) })
}

func (s *service) retry(ctx context.Context, try func() error) (err error) {
	for attempt := range attempts {
		if err = try(); !sqlstore.IsConflict(err) {
			return err
		}
		select { // not all at the same time
		case <-time.After(time.Duration(rand.IntN(20<<attempt)) * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// refused runs the hooks at failed where a flow ends before there is anything to complete. handled: one of them has answered.
func (s *service) refused(ctx context.Context, x *flowhook.Exchange, flow flowhook.Flow, strategy flowhook.Strategy, why error) (handled bool) {
	x.Err = why
	handled, err := s.pipeline.Run(ctx, flow, flowhook.Failed, strategy)
	if err != nil {
		s.log.ErrorContext(ctx, "the hooks at failed have failed", "flow", string(flow), "error", err)
	}
	return handled
}

// issue signs x.Identity in. It is what the session hook does, and what the handlers of login do in their save: within the
// transaction, so that the list of sessions always knows of each.
func (s *service) issue(ctx context.Context, x *flowhook.Exchange) error {
	if err := s.pipeline.Sessions().Issue(ctx, x); err != nil {
		return err
	}
	return s.db.insertSignIn(ctx, *x.Session, client(x.Request))
}

// exchange returns the exchange that Middleware put into the request's context.
func exchange(r *http.Request) *flowhook.Exchange { return flowhook.MustFromContext(r.Context()) }

// show renders a page that anybody may see, with the header of who is signed in. If that cannot be found out, the header is
// the one of who is not: the page itself needs no database, so it does not wait for one either. The page of a
// failure asks for nobody, see fail.
func (s *service) show(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	p.User = s.visitor(r)
	s.pages.render(w, r, status, name, p)
}

// visitor gives who is signed in; nil: nobody, or it could not be found out within a second.
func (s *service) visitor(r *http.Request) *user {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	u, _, err := s.current(r.WithContext(ctx))
	if err != nil {
		return nil
	}
	return &u
}

// signedIn gives who is signed in. Where nobody is, and where something went wrong, it has answered.
func (s *service) signedIn(w http.ResponseWriter, r *http.Request) (u user, session *flowhook.Session, ok bool) {
	u, session, err := s.current(r)
	switch {
	case errors.Is(err, flowhook.ErrNoSession):
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	case err != nil:
		s.fail(w, r, err)
	default:
		return u, session, true
	}
	return user{}, nil, false
}

// current gives who is signed in, or flowhook.ErrNoSession.
func (s *service) current(r *http.Request) (user, *flowhook.Session, error) {
	session, err := s.pipeline.Sessions().FromRequest(r)
	if err != nil {
		return user{}, nil, err
	}
	u, err := s.db.userByID(r.Context(), session.IdentityID)
	if errors.Is(err, errNoUser) {
		return user{}, nil, flowhook.ErrNoSession
	}
	return u, session, err
}

// still says, in the transaction of ctx, whether a session is good: between the look at the request and the transaction it
// may have been ended elsewhere, and what it asks for then is not to be done.
func (s *service) still(ctx context.Context, session *flowhook.Session) error {
	_, err := s.store.FindSession(ctx, session.ID)
	if errors.Is(err, flowhook.ErrNotFound) {
		return flowhook.ErrNoSession
	}
	return err
}
