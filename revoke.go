package flowhook

import "context"

// newRevoke makes the revoke_active_sessions hook: it deletes all sessions of x.Identity but x.Session. A session of
// somebody else, who was signed in here before, is not among them.
//
// Where x.Session is gone already, because a concurrent sign-in has revoked it, the store says ErrNotFound, and so does
// the hook: that sign-in has lost, and must not take the winner's session with it.
func newRevoke(store SessionRevoker) Hook {
	return HookFunc(func(ctx context.Context, x *Exchange) error {
		if x.identityID() == "" {
			return ErrNoIdentity
		}
		except := ""
		if x.Session != nil && (x.Session.IdentityID == x.Identity.ID || x.Session.IdentityID == "") {
			except = x.Session.ID
		}
		return store.DeleteSessions(ctx, x.Identity.ID, except)
	})
}
