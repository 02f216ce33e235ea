package flowhook

import (
	"context"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/letter"
	"github.com/flowhook/flowhook/internal/target"
	"github.com/flowhook/flowhook/internal/token"
)

var notifyPreviousHook = builtin{
	name:        "notify_previous_addresses",
	description: "Emails a user's previous addresses that the addresses of the account have changed.",
	config:      notifyPreviousConfig{},
	replaceable: true,
	phase:       After,
	flows:       []Flow{Settings},
	needs:       func(b *builder) []requirement { return []requirement{requireCourier(b)} },
	make:        newNotifyPrevious,
}

type notifyPreviousConfig struct {
	Recipients string `yaml:"recipients" doc:"The addresses to email." enum:"removed,all_verified,all"`
}

// undoLifespan is how long the owner of an address can take a change back.
const undoLifespan = 7 * 24 * time.Hour

// A previousNotifier is the notify_previous_addresses hook.
type previousNotifier struct {
	pipeline   *Pipeline
	recipients string // removed, all_verified or all
	url        string // where links point that take a change back; empty: no links
}

// newNotifyPrevious returns the notify_previous_addresses hook of an entry, or nil if its config is
// wrong.
func newNotifyPrevious(b *builder, e *conf.Entry) Hook {
	config := notifyPreviousConfig{"removed"}
	if b.decode(e, &config, nil) != nil {
		return nil
	}
	if !slices.Contains([]string{"removed", "all_verified", "all"}, config.Recipients) {
		b.wrongConfig(e, "recipients", "must be removed, all_verified or all")
	}
	n := &previousNotifier{b.pipeline, config.Recipients, ""}
	if b.pipeline.tokens != nil && target.CheckURL(b.plan.verification.url) == nil {
		n.url = b.plan.verification.url
	}
	return n
}

// Run emails the previous addresses if one of them is removed, or another one is added. A change
// that verify_new_address has made wait counts as made, if its email was sent. The owner of an
// address that is replaced gets a link that takes the change back. No email mentions the new
// address.
func (n *previousNotifier) Run(ctx context.Context, x *Exchange) error {
	added, removed, err := x.changedAddresses()
	if err != nil {
		return err
	}
	c := x.progress().change
	if pending := c != nil; pending {
		if added = []Address{c.to}; c.from != nil {
			removed = []Address{*c.from}
		}
	} else if len(added) == 1 && len(removed) == 1 {
		c = &change{from: &removed[0], to: added[0]}
	}
	switch {
	case len(added)+len(removed) == 0:
		return nil
	case x.progress().change != nil && !c.sent:
		return nil // the same change was announced within the interval
	}
	for i, a := range x.Previous.Addresses {
		isRemoved := slices.Contains(removed, a)
		switch {
		case n.recipients == "removed" && !isRemoved, n.recipients == "all_verified" && !a.Verified:
			continue
		case a.Check() != nil:
			n.pipeline.logBadAddress(ctx, x, i)
			continue
		}
		if err := n.email(ctx, x, a, isRemoved, c); err != nil {
			return err
		}
	}
	return nil
}

// email tells the owner of a. If a is what c replaces, the email has a link that takes c back. Only
// one such link is valid at a time, that of the earliest address: somebody who has taken an account
// and changes its address twice must not be able to undo what its owner has undone. So the token
// counts for the identity, not for an address.
func (n *previousNotifier) email(ctx context.Context, x *Exchange, a Address, isRemoved bool, c *change) error {
	var secret string
	var hash []byte
	if isRemoved && a.Verified && c != nil && n.url != "" { // an unverified address may be a stranger's
		secret = token.NewSecret()
		hash = token.Hash(secret)
		now := n.pipeline.micro()
		created, err := n.pipeline.tokens.CreateToken(ctx, Token{
			Hash: hash, Purpose: purposeUndo, IdentityID: x.Identity.ID, Address: Address{},
			IssuedAt: now, ExpiresAt: now.Add(undoLifespan),
			Data: changeData{From: &c.to, To: &a, Undo: true}.encode(),
		}, now.Add(-undoLifespan))
		if err != nil {
			return err
		}
		if !created { // an earlier address has the link, and comes before this one
			secret, hash = "", nil
		}
	}
	l := letter.AddressRemoved(n.url, secret, undoLifespan)
	if x.progress().change != nil {
		l = letter.AddressChangePending(n.url, secret, undoLifespan)
	}
	return x.send(ctx, n.pipeline, *newMessage(a, l), hash)
}
