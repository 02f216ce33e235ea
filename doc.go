// Package flowhook runs the hooks around the flows of an auth service: a maintenance redirect before login, revoking
// old sessions after it, signing a new user in, sending the verification mail, and the service's own hooks in between.
// The service keeps its handlers, its database and its sign-in code; what runs where stands in YAML that an Ory Kratos
// user knows.
//
// # The words
//
// A [Flow] is what the user is doing (login, registration, settings, ...), a [Phase] is when (before, before_persist,
// after, failed), a [Strategy] is how (password, oidc, ...). The three make a [Point]. The hooks of a point, in order,
// are its chain. An [Exchange] is one HTTP request and response, with the identity and the session it concerns. A
// [Pipeline] is all chains of a configuration.
//
// # The run
//
// [LoadConfig] reads the file, [New] makes the pipeline or says, with line and column, all that is wrong; what is right, but
// may surprise, [Config.Check] finds. Then
//
//   - [Pipeline.Middleware] wraps the routes of a flow and runs its hooks at Before;
//   - [MustFromContext] returns the exchange to the handler, which sets its Identity;
//   - [Pipeline.Complete] does all that follows success: the hooks at BeforePersist, which may refuse; then, in one
//     transaction of the [Store], the handler's save and the hooks at After; the hooks at Failed, if that fails;
//   - [Pipeline.Run] runs one phase, for handlers that want to place each by hand;
//   - [Pipeline.ReturnURL] says where the user goes next;
//   - [Pipeline.Reload] takes another configuration, for the requests that begin from then on.
//
// # The laws
//
//  1. Nothing configured is without effect in silence.
//  2. Order is as written: the strategy's hooks, then the flow-wide ones.
//  3. The first answer ends the chain. A hook answers by writing to x.Writer; it says no by returning an error.
//  4. All or nothing, to the client: headers, cookies, status and body leave when everything has succeeded.
//  5. All or nothing, in the store: save and the hooks at After are one transaction. What cannot be undone runs after
//     the commit, by [Exchange.AfterCommit].
//  6. A hook cannot take the service down: a panic is an error that names the hook.
//  7. A pipeline is safe for concurrent use and never changes under a running request: an exchange is served to its end by
//     the configuration that it began with.
package flowhook
