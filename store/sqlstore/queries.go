package sqlstore

import (
	"strconv"
	"strings"
)

// queries are a store's statements.
type queries struct {
	createSession, findSession, deleteSession, ownSession       string
	deleteSessions, deleteOthers, listSessions, expiredSessions string

	recentToken, createToken, findToken, usedToken, useToken string
	lockToken, deleteToken, expiredTokens                    string

	newestToken, countAttempt, expiredAttempts string
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

		recentToken: q("SELECT 1 FROM flowhook_verifications " +
			"WHERE recipient IN (?, ?) AND issued_at > ? AND issued_at <= ? LIMIT 1"),
		createToken: q("INSERT INTO flowhook_verifications " +
			"(hash, recipient, purpose, identity_id, via, address, verified, issued_at, expires_at, data) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
		findToken: q("SELECT identity_id, via, address, verified, issued_at, expires_at, data " +
			"FROM flowhook_verifications " +
			"WHERE hash = ? AND purpose = ? AND expires_at > ? AND used = false" + d.skipLocked),
		usedToken: q("SELECT 1 FROM flowhook_verifications " +
			"WHERE hash = ? AND purpose = ? AND expires_at > ? AND used = true"),
		useToken:      q("UPDATE flowhook_verifications SET used = true WHERE hash = ?"),
		lockToken:     q("SELECT 1 FROM flowhook_verifications WHERE hash = ?" + d.skipLocked),
		deleteToken:   q("DELETE FROM flowhook_verifications WHERE hash = ?"),
		expiredTokens: q(d.deleteSome("flowhook_verifications", "hash")),

		// It locks nothing: ConsumeToken skips a token that is locked.
		newestToken: q("SELECT COALESCE(MAX(issued_at), ?), COALESCE(MAX(expires_at), ?) FROM flowhook_verifications " +
			"WHERE recipient IN (?, ?) AND expires_at > ?"),
		countAttempt:    q(d.countAttempt),
		expiredAttempts: q(d.deleteSome("flowhook_attempts", "recipient")),
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

// countOnConflict is a dialect's countAttempt for PostgreSQL and SQLite.
const countOnConflict = "INSERT INTO flowhook_attempts AS a (recipient, since, expires_at, attempts) " +
	"VALUES (?, ?, ?, 1) ON CONFLICT (recipient) DO UPDATE SET " +
	"attempts = CASE WHEN excluded.since > a.since THEN 1 ELSE a.attempts + 1 END, " +
	"since = CASE WHEN excluded.since > a.since THEN excluded.since ELSE a.since END, " +
	"expires_at = CASE WHEN excluded.expires_at > a.expires_at THEN excluded.expires_at ELSE a.expires_at END " +
	"RETURNING attempts"
