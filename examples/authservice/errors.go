package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgconn"
)

// A refusal is an error that is shown to the user.
type refusal struct {
	Field string // the form field; empty for the whole form
	Code  string // for the audit log
	Text  string // for the user
}

func (r *refusal) Error() string { return "refused: " + r.Code }

// fail answers a request that failed with an error page. The page never claims that nothing was
// changed: an interrupted commit may have taken effect, and work after a commit may fail.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case r.Context().Err() != nil && errors.Is(context.Cause(r.Context()), context.Canceled):
		s.log.InfoContext(r.Context(), "the client disconnected", "path", r.URL.Path)
		return
	case s.unavailable(err):
		s.log.ErrorContext(r.Context(), "unavailable", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "5")
		s.pages.render(w, r, http.StatusServiceUnavailable, "error", page{Title: "Not available right now",
			Data: "The service is temporarily unavailable, and your changes may not have been saved. Please try " +
				"again in a moment."})
	default:
		s.log.ErrorContext(r.Context(), "failed", "path", r.URL.Path, "error", err)
		s.pages.render(w, r, http.StatusInternalServerError, "error", page{Title: "Something went wrong",
			Data: "This is our fault, and your changes may not have been saved. Please check before you try again."})
	}
}

// unavailable reports whether err comes from a conflict or from a database that is down, stopping
// or overloaded. Otherwise it is a bug in this program. If the error does not tell, unavailable
// pings the database.
func (s *service) unavailable(err error) bool {
	if isUnavailable(err) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.db.PingContext(ctx) != nil
}

func isUnavailable(err error) bool {
	if sqlstore.IsConflict(err) {
		return true
	}
	for _, target := range []error{context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone,
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, target) {
			return true
		}
	}
	var network net.Error
	var connect *pgconn.ConnectError
	var postgres *pgconn.PgError
	switch {
	case errors.As(err, &network), errors.As(err, &connect), pgconn.SafeToRetry(err):
		return true
	case errors.As(err, &postgres) && len(postgres.Code) == 5:
		switch postgres.Code[:2] { // connection, insufficient resources, operator intervention, system error
		case "08", "53", "57", "58":
			return true
		}
		return postgres.Code == "25006" // read-only: a standby
	}
	switch sqliteCode(err) & 0xff { // read-only, I/O, corrupt, full, cannot open
	case 8, 10, 11, 13, 14:
		return true
	}
	return false
}

// sqliteCode returns the SQLite code of an error, or 0 if it has none.
func sqliteCode(err error) int {
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) {
		return sqlite.Code()
	}
	return 0
}

// duplicate reports whether err is a violation of a unique constraint.
func duplicate(err error) bool {
	var postgres *pgconn.PgError
	const sqliteUnique, sqlitePrimaryKey = 2067, 1555
	code := sqliteCode(err)
	return errors.As(err, &postgres) && postgres.Code == "23505" || code == sqliteUnique || code == sqlitePrimaryKey
}

// reason returns a code for an error, for the audit log. The text of an error goes only into the
// service's log.
func reason(err error) string {
	var no *refusal
	var hook *flowhook.HookError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &no):
		return no.Code
	case errors.Is(err, flowhook.ErrBadToken):
		return "bad_token"
	case sqlstore.IsConflict(err):
		return "conflict"
	case errors.As(err, &hook):
		return "hook_" + hook.Name
	case errors.Is(err, context.Canceled):
		return "client_gone"
	}
	return "error"
}

func (s *service) notFound(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusNotFound, "error", page{Title: "Page not found", Data: "There is no page at this address."})
}

func (s *service) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusMethodNotAllowed, "error", page{Title: "Request not understood",
		Data: "This page does not accept this kind of request."})
}

func (s *service) crossOrigin(w http.ResponseWriter, r *http.Request) {
	s.log.WarnContext(r.Context(), "refused a cross-origin request", slog.String("path", r.URL.Path))
	s.show(w, r, http.StatusForbidden, "error", page{Title: "Request not accepted",
		Data: "This request came from another site. Open the page on this site and try again."})
}
