package flowhook

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/flowhook/flowhook/internal/stage"
)

// transaction runs fn in a transaction of the store. Without a store, it only calls fn.
func (p *Pipeline) transaction(ctx context.Context, x *Exchange, identityID string, fn func(ctx context.Context) error) error {
	if p.store == nil {
		return fn(ctx)
	}
	var began, ended bool
	var cause *carried
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
	x.run.tx.Store(false)
	switch {
	case cause != nil:
		if !is(err, cause) {
			p.log.LogAttrs(ctx, slog.LevelError, "flowhook: the store did not return why its transaction was to be rolled back", slog.Any("error", err))
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

// succeed finishes a run that can no longer fail: it does what was left for after the commit, and
// sends the response.
func (p *Pipeline) succeed(ctx context.Context, x *Exchange) (handled bool) {
	x.run.succeeded = true
	if len(x.run.later) > 0 {
		p.afterCommit(ctx, x)
	}
	if x.guard.Refused() { // too late to fail
		p.log.LogAttrs(ctx, slog.LevelError, "flowhook: a write after the chain has ended was dropped",
			slog.Any("error", errRefused))
	}
	x.guard.Open()
	if !stage.Touched(x.run.stage) {
		return false
	}
	status, _ := stage.Result(x.run.stage)
	x.marks.answered = status != 0 // also where the writer panics
	if err := stage.Release(x.run.stage); err != nil {
		p.log.LogAttrs(ctx, slog.LevelWarn, "flowhook: the answer did not reach the client", slog.Any("error", err))
	}
	return x.marks.answered
}

// afterCommit runs what was left for after the commit, one after the other, within one time limit.
func (p *Pipeline) afterCommit(ctx context.Context, x *Exchange) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detached)
	defer cancel()
	for i := 0; i < len(x.run.later); i++ { // a function may add to it
		p.runLater(ctx, x.run.later[i])
	}
}

// runLater runs one function. It has a goroutine of its own, so that not even a Goexit keeps the rest
// and the response from going out.
func (p *Pipeline) runLater(ctx context.Context, l later) {
	e := &HookError{Point: l.chain.point, Name: "save"}
	if l.hook != nil {
		e.Name, e.Position = l.hook.name, l.hook.pos
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
