// Package flowhook runs hooks around the flows of an auth service: a maintenance redirect before
// login, revoking old sessions after it, signing a new user in, sending the verification email, and
// the service's own hooks in between. The service keeps its handlers, its database and its sign-in
// code. Hooks are configured in YAML that Ory Kratos users recognize.
//
// # Vocabulary
//
// A [Flow] is what the user does (login, registration, settings, ...). A [Phase] is when a hook
// runs (before, before_persist, after, failed). A [Strategy] is how the user does it (password,
// oidc, ...). The three form a [Point]. The hooks of a point, in the order they run, are its chain.
// An [Exchange] is one HTTP request and response. A [Plan] is one configuration, ready to run. A
// [Pipeline] runs the current plan. The host is the service that imports flowhook.
//
// # Usage
//
// [LoadConfig] reads the file. [New] returns a pipeline, or an error with all problems and their
// positions. [Config.Check] reports what is allowed but surprising. Then:
//
//   - [Pipeline.Middleware] wraps the routes of a flow. It runs the hooks at [Before].
//   - [MustFromContext] returns the exchange to the handler, which sets its Identity.
//   - [Pipeline.Complete] finishes a successful flow. It runs the hooks at [BeforePersist], which
//     may refuse. Then it runs the handler's save function and the hooks at [After], in one
//     transaction of the [Store]. If anything fails, it rolls back and runs the hooks at [Failed].
//   - [Pipeline.Run] runs the hooks of one phase, for handlers that call each phase themselves.
//   - [Pipeline.AnswerError] answers a request that was refused or has failed.
//   - [Pipeline.Redeem] redeems the link of a verification email. [Pipeline.SendRecovery] and
//     [Pipeline.RedeemRecovery] are for users who have forgotten their password.
//   - [Pipeline.ReturnURL] returns the URL to send the user to.
//   - [Pipeline.Reload] replaces the configuration.
//
// # Guarantees
//
//  1. Nothing configured is silently ignored. What cannot work is an error of [New].
//  2. Hooks run in the order they are written: the strategy's, then the flow-wide ones.
//  3. The first answer ends the chain. A hook answers by writing to x.Writer. It refuses by
//     returning an error: a [Refusal] has a text for the user.
//  4. The response is all or nothing. Headers, cookies, status and body leave only after everything
//     has succeeded.
//  5. The store is all or nothing. save and the hooks at After are one transaction. Side effects
//     that cannot be undone run after the commit: see [Exchange.AfterCommit].
//  6. A hook cannot take the service down. A panic becomes an error that names the hook.
//  7. A pipeline is safe for concurrent use and never changes under a running request. An exchange
//     keeps the configuration that it began with.
package flowhook

import "context"

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
// A Hook may also implement [Describer], [Placer], [Finder], [Keyer] and [Starter].
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

// A Finder is a hook that knows what may surprise the reader of its entry. It is optional for a Hook.
// Findings returns it for the point at which the hook runs; [Config.Check], [New] and the hook page
// show it. Rule is a word of the hook's own: a finding "no-retry" of a hook "crm" has the rule
// "crm/no-retry". Path may name a key of the entry's config, such as "auth.type"; the finding is then
// shown at the deepest key of the path that exists, or else at the hook's name. Position is ignored.
// A finding with SeverityError is an error of New. The rule slow-lock, which warns about hooks of
// unknown speed in a transaction, leaves a Finder out.
type Finder interface {
	Findings(p Point) []Finding
}

// A Keyer is a hook with a key that no other hook of the same name may have in a configuration, such
// as that by which a queue finds it again. It is optional for a Hook. The key "" means none. Two
// hooks with one key are an error of New, with the hint, which says how to change the key.
type Keyer interface {
	Key() (key, hint string)
}

// A Starter is a hook that is told when the pipeline begins to use it. It is optional for a Hook.
// New or Reload calls Started once for each entry, when the configuration has become the current
// one: not for hooks that Check and Preview make, or that a rejected Reload has made. Requests that began
// earlier keep the hooks that they began with. Started must return at once.
type Starter interface {
	Started()
}

// A HookFactory returns the hook for one entry of the file. [New], each [Pipeline.Reload],
// [Config.Check] and [Pipeline.Preview] call it once for each entry. Hooks that Check and Preview
// make never run, so a factory must not start goroutines or other work. Keep long-lived state outside
// the factory.
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
