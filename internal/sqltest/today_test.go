package sqltest

import (
	"errors"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// lostToday reports whether a call may have committed although its error does not say so: today,
// pgx's error for a connection that is lost during a commit is one that pgxstore takes for safe.
func lostToday(s system, err error) bool {
	return s.closesLate && errors.Is(err, pgconn.ErrConnClosed)
}

// closedToday reports whether an error is not the context's, although the context has ended: today,
// pgxstore closes the connection under the host's statement, and returns the statement's error.
func closedToday(s system, err error) bool { return s.closesLate && errors.Is(err, net.ErrClosed) }
