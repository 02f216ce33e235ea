package flowhook

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/stage"
	"github.com/flowhook/flowhook/internal/token"
)

// newSession makes the session hook: it signs the user in, by issue.
func newSession(issue func(ctx context.Context, x *Exchange) error) Hook {
	return HookFunc(func(ctx context.Context, x *Exchange) error {
		if x.identityID() == "" {
			return ErrNoIdentity
		}
		if x.marks.issuedTo == x.Identity.ID {
			return nil // by save, or by this hook at another point
		}
		if err := issue(ctx, x); err != nil {
			return err
		}
		x.marks.issuedTo = x.Identity.ID
		return nil
	})
}

// Sessions gives the pipeline's sessions. It is never nil.
func (p *Pipeline) Sessions() *Sessions { return p.sessions }

// Sessions issues, finds and ends sessions. What a client carries is a token: the session's ID, signed. What is stored
// is the session; every read goes to the store, so that a revoked session is dead at once.
//
// It is safe for concurrent use, with different exchanges. Secrets and settings are those that the exchange is served by,
// also where it is in the context of a request; without an exchange, the current ones. Where the pipeline has no
// [SessionStore], or no secrets, all methods return ErrNotConfigured.
type Sessions struct {
	pipeline *Pipeline
	store    SessionStore // nil: there is none
}

// tokens are how sessions are carried and how long they last: what a configuration says of them.
type tokens struct {
	*token.Carrier
	lifespan time.Duration
}

// configured gives what x, which may be nil, is served by.
func (s *Sessions) configured(x *Exchange) (*tokens, error) {
	if s.store != nil {
		if t := s.pipeline.plan(x).tokens; t != nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: sessions need a SessionStore and secrets", ErrNotConfigured)
}

// mute returns an error if no cookie can reach the client. Ask it before anything is stored.
func (x *Exchange) mute() error {
	switch {
	case x.Writer == nil || x.run.busy && stage.Real(x.run.stage) == nil:
		return fmt.Errorf("%w: it has no Writer, so no cookie can be sent", ErrNoExchange)
	case x.guard.Begun():
		return fmt.Errorf("%w: the response has already begun, so no cookie can be sent", ErrAnswered)
	case x.run.busy && x.run.succeeded:
		return errTooLate
	}
	return nil
}

// Issue is Create, and the cookie that carries the token: HttpOnly, Secure, SameSite=Lax and named __Host-session unless
// the file says otherwise (OWASP ASVS 5.0, 3.3). Within a run, ctx must be the one that the hook, or save, was given. A hook
// at Before or BeforePersist is in no transaction: a session that it issues stays, even if the flow then fails.
// Without x.Writer it is ErrNoExchange; in a function of AfterCommit it is an error too.
func (s *Sessions) Issue(ctx context.Context, x *Exchange) error {
	t, err := s.configured(x)
	if err != nil {
		return err
	}
	if err := x.mute(); err != nil {
		return err
	}
	token, err := s.Create(ctx, x)
	if err != nil {
		return err
	}
	t.Set(x.Writer.Header(), token)
	return nil
}

// Create makes a session for x.Identity, sets x.Session and gives the token, for clients that carry it themselves.
//
// The session has a new ID of 130 random bits. The one that the request came with in its cookie, and x.Session, are
// ended, in the same transaction: what an attacker planted, or saw, before the sign-in is worth nothing after it (OWASP
// ASVS 5.0, 7.2.4). Errors: ErrNoIdentity, ErrNotConfigured, and those of the store.
func (s *Sessions) Create(ctx context.Context, x *Exchange) (token string, err error) {
	t, err := s.configured(x)
	switch {
	case err != nil:
		return "", err
	case x.outside(ctx) || x.within(ctx):
		return "", errOutside
	case x.identityID() == "":
		return "", ErrNoIdentity
	}
	if err := s.pipeline.own(x); err != nil {
		return "", err
	}
	now := s.pipeline.now().UTC().Truncate(time.Microsecond)
	fresh := Session{ID: rand.Text(), IdentityID: x.Identity.ID, AuthenticatedAt: now, IssuedAt: now, ExpiresAt: now.Add(t.lifespan)}
	if token, err = t.Sign(fresh.ID); err != nil {
		return "", fmt.Errorf("flowhook: signing a session token: %w", err)
	}
	if err = s.replace(ctx, fresh.IdentityID, t.current(x), &fresh); err != nil {
		return "", fmt.Errorf("flowhook: issuing a session: %w", err)
	}
	x.Session, x.marks.issuedTo = &fresh, fresh.IdentityID
	return token, nil
}

// End signs the user out: the session that the request came with in its cookie, and x.Session, are deleted, the cookie is
// taken back, and x.Session is nil. A request without a session is no error. Within a run, ctx must be the one that the
// hook, or save, was given. Without x.Writer it is ErrNoExchange; in a function of AfterCommit it is an error too.
func (s *Sessions) End(ctx context.Context, x *Exchange) error {
	t, err := s.configured(x)
	if err != nil {
		return err
	}
	if err := x.mute(); err != nil {
		return err
	}
	if x.outside(ctx) || x.within(ctx) {
		return errOutside
	}
	if err := s.pipeline.own(x); err != nil {
		return err
	}
	owner := x.identityID()
	if x.Session != nil {
		owner = x.Session.IdentityID
	}
	if err := s.replace(ctx, owner, t.current(x), nil); err != nil {
		return fmt.Errorf("flowhook: ending a session: %w", err)
	}
	x.Session, x.marks.issuedTo = nil, ""
	t.TakeBack(x.Writer.Header())
	return nil
}

// FromRequest gives the session that the request's cookie stands for. ErrNoSession: the request is anonymous, because it
// has no cookie, one that is not genuine, one whose session is over, or two of the name, of which nobody can say which
// one is the user's. Any other error: the store is in trouble, or the request's context has ended.
func (s *Sessions) FromRequest(r *http.Request) (*Session, error) {
	x, _ := FromContext(r.Context())
	t, err := s.configured(x)
	if err != nil {
		return nil, err
	}
	id, ok := t.FromRequest(r)
	if !ok {
		return nil, ErrNoSession
	}
	return s.find(r.Context(), id)
}

// FromToken gives the session that a token of Create stands for, for clients that send it as a bearer token. Its errors
// are those of FromRequest.
func (s *Sessions) FromToken(ctx context.Context, token string) (*Session, error) {
	x, _ := FromContext(ctx)
	t, err := s.configured(x)
	if err != nil {
		return nil, err
	}
	id, ok := t.Verify(token)
	if !ok {
		return nil, ErrNoSession
	}
	return s.find(ctx, id)
}

// find gives the session with a verified ID.
func (s *Sessions) find(ctx context.Context, id string) (*Session, error) {
	found, err := s.store.FindSession(ctx, id)
	switch {
	case is(err, ErrNotFound):
		return nil, ErrNoSession
	case err != nil:
		return nil, fmt.Errorf("flowhook: finding a session: %w", err)
	case found.ID != id || s.pipeline.now().UnixMicro() >= found.ExpiresAt.UnixMicro():
		return nil, ErrNoSession
	}
	return &found, nil
}

// current gives the IDs of the sessions that an exchange came with: at most two.
func (t *tokens) current(x *Exchange) (ids []string) {
	if x.Request != nil {
		if id, ok := t.FromRequest(x.Request); ok {
			ids = append(ids, id)
		}
	}
	if x.Session != nil && !slices.Contains(ids, x.Session.ID) {
		ids = append(ids, x.Session.ID)
	}
	return ids
}

// replace deletes the old sessions and stores the fresh one, if there is one, together. One call needs no transaction.
func (s *Sessions) replace(ctx context.Context, owner string, old []string, fresh *Session) error {
	if len(old) == 0 {
		if fresh == nil {
			return nil
		}
		return s.store.CreateSession(ctx, *fresh)
	}
	return s.pipeline.store.Transaction(ctx, owner, func(ctx context.Context) error {
		for _, id := range old {
			if err := s.store.DeleteSession(ctx, id); err != nil {
				return err
			}
		}
		return s.replace(ctx, owner, nil, fresh)
	})
}
