package flowhook

import (
	"context"
	"fmt"

	"github.com/flowhook/flowhook/internal/conf"
)

var revokeHook = builtin{
	name:        "revoke_active_sessions",
	description: "Signs the user out everywhere else: ends all of the user's other sessions.",
	phase:       After,
	flows:       []Flow{Login, Recovery, Settings},
	needs:       func(b *builder) []requirement { return []requirement{requireStore[SessionRevoker](b)} },
	make: func(b *builder, e *conf.Entry) Hook {
		b.takesNoConfig(e)
		store, _ := b.Store.(SessionRevoker)
		return newRevoke(store)
	},
}

// newRevoke returns the revoke_active_sessions hook. It deletes all sessions of x.Identity except
// x.Session. If x.Session belongs to another identity, which was signed in here before, it is not
// spared and not deleted.
//
// If a concurrent sign-in has already revoked x.Session, the store returns ErrNotFound, and so does
// the hook: this sign-in has lost and must not end the winner's session.
//
// If x.Session is nil, every session is deleted. In Complete at login, that is an error unless a
// later hook issues a session: see requireSession.
func newRevoke(store SessionRevoker) Hook {
	return HookFunc(func(ctx context.Context, x *Exchange) error {
		if x.identityID() == "" {
			return ErrNoIdentity
		}
		except := ""
		if x.signedOut() == "" {
			except = x.Session.ID
		} else {
			x.run.revoked = x.run.hook
		}
		err := store.DeleteSessions(ctx, x.Identity.ID, except)
		if is(err, ErrNotFound) {
			return fmt.Errorf("x.Session is no session of this identity in the store; "+
				"save must store it with its ctx, and DeleteSessions must know it; "+
				"or a sign-in at the same time has ended it: %w", err)
		}
		return err
	})
}

// signedOut returns why x.Session is no session of x.Identity, or "" if it is one. A session
// without an IdentityID is.
func (x *Exchange) signedOut() string {
	switch s := x.Session; {
	case s == nil:
		return "x.Session is nil"
	case s.ID == "":
		return "x.Session has no ID"
	case s.IdentityID != "" && s.IdentityID != x.identityID():
		return "x.Session is of another identity"
	}
	return ""
}

// requireSession returns an error if a login has ended every session of the identity and has none
// of its own: the hook then has also ended one that the host issued in save without setting
// x.Session.
func (x *Exchange) requireSession() error {
	h, why := x.run.revoked, x.signedOut()
	if h == nil || x.Point().Flow != Login || why == "" {
		return nil
	}
	x.run.hook = h
	return x.caused(fmt.Errorf("it ended every session of the identity, and the login has none, because %s; "+
		"issue the session in save, or set x.Session (Options.Issue must set it, too)", why))
}
