package flowhook

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/letter"
	"github.com/flowhook/flowhook/internal/need"
	"github.com/flowhook/flowhook/internal/token"
)

var verifyHook = builtin{
	name:        "verify",
	alias:       "verification",
	description: "Emails a verification link to each address that is not verified, after the commit.",
	after:       []Flow{Registration, Settings, Login},
	needs: func(b *builder) []requirement {
		if b.VerificationURL == "" && b.file.VerifyURL.Node != nil && !b.badURL {
			b.badURL = true // report it once, not for each hook
			b.checkURL(b.file.VerifyURL.Value, b.at(b.file.VerifyURL))
		}
		return []requirement{
			requireStore[TokenStore](b),
			{need: need.Link, met: b.verificationURL() != "" || b.file.VerifyURL.Node != nil,
				hint: "set selfservice.flows.verification.ui_url in the file, or Options.VerificationURL"},
			{need: need.Courier, met: b.Courier != nil, hint: "set Options.Courier"},
		}
	},
	make: newVerify,
}

// A verifier is the verify hook.
type verifier struct {
	pipeline *Pipeline
	store    TokenStore
	courier  Courier
	outbox   bool
	url      string // an absolute URL

	lifespan time.Duration // of a link
	interval time.Duration // between two emails to one address
}

// newVerify returns the verify hook of an entry, or nil if its config is wrong.
func newVerify(b *builder, e *conf.Entry) Hook {
	config := struct {
		Lifespan string `yaml:"lifespan"`
		Interval string `yaml:"interval"`
	}{"24h", "1m"}
	if b.decode(e, &config, nil) != nil {
		return nil
	}
	v := verifier{pipeline: b.pipeline, courier: b.Courier, outbox: b.Outbox, url: b.verificationURL()}
	v.store, _ = b.Store.(TokenStore)
	var err error
	if v.lifespan, err = time.ParseDuration(config.Lifespan); err != nil || v.lifespan < time.Second {
		b.wrongConfig(e, "lifespan", "must be a duration of at least a second, with a unit, such as 24h")
	}
	if v.interval, err = time.ParseDuration(config.Interval); err != nil || v.interval < 0 {
		b.wrongConfig(e, "interval", "must be a duration with a unit, such as 1m; 0s for no limit")
	}
	return &v
}

// verificationURL returns where the links in verification emails point, or "".
func (b *builder) verificationURL() string {
	if b.VerificationURL == "" && b.file.VerifyURL.Node != nil {
		return b.file.VerifyURL.Value
	}
	return b.VerificationURL
}

// Run emails a link to every address of x.Identity that is not verified. If an address is bad, Run
// logs that and still serves the others. It returns an error only if there are no others. At login,
// a verified address is enough.
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
			v.pipeline.log.LogAttrs(ctx, slog.LevelWarn,
				"flowhook: no verification email was sent to an address that cannot be written to",
				slog.String("point", x.Point().String()), slog.Int("address", i+1))
		default:
			if err := v.email(ctx, x, a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) email(ctx context.Context, x *Exchange, a Address) error {
	secret := token.NewSecret()
	hash := token.Hash(secret)
	now := v.pipeline.now().UTC().Truncate(time.Microsecond)
	created, err := v.store.CreateToken(ctx, Token{
		Hash: hash, Purpose: PurposeVerification, IdentityID: x.Identity.ID, Address: a,
		IssuedAt: now, ExpiresAt: now.Add(v.lifespan),
	}, now.Add(-v.interval))
	if err != nil || !created {
		return err
	}
	m := Message{Via: a.Via, To: a.Value}
	m.Subject, m.Text, m.HTML, m.Link = letter.Verification(v.url, secret, v.lifespan)
	if v.outbox {
		return v.send(ctx, m)
	}
	d := &delivery{verifier: v, message: m, hash: hash, by: HookError{Point: x.Point()}}
	if h := x.run.hook; h != nil {
		d.by.Name, d.by.Position = h.entry.Name(), h.position()
	}
	x.AfterCommit(d.run)
	return nil
}

// Redeem consumes the token with the secret of a verification link and calls confirm, which marks
// the address as verified, in one transaction. The transaction is serialized by the token's
// identity. confirm must use the context that it is given. If v.Address does not belong to the
// identity, or no longer does, confirm returns ErrBadToken. If confirm returns an error, Redeem
// returns it unchanged, and the token is not consumed.
//
// Redeem returns ErrBadToken if the token is unknown, already used or expired, and ErrNotConfigured
// if the store is not a [TokenStore]. It needs no exchange and is safe for concurrent use.
// Call it for a POST: mail scanners follow links, so the linked page should show a button.
func (p *Pipeline) Redeem(
	ctx context.Context, secret string, confirm func(ctx context.Context, v Token) error,
) error {
	if p.verify == nil {
		return fmt.Errorf("%w: Redeem needs a TokenStore", ErrNotConfigured)
	}
	if len(secret) != token.SecretLength {
		return ErrBadToken // and nothing long is hashed
	}
	var cause error
	confirmed := false
	err := p.store.Transaction(ctx, "", func(ctx context.Context) error {
		if ctx.Value(transactionKey{}) == nil {
			ctx = context.WithValue(ctx, transactionKey{}, p)
		}
		v, err := p.verify.ConsumeToken(ctx, PurposeVerification, token.Hash(secret), p.now().UTC().Truncate(time.Microsecond))
		if is(err, ErrNotFound) {
			cause = ErrBadToken
			return cause
		}
		if err != nil {
			return err
		}
		return p.store.Transaction(ctx, v.IdentityID, func(ctx context.Context) error {
			cause = confirm(ctx, v)
			confirmed = true
			return cause
		})
	})
	switch {
	case cause != nil:
		return cause
	case err != nil:
		return fmt.Errorf("flowhook: redeeming a verification token: %w", err)
	case !confirmed:
		return errNotRun
	}
	return nil
}
