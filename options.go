package flowhook

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/spell"
)

// Options are what the configuration file cannot say. Every field has a default that is documented
// with it; the zero Options have no store and no hooks of the host's.
type Options struct {
	// Store is the host's identity store. Without one, there are no transactions: Complete only
	// calls save and the hooks. The hooks revoke_active_sessions and verify need a store, and so
	// do session without Issue, require_verified_address and verify_new_address. Default: none.
	Store Store

	// Hooks are the host's own hooks, by their names in YAML. The names redirect, session,
	// revoke_active_sessions, verify and verification are errors. With the name of any other
	// built-in hook, the host's own takes its place.
	Hooks map[string]HookFactory

	// Flows and Strategies are the host's own, in addition to the built-in ones.
	Flows      []Flow
	Strategies []Strategy

	// Serves lists the flows and strategies that the service has routes for. Phase is empty. An
	// empty Strategy means every strategy of the flow. If Serves is set, a hook in a flow or
	// strategy that is not listed is an error of New. Run, Complete and ReturnURL return
	// ErrUnknownPoint for it, and Middleware panics. Flow-wide hooks of a listed flow are allowed,
	// even if only some of its strategies are listed. Default: all flows and strategies.
	//
	// If only strategies of a flow are listed, FlowWide counts as not listed, because none of their
	// hooks would run with it. Middleware, ReturnURL, and Run at Before accept it nevertheless.
	Serves []Point

	// Secrets sign the session tokens, instead of the secrets of the file. The first one signs, and
	// all of them verify. Each has at least 16 bytes, without white space and byte order marks
	// around it. References such as ${NAME} are not resolved here. Default: those of the file.
	Secrets []string

	// Issue replaces what the session hook does, for hosts with sessions of their own. It must set
	// Exchange.Session, because revoke_active_sessions ends every other session of the identity.
	// Default: Sessions().Issue.
	Issue func(ctx context.Context, x *Exchange) error

	// Courier sends the emails of SendRecovery and of the hooks verify, require_verified_address,
	// notify_previous_addresses and verify_new_address, which need one. Default: none.
	Courier Courier

	// Outbox means that Courier.Send only writes the email to a queue in the Store's transaction.
	// Then Send is called inside the transaction instead of after the commit, and its error fails
	// the hook.
	Outbox bool

	// VerificationURL is the absolute URL that verification links point to, and links that change
	// an address. The token is added as the query parameter "token". Default: the ui_url of the
	// file's verification flow.
	VerificationURL string

	// RecoveryURL is the absolute URL that recovery links point to, likewise. Default: the ui_url
	// of the file's recovery flow.
	RecoveryURL string

	// Wrap wraps every hook, for example for tracing: what it returns runs instead. New, each
	// Reload, Check and Preview call it once for each hook. p is where the hook is configured. next
	// includes the entry's timeout. It returns the pipeline's verdict: an answer that the pipeline
	// rejects, such as a status of 403 at After, is an error. Default: none.
	Wrap func(p Point, name string, next Hook) Hook

	// Strict makes warnings errors of New and Reload. Notes stay notes.
	Strict bool

	// Accept lists the rules of findings that are intended, such as "signs-out". New and Reload do
	// not log these findings, Check and Plan.Findings do not return them, and Strict does not make
	// them errors. Rules of hooks that implement Finder begin with the name of the hook, as in
	// "crm/no-retry". An unknown rule is an error of New. Errors cannot be accepted, so the rule
	// "invalid" is an error, too. The file can accept rules as well: see docs/checks.md.
	Accept []string

	// Logger logs the findings of New and Reload, panics of hooks, and what fails when it is too
	// late to return an error. Default: slog.Default.
	Logger *slog.Logger

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError answers for Middleware if a hook at Before refuses or fails, or if the request names
	// a bad return URL. Default: Pipeline.AnswerError.
	OnError func(w http.ResponseWriter, r *http.Request, err error)

	// JSON reports whether a client wants JSON instead of redirects and plain text. A redirect then
	// answers as Ory Kratos answers its API clients: see [Redirect]. It may be called concurrently.
	// Default: the Accept header prefers application/json to text/html, RFC 9110, section 12.5.1.
	// Every redirect, and AnswerError, then sends Vary: Accept.
	JSON func(r *http.Request) bool
}

// checkOptions reports what is wrong with the options.
func (b *builder) checkOptions() {
	option := func(format string, v any) location { return location{path: fmt.Sprintf("Options."+format, v)} }
	for i, f := range b.Flows {
		if conf.ReservedFlow(string(f)) {
			b.wrong(option("Flows[%d]", i), "choose another name", "%q is reserved", f)
		}
	}
	for i, s := range b.Strategies {
		if conf.ReservedStrategy(string(s)) {
			b.wrong(option("Strategies[%d]", i), "choose another name", "%q is reserved", s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Hooks)) {
		if kind := builtinNamed(name); name == "" || kind != nil && !kind.replaceable {
			b.wrong(option("Hooks[%q]", name), "choose another name", "the name is reserved")
		} else if b.Hooks[name] == nil {
			b.wrong(option("Hooks[%q]", name), "", "no factory")
		}
	}
	for i, p := range b.Serves {
		if problem, hint := b.checkServes(p); problem != "" {
			b.wrong(option("Serves[%d]", i), hint, "%s", problem)
		}
	}
	for i, rule := range b.Accept {
		b.checkRule(option("Accept[%d]", i), rule)
	}
	const refer = "pass the secret itself, such as os.Getenv(\"NAME\")"
	conf.CheckSecrets(b.Secrets, refer, func(i int, problem, hint string) {
		b.wrong(option("Secrets[%d]", i), hint, "%s", problem)
	})
	for _, field := range []struct {
		name  string
		value any
	}{{"Store", b.Store}, {"Courier", b.Courier}} {
		if isNilPointer(field.value) {
			b.wrong(location{path: "Options." + field.name},
				"leave it out, or check the error of the call that made it", "a nil %T", field.value)
		}
	}
	if _, ok := b.Courier.(interface{ NeedsOutbox() }); ok && !b.Outbox {
		b.wrong(location{path: "Options.Courier"}, "set Options.Outbox",
			"a %T sends emails only in the transaction", b.Courier)
	}
	if b.VerificationURL != "" {
		b.checkURL(b.VerificationURL, Verification, location{path: "Options.VerificationURL"})
	}
	if b.RecoveryURL != "" {
		b.checkURL(b.RecoveryURL, Recovery, location{path: "Options.RecoveryURL"})
	}
}

// checkRule reports a rule whose findings cannot be accepted.
func (b *builder) checkRule(at location, rule string) {
	switch {
	case rule == "invalid":
		b.wrong(at, "correct the configuration", "errors cannot be accepted")
	case slices.Contains(check.Rules, rule), b.ruleOfHook(rule):
	case strings.Contains(rule, "/"):
		name, _, _ := strings.Cut(rule, "/")
		b.wrong(at, fmt.Sprintf("it needs a hook %q in Options.Hooks", name), "unknown rule %q", rule)
	default:
		problem, hint := spell.Unknown("rule", rule, check.Rules, "")
		b.wrong(at, hint, "%s", problem)
	}
}

// ruleOfHook reports whether a rule is one of a hook of the host's own; see Finder.
func (b *builder) ruleOfHook(rule string) bool {
	name, _, ok := strings.Cut(rule, "/")
	return ok && (b.Hooks[name] != nil || slices.ContainsFunc(b.additions, func(a added) bool {
		_, redirects := a.hook.(*redirect)
		return a.hook != nil && !redirects && a.entry.Name() == name
	}))
}

// checkServes returns what is wrong with a point of Options.Serves, and the fix; "" if nothing is.
func (b *builder) checkServes(p Point) (problem, hint string) {
	if p.Phase != "" {
		return fmt.Sprintf("a point with the phase %q", p.Phase),
			"leave Phase empty: a flow is served in all its phases"
	}
	return unknownName(Point{p.Flow, Before, p.Strategy}, b.flows, b.strategies)
}
