package flowhook

import (
	"context"
)

// A Flow is what the user does. The host may add flows of its own in [Options.Flows].
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

// A Phase is when a hook runs within a flow.
type Phase string

const (
	Before        Phase = "before"         // the request has come in; the user is not known yet
	BeforePersist Phase = "before_persist" // the handler knows the user, and nothing is saved; hooks may refuse
	After         Phase = "after"          // save has run, and its transaction is still open
	Failed        Phase = "failed"         // something failed and is rolled back; Exchange.Err is the cause
)

// A Strategy is how the user does a flow. The host may add strategies of its own in
// [Options.Strategies].
type Strategy string

// The strategies that every pipeline knows, by their names in Ory Kratos.
const (
	FlowWide     Strategy = "" // no strategy: flow-wide hooks run for every strategy
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

// A Point is where hooks run: one flow, phase and strategy.
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

// A Hook does one piece of work at a point. It may read and change the exchange and use the store.
// To the store, it must pass ctx, which carries the transaction. It may answer the request by
// writing to x.Writer, which ends the chain. If it returns an error, everything is undone.
//
// Run is called concurrently, because one Hook serves all requests. The exchange is not shared:
// only the goroutine that Run was called on may use it, and only until Run returns.
//
// A Hook may also implement [Describer] and [Placer].
type Hook interface {
	Run(ctx context.Context, x *Exchange) error
}

// A HookFunc is a function that is a [Hook].
type HookFunc func(ctx context.Context, x *Exchange) error

// Run calls f.
func (f HookFunc) Run(ctx context.Context, x *Exchange) error { return f(ctx, x) }

// A Describer is a hook that says what it does. It is optional for a Hook. Describe returns one
// sentence for operators, which the hook page and [HookInfo] show. It must not reveal secrets.
type Describer interface {
	Describe() string
}

// A Placer decides the phase of an entry that is at After and does not say which phase it is for.
// Place returns After or BeforePersist. It is optional for a Hook that a HookFactory makes: a gate
// that is useless once everything is saved moves itself to BeforePersist.
type Placer interface {
	Place(p Point) Phase
}

// A HookFactory returns the hook for one entry of the file. [New], each [Pipeline.Reload] and
// [Config.Check] call it once for each entry. Hooks that Check makes never run, so a factory must
// not start goroutines or other work. Keep long-lived state outside the factory.
//
// p is the point of the entry. decode decodes the entry's config into v, a pointer to a struct with
// yaml tags. An unknown key or a wrong type is an error with its position. Without a config, v
// stays as it is. A string may be a reference, such as ${NAME} or file:PATH: then v has its value
// at the time the file was loaded, without white space around it. If the factory does not call
// decode, an entry with a config is an error.
//
// The factory returns an error if the hook makes no sense at the point or its config is wrong. The
// error is logged, so it must not contain secrets.
type HookFactory func(p Point, decode func(v any) error) (Hook, error)
