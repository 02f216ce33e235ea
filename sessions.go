package flowhook

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/stage"
	"github.com/flowhook/flowhook/internal/token"
)

// Sessions returns the pipeline's sessions. It is never nil.
func (p *Pipeline) Sessions() *Sessions { return p.sessions }

// Sessions issues, finds and ends sessions. A client carries a token, which is the session's ID
// with a signature. The session itself is in the store. Every read goes to the store, so that a
// revoked session ends at once.
//
// The secrets and settings are those of the exchange, or without an exchange the current ones.
// Without a [SessionStore] or secrets, all methods return ErrNotConfigured. Sessions is safe for
// concurrent use with different exchanges.
type Sessions struct {
	pipeline *Pipeline
	store    SessionStore    // nil: there is none
	replacer SessionReplacer // nil: store is none
}

// tokens are a configuration's settings of sessions.
type tokens struct {
	*token.Carrier
	lifespan time.Duration
	cookie   conf.Cookie // compared by the next Reload
}

// configured returns the settings that serve x, which may be nil.
func (s *Sessions) configured(x *Exchange) (*tokens, error) {
	if s.store != nil {
		if t := s.pipeline.serving(x).tokens; t != nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: sessions need a SessionStore and secrets", ErrNotConfigured)
}

// needCookie returns an error if no cookie can reach the client. Call it before anything is stored.
func (x *Exchange) needCookie() error {
	switch {
	case x.Writer == nil || x.run.busy && stage.Real(x.run.stage) == nil:
		return errNoWriterForCookie
	case x.run.guard.Begun():
		return errTooLateForCookie
	case x.run.busy && x.run.succeeded:
		return errTooLate
	}
	return nil
}

// Issue calls Create and sets a cookie with the token. Unless the file says otherwise, the cookie
// is HttpOnly, Secure, SameSite=Lax and named __Host-session (OWASP ASVS 5.0, 3.3).
//
// Within a run, ctx must be the context that the hook, or save, was given. Hooks at Before and
// BeforePersist are not in a transaction: a session that they issue remains even if the flow then
// fails. Without x.Writer, Issue returns ErrNoExchange. In a function of AfterCommit, it returns an
// error.
func (s *Sessions) Issue(ctx context.Context, x *Exchange) error {
	t, err := s.configured(x)
	if err != nil {
		return err
	}
	if err := x.needCookie(); err != nil {
		return err
	}
	token, err := s.Create(ctx, x)
	if err != nil {
		return err
	}
	t.Set(x.Writer.Header(), token)
	return nil
}

// Create creates a session for x.Identity, sets x.Session and returns the token, for clients that
// carry it themselves.
//
// The session has a new ID of 130 random bits. In the same step, Create deletes x.Session and every
// session of a genuine cookie in the request. So a session that an attacker planted or
// saw before the sign-in is worthless afterwards (OWASP ASVS 5.0, 7.2.4).
//
// Create returns ErrNoIdentity, ErrNotConfigured or an error of the store. A request with too many
// cookies (see FromRequest) is an error. Then nothing is stored.
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
	if _, err := s.pipeline.own(x); err != nil {
		return "", err
	}
	now := s.pipeline.now().UTC().Truncate(time.Microsecond)
	fresh := Session{ID: rand.Text(), IdentityID: x.Identity.ID,
		AuthenticatedAt: now, IssuedAt: now, ExpiresAt: now.Add(t.lifespan)}
	if token, err = t.Sign(fresh.ID); err != nil {
		return "", fmt.Errorf("flowhook: signing a session token: %w", err)
	}
	old, err := t.current(x)
	if err == nil {
		err = s.replace(ctx, fresh.IdentityID, old, &fresh)
	}
	if err != nil {
		return "", fmt.Errorf("flowhook: issuing a session: %w", err)
	}
	x.Session = &fresh
	x.note(func(p *progress) { p.issuedTo = fresh.IdentityID })
	return token, nil
}

// End signs the user out. In one step, it deletes x.Session and every session of a genuine cookie
// in the request. Then it makes the browser delete the cookie, and sets x.Session to nil. A
// request without a session is not an error. A request with too many cookies (see FromRequest) is;
// then nothing changes.
//
// Within a run, ctx must be the context that the hook, or save, was given. Without x.Writer, End
// returns ErrNoExchange. In a function of AfterCommit, it returns an error.
func (s *Sessions) End(ctx context.Context, x *Exchange) error {
	t, err := s.configured(x)
	if err != nil {
		return err
	}
	if err := x.needCookie(); err != nil {
		return err
	}
	if x.outside(ctx) || x.within(ctx) {
		return errOutside
	}
	if _, err := s.pipeline.own(x); err != nil {
		return err
	}
	owner := x.identityID()
	if x.Session != nil {
		owner = x.Session.IdentityID
	}
	old, err := t.current(x)
	if err == nil {
		err = s.replace(ctx, owner, old, nil)
	}
	if err != nil {
		return fmt.Errorf("flowhook: ending a session: %w", err)
	}
	x.Session = nil
	x.note(func(p *progress) { p.issuedTo = "" })
	t.TakeBack(x.Writer.Header())
	return nil
}

// FromRequest returns the session of the request's cookie. It returns ErrNoSession if the request
// is anonymous: it has no cookie, a forged cookie, or the cookie of a session that has ended. Any
// other error means that the store failed, that the context has ended, or one of the cases below.
//
// A browser sends several cookies with the same name if the cookie's domain or path has changed, or
// if a neighboring host sets one. FromRequest ignores forged cookies and ended sessions. If one
// session remains, it returns that one. If two different sessions are live, the request is
// anonymous, because nobody can tell which session is the user's. More than 8 genuine cookies are
// an error, and so are more than 64 that look genuine. The user can then delete the site's cookies.
//
// While the exchange of the request's context is in a transaction, the context must be the one that
// the hook, or save, was given: FromRequest(x.Request.WithContext(ctx)). Otherwise FromRequest
// returns an error, because it would read outside the transaction, and might wait for the
// connection that the transaction holds.
func (s *Sessions) FromRequest(r *http.Request) (*Session, error) {
	ctx := r.Context()
	t, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	var room [token.MaxIDs]string
	ids, err := t.FromRequest(r, room[:0])
	if err != nil {
		return nil, fmt.Errorf("flowhook: finding a session: %w", err)
	}
	var live *Session
	for _, id := range ids {
		found, err := s.find(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case found == nil:
		case live != nil:
			return nil, ErrNoSession
		default:
			live = found
		}
	}
	if live == nil {
		return nil, ErrNoSession
	}
	return live, nil
}

// FromToken returns the session of a token that Create returned, for clients that send it as a
// bearer token. Its errors, and the rule for its context in a transaction, are those of
// FromRequest.
func (s *Sessions) FromToken(ctx context.Context, token string) (*Session, error) {
	t, err := s.reading(ctx)
	if err != nil {
		return nil, err
	}
	id, ok := t.Verify(token)
	if !ok {
		return nil, ErrNoSession
	}
	found, err := s.find(ctx, id)
	if err == nil && found == nil {
		err = ErrNoSession
	}
	return found, err
}

// reading returns the settings for a read with ctx. It may be called on any goroutine, also during
// a run.
func (s *Sessions) reading(ctx context.Context) (*tokens, error) {
	x, ok := FromContext(ctx)
	t, err := s.configured(x)
	if err == nil && ok && x.outside(ctx) {
		return nil, errOutside
	}
	return t, err
}

// find returns the session with a verified ID, or nil if there is none or it has expired.
func (s *Sessions) find(ctx context.Context, id string) (*Session, error) {
	found, err := s.store.FindSession(ctx, id)
	switch {
	case is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("flowhook: finding a session: %w", err)
	case found.ID != id || s.pipeline.now().UnixMicro() >= found.ExpiresAt.UnixMicro():
		return nil, nil
	}
	return &found, nil
}

// current returns the IDs of the sessions that an exchange came with: those in its cookies, and
// x.Session.
func (t *tokens) current(x *Exchange) (ids []string, err error) {
	if x.Request != nil {
		if ids, err = t.FromRequest(x.Request, nil); err != nil {
			return nil, err
		}
	}
	if x.Session != nil && !slices.Contains(ids, x.Session.ID) {
		ids = append(ids, x.Session.ID)
	}
	return ids, nil
}

// replace deletes the old sessions and stores the fresh one, if it is not nil, all or nothing. If
// the store can do that in one call, replace makes only this one.
func (s *Sessions) replace(ctx context.Context, owner string, old []string, fresh *Session) error {
	switch {
	case fresh == nil && len(old) == 0:
		return nil
	case fresh == nil && len(old) == 1:
		return s.store.DeleteSession(ctx, old[0])
	case fresh != nil && len(old) == 0:
		return s.store.CreateSession(ctx, *fresh)
	case fresh != nil && s.replacer != nil:
		return s.replacer.ReplaceSession(ctx, old, *fresh)
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
