package flowhook

import (
	"context"
	"time"
)

// A Flow is what the user is doing. The host may declare flows of its own in [Options.Flows].
type Flow string

// The flows that every pipeline knows.
const (
	Login        Flow = "login"
	Registration Flow = "registration"
	Settings     Flow = "settings"
	Verification Flow = "verification"
	Recovery     Flow = "recovery"
	Logout       Flow = "logout"
)

// A Phase says when, within a flow, a hook runs.
type Phase string

const (
	Before        Phase = "before"         // the flow begins; nothing is known of the user
	BeforePersist Phase = "before_persist" // it succeeded, nothing is saved; the place to refuse
	After         Phase = "after"          // it is saved (at login: the session is), the transaction is open
	Failed        Phase = "failed"         // it failed; Exchange.Err says why
)

// A Strategy is how a flow is done. The host may declare strategies of its own in [Options.Strategies].
type Strategy string

// The strategies that every pipeline knows, by their names in Ory Kratos.
const (
	FlowWide     Strategy = "" // no strategy: what is configured here runs for each of them
	Password     Strategy = "password"
	OIDC         Strategy = "oidc"
	Profile      Strategy = "profile"
	Link         Strategy = "link"
	Code         Strategy = "code"
	TOTP         Strategy = "totp"
	LookupSecret Strategy = "lookup_secret"
	WebAuthn     Strategy = "webauthn"
	Passkey      Strategy = "passkey"
	SAML         Strategy = "saml"
)

// A Point is a place where hooks run: one flow, phase and strategy.
type Point struct {
	Flow     Flow
	Phase    Phase
	Strategy Strategy
}

// String returns the point as "login/after/password", or "login/after" if it is flow-wide.
func (p Point) String() string {
	s := string(p.Flow) + "/" + string(p.Phase)
	if p.Strategy != FlowWide {
		s += "/" + string(p.Strategy)
	}
	return s
}

// A Hook is one piece of work at a point. It may look at the exchange and change it, work with the store (always
// through ctx, which carries the transaction), answer by writing to x.Writer, which ends the chain, or return an error,
// which undoes everything.
//
// One Hook serves all requests: Run is called concurrently. The exchange is not shared; only the goroutine that Run was
// called on may use it, and only until Run returns.
type Hook interface {
	Run(ctx context.Context, x *Exchange) error
}

// HookFunc is a function as a [Hook].
type HookFunc func(ctx context.Context, x *Exchange) error

// Run calls f.
func (f HookFunc) Run(ctx context.Context, x *Exchange) error { return f(ctx, x) }

// A HookFactory makes the hook of one entry in the file. It is called once for each entry, by [New], by each
// [Pipeline.Reload], and by [Config.Check], which makes hooks that never run. So what it makes begins nothing by itself.
//
// An error refuses the entry: because of the point, where the hook makes no sense there, or because
// of its config. It is logged and printed, so it must not quote what may be a secret. decode puts
// the entry's config into v, a pointer to a struct with yaml tags: an unknown key or a wrong type
// is an error that says where; without a config v stays as it is. In place of a string there may be
// a reference, as in the secrets: v gets what it led to when the file was loaded, without the white
// space around it. A factory that does not call decode takes no config, and an entry that has one
// is refused.
type HookFactory func(p Point, decode func(v any) error) (Hook, error)

// An Identity is who the exchange concerns. It belongs to one exchange: a run that fails writes back what it was.
type Identity struct {
	ID        string    // the host's own; no format is assumed
	Addresses []Address // may be empty
	Data      any       // the host's own user value; flowhook neither reads nor restores what it points to
}

// A Session says that an identity is signed in. Times count in microseconds. In an exchange it belongs to that one, as an
// Identity does: a run that fails writes back what it was.
type Session struct {
	ID              string // at least 128 random bits; never leaves the server unsigned
	IdentityID      string
	AuthenticatedAt time.Time
	IssuedAt        time.Time
	ExpiresAt       time.Time // the session is good before this instant, not at it
}

// A VerificationToken is what is stored of the secret in a verification mail. Times count in microseconds.
type VerificationToken struct {
	Hash       []byte // SHA-256 of the secret
	IdentityID string
	Address    Address // the address that the mail went to; the token verifies no other
	IssuedAt   time.Time
	ExpiresAt  time.Time // the token is good before this instant, not at it
}

// A Message is a mail to be sent.
type Message struct {
	Via     string // the address's: "email"
	To      string // checked: one address, nothing that could end or add a header
	Subject string
	Text    string // plain English
	HTML    string // the same, as HTML
	Link    string // the link in the text, for a courier with templates of its own
}

// A Courier sends messages. Send may be called concurrently. Its context carries the exchange for
// [FromContext].
//
// Send is called after the commit, with a context that ends 10 seconds later; all emails of a run
// share that time. If Send fails, the error is logged and the message's token is deleted, so that
// the next flow sends another email. Send must return when ctx ends. If it does not, that is logged,
// too, and flowhook stops waiting: Send may then go on, but it must not use the exchange. The token
// is kept, and deleted only if Send returns an error after all.
//
// If [Options.Outbox] is set, Send is called inside the transaction instead, with the transaction's
// context. It is waited for however long it takes, and its error fails the hook.
type Courier interface {
	Send(ctx context.Context, m Message) error
}
