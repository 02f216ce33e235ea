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

// A refusal is a no that the user gets to read.
type refusal struct {
	Field string // of the form; empty: the whole of it
	Code  string // for the audit log
	Text  string
}

func (r *refusal) Error() string { return "refused: " + r.Code }

// fail answers where something went wrong, with a whole page. None says that nothing was changed: a commit whose answer was
// cut off may have taken effect, and what runs after a commit may fail.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case r.Context().Err() != nil && errors.Is(context.Cause(r.Context()), context.Canceled):
		s.log.InfoContext(r.Context(), "the client has gone", "path", r.URL.Path)
		return
	case s.inTrouble(err):
		s.log.ErrorContext(r.Context(), "unavailable", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "5")
		s.pages.render(w, r, http.StatusServiceUnavailable, "error", page{Title: "Not available right now",
			Data: "The service cannot reach what it needs, and what you sent may not have been saved. Please try again in a moment."})
	default:
		s.log.ErrorContext(r.Context(), "failed", "path", r.URL.Path, "error", err)
		s.pages.render(w, r, http.StatusInternalServerError, "error", page{Title: "Something went wrong",
			Data: "This is our fault, and what you sent may not have been saved. Please look whether it was before you try again."})
	}
}

// inTrouble tells a database that is away, stopping, overloaded or in everybody's way from a fault of this program. Where
// the error does not tell, the database does.
func (s *service) inTrouble(err error) bool {
	if trouble(err) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.db.PingContext(ctx) != nil
}

func trouble(err error) bool {
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
		switch postgres.Code[:2] { // connection, resources, intervention by the operator, the machine
		case "08", "53", "57", "58":
			return true
		}
		return postgres.Code == "25006" // read-only: a standby, or about to be one
	}
	switch code(err) & 0xff { // SQLite: read-only, I/O, corrupt, full, cannot open
	case 8, 10, 11, 13, 14:
		return true
	}
	return false
}

// code gives SQLite's code of an error; 0: it has none.
func code(err error) int {
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) {
		return sqlite.Code()
	}
	return 0
}

// duplicate says that a unique column was to have one value twice.
func duplicate(err error) bool {
	var postgres *pgconn.PgError
	const sqliteUnique, sqlitePrimaryKey = 2067, 1555
	return errors.As(err, &postgres) && postgres.Code == "23505" || code(err) == sqliteUnique || code(err) == sqlitePrimaryKey
}

// reason puts an error into a word, for the audit log: an error's text is for the service's own log.
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

// notFound, and the other answers without an error behind them.
func (s *service) notFound(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusNotFound, "error", page{Title: "Page not found", Data: "There is nothing at this address."})
}

func (s *service) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusMethodNotAllowed, "error", page{Title: "Not understood", Data: "This address takes no request of this kind."})
}

func (s *service) crossOrigin(w http.ResponseWriter, r *http.Request) {
	s.log.WarnContext(r.Context(), "refused a request of another origin", slog.String("path", r.URL.Path))
	s.show(w, r, http.StatusForbidden, "error", page{Title: "Not accepted",
		Data: "This request came from another site. Open the page here and try again."})
}
