package flowhook

import (
	"context"
	"fmt"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/need"
)

var verifyHook = builtin{
	name:        "verify",
	alias:       "verification",
	description: "Emails a link or a code to each address that is not verified, after the commit.",
	phase:       After,
	flows:       []Flow{Registration, Settings, Login},
	config:      verifyConfig{},
	needs:       needsVerification,
	make:        newVerify,
}

// needsVerification returns what a hook needs that sends verification emails.
func needsVerification(b *builder) []requirement {
	if b.plan.verification.code {
		return []requirement{requireStore[TokenStore](b), requireSecrets(b), requireCourier(b)}
	}
	b.checkVerificationURL()
	return []requirement{requireStore[TokenStore](b), requireLink(b), requireCourier(b)}
}

// checkVerificationURL reports once, not for each hook, what is wrong with the file's URL for
// links.
func (b *builder) checkVerificationURL() {
	if url := b.file.Verification.URL; b.VerificationURL == "" && url.Node != nil && !b.badURL {
		b.badURL = true
		b.checkURL(url.Value, Verification, b.at(url))
	}
}

// requireCourier is the requirement of a courier.
func requireCourier(b *builder) requirement {
	return requirement{need: need.Courier, met: b.Courier != nil, hint: "set Options.Courier"}
}

// requireLink is the requirement of a URL for the links in verification emails.
func requireLink(b *builder) requirement {
	return requirement{need: need.Link, met: b.plan.verification.url != "" || b.file.Verification.URL.Node != nil,
		hint: "set selfservice.flows.verification.ui_url in the file, or Options.VerificationURL"}
}

// A verifier is the verify hook.
type verifier struct {
	pipeline *Pipeline
	mailing  mailing
}

// verifyConfig is the config of a verify entry.
type verifyConfig struct {
	Lifespan string `yaml:"lifespan" doc:"How long the link or the code is valid, such as 24h." is:"duration"`
	Interval string `yaml:"interval" doc:"The time between two emails to an address, such as 1m." is:"duration"`
}

// newVerify returns the verify hook of an entry, or nil if its config is wrong.
func newVerify(b *builder, e *conf.Entry) Hook {
	v := &verifier{b.pipeline, b.plan.verification}
	if !b.mailingConfig(e, &v.mailing) {
		return nil
	}
	return v
}

// mailingConfig reads the config of an entry that may set the lifespan and the interval of a
// mailing.
func (b *builder) mailingConfig(e *conf.Entry, m *mailing) (ok bool) {
	config := verifyConfig{m.lifespan.String(), m.interval.String()}
	if b.decode(e, &config, nil) != nil {
		return false
	}
	b.setMailing(e, m, config.Lifespan, config.Interval)
	return true
}

// setMailing parses the lifespan and the interval of an entry's config.
func (b *builder) setMailing(e *conf.Entry, m *mailing, lifespan, interval string) {
	if m.lifespan, _ = time.ParseDuration(lifespan); m.lifespan < time.Second { // 0 after an error
		b.wrongConfig(e, "lifespan", "must be a duration of at least a second, with a unit, such as 24h")
	}
	var err error
	if m.interval, err = time.ParseDuration(interval); err != nil || m.interval < 0 {
		b.wrongConfig(e, "interval", "must be a duration with a unit, such as 1m; 0s for no limit")
	}
}

// Run emails every address of x.Identity that is not verified. If an address is bad, Run logs that
// and still serves the others. It returns an error only if there are no others. At login, a
// verified address is enough.
func (v *verifier) Run(ctx context.Context, x *Exchange) error {
	if x.identityID() == "" {
		return ErrNoIdentity
	}
	var bad error
	passes := false
	for i, a := range x.Identity.Addresses {
		if a.Verified {
			passes = passes || x.Point().Flow == Login
		} else if err := a.Check(); err == nil {
			passes = true
		} else if bad == nil {
			bad = fmt.Errorf("address %d of the identity: %w", i+1, err)
		}
	}
	if bad != nil && !passes {
		return bad
	}
	for i, a := range x.Identity.Addresses {
		switch {
		case a.Verified:
		case a.Check() != nil:
			v.pipeline.logBadAddress(ctx, x, i)
		default:
			if _, err := v.mailing.email(ctx, v.pipeline, x, a, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
