package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

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

const lifespan = 24 * time.Hour

func (s sized) session(i int) flowhook.Session {
	id := sha256.Sum256([]byte("session " + strconv.Itoa(i)))
	identity := sha256.Sum256([]byte("identity " + strconv.Itoa(i%s.identities())))
	at := base.Add(time.Duration(i) * time.Millisecond)
	return flowhook.Session{ID: hex.EncodeToString(id[:13]), IdentityID: hex.EncodeToString(identity[:18]),
		AuthenticatedAt: at, IssuedAt: at, ExpiresAt: at.Add(lifespan)}
}

func (s sized) identities() int { return s.sessions / perIdentity }

// filled returns a store in a new database with a number of sessions.
func filled(t testing.TB, d database, sessions int) sized {
	db := d.open(t, d.migrated(t))
	s := sized{store(t, db, d.dialect), db, sessions}
	conn, err := db.Conn(context.Background())
	must(t, err)
	defer conn.Close()
	if d.dialect == sqlstore.PostgreSQL {
		s.generate(t, conn)
	} else {
		s.insert(t, conn)
	}
	for _, i := range []int{0, sessions - 1} {
		if found, err := s.FindSession(context.Background(), s.session(i).ID); err != nil || found != s.session(i) {
			t.Fatalf("the table of %d sessions lacks number %d: %v", sessions, i, err)
		}
	}
	return s
}

// generate makes PostgreSQL compute the rows. It drops the indexes until the rows are there. One by
// one, ten million random keys would take long.
func (s sized) generate(t testing.TB, conn *sql.Conn) {
	drop, create := indexes(t, conn)
	execute(t, conn, drop...)
	execute(t, conn, fmt.Sprintf(`INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at)
		SELECT encode(substr(sha256(convert_to('session ' || i, 'UTF8')), 1, 13), 'hex'),
			encode(substr(sha256(convert_to('identity ' || i %% %d, 'UTF8')), 1, 18), 'hex'),
			%[2]d + i * 1000, %[2]d + i * 1000, %[2]d + i * 1000 + %[3]d
		FROM generate_series(0::bigint, %[4]d) AS i`,
		s.identities(), base.UnixMicro(), lifespan.Microseconds(), s.sessions-1))
	execute(t, conn, "SET maintenance_work_mem = '512MB'")
	execute(t, conn, create...)
	execute(t, conn, "RESET maintenance_work_mem")
}

// indexes returns the statements that drop and create the primary key and the indexes.
func indexes(t testing.TB, conn *sql.Conn) (drop, create []string) {
	rows, err := conn.QueryContext(context.Background(), `
		SELECT 'ALTER TABLE flowhook_sessions DROP CONSTRAINT ' || conname,
			'ALTER TABLE flowhook_sessions ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid)
		FROM pg_constraint WHERE conrelid = 'flowhook_sessions'::regclass AND contype = 'p'
		UNION ALL
		SELECT 'DROP INDEX ' || indexrelid::regclass, pg_get_indexdef(indexrelid)
		FROM pg_index WHERE indrelid = 'flowhook_sessions'::regclass AND NOT indisprimary`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var down, up string
		must(t, rows.Scan(&down, &up))
		drop, create = append(drop, down), append(create, up)
	}
	must(t, rows.Err())
	return drop, create
}

// insert stores the rows in SQLite.
func (s sized) insert(t testing.TB, conn *sql.Conn) {
	const batch = 500
	execute(t, conn, "PRAGMA cache_size = -500000") // of this connection, until the indexes exist
	execute(t, conn, "BEGIN")
	insert, err := conn.PrepareContext(context.Background(), "INSERT INTO flowhook_sessions "+
		"(id, identity_id, authenticated_at, issued_at, expires_at) VALUES "+
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?), ", batch), ", "))
	must(t, err)
	defer insert.Close()
	for i := 0; i < s.sessions; i += batch {
		var args []any
		for j := range batch {
			v := s.session(i + j)
			args = append(args, v.ID, v.IdentityID,
				v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro())
		}
		_, err := insert.Exec(args...)
		must(t, err)
	}
	execute(t, conn, "COMMIT")
	execute(t, conn, "PRAGMA cache_size = -2000") // the default
}

func execute(t testing.TB, conn *sql.Conn, statements ...string) {
	for _, statement := range statements {
		_, err := conn.ExecContext(context.Background(), statement)
		must(t, err)
	}
}
