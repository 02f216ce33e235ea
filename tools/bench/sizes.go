package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// perIdentity is the number of sessions of each identity.
const perIdentity = 4

// A sized store has a number of sessions, whose IDs are known here and random to the database.
type sized struct {
	*sqlstore.Store
	db       *sql.DB
	sessions int
}

var base = time.UnixMicro(1_800_000_000_000_000).UTC()

func (s sized) session(i int) flowhook.Session {
	id := sha256.Sum256([]byte("session " + strconv.Itoa(i)))
	identity := sha256.Sum256([]byte("identity " + strconv.Itoa(i%s.identities())))
	at := base.Add(time.Duration(i) * time.Millisecond)
	return flowhook.Session{ID: base32.StdEncoding.EncodeToString(id[:])[:26], IdentityID: hex.EncodeToString(identity[:18]),
		AuthenticatedAt: at, IssuedAt: at, ExpiresAt: at.Add(24 * time.Hour)}
}

// filled returns a store in a new database with a number of sessions.
func filled(t testing.TB, d database, sessions int) sized {
	db := d.open(t)
	s := sized{store(t, db, d.dialect), db, sessions}
	if d.dialect == sqlstore.PostgreSQL {
		s.copy(t)
		return s
	}
	s.insert(t)
	return s
}

func (s sized) row(i int) []any {
	v := s.session(i)
	return []any{v.ID, v.IdentityID, v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
}

func (s sized) copy(t testing.TB) {
	conn, err := s.db.Conn(context.Background())
	must(t, err)
	defer conn.Close()
	must(t, conn.Raw(func(driver any) error {
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(context.Background(), pgx.Identifier{"flowhook_sessions"},
			[]string{"id", "identity_id", "authenticated_at", "issued_at", "expires_at"},
			pgx.CopyFromSlice(s.sessions, func(i int) ([]any, error) { return s.row(i), nil }))
		return err
	}))
}

func (s sized) insert(t testing.TB) {
	const batch = 500
	conn, err := s.db.Conn(context.Background())
	must(t, err)
	defer conn.Close()
	exec := func(statement string, args ...any) {
		_, err := conn.ExecContext(context.Background(), statement, args...)
		must(t, err)
	}
	exec("PRAGMA cache_size = -500000") // of this connection, until the indexes exist
	exec("BEGIN")
	insert, err := conn.PrepareContext(context.Background(), "INSERT INTO flowhook_sessions "+
		"(id, identity_id, authenticated_at, issued_at, expires_at) VALUES "+
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?), ", batch), ", "))
	must(t, err)
	defer insert.Close()
	for i := 0; i < s.sessions; i += batch {
		var args []any
		for j := range batch {
			args = append(args, s.row(i+j)...)
		}
		_, err := insert.Exec(args...)
		must(t, err)
	}
	exec("COMMIT")
	exec("PRAGMA cache_size = -2000") // the default
}

// settling runs before each row. It does now what a server would do in the background at some time,
// so that this does not disturb the measurement. Then it reads the table and each index once, so
// that no figure includes the disk.
//
// This does not put the large table into PostgreSQL's own cache. By default, shared_buffers are 128
// MB, and 1,000,000 sessions take 280 MB: 112 for the table and 167 for the indexes. A page outside
// of it is copied from the kernel's cache, which is usual if any session may be next. The 3 MB of
// the small table stay in it. SQLite is in the same position, with a cache of 2 MB and a file of
// 240 MB.
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
	for _, statement := range settling[d.dialect] {
		_, err := s.db.ExecContext(context.Background(), statement)
		must(t, err)
	}
}

// A pair is the same table in two sizes.
type pair struct{ large, small sized }

func (p *pair) ready(t testing.TB, d database) {
	if p.large.Store == nil {
		p.large, p.small = filled(t, d, largeTable()), filled(t, d, smallTable)
	}
	p.large.settle(t, d)
	p.small.settle(t, d)
}

// calls measures as the function calls does, and takes the mean of the medians of three rounds
// each. The two tables are in two databases, so each has a PostgreSQL process of its own. The
// processor that runs the process makes a difference of up to 1.7 while the connection lives, so
// connections are renewed each time. SQLite has no such process, and a new connection would lose
// its cache.
func (p *pair) calls(t testing.TB, d database, rounds int, ours, other call) (left, right figures) {
	left.allocs, right.allocs = unknown, unknown
	calls(t, max(1, rounds/10), ours, other) // to warm up
	turns := max(1, rounds/aTurn)
	for range turns {
		if d.dialect == sqlstore.PostgreSQL {
			p.large.reconnect()
			p.small.reconnect()
		}
		l, r := calls(t, aTurn, ours, other)
		left.ns += l.ns / float64(turns)
		right.ns += r.ns / float64(turns)
	}
	return left, right
}

func (s sized) reconnect() {
	s.db.SetMaxIdleConns(0) // which closes them
	s.db.SetMaxIdleConns(idle)
}

const (
	smallTable = 10_000
	inUse      = 500
	aTurn      = 3 // rounds of a connection, so that most calls are not among its first, which are slow
)

// sizesOf returns the rows that compare reading and revoking in a large table and in a small one.
// The sessions are either any of the table, which shows the cost of its size, or the few that are
// in use.
func sizesOf(d database) (rows []row) {
	var p pair
	large, small := thousands(largeTable())+" sessions, ", thousands(smallTable)+", "
	for _, of := range []struct {
		which string
		draw  draw
	}{{"any of them", anyOne}, {fmt.Sprintf("of the %d in use", inUse), oneInUse}} {
		find := func(t testing.TB, rounds int) (ours, other figures) {
			p.ready(t, d)
			return p.calls(t, d, rounds, p.large.find(of.draw), p.small.find(of.draw))
		}
		revoke := func(t testing.TB, rounds int) (ours, other figures) {
			p.ready(t, d)
			return p.calls(t, d, rounds, p.large.revoke(of.draw), p.small.revoke(of.draw))
		}
		rows = append(rows,
			row{"FindSession, 1 of " + large + of.which + ", on " + d.name, find,
				"flowhook, 1 of " + small + of.which, 1.5, d.missing()},
			row{"revoke an identity's 4 of " + large + of.which + ", on " + d.name, revoke,
				"flowhook, 4 of " + small + of.which, 1.5, d.missing()})
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

func (s sized) identities() int { return s.sessions / perIdentity }
