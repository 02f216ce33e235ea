package relational

import (
	"strconv"
	"strings"
)

// A Syntax is how statements are written for one kind of database.
type Syntax struct {
	Numbered   bool                           // placeholders are $1 and $2, not ?
	ForUpdate  string                         // locks the rows that a SELECT reads
	SkipLocked string                         // the same, but skips rows that others have locked
	Dual       string                         // the FROM of a SELECT without a table that has a WHERE
	Returning  bool                           // an UPDATE can return rows
	Writes     bool                           // WITH can contain statements that write
	DeleteSome func(table, key string) string // deletes at most ? rows that had expired at ?

	// CountAttempt counts an attempt in flowhook_attempts and selects the new count. Its arguments
	// are the recipient, since and expires_at. If since is later than the row's, it counts from 1.
	CountAttempt string
}

// Queries are a store's statements.
type Queries struct {
	syntax Syntax

	CreateSession, DeleteSession, DeleteSessions string // those of a sign-in

	findSession, ownSession, deleteOthers, deleteOthersOf string
	listSessions, expiredSessions                         string

	createToken, findToken, usedToken, useToken, consumeToken string
	lockToken, deleteToken, expiredTokens                     string

	newestToken, countAttempt, expiredAttempts string
}

const (
	insertSession = "INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) " +
		"VALUES (?, ?, ?, ?, ?)"
	selectToken = "SELECT identity_id, via, address, verified, issued_at, expires_at, data FROM flowhook_verifications "
	unusedToken = "WHERE hash = ? AND purpose = ? AND expires_at > ? AND used = false"
)

// Queries returns the statements in the syntax.
func (s Syntax) Queries() *Queries {
	q := &Queries{
		syntax: s,

		CreateSession:  s.bind(insertSession),
		DeleteSession:  s.bind("DELETE FROM flowhook_sessions WHERE id = ?"),
		DeleteSessions: s.bind("DELETE FROM flowhook_sessions WHERE identity_id = ?"),

		findSession: s.bind("SELECT identity_id, authenticated_at, issued_at, expires_at FROM flowhook_sessions " +
			"WHERE id = ?"),
		ownSession:   s.bind("SELECT 1 FROM flowhook_sessions WHERE id = ? AND identity_id = ?" + s.ForUpdate),
		deleteOthers: s.bind("DELETE FROM flowhook_sessions WHERE identity_id = ? AND id <> ?"),
		listSessions: s.bind("SELECT id, authenticated_at, issued_at, expires_at FROM flowhook_sessions " +
			"WHERE identity_id = ? AND expires_at > ? ORDER BY issued_at DESC LIMIT ?"),
		expiredSessions: s.bind(s.DeleteSome("flowhook_sessions", "id")),

		createToken: s.bind("INSERT INTO flowhook_verifications " +
			"(hash, recipient, purpose, identity_id, via, address, verified, issued_at, expires_at, data) " +
			"SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?" + s.Dual + " WHERE NOT EXISTS (SELECT 1 FROM flowhook_verifications " +
			"WHERE recipient IN (?, ?) AND issued_at > ? AND issued_at <= ?)"),
		findToken: s.bind(selectToken + unusedToken + s.SkipLocked),
		usedToken: s.bind("SELECT 1 FROM flowhook_verifications " +
			"WHERE hash = ? AND purpose = ? AND expires_at > ? AND used = true"),
		useToken:      s.bind("UPDATE flowhook_verifications SET used = true WHERE hash = ?"),
		lockToken:     s.bind("SELECT 1 FROM flowhook_verifications WHERE hash = ?" + s.SkipLocked),
		deleteToken:   s.bind("DELETE FROM flowhook_verifications WHERE hash = ?"),
		expiredTokens: s.bind(s.DeleteSome("flowhook_verifications", "hash")),

		// It locks nothing: ConsumeToken skips a token that is locked.
		newestToken: s.bind("SELECT COALESCE(MAX(issued_at), ?), COALESCE(MAX(expires_at), ?) FROM flowhook_verifications " +
			"WHERE recipient IN (?, ?) AND expires_at > ?"),
		countAttempt:    s.bind(s.CountAttempt),
		expiredAttempts: s.bind(s.DeleteSome("flowhook_attempts", "recipient")),
	}
	if s.Returning {
		q.consumeToken = s.bind("UPDATE flowhook_verifications SET used = true WHERE hash = " +
			"(SELECT hash FROM flowhook_verifications " + unusedToken + s.SkipLocked + ") " +
			"RETURNING identity_id, via, address, verified, issued_at, expires_at, data")
	}
	if s.Writes {
		q.deleteOthersOf = s.bind("WITH own AS (SELECT id, identity_id FROM flowhook_sessions " +
			"WHERE id = ? AND identity_id = ?" + s.ForUpdate + "), " +
			"others AS (DELETE FROM flowhook_sessions AS s USING own WHERE s.identity_id = own.identity_id AND s.id <> own.id) " +
			"SELECT 1 FROM own")
	}
	return q
}

// endSessions returns the statement that deletes n sessions.
func (q *Queries) endSessions(n int) string {
	return q.syntax.bind("DELETE FROM flowhook_sessions WHERE id IN " + list(n))
}

// replaceSession returns the statement that deletes n sessions and stores another one, or "" if
// that takes two.
func (q *Queries) replaceSession(n int) string {
	if !q.syntax.Writes {
		return ""
	}
	return q.syntax.bind("WITH ended AS (DELETE FROM flowhook_sessions WHERE id IN " + list(n) + ") " + insertSession)
}

// list returns a list of n placeholders.
func list(n int) string { return "(?" + strings.Repeat(", ?", n-1) + ")" }

// bind replaces each ? of a query with the database's placeholder.
func (s Syntax) bind(query string) string {
	if !s.Numbered {
		return query
	}
	var b strings.Builder
	parts := strings.Split(query, "?")
	for i, part := range parts[:len(parts)-1] {
		b.WriteString(part + "$" + strconv.Itoa(i+1))
	}
	return b.String() + parts[len(parts)-1]
}

// CountOnConflict is the CountAttempt of PostgreSQL and SQLite.
const CountOnConflict = "INSERT INTO flowhook_attempts AS a (recipient, since, expires_at, attempts) " +
	"VALUES (?, ?, ?, 1) ON CONFLICT (recipient) DO UPDATE SET " +
	"attempts = CASE WHEN excluded.since > a.since THEN 1 ELSE a.attempts + 1 END, " +
	"since = CASE WHEN excluded.since > a.since THEN excluded.since ELSE a.since END, " +
	"expires_at = CASE WHEN excluded.expires_at > a.expires_at THEN excluded.expires_at ELSE a.expires_at END " +
	"RETURNING attempts"
