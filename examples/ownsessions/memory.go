package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// A memory is a database in memory. It uses the transactions of a memstore, which also stores the
// verification tokens; the memstore's own sessions are deliberately not exposed. A service with an
// SQL database has a *sql.Tx in the context instead and needs nothing of this file.
type memory struct {
	flowhook.Store
	flowhook.TokenStore

	mu sync.Mutex
	tables
}

// tables holds the rows of the database, or those that a transaction has written.
type tables struct {
	users    map[string]user       // by name
	sessions map[string]sessionRow // by token
}

// A sessionRow is a session of scs.
type sessionRow struct {
	data   []byte
	expiry time.Time
	ended  bool
}

func newTables() tables { return tables{users: map[string]user{}, sessions: map[string]sessionRow{}} }

func newMemory() *memory {
	m := memstore.New()
	return &memory{Store: m, TokenStore: m, tables: newTables()}
}

type writtenKey struct{} // context key of a transaction's *tables

// Transaction keeps the rows that fn writes separate until the memstore has committed. It locks the
// database in between, so that both change at once for everyone else.
func (d *memory) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if ctx.Value(writtenKey{}) != nil { // joins the outer transaction
		return d.Store.Transaction(ctx, identityID, fn)
	}
	written, locked := newTables(), false
	defer func() {
		if locked {
			d.mu.Unlock()
		}
	}()
	err := d.Store.Transaction(context.WithValue(ctx, writtenKey{}, &written), identityID,
		func(ctx context.Context) error {
			if err := fn(ctx); err != nil {
				return err
			}
			d.mu.Lock()
			locked = true
			return nil
		})
	if err == nil {
		d.apply(written, time.Now())
	}
	return err
}

// apply writes the rows of a transaction. The caller holds d.mu.
func (d *memory) apply(written tables, now time.Time) {
	maps.Copy(d.users, written.users)
	maps.Copy(d.sessions, written.sessions)
	maps.DeleteFunc(d.sessions, func(_ string, row sessionRow) bool { return !now.Before(row.expiry) })
}

// put replaces a row with the result of change, in the transaction of ctx or, without one, at once.
func put[T any](ctx context.Context, d *memory, table func(t *tables) map[string]T, key string,
	change func(was T) (T, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	to, was := &d.tables, table(&d.tables)[key]
	if written, ok := ctx.Value(writtenKey{}).(*tables); ok {
		to = written
		if row, ok := table(written)[key]; ok {
			was = row
		}
	}
	row, err := change(was)
	if err == nil {
		table(to)[key] = row
	}
	return err
}

// rows returns a copy of a table as the transaction of ctx sees it.
func rows[T any](ctx context.Context, d *memory, table func(t *tables) map[string]T) (map[string]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := maps.Clone(table(&d.tables))
	if written, ok := ctx.Value(writtenKey{}).(*tables); ok {
		maps.Copy(all, table(written))
	}
	return all, nil
}

func users(t *tables) map[string]user          { return t.users }
func sessions(t *tables) map[string]sessionRow { return t.sessions }

func (d *memory) User(ctx context.Context, name string) (user, error) {
	all, err := rows(ctx, d, users)
	return all[name], err
}

func (d *memory) SaveUser(ctx context.Context, u user) error {
	return put(ctx, d, users, u.Name, func(user) (user, error) { return u, nil })
}

func (r sessionRow) alive() bool { return !r.ended && time.Now().Before(r.expiry) }

func (d *memory) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	all, err := rows(ctx, d, sessions)
	row, ok := all[token]
	return row.data, ok && row.alive(), err
}

func (d *memory) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return put(ctx, d, sessions, token, func(was sessionRow) (sessionRow, error) {
		if was.ended {
			return was, errEnded
		}
		return sessionRow{data: data, expiry: expiry}, nil
	})
}

func (d *memory) DeleteCtx(ctx context.Context, token string) error {
	return put(ctx, d, sessions, token, func(was sessionRow) (sessionRow, error) {
		return sessionRow{expiry: was.expiry, ended: true}, nil
	})
}

func (d *memory) AllCtx(ctx context.Context) (map[string][]byte, error) {
	all, err := rows(ctx, d, sessions)
	alive := map[string][]byte{}
	for token, row := range all {
		if row.alive() {
			alive[token] = row.data
		}
	}
	return alive, err
}
