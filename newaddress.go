package flowhook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
)

var newAddressHook = builtin{
	name:        "verify_new_address",
	description: "Keeps a changed address as it was until the link that is emailed to the new one is opened.",
	config:      newAddressConfig{},
	replaceable: true,
	phase:       BeforePersist,
	flows:       []Flow{Settings},
	place:       func(Point) Phase { return BeforePersist },
	needs: func(b *builder) []requirement { // a link, also with use: code
		b.checkVerificationURL()
		return []requirement{requireStore[TokenStore](b), requireLink(b), requireCourier(b)}
	},
	make: newNewAddress,
}

type newAddressConfig struct {
	Lifespan string `yaml:"lifespan" doc:"How long the link is valid, such as 24h." is:"duration"`
	Interval string `yaml:"interval" doc:"The time between two emails to an address, such as 1m." is:"duration"`
	Within   string `yaml:"within" doc:"The maximum age of the sign-in, such as 15m." is:"duration"`
}

// A newAddress is the verify_new_address hook.
type newAddress struct {
	pipeline *Pipeline
	mailing  mailing
	within   time.Duration // the maximum age of the sign-in
}

// newNewAddress returns the verify_new_address hook of an entry, or nil if its config is wrong.
func newNewAddress(b *builder, e *conf.Entry) Hook {
	h := &newAddress{pipeline: b.pipeline, mailing: b.plan.verification}
	if h.mailing.code && b.file.Verification.Lifespan == 0 {
		h.mailing.lifespan = linkLifespan
	}
	h.mailing.purpose, h.mailing.code = PurposeAddressChange, false
	config := newAddressConfig{h.mailing.lifespan.String(), h.mailing.interval.String(), "15m"}
	if b.decode(e, &config, nil) != nil {
		return nil
	}
	b.setMailing(e, &h.mailing, config.Lifespan, config.Interval)
	if h.within, _ = time.ParseDuration(config.Within); h.within < time.Second { // 0 after an error
		b.wrongConfig(e, "within", "must be a duration of at least a second, with a unit, such as 15m")
	}
	return h
}

// Run resets the addresses of x.Identity to those of x.Previous if one was changed or added, so
// that save writes nothing new. The token that makes the change is created in the transaction.
func (h *newAddress) Run(ctx context.Context, x *Exchange) error {
	added, removed, err := x.changedAddresses()
	if err != nil || len(added) == 0 {
		return err
	}
	if len(added) > 1 || len(removed) > 1 {
		return Refuse(http.StatusBadRequest, "one_change_at_a_time", "Please change one address at a time.")
	}
	to := added[0]
	to.Verified = false // whatever the handler says
	if err := to.Check(); err != nil {
		return &Refusal{Status: http.StatusBadRequest, Code: "bad_address",
			Text: "Please enter one email address, such as name@example.org.", Err: err}
	}
	session, err := h.session(x)
	if err != nil {
		return err
	}
	data := changeData{Session: session}
	if len(removed) > 0 {
		data.From = &removed[0]
	}
	x.Identity.Addresses = slices.Clone(x.Previous.Addresses)
	pending := &change{from: data.From, to: to}
	x.note(func(p *progress) { p.change = pending })
	x.inTransaction(func(ctx context.Context) (err error) {
		pending.sent, err = h.mailing.email(ctx, h.pipeline, x, to, data.encode())
		return err
	})
	return nil
}

var errNoSessionInUse = errors.New("x.Session is not the session in use; " +
	"set it, with AuthenticatedAt, in the handler")

// session returns the ID of the session in use, if flowhook can look it up later. It refuses a user
// who has signed in too long ago: OWASP ASVS 5.0, requirement 7.5.1.
func (h *newAddress) session(x *Exchange) (id string, err error) {
	if x.signedOut() != "" || x.Session.AuthenticatedAt.IsZero() {
		return "", errNoSessionInUse
	}
	if h.pipeline.micro().Sub(x.Session.AuthenticatedAt) > h.within {
		return "", Refuse(http.StatusForbidden, "reauthenticate", "To change your address, please sign in again.")
	}
	if h.pipeline.options.Issue != nil || h.pipeline.sessions.store == nil {
		return "", nil
	}
	return x.Session.ID, nil
}

// changedAddresses compares the addresses of x.Identity with those of x.Previous. Two addresses are
// the same if their Via and Value are equal.
func (x *Exchange) changedAddresses() (added, removed []Address, err error) {
	switch {
	case x.identityID() == "":
		return nil, nil, ErrNoIdentity
	case x.Previous == nil:
		return nil, nil, ErrNoPrevious
	case x.Previous.ID != x.Identity.ID:
		return nil, nil, errors.New("x.Previous is another identity; set it to x.Identity as it was before the change")
	}
	missing := func(from, in []Address) []Address {
		return selected(from, func(a Address) bool {
			return !slices.ContainsFunc(in, func(b Address) bool { return a.Via == b.Via && a.Value == b.Value })
		})
	}
	now, before := x.Identity.Addresses, x.Previous.Addresses
	return missing(now, before), missing(before, now), nil
}
