package flowhook

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/flowhook/flowhook/internal/letter"
)

// A Store is the host's identity store. flowhook's transactions are transactions of the store. All
// methods may be called concurrently.
//
// Only this one method is required. A store that can do more also implements [SessionRevoker],
// [SessionStore] or [TokenStore]; [New] looks for them if a configured hook needs them. A
// SessionStore may also be a [SessionReplacer].
// Package storetest checks a store against these comments.
//
// In all of them, any error that is not one of flowhook's is a system error: the store failed, or
// ctx has ended. Then nothing has changed, except that a commit whose answer was lost may have
// taken effect. Any UTF-8 string without NUL is a valid ID; an unknown one is ErrNotFound.
type Store interface {
	// Transaction runs fn exactly once, with a context that is derived from ctx and carries the
	// transaction: store calls with that context, and no others, are part of it. It commits if fn
	// returns nil, and then returns nil only if everything is durable. It rolls back if fn returns
	// an error, which it returns so that errors.Is finds it. It also rolls back if fn panics or
	// ends its goroutine by runtime.Goexit; the panic or the Goexit goes on. If ctx ends before the
	// commit, it rolls back and returns ctx.Err(). If it cannot begin, it returns an error and does
	// not run fn.
	//
	// If ctx is already in a Transaction of this store, the call joins that one: fn runs in it,
	// nothing is committed before the outermost call returns, and if fn fails, nothing that it did
	// is ever committed. A store call with the context of a Transaction that has returned is an
	// error.
	//
	// Transactions with the same identityID run one after the other, across all processes that
	// share the store. The call waits for its turn before fn reads anything, for as long as ctx
	// lasts. A joining call waits likewise, and then holds both identities. If two transactions
	// wait for each other, at least one of them gets an error. With an empty identityID, the call
	// does not wait. Any string is an identityID, and two different strings are two identities.
	//
	// A store without transactions may return fn(ctx). It gives up all-or-nothing, and cannot pass
	// storetest.
	Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error
}

// SessionRevoker is the part of a store that the revoke_active_sessions hook needs.
type SessionRevoker interface {
	// DeleteSessions deletes all sessions of the identity except exceptID, including expired ones.
	// If exceptID is empty, it deletes all of them; an identity that is unknown or has no sessions
	// is then no error. If exceptID is not empty and not a session of this identity, it deletes
	// nothing and returns ErrNotFound.
	DeleteSessions(ctx context.Context, identityID, exceptID string) error
}

// SessionStore is the part of a store that the session hook and [Sessions] need.
type SessionStore interface {
	SessionRevoker

	// CreateSession stores s, with its times truncated to microseconds. An ID that is already
	// stored is an error, and the stored session stays as it is.
	CreateSession(ctx context.Context, s Session) error

	// FindSession returns the session as it is stored, expired or not, with times that are Equal to
	// those that were stored. An unknown ID is ErrNotFound. A session that expired before another
	// one's IssuedAt may be gone.
	FindSession(ctx context.Context, id string) (Session, error)

	// DeleteSession deletes one session. An unknown ID is no error.
	DeleteSession(ctx context.Context, id string) error
}

// SessionReplacer is an optional part of a [SessionStore]. [Sessions] uses it to issue a session
// that ends others in one call of the store. Without it, Sessions calls DeleteSession and
// CreateSession in a Transaction.
//
// A store that embeds a SessionReplacer and has its own CreateSession or DeleteSession also needs
// its own ReplaceSession. Otherwise Sessions passes them by.
type SessionReplacer interface {
	// ReplaceSession deletes the sessions with the IDs in old and stores s like CreateSession, all
	// or nothing. It is part of the transaction of ctx or, without one, commits before it returns.
	//
	// old is not empty. Its sessions may be of any identity. An unknown ID is no error, nor is one
	// that is in old twice. If s.ID is already stored or is in old, ReplaceSession returns an error
	// and changes nothing. It must not change or keep old.
	ReplaceSession(ctx context.Context, old []string, s Session) error
}

// TokenStore is the part of a store that emailed links and codes need: the hooks that send them,
// [Pipeline.SendRecovery], and Redeem, RedeemRecovery and RedeemCode. Times count in microseconds;
// now and notSince are truncated to them. Only CountAttempt waits for a row that another
// transaction is using. (A store with one writer at a time may wait for the writer, but never in a
// deadlock.)
//
// Two addresses are the same if their Via and their [Address.Key] are equal.
type TokenStore interface {
	// CreateToken stores t, unless a token for the same purpose, identity and address was issued
	// recently. In that case created is false and nothing changes. Recently means after notSince
	// and at most a minute after t.IssuedAt: a token from further in the future was issued by a
	// clock that was ahead. So t.IssuedAt is the current time, also if it is earlier than one that
	// the store has seen. Used and expired tokens count. The token itself keeps the address exactly
	// as it is in t.
	//
	// A hash that is already stored is an error, whatever its purpose. A token may be gone once it
	// has expired and is older than every interval (IssuedAt minus notSince) that CreateToken was
	// asked about so far.
	CreateToken(ctx context.Context, t Token, notSince time.Time) (created bool, err error)

	// ConsumeToken marks the token as used and returns it as it was stored. It returns ErrNotFound
	// if there is no such token for this purpose, if the token was deleted, if it has expired (now
	// is not before ExpiresAt), or if another transaction is using it right now. If a transaction
	// that is committed has used it and it has not expired, the error is ErrUsedToken, which is
	// also an ErrNotFound.
	ConsumeToken(ctx context.Context, p Purpose, hash []byte, now time.Time) (Token, error)

	// DeleteToken deletes the token, used or not, so that it no longer counts as issued. It is
	// called if an email could not be sent. An unknown hash is no error. A token that another
	// transaction is using stays, also without an error: somebody has its link, so the email has
	// left.
	DeleteToken(ctx context.Context, hash []byte) error

	// CountAttempt counts an attempt to guess a code for the purpose, identity and address, and
	// returns how many there were, this one included. It counts from 1 again when a newer token was
	// issued than at the last attempt: the newest one that has not expired, used or not. Without
	// such a token, it counts on. No two calls for the same three return the same number, also not
	// in two processes.
	//
	// The count is durable when CountAttempt returns, so that it survives a rollback of whatever
	// follows. In a Transaction of this store, CountAttempt is an error. The count may be gone once
	// the newest token may be.
	CountAttempt(ctx context.Context, p Purpose, identityID string, a Address, now time.Time) (n int, err error)
}

// A Session is a signed-in identity. Its times have a precision of microseconds. A run that fails
// restores the session of its exchange.
type Session struct {
	ID              string // at least 128 random bits; clients get it only in a signed token
	IdentityID      string
	AuthenticatedAt time.Time
	IssuedAt        time.Time
	ExpiresAt       time.Time // the session is valid before this instant
}

// A Purpose is what a token is for. A token for one purpose is never accepted for another.
type Purpose string

// The purposes of flowhook's own tokens.
const (
	PurposeVerification  Purpose = "verification"   // proves that an address belongs to the identity
	PurposeRecovery      Purpose = "recovery"       // lets the owner of an address choose a new password
	PurposeAddressChange Purpose = "address_change" // replaces an address of the identity, or takes that back
)

// A Token is what a store keeps of the secret in an email. Its times have a precision of
// microseconds.
type Token struct {
	Hash       []byte // SHA-256 of a link's secret, or an HMAC of a code; at most 64 bytes
	Purpose    Purpose
	IdentityID string
	Address    Address // that the email went to; for a change, also the new address
	IssuedAt   time.Time
	ExpiresAt  time.Time // the token is valid before this instant
	Data       []byte    // opaque to the store, at most 4 KiB; nil and empty are the same
}

// An Identity is the user that an exchange concerns. Use a new one for each exchange, because a run
// that fails restores it.
type Identity struct {
	ID        string    // the host's ID, of any format
	Addresses []Address // may be empty
	Data      any       // the host's own user value; flowhook neither reads it nor restores what it points to
}

// An Address is where a user can be reached.
type Address struct {
	Via      string // "email"
	Value    string
	Verified bool
}

// Check returns nil if the verify hook can send an email to a, and an error that is [ErrBadAddress]
// otherwise. Its text says what is wrong, such as two dots in a row, and does not show the address.
// Call Check when a user enters an address, so that your form can say so.
//
// An email address must be one plain address, such as name@example.org, without a display name, a
// comment, a quoted part or a space. If Via is not "email" and Value has no "@", only an empty
// Value, spaces and control characters are wrong.
func (a Address) Check() error {
	if err := letter.CheckAddress(a.Via, a.Value); err != nil {
		return fmt.Errorf("%w: %w", ErrBadAddress, err)
	}
	return nil
}

// Key returns the address in a form that is equal for spellings of one mailbox that differ in case.
// Stores compare addresses by it. If Via is "email", Key folds the case of Value by Unicode simple
// folding. Otherwise it returns Value. It removes no other difference: composed and decomposed
// accents have different keys, and so do a domain and its xn-- form.
//
// Only the limit on emails goes by Key. Emails are sent to Value, because a mail server may
// distinguish case.
func (a Address) Key() string {
	if a.Via != "email" {
		return a.Value
	}
	return strings.Map(folded, a.Value)
}

// folded returns the same rune for all runes that differ only in case. For ASCII letters that is
// the lower case one.
func folded(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}
