package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/hex"
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

// perIdentity is how many sessions each identity has in the tables whose sizes are compared.
const perIdentity = 4

// A sized store is one with so many sessions. Their IDs are random to the database, and known here.
type sized struct {
	*sqlstore.Store
	sessions int
}

var base = time.UnixMicro(1_800_000_000_000_000).UTC()

func (s sized) session(i int) flowhook.Session {
	id, identity := sha256.Sum256([]byte("session "+strconv.Itoa(i))), sha256.Sum256([]byte("identity "+strconv.Itoa(i%s.identities())))
	at := base.Add(time.Duration(i) * time.Millisecond)
	return flowhook.Session{ID: base32.StdEncoding.EncodeToString(id[:])[:26], IdentityID: hex.EncodeToString(identity[:18]),
		AuthenticatedAt: at, IssuedAt: at, ExpiresAt: at.Add(24 * time.Hour)}
}

// filled gives a store in a new database with so many sessions.
func filled(t testing.TB, d database, sessions int) sized {
	db := d.open(t)
	s := sized{store(t, db, d.dialect), sessions}
	if d.dialect == sqlstore.PostgreSQL {
		s.copy(t, db)
		return s
	}
	s.insert(t, db)
	return s
}

func (s sized) row(i int) []any {
	v := s.session(i)
	return []any{v.ID, v.IdentityID, v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
}

func (s sized) copy(t testing.TB, db *sql.DB) {
	conn, err := db.Conn(context.Background())
	must(t, err)
	defer conn.Close()
	must(t, conn.Raw(func(driver any) error {
		_, err := driver.(*stdlib.Conn).Conn().CopyFrom(context.Background(), pgx.Identifier{"flowhook_sessions"},
			[]string{"id", "identity_id", "authenticated_at", "issued_at", "expires_at"},
			pgx.CopyFromSlice(s.sessions, func(i int) ([]any, error) { return s.row(i), nil }))
		return err
	}))
	// What a server does in the background at some time is done here and now, so that it does not fall into the measurement.
	for _, statement := range []string{"VACUUM ANALYZE flowhook_sessions", "CHECKPOINT"} {
		_, err = conn.ExecContext(context.Background(), statement)
		must(t, err)
	}
}

func (s sized) insert(t testing.TB, db *sql.DB) {
	const batch = 500
	conn, err := db.Conn(context.Background())
	must(t, err)
	defer conn.Close()
	exec := func(statement string, args ...any) {
		_, err := conn.ExecContext(context.Background(), statement, args...)
		must(t, err)
	}
	exec("PRAGMA cache_size = -500000") // of this connection, until the indexes are there
	exec("BEGIN")
	insert, err := conn.PrepareContext(context.Background(), "INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) VALUES "+
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
	exec("ANALYZE")
	exec("PRAGMA wal_checkpoint(TRUNCATE)")
	exec("PRAGMA cache_size = -2000") // the default
}

// pair is the same table in two sizes.
type pair struct{ large, small sized }

func (p *pair) fill(t testing.TB, d database) {
	if p.large.Store == nil {
		p.large, p.small = filled(t, d, largeTable()), filled(t, d, smallTable)
	}
}

const (
	smallTable = 10_000
	inUse      = 500
)

// sizesOf measures reading and revoking in a large table against a small one.
func sizesOf(d database) (read, revoke measurement) {
	var p pair
	read = func(t testing.TB, rounds int) (ours, other figures) {
		p.fill(t, d)
		return calls(t, rounds, p.large.find, p.small.find)
	}
	revoke = func(t testing.TB, rounds int) (ours, other figures) {
		p.fill(t, d)
		return calls(t, rounds, p.large.revoke, p.small.revoke)
	}
	return read, revoke
}

func (s sized) find(ctx context.Context) (took time.Duration, err error) {
	want := s.session(s.some())
	began := time.Now()
	found, err := s.FindSession(ctx, want.ID)
	took = time.Since(began)
	if err == nil && found != want {
		err = errWrong
	}
	return took, err
}

// revoke ends all sessions of an identity, and puts them back.
func (s sized) revoke(ctx context.Context) (took time.Duration, err error) {
	i := s.some() % s.identities()
	identity := s.session(i).IdentityID
	began := time.Now()
	err = s.DeleteSessions(ctx, identity, "")
	took = time.Since(began)
	if err != nil {
		return 0, err
	}
	return took, s.Transaction(ctx, identity, func(ctx context.Context) error {
		for n := range perIdentity { // to store one that is still there would be an error
			if err := s.CreateSession(ctx, s.session(i+n*s.identities())); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s sized) identities() int { return s.sessions / perIdentity }

// some gives one of those sessions, spread over the whole table, that are used again and again: few enough for PostgreSQL's
// cache to keep their pages. SQLite's own, of 2 MB, does not hold all of a large table's, and reads some from the file.
func (s sized) some() int { return rand.IntN(inUse) * (s.sessions / inUse) }
