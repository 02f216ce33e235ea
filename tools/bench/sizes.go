package main

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// settling runs before each row. It does now what a server would do in the background at some time,
// so that this does not disturb the measurement. Then it reads the table and each index once, so
// that no figure includes the disk.
//
// This does not put a large table into PostgreSQL's own cache. By default, shared_buffers are 128
// MB, and 10,000,000 sessions take 2.4 GB: 1.1 for the table and 1.3 for the indexes. A page outside
// of it is copied from the kernel's cache, which is usual if any session may be next. The 3 MB of
// the small table stay in it. SQLite is in the same position, with a cache of 2 MB and a file of
// 240 MB for 1,000,000 sessions.
//
// It does not run SQLite's VACUUM, which would leave the file in better order than that of a
// service.
var settling = map[sqlstore.Dialect][]string{
	sqlstore.PostgreSQL: {
		"VACUUM ANALYZE flowhook_sessions",
		"CHECKPOINT",
		"SELECT max(authenticated_at) FROM flowhook_sessions", // which is in no index
		`BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
			SELECT count(id) FROM flowhook_sessions; SELECT count(identity_id) FROM flowhook_sessions;
			SELECT count(expires_at) FROM flowhook_sessions; COMMIT`,
	},
	sqlstore.SQLite: {
		"ANALYZE",
		"PRAGMA wal_checkpoint(TRUNCATE)",
		"SELECT max(authenticated_at) FROM flowhook_sessions NOT INDEXED",
		"SELECT count(*) FROM flowhook_sessions INDEXED BY flowhook_sessions_identity",
		"SELECT count(*) FROM flowhook_sessions INDEXED BY flowhook_sessions_expiry",
	},
}

func (s sized) settle(t testing.TB, d database) {
	conn, err := s.db.Conn(context.Background())
	must(t, err)
	defer conn.Close()
	execute(t, conn, settling[d.dialect]...)
}

// tables are the same table in several sizes.
type tables struct {
	database
	bySize map[int]sized
}

// ready returns the table with a number of sessions, settled.
func (ts *tables) ready(t testing.TB, sessions int) sized {
	s, ok := ts.bySize[sessions]
	if !ok {
		s = filled(t, ts.database, sessions)
		ts.bySize[sessions] = s
	}
	s.settle(t, ts.database)
	return s
}

// compare measures a call on a table and on the small one. Each is in a database of its own.
func (ts *tables) compare(sessions int, of func(s sized) call) measurement {
	return func(t testing.TB, rounds int) (ours, other figures) {
		large, small := ts.ready(t, sessions), ts.ready(t, smallTable)
		return renewed(t, rounds, func() {
			// SQLite has no process for a connection, and a new connection would lose its cache.
			if ts.dialect == sqlstore.PostgreSQL {
				reconnect(large.db)
				reconnect(small.db)
			}
		}, of(large), of(small))
	}
}

func reconnect(db *sql.DB) {
	db.SetMaxIdleConns(0) // which closes them
	db.SetMaxIdleConns(idle)
}

const (
	smallTable = 10_000
	inUse      = 500
)

// sizesOf returns the rows that compare reading and revoking in large tables and in a small one.
// The sessions are either any of the table, which shows the cost of its size, or the few that are
// in use.
func sizesOf(d database) (rows []row) {
	ts := &tables{d, map[int]sized{}}
	sizes := d.sizes
	if *quick {
		sizes = []int{100_000}
	}
	for _, size := range sizes {
		for _, of := range []struct {
			which string
			draw  draw
		}{{"any of them", anyOne}, {fmt.Sprintf("of the %d in use", inUse), oneInUse}} {
			large, small := thousands(size)+" sessions, "+of.which, thousands(smallTable)+", "+of.which
			find := func(s sized) call { return s.find(of.draw) }
			revoke := func(s sized) call { return s.revoke(of.draw) }
			rows = append(rows,
				row{"FindSession, 1 of " + large + ", on " + d.name, ts.compare(size, find),
					"flowhook, 1 of " + small, 1.5, d.missing()},
				row{"revoke an identity's 4 of " + large + ", on " + d.name, ts.compare(size, revoke),
					"flowhook, 4 of " + small, 1.5, d.missing()})
		}
	}
	return rows
}

// draw returns the number of a random session.
type draw func(sessions int) int

func anyOne(sessions int) int { return rand.IntN(sessions) }

// oneInUse returns one of a few sessions, spread over the whole table, that are used again and
// again. PostgreSQL's cache keeps their pages. SQLite's does not keep all of those of a large
// table.
func oneInUse(sessions int) int { return rand.IntN(inUse) * (sessions / inUse) }

func (s sized) find(draw draw) call {
	return func(ctx context.Context) (took time.Duration, err error) {
		want := s.session(draw(s.sessions))
		began := time.Now()
		found, err := s.FindSession(ctx, want.ID)
		took = time.Since(began)
		if err == nil && found != want {
			err = errWrong
		}
		return took, err
	}
}

// revoke ends all sessions of an identity and stores them again.
func (s sized) revoke(draw draw) call {
	return func(ctx context.Context) (took time.Duration, err error) {
		i := draw(s.sessions) % s.identities()
		identity := s.session(i).IdentityID
		began := time.Now()
		err = s.DeleteSessions(ctx, identity, "")
		took = time.Since(began)
		if err != nil {
			return 0, err
		}
		return took, s.Transaction(ctx, identity, func(ctx context.Context) error {
			for n := range perIdentity { // storing an ID that exists is an error
				if err := s.CreateSession(ctx, s.session(i+n*s.identities())); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
