package sqlstore

import (
	"context"
	"database/sql"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// Tx returns the transaction that ctx carries, for the host's own statements. Run them with a
// context from [TxContext]. If a statement fails, return the error and run no other one: the
// database may have rolled back the transaction, and SQLite would commit the next statement by
// itself. Don't commit or roll back yourself.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	t, _, ok := relational.Lend[*tx](ctx)
	if !ok {
		return nil, false
	}
	return t.tx, true
}

// Conn returns the connection of the transaction that ctx carries, for code that works on a
// driver's own connection ([sql.Conn.Raw]), such as a job queue. Don't close it, and don't begin a
// transaction on it. Close the rows that it returns: open rows keep the transaction from ending,
// unless their context is from [TxContext].
func Conn(ctx context.Context) (*sql.Conn, bool) {
	t, _, ok := relational.Lend[*tx](ctx)
	if !ok {
		return nil, false
	}
	t.lendConn()
	return t.conn, true
}

// TxContext returns the context for a statement in the transaction that ctx carries. It has the
// values of ctx and ends with the transaction, not earlier. If the context of a single statement
// ended, such as at a hook's deadline, SQLite would roll back the whole transaction and run the
// next statement outside of it. Outside a transaction, TxContext returns ctx.
func TxContext(ctx context.Context) context.Context {
	if t, ok := relational.Find[*tx](ctx); ok {
		return hostContext{t.hosts, ctx}
	}
	return ctx
}

// A hostContext ends with one context and has the values of another.
type hostContext struct {
	context.Context
	values context.Context
}

func (c hostContext) Value(key any) any { return c.values.Value(key) }

// lendConn is Lend for the connection.
func (t *tx) lendConn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raw = true
	if t.finished && !t.committed {
		t.keep()
	}
}

// Lend implements [relational.Tx].
func (t *tx) Lend() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lent = true
	if t.database.dialect.lent == "" {
		return nil
	}
	_, err := t.tx.ExecContext(t.ctx, t.database.dialect.lent)
	return err
}
