package flowhook

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/flowhook/flowhook/internal/letter"
)

// verifier is what the verify hook works with: the first part from the pipeline, the second from its config.
type verifier struct {
	store   VerificationStore
	courier Courier
	outbox  bool
	url     string // absolute, checked
	now     func() time.Time

	lifespan time.Duration // of a link
	interval time.Duration // between two mails to one address
}

// newVerify makes the verify hook of one entry.
func newVerify(decode func(v any) error, v verifier) (Hook, error) {
	config := struct {
		Lifespan string `yaml:"lifespan"`
		Interval string `yaml:"interval"`
	}{"24h", "1m"}
	if err := decode(&config); err != nil {
		return nil, err
	}
	var err error
	var errs []error
	if v.lifespan, err = time.ParseDuration(config.Lifespan); err != nil || v.lifespan < time.Second {
		errs = append(errs, &fieldError{"lifespan", errors.New("must be a duration of at least a second, with a unit, such as 24h")})
	}
	if v.interval, err = time.ParseDuration(config.Interval); err != nil || v.interval < 0 {
		errs = append(errs, &fieldError{"interval", errors.New("must be a duration with a unit, such as 1m; 0s for no limit")})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &v, nil
}

// Run mails a link to every address of x.Identity that is not verified.
func (v *verifier) Run(ctx context.Context, x *Exchange) error {
	if x.identityID() == "" {
		return ErrNoIdentity
	}
	for i, a := range x.Identity.Addresses {
		if a.Verified {
			continue
		}
		if err := letter.CheckAddress(a.Via, a.Value); err != nil {
			return fmt.Errorf("address %d of the identity: %w", i+1, err)
		}
		if err := v.mail(ctx, x, a); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) mail(ctx context.Context, x *Exchange, a Address) error {
	token, hash := newToken()
	now := v.now().UTC().Truncate(time.Microsecond)
	created, err := v.store.CreateVerification(ctx, VerificationToken{
		Hash: hash, IdentityID: x.Identity.ID, Address: a, IssuedAt: now, ExpiresAt: now.Add(v.lifespan),
	}, now.Add(-v.interval))
	if err != nil || !created {
		return err
	}
	m := Message{Via: a.Via, To: a.Value}
	m.Subject, m.Text, m.HTML, m.Link = letter.Verification(v.url, token, v.lifespan)
	if v.outbox {
		return v.send(ctx, m)
	}
	x.AfterCommit(func(ctx context.Context) error { return v.send(ctx, m) })
	return nil
}

// send gives a message to the courier. What the courier says of it, or panics with, may quote the address or the link, so
// its error keeps its type for errors.Is and errors.As, but not its text. A panic goes on, and is logged with its stack.
func (v *verifier) send(ctx context.Context, m Message) error {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err, _ := p.(error)
			panic(&courierError{fmt.Sprintf("%T", p), err})
		}
	}()
	if err := v.courier.Send(ctx, m); err != nil {
		return &courierError{fmt.Sprintf("%T", err), err}
	}
	return nil
}

type courierError struct {
	what string // the type of what it returned, or panicked with
	err  error  // nil: it panicked with something else
}

func (e *courierError) Error() string {
	return "the courier did not send the mail (" + e.what + "; its text is withheld, since it may name the address)"
}

func (e *courierError) Unwrap() error { return e.err }

// newToken gives a secret of 256 random bits as it stands in a link, and its hash as it is stored.
func newToken() (token string, hash []byte) {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(secret[:])
	return token, hashToken(token)
}

// hashToken hashes the text, not the bytes it stands for: so there is only one way to write a token.
func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Redeem uses up a token out of a verification link, and has confirm mark the address as verified, in one transaction
// that is serialised by the token's identity. confirm must work with the context that it is given. It returns ErrBadToken
// if v.Address is not, or no longer, an address of the identity; then, as with any other error of confirm, which comes
// back unchanged, the token is not used up.
//
// A token that is unknown, used or expired is ErrBadToken. ErrNotConfigured: the pipeline's store is no
// [VerificationStore]. Redeem needs no exchange, and is safe for concurrent use. Since mail scanners follow links, the
// page behind the link should redeem by POST.
func (p *Pipeline) Redeem(ctx context.Context, token string, confirm func(ctx context.Context, v VerificationToken) error) error {
	if p.verify == nil {
		return fmt.Errorf("%w: Redeem needs a VerificationStore", ErrNotConfigured)
	}
	if len(token) != base64.RawURLEncoding.EncodedLen(32) {
		return ErrBadToken // and nothing long is hashed
	}
	var cause error
	confirmed := false
	err := p.store.Transaction(ctx, "", func(ctx context.Context) error {
		if ctx.Value(transactionKey{}) == nil {
			ctx = context.WithValue(ctx, transactionKey{}, p)
		}
		v, err := p.verify.ConsumeVerification(ctx, hashToken(token), p.now().UTC().Truncate(time.Microsecond))
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
