package flowhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/flowhook/flowhook/internal/conf"
)

var requireVerifiedHook = builtin{
	name:        "require_verified_address",
	description: "Lets in only users with a verified address; emails the others a link or a code.",
	config:      requireVerifiedConfig{},
	replaceable: true,
	phase:       BeforePersist,
	late:        true,
	flows:       []Flow{Login},
	place:       func(Point) Phase { return BeforePersist },
	needs:       needsVerification,
	make:        newRequireVerified,
}

type requireVerifiedConfig struct {
	Need string `yaml:"need" doc:"Whether one verified address is enough, or all must be." enum:"any,all"`
	To   string `yaml:"to" doc:"The verification page. Default: the ui_url of the verification flow."`
}

// A verifiedGate is the require_verified_address hook.
type verifiedGate struct {
	pipeline *Pipeline
	mailing  mailing
	all      bool   // every address must be verified, not just one
	to       string // where browsers are redirected
}

// newRequireVerified returns the require_verified_address hook of an entry, or nil if its config is
// wrong.
func newRequireVerified(b *builder, e *conf.Entry) Hook {
	config := requireVerifiedConfig{Need: "any"}
	if b.decode(e, &config, nil) != nil {
		return nil
	}
	if config.Need != "any" && config.Need != "all" {
		b.wrongConfig(e, "need", "must be any, for one verified address, or all")
	}
	if b.plan.verification.url == "" && !b.plan.verification.code {
		return nil // already reported, because the links need the same URL
	}
	to := b.verificationPage(e, config.To)
	return &verifiedGate{b.pipeline, b.plan.verification, config.Need == "all", to}
}

var errNoAddresses = errors.New("the identity has no addresses, so none can be verified; " +
	"set x.Identity.Addresses in the handler")

// Run passes if the addresses of x.Identity are verified. Otherwise it sends the emails in a
// transaction of its own, because nothing else of a refused login remains, and redirects a browser
// to the page that asks the user to confirm the address. A redirect cannot undo what is saved, so
// at After it refuses every client, and sends nothing.
func (g *verifiedGate) Run(ctx context.Context, x *Exchange) error {
	if x.identityID() == "" {
		return ErrNoIdentity
	}
	if len(x.Identity.Addresses) == 0 {
		return errNoAddresses
	}
	unverified := selected(x.Identity.Addresses, func(a Address) bool { return !a.Verified })
	if len(unverified) == 0 || !g.all && len(unverified) < len(x.Identity.Addresses) {
		return nil
	}
	late := x.Point().Phase == After
	if !late {
		if err := g.mailing.emailApart(ctx, g.pipeline, x, unverified); err != nil {
			return fmt.Errorf("sending the verification email: %w", err)
		}
	}
	if late || x.mute() || g.pipeline.wantsJSON(x.Request) {
		return Refuse(http.StatusForbidden, "address_not_verified",
			"Please confirm your email address first. Check your email.")
	}
	x.redirect(g.to, http.StatusSeeOther)
	return nil
}
