package flowhook

import (
	"context"
	"fmt"
)

// newRevoke makes the revoke_active_sessions hook. It deletes all sessions of x.Identity except
// x.Session. If x.Session belongs to another identity, which was signed in here before, it is not
// spared and not deleted.
//
// If a concurrent sign-in has already revoked x.Session, the store returns ErrNotFound, and so does
// the hook: this sign-in has lost and must not end the winner's session.
//
// If x.Session is nil, every session is deleted. In Complete at login, that is an error unless a
// later hook issues a session: see Exchange.unsaved.
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
			return fmt.Errorf("x.Session is no session of this identity in the store; save must store it with its ctx, "+
				"and DeleteSessions must know it; or a sign-in at the same time has ended it: %w", err)
		}
		return err
	})
}
