package flowhook

import (
	"context"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/need"
)

var sessionHook = builtin{
	name:        "session",
	description: "Signs the user in: the response sets the session cookie.",
	after:       []Flow{Login, Registration, Verification, Recovery},
	needs: func(b *builder) []requirement {
		if b.Issue != nil {
			return nil
		}
		hint := "add a list secrets.session to the file, or set Options.Secrets"
		if b.file.Kratos { // it keeps them in this variable if they are not in the file
			hint = `write secrets: {cookie: ["${SECRETS_COOKIE}"]} in the file, or set Options.Secrets`
		}
		return []requirement{
			requireStore[SessionStore](b),
			{need: need.Secrets, met: len(b.secrets) > 0, hint: hint},
		}
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
		if x.run.issuedTo == x.Identity.ID {
			return nil // by save, or by this hook at another point
		}
		if err := issue(ctx, x); err != nil {
			return err
		}
		x.run.issuedTo = x.Identity.ID
		return nil
	})
}
