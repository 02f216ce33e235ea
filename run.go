package flowhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"

	"github.com/flowhook/flowhook/internal/stage"
)

// This file is the run, in the order in which it happens: enter, begin, pass the gates, run save
// and the chain in a transaction, check each answer, commit, release the response, end.

// enter returns the exchange in ctx and the chains of a flow and strategy, or why the chain of the
// phase cannot run now.
func (p *Pipeline) enter(ctx context.Context, flow Flow, phase Phase, strategy Strategy) (*Exchange, *chains, error) {
	x, ok := FromContext(ctx)
	plan := p.current.Load()
	if ok {
		var err error
		if plan, err = p.own(x); err != nil {
			return nil, nil, err
		}
	}
	point := Point{flow, phase, strategy}
	c := plan.find(flow, strategy)
	if c.at(phase) == nil || !c.flowWide && phase != Before {
		return nil, nil, plan.unknown(point)
	}
	switch {
	case !ok:
		return nil, nil, fmt.Errorf("%w; wrap the route in Middleware, or use NewContext", ErrNoExchange)
	case x.run.busy:
		return nil, nil, fmt.Errorf("%w: %s", ErrNested, point)
	case stage.Closed(x.Writer):
		return nil, nil, fmt.Errorf("%w: its Writer is that of a run that has ended", ErrNoExchange)
	case x.run.answered:
		return nil, nil, fmt.Errorf("%w: %s", ErrAnswered, point)
	}
	if c.follows && x.Request != nil {
		to, err := plan.returns.named(x.Request)
		if err != nil && phase != Failed { // at Failed, the redirect then goes where the file says
			return nil, nil, fmt.Errorf("%w: %s", err, point)
		}
		if to != x.progress().returnTo {
			x.note(func(p *progress) { p.returnTo = to })
		}
	}
	return x, c, nil
}

// begin takes a snapshot and puts a stage in front of the writer. If saves, the host's save may
// change the real header, so that a copy of it is part of the snapshot. The caller must call end.
func (x *Exchange) begin(saves bool) (was snapshot) {
	r := &x.run
	r.busy, r.succeeded, r.aborted, r.revoked = true, false, false, nil
	r.request = x.Request
	if saves && x.Writer != nil {
		header := x.Writer.Header() // a guarded writer notes it, and the guard makes the copy
		if was.restores = !r.guard.Guards(x.Writer); was.restores {
			was.header = stage.Copy(header)
		}
	}
	r.guard.Shut()
	was.take(x)
	if r.stage == nil {
		r.stage = &r.first
	} else {
		r.stage = new(stage.Stage)
	}
	stage.Begin(r.stage, x.Writer)
	x.Writer = r.stage
	return was
}

// end removes the stage. Unless the run succeeded, it makes the exchange what it was. It is
// deferred, so that it also runs after a panic or a Goexit.
func (x *Exchange) end(was *snapshot) {
	r := &x.run
	if !r.succeeded {
		stage.Close(r.stage)
		was.restore(x)
		r.guard.Restore()
		if was.restores {
			stage.Restore(stage.Real(r.stage).Header(), was.header)
		}
	}
	x.Writer, x.Request = stage.Real(r.stage), r.request
	if !r.holds {
		r.guard.Open()
	}
	r.busy, r.chain, r.hook, r.later = false, nil, nil, nil
}

// pass marks a chain at Before or BeforePersist as run. The hooks of a strategy include the
// flow-wide ones.
func (x *Exchange) pass(c *chain) {
	if len(c.hooks) > 0 {
		x.run.passed = append(x.run.passed, c)
		if c.wide != c {
			x.run.passed = append(x.run.passed, c.wide)
		}
	}
}

// passed returns an error if a chain that must run before c has not: the flow's Before, or a gate.
func (x *Exchange) passed(c *chain, gates []*chain) error {
	if c.before != nil && !slices.Contains(x.run.passed, c.before) {
		return fmt.Errorf("%w: %s comes before %s and has hooks; wrap the route in Middleware, or run it",
			ErrPhaseSkipped, c.before.point, c.point)
	}
	for _, gate := range gates {
		if !slices.Contains(x.run.passed, gate) {
			return fmt.Errorf("%w: %s comes before %s and has hooks; use Complete, or run it", ErrPhaseSkipped,
				Point{c.point.Flow, BeforePersist, c.point.Strategy}, c.point)
		}
	}
	return nil
}

// attempt is Complete without the failed hooks.
func (p *Pipeline) attempt(
	ctx context.Context, x *Exchange, c *chains, save func(ctx context.Context) error,
) (handled bool, err error) {
	was := x.begin(true)
	defer x.end(&was)
	if err := p.runHooks(ctx, x, &c.beforePersist); err != nil {
		return false, x.failed(err)
	}
	x.pass(&c.beforePersist)
	if status, _ := stage.Result(x.run.stage); status != 0 {
		err = x.finish()
	} else {
		err = p.persist(ctx, x, &c.after, save)
	}
	if err != nil {
		return false, x.failed(err)
	}
	return p.succeed(ctx, x), nil
}

// persist runs save and the chain at After in one transaction of the identity. If save sets the
// identity, the chain runs in a transaction of that identity that joins the first.
func (p *Pipeline) persist(ctx context.Context, x *Exchange, after *chain, save func(ctx context.Context) error) error {
	x.run.chain, x.run.hook = after, nil // while save runs
	locked := x.identityID()
	return p.transaction(ctx, x, locked, func(ctx context.Context) error {
		if err := x.save(ctx, save); err != nil {
			return err
		}
		if id := x.identityID(); id != locked {
			return p.transaction(ctx, x, id, func(ctx context.Context) error { return p.runAfter(ctx, x) })
		}
		return p.runAfter(ctx, x)
	})
}

// runAfter runs what hooks at BeforePersist have left for the transaction, and then the chain at
// After.
func (p *Pipeline) runAfter(ctx context.Context, x *Exchange) error {
	after := x.run.chain
	if x.queues(After) {
		if err := p.runQueued(ctx, x); err != nil {
			return err
		}
	}
	if err := p.runLast(ctx, x, after); err != nil {
		return err
	}
	if !x.run.holds { // Run, not Complete
		return nil
	}
	return x.requireSession()
}

// runQueued runs what hooks at BeforePersist have left for the transaction.
func (p *Pipeline) runQueued(ctx context.Context, x *Exchange) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = p.recovered(ctx, x, v)
		}
	}()
	for _, l := range x.progress().queued {
		x.run.chain, x.run.hook = l.chain, l.hook
		if err := l.fn(ctx); err != nil {
			return x.caused(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	x.run.hook = nil
	return nil
}

type transactionKey struct{}

// transaction runs fn in a transaction of the store. Without a store, it only calls fn.
func (p *Pipeline) transaction(
	ctx context.Context, x *Exchange, identityID string, fn func(ctx context.Context) error,
) error {
	if p.store == nil {
		return fn(ctx)
	}
	var began, ended bool
	var cause *carried
	defer x.run.tx.Store(false) // also after a panic
	err := p.store.Transaction(ctx, identityID, func(ctx context.Context) error {
		if began {
			return errRanTwice
		}
		began = true
		x.run.tx.Store(true)
		err := fn(context.WithValue(ctx, transactionKey{}, x))
		ended = true
		if err != nil {
			cause = &carried{err}
			return cause
		}
		return nil
	})
	switch {
	case cause != nil:
		if !is(err, cause) {
			p.log.LogAttrs(ctx, slog.LevelError,
				"flowhook: the store did not return why its transaction was to be rolled back", slog.Any("error", err))
		}
		return cause.err
	case ctx.Err() != nil && is(err, ctx.Err()):
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("flowhook: transaction: %w", err)
	case !ended:
		return errNotRun
	}
	return nil
}

// A carried error is what a transaction is rolled back for. Its address tells whether the store
// returned it; the error itself need not be comparable.
type carried struct{ err error }

func (c *carried) Error() string { return c.err.Error() }

func (c *carried) Unwrap() error { return c.err }

// outside reports whether the exchange is in a transaction and ctx is not.
func (x *Exchange) outside(ctx context.Context) bool {
	return x.run.tx.Load() && ctx.Value(transactionKey{}) != any(x)
}

// within reports whether ctx is in a transaction of another exchange, or of Redeem. A transaction
// with ctx would join that one, and what is left for after the commit would be done before it.
func (x *Exchange) within(ctx context.Context) bool {
	holder := ctx.Value(transactionKey{})
	return holder != nil && holder != any(x)
}

// save runs the host's save.
func (x *Exchange) save(ctx context.Context, save func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil || save == nil {
		return err
	}
	if err := save(ctx); err != nil {
		return err
	}
	x.clip() // save may have set the identity
	if x.untouched() {
		return nil
	}
	if _, err := x.answer(); err != nil {
		return x.caused(err)
	}
	return nil
}

// runHooks runs the hooks of one chain until one answers or fails. It is the only place that runs
// hooks.
func (p *Pipeline) runHooks(ctx context.Context, x *Exchange, c *chain) (err error) {
	x.run.chain = c
	defer func() {
		if v := recover(); v != nil {
			err = p.recovered(ctx, x, v)
		}
	}()
	for i := range c.hooks {
		h := &c.hooks[i]
		x.run.hook = h
		if err := h.run.Run(ctx, x); err != nil {
			return x.caused(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if x.untouched() {
			continue
		}
		if answered, err := x.answer(); err != nil {
			return x.caused(err)
		} else if answered {
			break
		}
	}
	return nil
}

// runLast runs the last chain of a run.
func (p *Pipeline) runLast(ctx context.Context, x *Exchange, c *chain) error {
	if err := p.runHooks(ctx, x, c); err != nil {
		return err
	}
	return x.finish()
}

// recovered returns the error of a hook that panicked with v.
func (p *Pipeline) recovered(ctx context.Context, x *Exchange, v any) error {
	cause := panicked(v)
	if x.run.request == nil {
		cause = fmt.Errorf("%w (the exchange has no Request)", cause)
	}
	if x.run.aborted = v == http.ErrAbortHandler; !x.run.aborted {
		p.logPanic(ctx, x.run.chain.point, x.run.hook.entry.Name(), x.run.hook.position(), debug.Stack())
	}
	return x.caused(cause)
}

// logPanic logs where a hook panicked.
func (p *Pipeline) logPanic(ctx context.Context, point Point, hook string, pos Position, stack []byte) {
	p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a hook panicked", slog.String("point", point.String()),
		slog.String("hook", hook), slog.String("position", pos.String()), slog.String("stack", string(stack)))
}

// caused returns an error that names the running hook, or save.
func (x *Exchange) caused(err error) error {
	h := x.run.hook
	if h == nil {
		return fmt.Errorf("flowhook: save: %w", err)
	}
	return &HookError{Point: x.Point(), Name: h.entry.Name(), Position: h.position(), Err: sound(err)}
}

// failed is called with the result of a run that has ended, and returns it. If a hook wanted to
// abort the connection, failed passes that on to the server.
func (x *Exchange) failed(err error) error {
	if x.run.aborted {
		panic(http.ErrAbortHandler)
	}
	return err
}

var (
	errReplaced = errors.New("replaced the exchange's Writer or Request; a hook writes to the one and reads the other")
	errAnswered = errors.New("it has answered; it may set headers, and the handler answers when Complete has returned")
	errRefused  = errors.New("the handler's ResponseWriter was written to while hooks run; a hook writes to x.Writer")
	errNoWriter = errors.New("it has answered or set a header, and the exchange has no Writer to send that")
	errBegun    = errors.New("it has answered or set a header, and the response has already begun; " +
		"run hooks before you answer")
)

// untouched reports whether a hook, or save, left everything alone that answer checks.
func (x *Exchange) untouched() bool {
	r := &x.run
	return !stage.Touched(r.stage) && !r.guard.Refused() && x.Writer == r.stage && x.Request == r.request
}

// answer checks what a hook, or save, did to the exchange, and reports whether the hook has
// answered.
func (x *Exchange) answer() (answered bool, err error) {
	status, misuse := stage.Result(x.run.stage)
	switch {
	case misuse != nil:
		return false, misuse
	case x.Writer != x.run.stage || x.Request != x.run.request:
		return false, errReplaced
	case (status != 0 || x.run.guard.Refused()) && x.run.hook == nil:
		return false, errAnswered
	case x.run.guard.Refused():
		return false, errRefused
	case x.mute() && (status != 0 || stage.Changed(x.run.stage)):
		if stage.Real(x.run.stage) == nil {
			return false, errNoWriter
		}
		return false, errBegun
	case status >= 400 && x.run.chain.point.Phase == After:
		return false, fmt.Errorf("answered with status %d, after everything was saved; "+
			"refuse at before_persist, or by returning an error", status)
	}
	return status != 0, nil
}

// mute reports whether nothing that a hook answers can reach the client.
func (x *Exchange) mute() bool { return stage.Real(x.run.stage) == nil || x.run.guard.Begun() }

// finish closes the stage after the last hook, or save. It checks once more, because a goroutine
// that one of them started may have written meanwhile. The answer is final then.
func (x *Exchange) finish() error {
	stage.Close(x.run.stage)
	if x.untouched() {
		return nil
	}
	if _, err := x.answer(); err != nil {
		return x.caused(err)
	}
	return nil
}

// succeed finishes a run that can no longer fail. It does what was left for after the commit, and
// releases the response.
func (p *Pipeline) succeed(ctx context.Context, x *Exchange) (handled bool) {
	r := &x.run
	r.succeeded = true
	if answered, _ := stage.Result(r.stage); answered != 0 || r.chain.point.Phase == After {
		x.endFlow()
	}
	if r.later != nil {
		p.afterCommit(ctx, x)
	}
	if r.guard.Refused() { // too late to fail
		p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a write after the chain has ended was dropped",
			slog.Any("error", errRefused))
	}
	r.guard.Open()
	if !stage.Touched(r.stage) {
		return false
	}
	status, _ := stage.Result(r.stage)
	r.answered = status != 0 // even if the writer panics
	if err := stage.Release(r.stage); err != nil {
		p.log.LogAttrs(ctx, slog.LevelWarn, "flowhook: the answer did not reach the client", slog.Any("error", err))
	}
	return r.answered
}

// afterCommit does what was left for after the commit, one after the other, within one time limit.
func (p *Pipeline) afterCommit(ctx context.Context, x *Exchange) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
	defer cancel()
	for l := x.run.later; l != nil; l = l.next { // a function may add to the list
		p.runLater(ctx, l)
	}
}

// runLater runs one function. The function has a goroutine of its own, so that not even a Goexit
// keeps the rest and the response from going out.
func (p *Pipeline) runLater(ctx context.Context, l *later) {
	e := &HookError{Point: l.chain.point, Name: "save"}
	if l.hook != nil {
		e.Name, e.Position = l.hook.entry.Name(), l.hook.position()
	}
	var stack []byte
	done := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if v := recover(); v != nil {
				err, stack = panicked(v), debug.Stack()
			}
			done <- err
		}()
		err = l.fn(ctx)
	}()
	e.Err = <-done
	if stack != nil {
		p.logPanic(ctx, e.Point, e.Name, e.Position, stack)
	}
	if e.Err != nil {
		p.log.LogAttrs(ctx, slog.LevelError, "flowhook: failed after the commit", slog.Any("error", e))
	}
}

// afterFailure runs the hooks at Failed after a failed attempt.
func (p *Pipeline) afterFailure(ctx context.Context, x *Exchange, c *chain, cause error) (handled bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
	defer cancel()
	was := x.begin(true)
	defer x.end(&was)
	x.Err = cause
	if err := x.failed(p.runLast(ctx, x, c)); refusalIn(err) != nil {
		p.replaced(ctx, c.point, cause)
		return false, err
	} else if err != nil {
		p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a hook at failed has failed itself", slog.Any("error", err))
		return false, cause
	}
	if status, _ := stage.Result(x.run.stage); status == 0 {
		stage.Discard(x.run.stage) // the handler answers, so it gets the header as it was
	}
	handled = p.succeed(ctx, x)
	was.restore(x) // the attempt has failed, whatever the hooks did
	x.run.answered = handled
	if !handled {
		return false, cause
	}
	p.replaced(ctx, c.point, cause)
	return true, nil
}

// replaced logs an error that the handler does not see, because a hook at Failed has answered or
// refused.
func (p *Pipeline) replaced(ctx context.Context, at Point, cause error) {
	level := slog.LevelError
	if refusalIn(cause) != nil {
		level = slog.LevelInfo
	}
	p.log.LogAttrs(ctx, level, "flowhook: a hook at failed has answered",
		slog.String("point", at.String()), slog.Any("error", cause))
}
