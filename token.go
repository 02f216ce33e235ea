package flowhook

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/letter"
	"github.com/flowhook/flowhook/internal/token"
)

// A mailing is how the tokens of one purpose are emailed.
type mailing struct {
	purpose  Purpose
	url      string          // an absolute URL, where links point
	codes    []token.CodeKey // for use: code, the keys that hash codes; otherwise nil
	code     bool            // emails have codes instead of links
	lifespan time.Duration   // of a token
	interval time.Duration   // between two emails to one address
}

// linkLifespan is how long a verification link is valid by default.
const linkLifespan = 24 * time.Hour

// codeLifespan is how long a code is valid by default: OWASP ASVS 5.0, requirement 6.5.5.
const codeLifespan = 10 * time.Minute

// newMailing returns the mailing of a purpose as the file has it. url is the option that replaces
// the file's URL.
func (b *builder) newMailing(p Purpose, url string, file *conf.Emails, lifespan time.Duration) mailing {
	m := mailing{purpose: p, url: url, codes: b.plan.codes, code: file.Code.Node != nil,
		lifespan: lifespan, interval: time.Minute}
	if m.url == "" && file.URL.Node != nil {
		m.url = file.URL.Value
	}
	switch {
	case file.Lifespan > 0:
		m.lifespan = file.Lifespan
	case m.code:
		m.lifespan = codeLifespan
	}
	return m
}

// letter returns the email with a link or a code.
func (m *mailing) letter(secret string) letter.Letter {
	switch {
	case m.purpose == PurposeRecovery && m.code:
		return letter.RecoveryCode(secret, m.lifespan)
	case m.purpose == PurposeRecovery:
		return letter.Recovery(m.url, secret, m.lifespan)
	case m.purpose == PurposeAddressChange:
		return letter.AddressChange(m.url, secret, m.lifespan)
	case m.code:
		return letter.VerificationCode(secret, m.lifespan)
	}
	return letter.Verification(m.url, secret, m.lifespan)
}

// create creates a token. It returns the email with it, and its hash, or nil if an email was sent
// within the interval.
func (m *mailing) create(
	ctx context.Context, p *Pipeline, identityID string, a Address, data []byte,
) (message *Message, hash []byte, err error) {
	var secret string
	if m.code {
		secret = token.NewCode()
		hash = m.codes[0].Hash(secret, codeSalt(m.purpose, identityID, a)...)
		// One time in a million, the code is that of an older token, whose hash would be in the
		// way.
		if err := p.tokens.DeleteToken(ctx, hash); err != nil {
			return nil, nil, err
		}
	} else {
		secret = token.NewSecret()
		hash = token.Hash(secret)
	}
	now := p.micro()
	created, err := p.tokens.CreateToken(ctx, Token{
		Hash: hash, Purpose: m.purpose, IdentityID: identityID, Address: a,
		IssuedAt: now, ExpiresAt: now.Add(m.lifespan), Data: data,
	}, now.Add(-m.interval))
	if err != nil || !created {
		return nil, nil, err
	}
	return newMessage(a, m.letter(secret)), hash, nil
}

// codeSalt is what the hash of a code depends on besides the code.
func codeSalt(p Purpose, identityID string, a Address) []string {
	return []string{string(p), identityID, a.Via, a.Key()}
}

// newMessage returns the email with a letter.
func newMessage(to Address, l letter.Letter) *Message {
	return &Message{to.Via, to.Value, l.Subject, l.Text, l.HTML, l.Link, l.Button, l.Code}
}

// micro returns the current time with the precision of a store.
func (p *Pipeline) micro() time.Time { return p.now().UTC().Truncate(time.Microsecond) }

// email sends a token that verifies an address, in a run. It reports whether it did: not if an
// email was sent within the interval.
func (m *mailing) email(ctx context.Context, p *Pipeline, x *Exchange, a Address, data []byte) (sent bool, err error) {
	message, hash, err := m.create(ctx, p, x.Identity.ID, a, data)
	if message == nil {
		return false, err
	}
	x.note(func(p *progress) { p.emailed = true })
	return true, x.send(ctx, p, *message, hash)
}

// emailApart sends a token to each of the addresses that it can, in a transaction of its own, and
// waits until the emails have left. It returns the error of the store. Its emails are sent even if
// the run that it is called in fails. An email that could not be sent is logged.
func (m *mailing) emailApart(ctx context.Context, p *Pipeline, x *Exchange, to []Address) error {
	var unsent []*delivery
	err := p.transaction(ctx, x, x.Identity.ID, func(ctx context.Context) error {
		for i, a := range to {
			if a.Check() != nil {
				p.logBadAddress(ctx, x, i)
				continue
			}
			message, hash, err := m.create(ctx, p, x.Identity.ID, a, nil)
			switch {
			case err != nil:
				return err
			case message == nil:
			case p.options.Outbox:
				if err := p.send(ctx, *message); err != nil {
					return err
				}
			default:
				unsent = append(unsent, x.newDelivery(p, *message, hash))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
	defer cancel()
	for _, d := range unsent {
		if err := d.run(ctx); err != nil {
			d.report(ctx, "flowhook: an email was not sent", err)
		}
	}
	return nil
}

// logBadAddress logs that an address of the identity cannot be written to, without the address.
func (p *Pipeline) logBadAddress(ctx context.Context, x *Exchange, i int) {
	p.log.LogAttrs(ctx, slog.LevelWarn, "flowhook: no email was sent to an address that cannot be written to",
		slog.String("point", x.Point().String()), slog.Int("address", i+1))
}

// SendRecovery emails a link, or with flows.recovery.use: code a code, by which the owner of an
// address can choose a new password: to the verified addresses of x.Identity or, if none is
// verified, to all of them. Without an identity or an address, it does nothing and returns nil, so
// that a handler can call it, and answer, in the same way whether or not the account exists.
//
// At most one email per minute goes to an address. A token is valid for flows.recovery.lifespan, or
// else for an hour, and a code for 10 minutes. Links point to Options.RecoveryURL.
//
// SendRecovery has a transaction of its own. It returns after the emails have left; with
// Options.Outbox, after they are in the queue. An email that the courier could not send is logged,
// and the next call sends another. SendRecovery returns the store's error, ErrNotConfigured if the
// pipeline has no [TokenStore], courier, URL or secrets, and ErrNested if ctx is in a transaction
// or x in a run. To keep others from measuring whether an account exists, call it after you have
// answered, or set Options.Outbox.
func (p *Pipeline) SendRecovery(ctx context.Context, x *Exchange) error {
	if x == nil {
		return nil
	}
	m := &p.serving(x).recovery
	switch problem := m.problem(); {
	case p.tokens == nil:
		return fmt.Errorf("%w: SendRecovery needs a TokenStore", ErrNotConfigured)
	case p.options.Courier == nil:
		return fmt.Errorf("%w: SendRecovery needs Options.Courier", ErrNotConfigured)
	case problem != "":
		return fmt.Errorf("%w: SendRecovery: %s", ErrNotConfigured, problem)
	case x.run.busy || ctx.Value(transactionKey{}) != nil:
		return errInside
	case x.identityID() == "":
		return nil
	}
	to := selected(x.Identity.Addresses, func(a Address) bool { return a.Verified })
	if len(to) == 0 {
		to = x.Identity.Addresses
	}
	return m.emailApart(ctx, p, x, to)
}

// problem returns why the mailing cannot be sent, or "".
func (m *mailing) problem() string {
	switch {
	case m.code && len(m.codes) == 0:
		return "use: code needs secrets; add a list secrets.session to the file, or set Options.Secrets"
	case !m.code && m.url == "":
		return "set selfservice.flows.recovery.ui_url in the file, or Options.RecoveryURL"
	}
	return ""
}

// selected returns the addresses that want is true for.
func selected(all []Address, want func(Address) bool) (some []Address) {
	for _, a := range all {
		if want(a) {
			some = append(some, a)
		}
	}
	return some
}
