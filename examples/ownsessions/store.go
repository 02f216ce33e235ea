package main

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// A database is what the service keeps: users, and the rows of its sessions. Its transactions are those of a memstore,
// which keeps the verification tokens; the sessions that a memstore could keep are hidden on purpose. A service with an
// SQL database has a *sql.Tx in the context instead, and all of this file is its database's.
type database struct {
	flowhook.Store
	flowhook.VerificationStore

	mu sync.Mutex
	tables
}

// tables are the rows of the database, or those that a transaction has written.
type tables struct {
	users    map[string]user       // by name
	sessions map[string]sessionRow // by token
}

// A user's name is the identity's ID.
type user struct {
	Name, Email, Motto string
	Verified           bool
	Salt, Hash         []byte
}

// A sessionRow is what scs has of one session. It stays when the session ends, until it would have expired: so that a
// request that began before cannot write the session back.
type sessionRow struct {
	data   []byte
	expiry time.Time
	ended  bool
}

func newTables() tables { return tables{users: map[string]user{}, sessions: map[string]sessionRow{}} }

func newDatabase() *database {
	m := memstore.New()
	return &database{Store: m, VerificationStore: m, tables: newTables()}
}

type writtenKey struct{} // of a transaction's *tables, in its context

// Transaction keeps the rows that fn writes apart until memstore has committed. It holds the database in between, so
// that nobody sees the one without the other.
func (d *database) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if ctx.Value(writtenKey{}) != nil { // it joins
		return d.Store.Transaction(ctx, identityID, fn)
	}
	written, locked := newTables(), false
	defer func() {
		if locked {
			d.mu.Unlock()
		}
	}()
	err := d.Store.Transaction(context.WithValue(ctx, writtenKey{}, &written), identityID, func(ctx context.Context) error {
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

// apply expects that d is locked.
func (d *database) apply(written tables, now time.Time) {
	maps.Copy(d.users, written.users)
	maps.Copy(d.sessions, written.sessions)
	maps.DeleteFunc(d.sessions, func(_ string, row sessionRow) bool { return !now.Before(row.expiry) })
}

// put writes what change makes of a row: in the transaction of ctx or, where there is none, at once.
func put[T any](ctx context.Context, d *database, table func(t *tables) map[string]T, key string, change func(was T) T) error {
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
	table(to)[key] = change(was)
	return nil
}

// rows gives a copy of a table as the transaction of ctx sees it.
func rows[T any](ctx context.Context, d *database, table func(t *tables) map[string]T) (map[string]T, error) {
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

// User gives the zero user where there is none.
func (d *database) User(ctx context.Context, name string) (user, error) {
	all, err := rows(ctx, d, users)
	return all[name], err
}

func (d *database) SaveUser(ctx context.Context, u user) error {
	return put(ctx, d, users, u.Name, func(user) user { return u })
}
