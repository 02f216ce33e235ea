package relational

import (
	"context"
	"errors"
	"strings"
)

// ErrConflict means that two transactions conflicted: there was a deadlock, or a lock was not
// available in time. Nothing was saved.
var ErrConflict = errors.New("conflict with another transaction")

// ErrUnknownOutcome means that a commit was sent and not answered. The transaction may have taken
// effect, or may do so later. It never wraps the error of a context.
var ErrUnknownOutcome = errors.New("the commit was not answered and may have taken effect")

// ErrOver means that the transaction had already ended before a write or the commit.
var ErrOver = errors.New("the database has ended the transaction: " +
	"the error of a statement was ignored, or a statement commits by itself")

// A Failure is what an error of a database means to a store.
type Failure int

const (
	Unknown   Failure = iota // not from a database
	Other                    // the statement has failed
	Conflict                 // with another transaction
	TimedOut                 // the server has ended the statement, such as at its statement_timeout
	Duplicate                // a row with this key exists
	Lost                     // the server has closed the connection, and has not run the statement
	Unclear                  // the connection is lost, and the statement may have run
	Over                     // the savepoint of the transaction is gone
)

// FailureOf returns the meaning of the first error in err's tree that comes from a database. of
// returns the meaning of a single error.
func FailureOf(err error, of func(err error) Failure) Failure {
	if err == nil {
		return Unknown
	}
	if f := of(err); f != Unknown {
		return f
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return FailureOf(e.Unwrap(), of)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if f := FailureOf(err, of); f != Unknown {
				return f
			}
		}
	}
	return Unknown
}

// MayBeDead reports whether an error may be that of a connection that died.
func (f Failure) MayBeDead() bool { return f == Unknown || f == Lost || f == Unclear }

// UntilAlive makes a call on one connection of a pool after the other: on each idle one, which may
// have died with the database, and on a new one. again reports whether the error is that of a dead
// connection, and the call can be repeated.
func UntilAlive(ctx context.Context, idle int, again func(err error) bool, call func() error) (err error) {
	for range idle + 1 {
		if err = call(); err == nil || ctx.Err() != nil || !again(err) {
			break
		}
	}
	return err
}

// IsConflict reports whether err is ErrConflict or means the same. It returns false for an error
// that panics when it is inspected.
func IsConflict(err error, of func(err error) Failure) (conflict bool) {
	defer func() {
		if recover() != nil {
			conflict = false
		}
	}()
	return errors.Is(err, ErrConflict) || FailureOf(err, of) == Conflict
}

// PostgreSQLFailure returns the meaning of an error with a method SQLState, which pgx and lib/pq
// have.
func PostgreSQLFailure(err error) Failure {
	e, ok := err.(interface{ SQLState() string })
	if !ok || e.SQLState() == "" {
		return Unknown
	}
	switch state := e.SQLState(); state {
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return Conflict
	case "57014": // query_canceled
		return TimedOut
	case "57P01", "57P02": // admin_shutdown, crash_shutdown
		return Lost
	case "40003": // statement_completion_unknown
		return Unclear
	case "23505": // unique_violation
		return Duplicate
	default:
		if strings.HasPrefix(state, "08") { // connection exceptions; PgBouncer reports a lost server so
			return Unclear
		}
	}
	return Other
}
