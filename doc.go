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
//   - [Pipeline.ReturnURL] returns the URL to send the user to.
//   - [Pipeline.Reload] replaces the configuration.
//
// # Guarantees
//
//  1. Nothing configured is silently ignored. What cannot work is an error of [New].
//  2. Hooks run in the order they are written: the strategy's, then the flow-wide ones.
//  3. The first answer ends the chain. A hook answers by writing to x.Writer. It refuses by
//     returning an error.
//  4. The response is all or nothing. Headers, cookies, status and body leave only after everything
//     has succeeded.
//  5. The store is all or nothing. save and the hooks at After are one transaction. Side effects
//     that cannot be undone run after the commit: see [Exchange.AfterCommit].
//  6. A hook cannot take the service down. A panic becomes an error that names the hook.
//  7. A pipeline is safe for concurrent use and never changes under a running request. An exchange
//     keeps the configuration that it began with.
package flowhook
