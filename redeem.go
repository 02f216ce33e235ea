package flowhook

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/flowhook/flowhook/internal/token"
)

// A Change is what a token of [PurposeAddressChange] does to an identity.
type Change struct {
	From Address // the address that is replaced; zero if To is an additional one
	To   Address // the new address: it is verified, because its owner has the link

	// Undo means that the owner of To, which was the address before, takes the change back. The
	// change may not have happened yet. From may have been replaced again: make To the address
	// nevertheless, and end every session of the identity.
	Undo bool
}

// changeData is the Data of a token of PurposeAddressChange.
type changeData struct {
	From    *Address `json:"from,omitempty"`
	To      *Address `json:"to,omitempty"`      // of an undo; otherwise it is the token's address
	Session string   `json:"session,omitempty"` // that asked for the change and must not have ended
	Undo    bool     `json:"undo,omitempty"`
}

const (
	// purposeUndo is the purpose of tokens that take a change back. It is only for the store, so
	// that they do not count as emails to confirm an address.
	purposeUndo Purpose = "address_undo"

	// purposeUndone is the purpose of a token that nobody gets. It notes that an identity has taken
	// a change back.
	purposeUndone Purpose = "address_undone"

	// undoneLifespan is longer than any link that changes an address should be valid.
	undoneLifespan = 365 * 24 * time.Hour
)

// Change returns what the token does. It returns ErrBadToken if t is not a token of
// [PurposeAddressChange] that flowhook has made.
func (t Token) Change() (Change, error) {
	data, err := t.changeData()
	c := Change{To: t.Address, Undo: data.Undo}
	if data.From != nil {
		c.From = *data.From
	}
	return c, err
}

// encode returns the Data of a token.
func (d changeData) encode() []byte {
	text, _ := json.Marshal(d) // strings cannot fail
	return text
}

func (t Token) changeData() (data changeData, err error) {
	if t.Purpose != PurposeAddressChange || json.Unmarshal(t.Data, &data) != nil {
		return changeData{}, ErrBadToken
	}
	return data, nil
}

// Redeem consumes the token with the secret of a verification link, or of a link that changes an
// address, and calls confirm, in one transaction. The transaction is serialized by the token's
// identity. t.Purpose says which one it is.
//
//   - PurposeVerification: confirm marks t.Address as verified. If the address does not belong to
//     the identity, or no longer does, confirm returns ErrBadToken.
//   - PurposeAddressChange: confirm makes the change that t.Change returns. If the identity does not
//     have the address From, or To belongs to another identity, it returns ErrBadToken. Redeem has
//     checked that the session that asked for the change has not ended, if flowhook issues the
//     sessions.
//
// confirm must use the context that it is given. If confirm returns an error, Redeem returns it
// unchanged, and the token is not consumed.
//
// Redeem returns ErrBadToken if the token is unknown, already used or expired; if it was used and
// has not expired, the error is also [ErrUsedToken]. It returns ErrNotConfigured if the store is
// not a [TokenStore]. It needs no exchange and is safe for concurrent use. Call it for a POST: mail
// scanners follow links, so the linked page should show a button.
func (p *Pipeline) Redeem(
	ctx context.Context, token string, confirm func(ctx context.Context, t Token) error,
) error {
	return p.redeemLink(ctx, token, p.checkChange(confirm), PurposeVerification, PurposeAddressChange, purposeUndo)
}

// RedeemRecovery is [Pipeline.Redeem] for the link of a recovery email. confirm sets the new
// password, marks t.Address as verified and ends every session of the identity, or leaves that to
// revoke_active_sessions: call RedeemRecovery in the save of a Complete of the recovery flow. If
// t.Address was not verified before, the identity may be that of somebody else who registered with
// the address. Then confirm also removes every other credential.
func (p *Pipeline) RedeemRecovery(
	ctx context.Context, token string, confirm func(ctx context.Context, t Token) error,
) error {
	return p.redeemLink(ctx, token, confirm, PurposeRecovery)
}

// A confirmFunc makes the change that a token is for.
type confirmFunc = func(ctx context.Context, t Token) error

// redeemLink redeems the secret of a link that has one of the purposes.
func (p *Pipeline) redeemLink(
	ctx context.Context, secret string, confirm confirmFunc, purposes ...Purpose,
) error {
	if p.tokens == nil {
		return fmt.Errorf("%w: Redeem needs a TokenStore", ErrNotConfigured)
	}
	if len(secret) != token.SecretLength {
		return ErrBadToken // and nothing long is hashed
	}
	return p.redeem(ctx, func(ctx context.Context) (t Token, err error) {
		for _, purpose := range purposes {
			if t, err = p.tokens.ConsumeToken(ctx, purpose, token.Hash(secret), p.micro()); !unknownToken(err) {
				break
			}
		}
		if t.Purpose == purposeUndo {
			t.Purpose = PurposeAddressChange
			if data, err := t.changeData(); err == nil && data.To != nil {
				t.Address = *data.To
			}
		}
		return t, err
	}, confirm)
}

// unknownToken reports whether a store does not know a token, used or not.
func unknownToken(err error) bool { return is(err, ErrNotFound) && !is(err, ErrUsedToken) }

// redeem consumes a token and calls confirm, in one transaction.
func (p *Pipeline) redeem(
	ctx context.Context, consume func(ctx context.Context) (Token, error), confirm confirmFunc,
) error {
	var cause error
	confirmed := false
	err := p.store.Transaction(ctx, "", func(ctx context.Context) error {
		if ctx.Value(transactionKey{}) == nil {
			ctx = context.WithValue(ctx, transactionKey{}, p)
		}
		t, err := consume(ctx)
		switch {
		case is(err, ErrUsedToken):
			cause = ErrUsedToken
		case is(err, ErrNotFound), is(err, ErrBadToken):
			cause = ErrBadToken
		}
		if err != nil {
			return err
		}
		return p.store.Transaction(ctx, t.IdentityID, func(ctx context.Context) error {
			cause = confirm(ctx, t)
			confirmed = true
			return cause
		})
	})
	switch {
	case cause != nil:
		return cause
	case err != nil:
		return fmt.Errorf("flowhook: redeeming a token: %w", err)
	case !confirmed:
		return errNotRun
	}
	return nil
}

// checkChange returns a confirm that first checks what flowhook knows about an address change.
func (p *Pipeline) checkChange(confirm confirmFunc) confirmFunc {
	return func(ctx context.Context, t Token) error {
		if t.Purpose == PurposeAddressChange {
			data, err := t.changeData()
			if err != nil {
				return err
			}
			if err := p.requireSession(ctx, t.IdentityID, data.Session); err != nil {
				return err
			}
			if err := p.orderUndo(ctx, t, data.Undo); err != nil {
				return err
			}
		}
		return confirm(ctx, t)
	}
}

// orderUndo notes that a change is taken back. For any other change, it returns ErrBadToken if one
// was taken back since the change was requested: then no change that was pending may be made. It
// runs in the identity's transaction, so that the two cannot happen at once.
func (p *Pipeline) orderUndo(ctx context.Context, t Token, undo bool) error {
	now := p.micro()
	note := Token{Hash: token.Hash(token.NewSecret()), Purpose: purposeUndone, IdentityID: t.IdentityID,
		IssuedAt: now, ExpiresAt: now.Add(undoneLifespan)}
	if undo {
		_, err := p.tokens.CreateToken(ctx, note, now.Add(time.Minute)) // in the future, so that none counts
		return err
	}
	return p.requireNone(ctx, note, t.IssuedAt.Add(-time.Microsecond)) // at the same time counts
}

// requireSession returns ErrBadToken if the session that asked for a change has ended. An empty ID
// is that of a session of the host's own, which flowhook cannot look up.
func (p *Pipeline) requireSession(ctx context.Context, identityID, id string) error {
	if id == "" {
		return nil
	}
	if p.sessions.store == nil {
		return ErrBadToken
	}
	s, err := p.sessions.store.FindSession(ctx, id)
	if is(err, ErrNotFound) || err == nil && (s.IdentityID != identityID || !p.now().Before(s.ExpiresAt)) {
		return ErrBadToken
	}
	return err
}

// maxAttempts is how many codes are compared with the newest token of a purpose, identity and
// address: OWASP ASVS 5.0, requirement 6.6.3.
const maxAttempts = 5

// RedeemCode is [Pipeline.Redeem] and [Pipeline.RedeemRecovery] for a code that a user has typed;
// white space in it does not matter. The page must know whom the code was sent to: the identity,
// and the address, of which only Via and Value count.
//
// Only the code that was sent last is valid. After five wrong attempts it is dead, and the user
// must request another. Attempts are counted by the store, across processes, and a rollback does
// not take them back. So RedeemCode must not be called in a transaction of the store; it returns an
// error then. To sign the user in, call Complete when it has returned.
//
// RedeemCode returns ErrBadToken if the code is wrong, expired, dead or, which is also
// [ErrUsedToken], already used. It returns ErrNotConfigured if the store is not a [TokenStore] or
// there are no secrets. It is safe for concurrent use.
func (p *Pipeline) RedeemCode(
	ctx context.Context, purpose Purpose, identityID string, a Address, code string,
	confirm func(ctx context.Context, t Token) error,
) error {
	keys := p.current.Load().codes
	switch {
	case p.tokens == nil:
		return fmt.Errorf("%w: RedeemCode needs a TokenStore", ErrNotConfigured)
	case len(keys) == 0:
		return fmt.Errorf("%w: RedeemCode needs secrets", ErrNotConfigured)
	case ctx.Value(transactionKey{}) != nil:
		return errInside
	}
	code, ok := token.CleanCode(code)
	if !ok {
		return ErrBadToken
	}
	n, err := p.tokens.CountAttempt(ctx, purpose, identityID, a, p.micro())
	if err != nil {
		return fmt.Errorf("flowhook: counting an attempt: %w", err)
	}
	if n > maxAttempts {
		return ErrBadToken
	}
	return p.redeem(ctx, func(ctx context.Context) (t Token, err error) {
		for _, key := range keys {
			hash := key.Hash(code, codeSalt(purpose, identityID, a)...)
			if t, err = p.tokens.ConsumeToken(ctx, purpose, hash, p.micro()); !unknownToken(err) {
				break
			}
		}
		if err == nil {
			err = p.requireNewest(ctx, t)
		}
		return t, err
	}, confirm)
}

// requireNewest returns ErrBadToken if a later token was issued for the purpose, identity and
// address of t. Otherwise an attacker could have many codes sent, and guess them all at once.
func (p *Pipeline) requireNewest(ctx context.Context, t Token) error {
	probe := t
	probe.Hash, probe.IssuedAt = token.Hash(token.NewSecret()), p.micro()
	return p.requireNone(ctx, probe, t.IssuedAt)
}

// requireNone returns ErrBadToken if a token like probe was issued after since. A store has no
// query for that, so requireNone tries to create probe, which fails if there is one.
func (p *Pipeline) requireNone(ctx context.Context, probe Token, since time.Time) error {
	created, err := p.tokens.CreateToken(ctx, probe, since)
	switch {
	case err != nil:
		return err
	case !created:
		return ErrBadToken
	}
	return p.tokens.DeleteToken(ctx, probe.Hash)
}
