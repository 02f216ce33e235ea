package sqlstore

import (
	"strconv"
	"strings"
)

// queries are a store's statements.
type queries struct {
	createSession, findSession, deleteSession, ownSession       string
	deleteSessions, deleteOthers, listSessions, expiredSessions string

	recentVerification, createVerification, findVerification, useVerification string
	lockVerification, deleteVerification, expiredVerifications                string
}

func (d *dialect) queries() queries {
	q := d.placeholders
	return queries{
		createSession: q("INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) " +
			"VALUES (?, ?, ?, ?, ?)"),
		findSession: q("SELECT identity_id, authenticated_at, issued_at, expires_at FROM flowhook_sessions " +
			"WHERE id = ?"),
		deleteSession:  q("DELETE FROM flowhook_sessions WHERE id = ?"),
		ownSession:     q("SELECT 1 FROM flowhook_sessions WHERE id = ? AND identity_id = ?" + d.forUpdate),
		deleteSessions: q("DELETE FROM flowhook_sessions WHERE identity_id = ?"),
		deleteOthers:   q("DELETE FROM flowhook_sessions WHERE identity_id = ? AND id <> ?"),
		listSessions: q("SELECT id, authenticated_at, issued_at, expires_at FROM flowhook_sessions " +
			"WHERE identity_id = ? AND expires_at > ? ORDER BY issued_at DESC LIMIT ?"),
		expiredSessions: q(d.deleteSome("flowhook_sessions", "id")),

		recentVerification: q("SELECT 1 FROM flowhook_verifications " +
			"WHERE recipient IN (?, ?) AND issued_at > ? AND issued_at <= ? LIMIT 1"),
		createVerification: q("INSERT INTO flowhook_verifications " +
			"(hash, recipient, identity_id, via, address, verified, issued_at, expires_at) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
		findVerification: q("SELECT identity_id, via, address, verified, issued_at, expires_at " +
			"FROM flowhook_verifications WHERE hash = ? AND used = false AND expires_at > ?" + d.skipLocked),
		useVerification:      q("UPDATE flowhook_verifications SET used = true WHERE hash = ?"),
		lockVerification:     q("SELECT 1 FROM flowhook_verifications WHERE hash = ?" + d.skipLocked),
		deleteVerification:   q("DELETE FROM flowhook_verifications WHERE hash = ?"),
		expiredVerifications: q(d.deleteSome("flowhook_verifications", "hash")),
	}
}

// placeholders replaces each ? of a query with the database's placeholder.
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
