package storetest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// around breaks the outermost Transaction: wrap replaces its fn.
func around(wrap func(fn func(context.Context) error) func(context.Context) error) func(b *broken) {
	return func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			return b.Store.Transaction(ctx, id, wrap(fn))
		}
	}
}

// renames breaks every Transaction by another name for its identity.
func renames(rename func(string) string) func(b *broken) {
	return func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			return b.Store.Transaction(ctx, rename(id), fn)
		}
		b.join = b.transaction
	}
}

// commitsAfter breaks the rollback: if ended accepts how fn ended, what fn wrote is committed.
func commitsAfter(ended func(o outcome) bool) func(b *broken) {
	return func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			var o outcome
			err := b.Store.Transaction(ctx, id, func(ctx context.Context) error {
				if o = <-start(func() error { return fn(ctx) }); ended(o) {
					return nil
				}
				return errors.Join(o.err, errors.New("rolled back"))
			})
			switch {
			case o.panicked != nil:
				panic(o.panicked)
			case !o.returned && err == nil:
				runtime.Goexit()
			case o.err != nil:
				return o.err
			}
			return err
		}
	}
}

// joinsPlainly breaks joining: fn is simply called.
func joinsPlainly(b *broken) {
	b.join = func(ctx context.Context, _ string, fn func(context.Context) error) error { return fn(ctx) }
}

var brokenTransactions = []brokenStore{
	{"runs fn twice", []string{"fn-runs-once"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { _ = fn(ctx); return fn(ctx) }
	})},
	{"tries again", []string{"failing-fn-runs-once"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			if fn(ctx) == nil {
				return nil
			}
			return fn(ctx)
		}
	})},
	{"cuts the context off", []string{"context-is-derived"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return fn(context.WithoutCancel(ctx)) }
	})},
	{"hides the error", []string{"error-is-returned", "joined-error-is-returned"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			if fn(ctx) != nil {
				return errors.New("rolled back")
			}
			return nil
		}
	})},
	{"swallows the panic", []string{"panic-goes-on", "joined-panic-goes-on"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			defer func() {
				if recover() != nil {
					err = errors.New("fn panicked")
				}
			}()
			return fn(ctx)
		}
	})},
	{"returns after Goexit", []string{"goexit-goes-on"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return (<-start(func() error { return fn(ctx) })).err }
	})},
	{"begins although the context has ended", []string{"ended-context-does-not-begin", "ended-context-does-not-join"}, func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			if ctx.Err() != nil {
				ctx = context.WithoutCancel(ctx)
			}
			return b.Store.Transaction(ctx, id, fn)
		}
		b.join = b.transaction
	}},
	{"commits although the context has ended", []string{"ended-context-does-not-commit", "deadline-does-not-commit", "ended-context-rolls-back"}, func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			return b.Store.Transaction(context.WithoutCancel(ctx), id, func(tx context.Context) error { return fn(splitContext{ctx, tx}) })
		}
	}},
	{"says only that the context has ended", []string{"error-wins-over-ended-context"}, around(func(fn func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			err := fn(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	})},
	{"swallows the error of the commit", []string{"commit-keeps", "others-see-nothing-uncommitted", "many-at-once", "joined-commits-with-the-outermost"}, func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			var err error
			_ = b.Store.Transaction(ctx, id, func(ctx context.Context) error {
				err = fn(ctx)
				return errors.New("the commit fails")
			})
			return err
		}
	}},
	{
		"loses the rollback",
		[]string{
			"error-rolls-back", "many-at-once", "mutual-wait-is-all-or-nothing", "joined-rolls-back-with-the-outermost", "deletion-is-transactional",
			"duplicate-session-in-one-transaction-is-an-error", "revoke-is-rolled-back", "rolled-back-token-does-not-count", "rolled-back-redemption-does-not-count",
		},
		commitsAfter(func(o outcome) bool { return o.returned }),
	},
	{"commits on a panic", []string{"panic-rolls-back"}, commitsAfter(func(o outcome) bool { return o.panicked != nil || o.returned && o.err == nil })},
	{
		"commits on Goexit", []string{"goexit-rolls-back", "joined-goexit-is-never-committed"},
		func(b *broken) {
			commitsAfter(func(o outcome) bool { return o.panicked == nil && o.err == nil })(b)
			joinsPlainly(b)
		},
	},
	{
		"forgets to wait",
		[]string{"same-identity-waits", "same-identity-never-overlaps", "any-identity-waits", "joining-waits-for-the-identity", "joining-holds-both", "mutual-wait-ends"},
		renames(func(string) string { return "" }),
	},
	{"takes some strings for no identity", []string{"any-identity-waits"}, renames(func(id string) string { return strings.TrimLeft(id, " \x00") })},
	{"mixes up upper and lower case", []string{"identities-are-distinct"}, renames(strings.ToLower)},
	{"cuts identities at NUL", []string{"identities-are-distinct"}, renames(func(id string) string { before, _, _ := strings.Cut(id, "\x00"); return before })},
	{"takes no identity for one", []string{"no-identity-waits-for-nobody"}, renames(func(id string) string {
		if id == "" {
			return "nobody"
		}
		return id
	})},
	{"takes text only", []string{"any-identity-will-do"}, func(b *broken) {
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			if !utf8.ValidString(id) || strings.Contains(id, "\x00") {
				return errors.New("invalid text")
			}
			return b.Store.Transaction(ctx, id, fn)
		}
	}},
	{"keeps the identity after a failure", []string{"turn-passes-on"}, func(b *broken) {
		var lost sync.Map
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			if _, ok := lost.Load(id); ok {
				<-ctx.Done()
				return ctx.Err()
			}
			lost.Store(id, true)
			err := b.Store.Transaction(ctx, id, fn)
			if err == nil {
				lost.Delete(id)
			}
			return err
		}
	}},
	{"waits on in a mutual wait", []string{"mutual-wait-ends"}, func(b *broken) {
		b.join = func(ctx context.Context, id string, fn func(context.Context) error) error {
			err := b.Store.Transaction(ctx, id, fn)
			if errors.Is(err, memstore.ErrDeadlock) {
				<-ctx.Done()
			}
			return err
		}
	}},
	{
		"isolates nothing", []string{"error-rolls-back", "others-see-nothing-uncommitted", "joined-commits-with-the-outermost", "joined-failure-is-never-committed"},
		func(b *broken) { b.context = outside },
	},
	{
		"works although the context has ended",
		[]string{
			"ended-context-writes-nothing", "ended-context-leaves-sessions", "revoking-with-ended-context-is-an-error",
			"revoke-with-ended-context-deletes-nothing", "ended-context-creates-no-token", "ended-context-consumes-no-token",
		},
		func(b *broken) { b.context = context.WithoutCancel },
	},
	{"reads only what is committed", []string{"reads-own-writes", "joined-is-the-same-transaction"}, func(b *broken) {
		b.findSession = func(ctx context.Context, id string) (flowhook.Session, error) {
			return b.Store.FindSession(outside(ctx), id)
		}
	}},
	{"takes every call into the open transaction", []string{"outside-survives-rollback", "others-see-nothing-uncommitted"}, func(b *broken) {
		var open atomic.Pointer[context.Context]
		b.transaction = func(ctx context.Context, id string, fn func(context.Context) error) error {
			return b.Store.Transaction(ctx, id, func(ctx context.Context) error {
				open.Store(&ctx)
				defer open.Store(nil)
				return fn(ctx)
			})
		}
		b.context = func(ctx context.Context) context.Context {
			if tx := open.Load(); tx != nil {
				return *tx
			}
			return ctx
		}
	}},
}

var brokenJoins = []brokenStore{
	{
		"does not join",
		[]string{
			"joining-does-not-wait-for-itself", "joining-holds-both", "joined-commits-with-the-outermost", "joined-is-the-same-transaction",
			"joined-rolls-back-with-the-outermost",
		},
		func(b *broken) {
			b.join = func(ctx context.Context, id string, fn func(context.Context) error) error {
				return b.Store.Transaction(outside(ctx), id, fn)
			}
		},
	},
	{"joins without waiting", []string{"joining-waits-for-the-identity", "joining-holds-both", "mutual-wait-ends"}, func(b *broken) {
		b.join = func(ctx context.Context, _ string, fn func(context.Context) error) error {
			return b.Store.Transaction(ctx, "", fn)
		}
	}},
	{"gives a joined identity back too early", []string{"joining-holds-both"}, func(b *broken) {
		b.join = func(ctx context.Context, id string, fn func(context.Context) error) error {
			return b.Store.Transaction(outside(ctx), id, func(context.Context) error { return fn(ctx) })
		}
	}},
	{"forgets that a joined call failed", []string{"joined-failure-is-never-committed", "joined-panic-is-never-committed"}, joinsPlainly},
}
