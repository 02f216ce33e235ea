package flowhook

import (
	"context"
	"time"
)

// A Store is the host's identity store. flowhook's transactions are transactions of the store. All
// methods may be called concurrently.
//
// Only this one method is required. A store that can do more also implements [SessionRevoker],
// [SessionStore] or [VerificationStore]; [New] looks for them if a configured hook needs them.
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

// VerificationStore is the part of a store that the verify hook and [Pipeline.Redeem] need. Times
// count in microseconds; now and notSince are truncated to them. No method waits for a row that
// another transaction is using. (A store with one writer at a time may wait for the writer, but
// never in a deadlock.)
type VerificationStore interface {
	// CreateVerification stores v, unless a token for the same identity and the same address was
	// issued recently. In that case created is false and nothing changes. Two addresses are the
	// same if their Via and their [Address.Key] are equal. Recently means after notSince and at
	// most a minute after v.IssuedAt: a token from further in the future was issued by a clock that
	// was ahead. So v.IssuedAt is the current time, also if it is earlier than one that the store
	// has seen. Used and expired tokens count. The token itself keeps the address exactly as it is
	// in v.
	//
	// A hash that is already stored is an error. A token may be gone once it has expired and is
	// older than every interval (IssuedAt minus notSince) that CreateVerification was asked about
	// so far.
	CreateVerification(ctx context.Context, v VerificationToken, notSince time.Time) (created bool, err error)

	// ConsumeVerification marks the token as used and returns it as it was stored. It returns
	// ErrNotFound if there is no such token, if the token was used or deleted, if it has expired
	// (now is not before ExpiresAt), or if another transaction is using it right now.
	ConsumeVerification(ctx context.Context, hash []byte, now time.Time) (VerificationToken, error)

	// DeleteVerification deletes the token, used or not, so that it no longer counts as issued. The
	// verify hook calls it if an email could not be sent. An unknown hash is no error. A token that
	// another transaction is using stays, also without an error: somebody has its link, so the
	// email has left.
	DeleteVerification(ctx context.Context, hash []byte) error
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

// A VerificationToken is what a store keeps of the secret in a verification email. Its times have a
// precision of microseconds.
type VerificationToken struct {
	Hash       []byte // SHA-256 of the secret
	IdentityID string
	Address    Address // the address that the email went to; the token verifies no other
	IssuedAt   time.Time
	ExpiresAt  time.Time // the token is valid before this instant
}
