package flowhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// detached is the time limit of work that is not canceled with the request.
const detached = 10 * time.Second

// A Pipeline runs the hooks of a configuration. [New] makes it. It is safe for concurrent use. Only
// [Pipeline.Reload] changes it, and never under a running request.
type Pipeline struct {
	reloading sync.Mutex // held while a configuration is loaded, built and made the current one
	current   atomic.Pointer[Plan]
	reloaded  atomic.Pointer[reloadResult]
	options   Options
	store     Store // may be nil
	sessions  *Sessions
	tokens    TokenStore // may be nil
	log       *slog.Logger
	now       func() time.Time
	onError   func(w http.ResponseWriter, r *http.Request, err error)
}

// Run runs the hooks of one phase: the strategy's, then the flow-wide ones. ctx carries the
// exchange.
//
// handled reports whether a hook has answered; then the handler writes nothing more. If Run returns
// an error, nothing was written, the exchange is what it was, and the handler answers. handled is
// false then.
//
// The hooks at After run in one transaction of their own, serialized by the ID of x.Identity. What
// the handler saved before the call is not part of it. If both must succeed or fail together, use
// [Pipeline.Complete]. Hooks at Failed run with a context that outlives the request, for at most 10
// seconds.
//
// At login, Run allows revoke_active_sessions without a session, because the host may issue one
// afterwards. Two logins at the same time then leave two sessions.
//
// An error that a hook caused is a [*HookError], also a [Refusal]. Run also returns ErrNoExchange,
// ErrOtherPipeline, ErrUnknownPoint, ErrNested, ErrAnswered, ErrPhaseSkipped, the store's error if
// its transaction fails, and ctx.Err() if ctx has ended. It returns ErrBadReturnURL in a flow with
// a redirect that follows return_to, except at Failed. Run is safe for concurrent use with
// different exchanges.
func (p *Pipeline) Run(ctx context.Context, flow Flow, phase Phase, strategy Strategy) (handled bool, err error) {
	x, all, err := p.enter(ctx, flow, phase, strategy)
	if err != nil {
		return false, err
	}
	c := all.at(phase)
	if err := x.passed(c, c.gates); err != nil {
		return false, err
	}
	if len(c.hooks) == 0 && !x.queues(phase) {
		return false, nil
	}
	transacted := (c.writes || x.queues(phase)) && p.store != nil
	if transacted && x.within(ctx) {
		return false, errInside
	}

	was := x.begin(false)
	defer x.end(&was)
	switch {
	case transacted:
		x.run.chain = c
		err = p.transaction(ctx, x, x.identityID(), func(ctx context.Context) error { return p.runAfter(ctx, x) })
	case phase == Failed:
		alone, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
		defer cancel()
		err = p.runLast(alone, x, c)
	default:
		err = p.runLast(ctx, x, c)
	}
	if err != nil {
		return false, x.failed(err)
	}
	if phase == Before || phase == BeforePersist {
		x.pass(c)
	}
	return p.succeed(ctx, x), nil
}

// Complete finishes a successful flow. It runs the hooks at BeforePersist. If none of them answers,
// it runs save and then the hooks at After in one transaction, serialized by the ID of x.Identity,
// even if save sets that ID. The response is staged until all of it has succeeded.
//
// save may be nil. It must use the context that it is given. It may set headers, but it must not
// answer: a write to x.Writer or to the handler's own ResponseWriter fails the run. At login, issue
// the session in save, or set x.Session to one of your own. If revoke_active_sessions has run and
// the login has no session in the end, Complete rolls back and returns an error.
//
// handled reports whether a hook has answered. If Complete returns an error, the transaction is
// rolled back, x and the header of x.Writer are what they were, and you can try again. An error of
// save comes back unchanged; the others are those of [Pipeline.Run].
//
// After a failure or a [Refusal], Complete runs the hooks at Failed with x.Err set. If one of them
// answers, Complete logs the error, and handled is true. If one of them refuses, Complete logs the
// error and returns the Refusal instead. These hooks do not run if Complete refuses the
// call, as with ErrPhaseSkipped or ErrUnknownPoint. An answer at BeforePersist is not a failure:
// handled is true, err is nil, and nothing is saved. If save panics, Complete rolls back and
// restores, and the panic continues.
//
// With [FlowWide], only the flow-wide hooks run. Use it for flows without strategies, such as
// logout.
//
// If the commit took effect but reports an error, Complete returns that error.
//
// Do not open a transaction around Complete. If ctx carries a transaction of the store, Complete
// and Run join it: the response, and what waits for the commit, go out before you commit. The store
// does not know other transactions, such as one of db.BeginTx. Complete then commits on its own,
// and the session stays even if you roll back. Instead, write in save, with the transaction of its
// context: sqlstore.Tx(ctx).
func (p *Pipeline) Complete(
	ctx context.Context, flow Flow, strategy Strategy, save func(ctx context.Context) error,
) (handled bool, err error) {
	x, c, err := p.enter(ctx, flow, After, strategy)
	if err != nil {
		return false, err
	}
	if err := x.passed(&c.after, nil); err != nil {
		return false, err
	}
	if p.store != nil && x.within(ctx) {
		return false, errInside
	}
	x.run.holds = true
	defer func() {
		x.run.holds = false
		x.run.guard.Open()
	}()
	handled, err = p.attempt(ctx, x, c, save)
	if err != nil && len(c.failed.hooks) > 0 {
		return p.afterFailure(ctx, x, &c.failed, err)
	}
	return handled, err
}

// serving returns the plan that serves x, which keeps it from now on. If x is nil or belongs to
// another pipeline, it returns the current plan.
func (p *Pipeline) serving(x *Exchange) *Plan {
	if x == nil {
		return p.current.Load()
	}
	kept := x.run.plan.Load()
	if kept == nil {
		x.run.plan.CompareAndSwap(nil, p.current.Load()) // another goroutine may be faster
		kept = x.run.plan.Load()
	}
	if kept.pipeline == p {
		return kept
	}
	return p.current.Load()
}

// own makes x an exchange of p, unless it belongs to another pipeline, and returns the plan that
// serves it. Reading a session does not make it belong to one.
func (p *Pipeline) own(x *Exchange) (*Plan, error) {
	serving := p.serving(x)
	if kept := x.run.plan.Load(); kept != serving {
		if x.run.owned {
			return nil, fmt.Errorf("%w; use the pipeline whose Middleware wraps this route", ErrOtherPipeline)
		}
		x.run.plan.Store(serving)
	}
	x.run.owned = true
	return serving, nil
}

// find returns the chains of a flow and strategy, or nil if the service does not have them.
func (pl *Plan) find(flow Flow, s Strategy) *chains { return pl.served[flow][s] }

// unknown returns the error for a point that has no chain. Only a mistake in the host's code gets
// here, so it need not be fast.
func (pl *Plan) unknown(at Point) error {
	o := &pl.pipeline.options
	problem, hint := unknownName(at, union(builtinFlows, o.Flows), union(builtinStrategies, o.Strategies))
	switch {
	case problem != "":
	case at.Strategy == FlowWide && pl.find(at.Flow, FlowWide) != nil:
		problem, hint = "Options.Serves has only strategies of this flow", "pass one of them"
	default:
		problem, hint = "the service does not have it", "add it to Options.Serves"
	}
	return fmt.Errorf("%w: %s: %s; %s", ErrUnknownPoint, at, problem, hint)
}

// A reloadResult is how a call of Reload ended.
type reloadResult struct {
	at  time.Time
	err error
}

// Reload replaces the configuration, with the options that New was given. It calls factories and
// Options.Wrap again. If anything is wrong, it returns an error as New does, and nothing changes.
//
// The new configuration applies to every exchange that is first used from then on, and to its
// sessions. An exchange in use keeps the configuration that it began with. Hooks that [Config.Add]
// added to the previous configuration are not carried over.
//
// Reload is safe for concurrent use. Calls of Reload and ReloadFrom run one after another, so a
// factory or a hook's Started must not call them.
//
// Reload also compares the session cookie with the previous one. If the cookie keeps its name but
// changes its domain or path, that is the finding cookie-scope, which New never reports.
func (p *Pipeline) Reload(cfg *Config) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	return p.reload(cfg)
}

// reload is Reload. It is called with p.reloading held.
func (p *Pipeline) reload(cfg *Config) error {
	now := p.now()
	fresh, problems := p.build(cfg)
	err := joined(problems)
	p.reloaded.Store(&reloadResult{now, err})
	if err != nil {
		return err
	}
	fresh.loaded = now
	for _, f := range fresh.findings {
		p.log.LogAttrs(context.Background(), f.Severity.level(), "flowhook: "+f.Problem, slog.String("rule", f.Rule),
			slog.String("at", cmp.Or(f.Position.String(), f.Path)), slog.String("hint", f.Hint))
	}
	p.current.Store(fresh)
	for _, s := range fresh.starters {
		if _, err := guarded(func() (struct{}, error) { s.Started(); return struct{}{}, nil }); err != nil {
			p.log.LogAttrs(context.Background(), slog.LevelError, "flowhook: Started of a hook", slog.Any("error", err))
		}
	}
	return nil
}

// ReloadFrom calls load, and Reload with the configuration that it returns. If load returns an error
// or no configuration, ReloadFrom returns an error, and nothing changes. [Pipeline.LastReload]
// reports that error, too. load is the place for checks of your own:
//
//	err := pipeline.ReloadFrom(func() (*flowhook.Config, error) {
//		return flowhook.LoadConfig("auth.yml")
//	})
//
// ReloadFrom is safe for concurrent use. Calls run one after another, each with its load, so the
// configuration that was loaded last wins. load must not call Reload or ReloadFrom.
func (p *Pipeline) ReloadFrom(load func() (*Config, error)) error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	cfg, err := load()
	if err == nil && cfg == nil {
		err = errors.New("flowhook: load returned no configuration")
	}
	if err != nil {
		p.reloaded.Store(&reloadResult{p.now(), err})
		return err
	}
	return p.reload(cfg)
}

// joined returns the problems as one error, or nil if there are none.
func joined(problems []*ConfigError) error {
	errs := make([]error, len(problems))
	for i, e := range problems {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// LastReload returns when Reload, ReloadFrom or New was last called, and its error: nil if it
// accepted the configuration.
func (p *Pipeline) LastReload() (at time.Time, err error) {
	last := p.reloaded.Load()
	return last.at, last.err
}
