package flowhook

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/spell"
)

// Options are what a file cannot say. The zero value of every field is a sensible default.
type Options struct {
	// Store is the host's identity store. revoke_active_sessions, verify, and session without Issue need it: nil, where one
	// of them is configured, is an error. Without a store there are no transactions: Complete only calls save and the hooks.
	Store Store

	// Hooks are the host's own hooks, by the name they have in YAML. The name of a built-in hook is an error.
	Hooks map[string]HookFactory

	// Flows and Strategies are the host's own, beside those that flowhook knows.
	Flows      []Flow
	Strategies []Strategy

	// Serves lists the flows and strategies that the service has routes for. Phase is empty; an
	// empty Strategy means every strategy of the flow. If Serves is set, New returns an error for
	// each hook in a flow that is not listed, or in the list of a strategy that is not. Flow-wide
	// hooks of a listed flow are fine, even if only some of its strategies are listed. Elsewhere,
	// Run, Complete and ReturnURL return ErrUnknownPoint, and Middleware panics. Default: all flows
	// and strategies.
	//
	// FlowWide is elsewhere, too, if Serves has only strategies of the flow: with it, no hook under a
	// strategy would run. Middleware, ReturnURL, and Run at Before take it all the same.
	Serves []Point

	// Secrets sign the session tokens, instead of the file's: the first signs, all verify. Each has
	// at least 16 bytes; white space and byte order marks around it are not part of it. References
	// such as ${NAME} are not resolved here.
	Secrets []string

	// Issue is what the session hook does, for hosts with sessions of their own. It must set
	// Exchange.Session, because revoke_active_sessions ends every session that it does not name.
	// Default: Sessions().Issue.
	Issue func(ctx context.Context, x *Exchange) error

	// Courier sends the mails of the verify hook, which needs one.
	Courier Courier

	// Outbox says that Courier.Send writes into the Store's transaction (a queue in the same database): it is called
	// inside the transaction instead of after the commit, and its error fails the hook.
	Outbox bool

	// VerificationURL is the absolute URL that verification links point to; the token is added as the query parameter
	// "token". Default: the ui_url of the file's verification flow.
	VerificationURL string

	// Wrap, if not nil, is called once for every hook, by New, by each Reload and by Check, and what it returns runs instead:
	// timing, tracing. p is where the hook is configured. The timeout of an entry is inside of it.
	Wrap func(p Point, name string, next Hook) Hook

	// Strict makes errors of New's warnings, and of Reload's. Notes stay notes.
	Strict bool

	// Accept lists the rules of findings that are intended, such as "signs-out". These findings are
	// dropped: New and Reload do not log them, Check and Findings do not return them, and Strict
	// does not make errors of them. An unknown rule is an error of New. Findings of severity Error
	// cannot be accepted; so the rule "invalid" is an error here, too.
	Accept []string

	// Logger takes what happens after the commit, and what New and Reload find. Default: slog.Default.
	Logger *slog.Logger

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// OnError answers for Middleware where a before hook failed, or the request names a bad return URL. Default: log it and
	// send a plain 500; for ErrBadReturnURL, a 400.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
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
		if name == "" || builtinNamed(name) != nil {
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
		switch {
		case rule == "invalid":
			b.wrong(option("Accept[%d]", i), "correct the configuration", "errors cannot be accepted")
		case !slices.Contains(check.Rules, rule):
			problem, hint := spell.Unknown("rule", rule, check.Rules, "")
			b.wrong(option("Accept[%d]", i), hint, "%s", problem)
		}
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
			b.wrong(location{path: "Options." + field.name}, "leave it out, or check the error of the call that made it",
				"a nil %T", field.value)
		}
	}
	if b.VerificationURL != "" {
		b.checkURL(b.VerificationURL, location{path: "Options.VerificationURL"})
	}
}

// checkServes returns what is wrong with a point of Options.Serves, and the fix; "" if nothing is.
func (b *builder) checkServes(p Point) (problem, hint string) {
	if p.Phase != "" {
		return fmt.Sprintf("a point with the phase %q", p.Phase), "leave Phase empty: a flow is served in all its phases"
	}
	return unknownName(Point{p.Flow, Before, p.Strategy}, b.flows, b.strategies)
}
