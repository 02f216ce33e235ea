package relational

import "strconv"

// PostgreSQL is how statements are written for PostgreSQL.
var PostgreSQL = Syntax{
	Numbered:   true,
	ForUpdate:  " FOR UPDATE",
	SkipLocked: " FOR UPDATE SKIP LOCKED",
	Returning:  true,
	Writes:     true,
	DeleteSome: func(table, key string) string {
		// PostgreSQL expects an array to have few keys, whatever the limit, and looks up each of
		// them. With IN, the generic plan reads the whole table.
		return "DELETE FROM " + table + " WHERE " + key + " = ANY (ARRAY(SELECT " + key + " FROM " + table +
			" WHERE expires_at <= ? ORDER BY expires_at LIMIT ? FOR UPDATE SKIP LOCKED))"
	},
	CountAttempt: CountOnConflict,
}

// AdvisoryLock waits for a lock of PostgreSQL's that ends with the transaction. The schema keeps a
// function of the host's, or of an extension, from taking its place.
const AdvisoryLock = "SELECT pg_catalog.pg_advisory_xact_lock($1)"

// AdvisoryLockOf is AdvisoryLock with the key of an identity in its text.
func AdvisoryLockOf(identityID string) string {
	return "SELECT pg_catalog.pg_advisory_xact_lock(" + strconv.FormatInt(int64(LockKey(identityID)), 10) + ")"
}

// RowLock returns the statement that waits for the row of an identity in flowhook_locks. It returns
// one row.
func RowLock(identityID string) string {
	const stripes = 1024
	// The number is part of the text, because some drivers prepare a statement with arguments.
	return "SELECT stripe FROM flowhook_locks WHERE stripe = " +
		strconv.FormatUint(LockKey(identityID)%stripes, 10) + " FOR UPDATE"
}
