package sqlstore

import (
	"context"
	"database/sql"
)

// Tx gives the transaction that ctx carries, for statements of the host's own. They run with a context from [TxContext].
// Where one fails, the host runs no other and returns the error: the database may have rolled the transaction back, and
// SQLite would commit the next one by itself. Commit and Rollback are not the host's to call.
func Tx(ctx context.Context) (*sql.Tx, bool) {
	if t := innermost(ctx); t != nil {
		t.lend()
		return t.tx, true
	}
	return nil, false
}

// Conn gives the connection on which the transaction runs that ctx carries, for what works on a driver's own connection
// ([sql.Conn.Raw]), such as a job queue. It is not the host's to close, nor to begin a transaction on. Rows that it gave
// have to be closed: open ones, unless their context is from [TxContext], keep the transaction from ending.
func Conn(ctx context.Context) (*sql.Conn, bool) {
	if t := innermost(ctx); t != nil {
		t.lend()
		t.lendConn()
		return t.conn, true
	}
	return nil, false
}

// TxContext gives the context for a statement in the transaction that ctx carries: it has ctx's values, and ends with the
// transaction, not before. For where the context of a single statement ends (a hook's deadline, say), SQLite rolls the
// whole transaction back, and takes the next statement for one of its own. Outside a transaction it gives ctx.
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

// lendConn is lend, for the connection itself.
func (t *transaction) lendConn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.raw = true
	if t.doom != nil {
		t.keep()
	}
}

// lend is called where the host asks for the transaction. From then on a statement may fail without the store's hearing
// of it, and the database may roll back behind it. What notices that takes statements of its own, which a transaction of
// the store's alone can do without.
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
