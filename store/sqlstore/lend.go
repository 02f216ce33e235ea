package sqlstore

import (
	"context"
	"database/sql"
)

// Tx returns the transaction that ctx carries, for the host's own statements. Run them with a
// context from [TxContext]. If a statement fails, return the error and run no other one: the
// database may have rolled back the transaction, and SQLite would commit the next statement by
// itself. Don't commit or roll back yourself.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	if t := innermost(ctx); t != nil {
		t.lend()
		return t.tx, true
	}
	return nil, false
}

// Conn returns the connection of the transaction that ctx carries, for code that works on a
// driver's own connection ([sql.Conn.Raw]), such as a job queue. Don't close it, and don't begin a
// transaction on it. Close the rows that it returns: open rows keep the transaction from ending,
// unless their context is from [TxContext].
func Conn(ctx context.Context) (*sql.Conn, bool) {
	if t := innermost(ctx); t != nil {
		t.lend()
		t.lendConn()
		return t.conn, true
	}
	return nil, false
}

// TxContext returns the context for a statement in the transaction that ctx carries. It has the
// values of ctx and ends with the transaction, not earlier. If the context of a single statement
// ended, such as at a hook's deadline, SQLite would roll back the whole transaction and run the
// next statement outside of it. Outside a transaction, TxContext returns ctx.
func TxContext(ctx context.Context) context.Context {
	if t := innermost(ctx); t != nil {
		return statementContext{t.hosts, ctx}
	}
	return ctx
}

type statementContext struct {
	context.Context
	values context.Context
}

func (c statementContext) Value(key any) any { return c.values.Value(key) }

// lendConn is lend for the connection.
func (t *transaction) lendConn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raw = true
	if t.doom != nil {
		t.keep()
	}
}

// lend is called when the host asks for the transaction. From then on, a statement may fail
// unnoticed by the store, and the database may roll back. Noticing that takes extra statements,
// which a transaction that is not lent does not run.
func (t *transaction) lend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lent || t.usable() != nil {
		return
	}
	t.lent = true
	for _, statement := range t.store.dialect.lent {
		if _, err := t.tx.ExecContext(t.ctx, statement); err != nil {
			t.doomed(t.store.explain(t.ctx, "lend the transaction", err))
			return
		}
	}
}
