package flowhook

import (
	"context"

	"github.com/flowhook/flowhook/internal/conf"
)

var sessionHook = builtin{
	name:        "session",
	description: "Signs the user in: the response sets the session cookie.",
	phase:       After,
	flows:       []Flow{Login, Registration, Verification, Recovery},
	needs: func(b *builder) []requirement {
		if b.Issue != nil {
			return nil
		}
		return []requirement{requireStore[SessionStore](b), requireSecrets(b)}
	},
	make: func(b *builder, e *conf.Entry) Hook {
		b.takesNoConfig(e)
		issue := b.Issue
		if issue == nil {
			issue = b.pipeline.sessions.Issue
		}
		return newSession(issue)
	},
}

// newSession returns the session hook. It signs the user in with issue.
func newSession(issue func(ctx context.Context, x *Exchange) error) Hook {
	return HookFunc(func(ctx context.Context, x *Exchange) error {
		if x.identityID() == "" {
			return ErrNoIdentity
		}
		if x.progress().issuedTo == x.Identity.ID {
			return nil // by save, or by this hook at another point
		}
		if err := issue(ctx, x); err != nil {
			return err
		}
		x.note(func(p *progress) { p.issuedTo = x.Identity.ID })
		return nil
	})
}
