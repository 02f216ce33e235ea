package flowhook

import (
	"cmp"
	"context"
	"net/http"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/need"
	"github.com/flowhook/flowhook/internal/target"
)

var showVerificationHook = builtin{
	name:        "show_verification_ui",
	description: "Redirects to the verification page if this request has sent a verification email.",
	config:      showVerificationConfig{},
	replaceable: true,
	phase:       After,
	flows:       []Flow{Registration, Settings, Login},
	make:        newShowVerification,
}

type showVerificationConfig struct {
	To string `yaml:"to" doc:"The verification page. Default: the ui_url of the verification flow."`
}

// newShowVerification returns the show_verification_ui hook of an entry, or nil if its config is
// wrong.
func newShowVerification(b *builder, e *conf.Entry) Hook {
	var config showVerificationConfig
	if b.decode(e, &config, nil) != nil {
		return nil
	}
	to := b.verificationPage(e, config.To)
	return HookFunc(func(_ context.Context, x *Exchange) error {
		if x.progress().emailed {
			x.redirect(to, http.StatusFound)
		}
		return nil
	})
}

// verificationPage returns where to redirect a user whose address is to be verified: to, of the
// entry's config, or else the URL of the verification page. It reports what is wrong with it.
func (b *builder) verificationPage(e *conf.Entry, to string) string {
	page := cmp.Or(to, b.plan.verification.url)
	if page == "" {
		b.wrongConfig(e, "", `"to" is missing: the URL of the verification page; `+
			"or set selfservice.flows.verification.ui_url, or Options.VerificationURL").Err = need.Link
	} else if err := target.Check(page); err != nil {
		b.wrongConfig(e, "to", "%v", err)
	}
	e.VerificationPage = target.Shown(page)
	return page
}
