package flowhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/flowhook/flowhook/internal/stage"
)

// detached is the time limit of work that is not canceled with the request.
const detached = 10 * time.Second

// A Pipeline is all chains of a configuration, ready to run. It is made by [New] and safe for concurrent use. Only
// [Pipeline.Reload] changes it, and never under a running request.
type Pipeline struct {
	current  atomic.Pointer[plan]
	options  Options
	store    Store // may be nil
	sessions *Sessions
	verify   VerificationStore // may be nil
	log      *slog.Logger
	now      func() time.Time
	onError  func(w http.ResponseWriter, r *http.Request, err error)
}

// Run runs the hooks of one phase, the strategy's first, then the flow-wide ones. handled reports whether a hook has answered:
// the handler writes nothing more. On an error nothing was written, x is what it was, and the handler answers. The two
// never come together.
//
// The hooks at After run in one transaction, serialized by x.Identity's ID. A save of the host's own before it is not
// part of that: if both must succeed or fail together, use [Pipeline.Complete]. Hooks at Failed run with a context that
// outlives the request, for at most 10 seconds.
//
// Run allows revoke_active_sessions at login without a session, because the host may issue one
// afterwards. That has a price: two logins at the same time then leave two sessions.
//
// What a hook caused is a [*HookError]. Other errors: ErrNoExchange, ErrOtherPipeline, ErrUnknownPoint, ErrNested,
// ErrAnswered, ErrPhaseSkipped, ErrBadReturnURL (in a flow with a redirect that goes where the request says, but not at
// Failed), the store's own if its transaction fails, and ctx.Err() if ctx has ended. Run is safe for concurrent use with
// different exchanges.
func (p *Pipeline) Run(ctx context.Context, flow Flow, phase Phase, strategy Strategy) (handled bool, err error) {
	x, c, err := p.enter(ctx, flow, phase, strategy)
	if err != nil {
		return false, err
	}
	if err := x.passed(c, c.gates); err != nil { // those at After have something before them
		return false, err
	}
	if len(c.hooks) == 0 {
		return false, nil
	}
	if c.writes && p.inside(ctx, x) {
		return false, errInside
	}

	x.begin(nil)
	defer x.end()
	switch {
	case c.writes && p.store != nil:
		err = p.transaction(ctx, x, x.identityID(), func(ctx context.Context) error { return p.last(ctx, x, c) })
	case c.outlives:
		alone, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
		defer cancel()
		err = p.last(alone, x, c)
	default:
		err = p.last(ctx, x, c)
	}
	if err != nil {
		return false, x.failed(err)
	}
	if c.gate {
		x.passing(c)
	}
	return p.succeed(ctx, x), nil
}

// Complete finishes a successful flow. It runs the hooks at BeforePersist; if none of them answers,
// it runs save and the hooks at After in one transaction, serialized by x.Identity's ID, even if save
// is what sets the ID. The response is staged until all of it has succeeded.
//
// save may be nil. It must use the context that it is given. It may set headers, but it must not
// answer: a write to x.Writer or to the handler's own ResponseWriter fails the run. At login, the
// host issues the session in save, or sets x.Session to one of its own. If revoke_active_sessions
// has run and the login has no session in the end, Complete returns an error and rolls back.
//
// handled reports whether a hook has answered. On an error, the transaction is rolled back, x and the
// header of x.Writer are what they were, and you can try again. An error of save comes back
// unchanged; others are as those of [Pipeline.Run]. If anything has failed that it ran, Complete
// then runs the hooks at Failed, with x.Err set: if one of them answers, the cause is logged and
// handled is true. It does not run them if it refuses the call, as with ErrPhaseSkipped or
// ErrUnknownPoint. A panic of save rolls back, restores, and goes on, without them.
//
// With [FlowWide], only the flow-wide hooks run, none under a strategy. Use it for flows without
// strategies, such as logout.
//
// If the commit took effect but reports an error, Complete returns that error. An answer at
// BeforePersist is not a failure: handled is true, err is nil, nothing is saved, and the hooks at
// Failed do not run.
//
// Do not open a transaction around Complete. The store knows only those that its own Transaction
// opened. If ctx carries one, Complete and Run join it: what they leave for after the commit, and the
// response, go out before the host commits. The store does not know any other transaction, such as
// one of db.BeginTx. Complete then commits a transaction of its own, and the session stays even if
// the host's is rolled back. Write in save, in the transaction of its context: sqlstore.Tx(ctx).
func (p *Pipeline) Complete(ctx context.Context, flow Flow, strategy Strategy, save func(ctx context.Context) error) (handled bool, err error) {
	x, after, err := p.enter(ctx, flow, After, strategy)
	if err != nil {
		return false, err
	}
	if err := x.passed(after, nil); err != nil {
		return false, err
	}
	if p.inside(ctx, x) {
		return false, errInside
	}
	x.run.holds = true
	defer func() {
		x.run.holds = false
		x.guard.Open()
	}()
	c := p.plan(x).find(flow, strategy)
	if handled, err = p.attempt(ctx, x, c, save); err == nil {
		return handled, nil
	}
	if len(c.failed.hooks) == 0 {
		return false, err
	}
	return p.afterFailure(ctx, x, &c.failed, err)
}

// attempt is Complete without the failed hooks.
func (p *Pipeline) attempt(ctx context.Context, x *Exchange, c *chains, save func(ctx context.Context) error) (handled bool, err error) {
	x.begin(x.header())
	defer x.end()

	if err := p.chain(ctx, x, &c.beforePersist); err != nil {
		return false, x.failed(err)
	}
	x.passing(&c.beforePersist)

	if status, _ := stage.Result(x.run.stage); status != 0 {
		err = x.finish()
	} else {
		locked := x.identityID()
		err = p.transaction(ctx, x, locked, func(ctx context.Context) error {
			if err := x.save(ctx, &c.after, save); err != nil {
				return err
			}
			last := func(ctx context.Context) error {
				if err := p.last(ctx, x, &c.after); err != nil {
					return err
				}
				return x.requireSession()
			}
			if id := x.identityID(); id != locked {
				return p.transaction(ctx, x, id, last)
			}
			return last(ctx)
		})
	}
	if err != nil {
		return false, x.failed(err)
	}
	return p.succeed(ctx, x), nil
}

// chain runs the hooks of one point until one answers or fails. It is the only place that runs hooks.
func (p *Pipeline) chain(ctx context.Context, x *Exchange, c *chain) (err error) {
	x.run.chain = c
	err = errGoexit // for the deferred function: unless something is returned
	defer func() {
		if v := recover(); v != nil {
			cause := panicked(v)
			if x.run.request == nil {
				cause = fmt.Errorf("%w (the exchange has no Request)", cause)
			}
			err = x.caused(cause)
			if x.run.aborted = v == http.ErrAbortHandler; !x.run.aborted {
				p.logPanic(ctx, c.point, x.run.hook.name, x.run.hook.pos, debug.Stack())
			}
		} else if err == errGoexit {
			x.run.hook.counts.fail() // nobody gets the error
		}
	}()
	for i := range c.hooks {
		h := &c.hooks[i]
		x.run.hook = h
		h.counts.run()
		if err := h.Run(ctx, x); err != nil {
			return x.caused(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if x.untouched() {
			continue
		}
		answered, err := x.answer()
		if err != nil {
			return x.caused(err)
		}
		if answered {
			h.counts.answer()
			break
		}
	}
	return nil
}

// last runs the last chain of a run.
func (p *Pipeline) last(ctx context.Context, x *Exchange, c *chain) error {
	if err := p.chain(ctx, x, c); err != nil {
		return err
	}
	return x.finish()
}

// logPanic logs where a hook panicked.
func (p *Pipeline) logPanic(ctx context.Context, point Point, hook string, pos Position, stack []byte) {
	p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a hook panicked", slog.String("point", point.String()),
		slog.String("hook", hook), slog.String("position", pos.String()), slog.String("stack", string(stack)))
}

// afterFailure runs the hooks at Failed after a failed attempt.
func (p *Pipeline) afterFailure(ctx context.Context, x *Exchange, c *chain, cause error) (handled bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
	defer cancel()
	x.begin(x.header())
	defer x.end()
	x.Err = cause
	if err := p.last(ctx, x, c); err != nil {
		p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a hook at failed has failed itself", slog.Any("error", x.failed(err)))
		return false, cause
	}
	if status, _ := stage.Result(x.run.stage); status == 0 {
		stage.Discard(x.run.stage) // the handler gets an error, and the writer as it was
	}
	handled = p.succeed(ctx, x)
	x.restore() // the attempt has failed, whatever became of it
	x.marks.answered = handled
	if !handled {
		return false, cause
	}
	p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a hook at failed has answered", slog.String("point", c.point.String()), slog.Any("error", cause))
	return true, nil
}
