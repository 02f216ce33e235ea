package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"strconv"
	"strings"
)

// A dialect is what differs from database to database.
type dialect struct {
	oneWriter  bool // SQLite: transactions run one after the other
	numbered   bool // PostgreSQL: placeholders are $1, $2
	isolation  sql.IsolationLevel
	forUpdate  string // a row that the statement reads is kept from others
	skipLocked string // the same, and one that others keep is not there

	begun string // the transaction's first statement

	// finishByStatement is for a driver whose Commit and Rollback take no context.
	finishByStatement bool

	// lent is run where the host asks for the transaction, restore when that has ended. From then on, intact is run before
	// a write, and sealed before the commit. Where the database has ended the transaction behind a statement whose error
	// was ignored, intact succeeds, and sealed fails. (To release a savepoint as intact would end those of the host's.)
	lent                    []string
	restore, intact, sealed string

	lock func(ctx context.Context, tx *sql.Tx, identityID string) error

	deleteSome func(table, key string) string
}

const savepoint = "SAVEPOINT flowhook"

var dialects = map[Dialect]dialect{
	PostgreSQL: {
		numbered: true,
		// A transaction that has waited for its turn has to see what those before it have committed.
		isolation:  sql.LevelReadCommitted,
		forUpdate:  " FOR UPDATE",
		skipLocked: " FOR UPDATE SKIP LOCKED",
		lock: func(ctx context.Context, tx *sql.Tx, identityID string) error {
			_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey(identityID)))
			return err
		},
		deleteSome: func(table, key string) string {
			// Of an array PostgreSQL expects few keys, whatever the limit, and looks each of them up. With IN, the plan that it
			// keeps for all limits goes through the whole table.
			return "DELETE FROM " + table + " WHERE " + key + " = ANY (ARRAY(SELECT " + key + " FROM " + table +
				" WHERE expires_at <= ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))"
		},
	},
	MariaDB: {
		isolation:  sql.LevelReadCommitted,
		forUpdate:  " FOR UPDATE",
		skipLocked: " FOR UPDATE SKIP LOCKED",
		// A deadlock rolls the whole transaction back. Without this, the next statement would commit by itself.
		lent:    []string{"SET autocommit = 0", savepoint},
		restore: "SET autocommit = 1",
		sealed:  "RELEASE SAVEPOINT flowhook",

		finishByStatement: true,

		lock: func(ctx context.Context, tx *sql.Tx, identityID string) error {
			// The number is in the text, since the driver would prepare a statement that has arguments.
			stripe := strconv.FormatUint(lockKey(identityID)%1024, 10)
			return tx.QueryRowContext(ctx, "SELECT stripe FROM flowhook_locks WHERE stripe = "+stripe+" FOR UPDATE").Scan(&stripe)
		},
		deleteSome: func(table, _ string) string {
			return "DELETE FROM " + table + " WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
		},
	},
	SQLite: {
		oneWriter: true,
		// A write that changes nothing makes the transaction the writer, whatever kind of BEGIN the driver uses.
		begun:  "DELETE FROM flowhook_sessions WHERE false",
		lent:   []string{savepoint},
		intact: "BEGIN", // it would be the first in another transaction
		sealed: "RELEASE flowhook",
		lock: func(ctx context.Context, tx *sql.Tx, identityID string) error {
			return nil // the only writer has all identities
		},
		deleteSome: func(table, key string) string {
			return "DELETE FROM " + table + " WHERE " + key + " IN (SELECT " + key + " FROM " + table +
				" WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
		},
	},
}

// lockKey gives the number of an identity's lock. Two identities that share one wait for each other, and no more.
func lockKey(identityID string) uint64 {
	sum := sha256.Sum256([]byte("flowhook:" + identityID))
	return binary.BigEndian.Uint64(sum[:8])
}

// placeholders puts those of the query, written as ?, into the form that the database takes.
func (d *dialect) placeholders(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	parts := strings.Split(query, "?")
	for i, part := range parts[:len(parts)-1] {
		b.WriteString(part + "$" + strconv.Itoa(i+1))
	}
	return b.String() + parts[len(parts)-1]
}

// queries are a store's statements.
type queries struct {
	createSession, findSession, deleteSession, ownSession, deleteSessions, deleteOthers, listSessions, expiredSessions string

	recentVerification, createVerification, findVerification, useVerification string
	lockVerification, deleteVerification, expiredVerifications                string
}

func (d *dialect) queries() queries {
	return queries{
		createSession: d.placeholders("INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) " +
			"VALUES (?, ?, ?, ?, ?)"),
		findSession: d.placeholders("SELECT identity_id, authenticated_at, issued_at, expires_at FROM flowhook_sessions " +
			"WHERE id = ?"),
		deleteSession:  d.placeholders("DELETE FROM flowhook_sessions WHERE id = ?"),
		ownSession:     d.placeholders("SELECT 1 FROM flowhook_sessions WHERE id = ? AND identity_id = ?" + d.forUpdate),
		deleteSessions: d.placeholders("DELETE FROM flowhook_sessions WHERE identity_id = ?"),
		deleteOthers:   d.placeholders("DELETE FROM flowhook_sessions WHERE identity_id = ? AND id <> ?"),
		listSessions: d.placeholders("SELECT id, authenticated_at, issued_at, expires_at FROM flowhook_sessions " +
			"WHERE identity_id = ? AND expires_at > ? ORDER BY issued_at DESC LIMIT ?"),
		expiredSessions: d.placeholders(d.deleteSome("flowhook_sessions", "id")),

		recentVerification: d.placeholders("SELECT 1 FROM flowhook_verifications " +
			"WHERE recipient IN (?, ?) AND issued_at > ? AND issued_at <= ? LIMIT 1"),
		createVerification: d.placeholders("INSERT INTO flowhook_verifications " +
			"(hash, recipient, identity_id, via, address, verified, issued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
		findVerification: d.placeholders("SELECT identity_id, via, address, verified, issued_at, expires_at FROM flowhook_verifications " +
			"WHERE hash = ? AND used = false AND expires_at > ?" + d.skipLocked),
		useVerification:      d.placeholders("UPDATE flowhook_verifications SET used = true WHERE hash = ?"),
		lockVerification:     d.placeholders("SELECT 1 FROM flowhook_verifications WHERE hash = ?" + d.skipLocked),
		deleteVerification:   d.placeholders("DELETE FROM flowhook_verifications WHERE hash = ?"),
		expiredVerifications: d.placeholders(d.deleteSome("flowhook_verifications", "hash")),
	}
}
