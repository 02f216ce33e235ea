package main

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgconn"
)

// refuse returns an error that is shown to the user: at the form field or, if field is empty, above
// the form. The code is for the audit log.
func refuse(field, code, text string) *flowhook.Refusal {
	return &flowhook.Refusal{Status: http.StatusUnprocessableEntity, Field: field, Code: code, Text: text}
}

// fail answers a request that was refused or failed with an error page. The page of a failure never
// claims that nothing was changed: an interrupted commit may have taken effect, and work after a
// commit may fail.
//
// Users see pages here. An API would call Pipeline.AnswerError instead, which answers in JSON.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	var no *flowhook.Refusal
	switch {
	case errors.As(err, &no):
		s.refused(w, r, no)
	case errors.Is(err, errBusy): // not logged, because it may happen often, and no attempt
		if x, ok := flowhook.FromContext(r.Context()); ok {
			if err := s.limit.GiveBack(r.Context(), x); err != nil {
				s.log.ErrorContext(r.Context(), "giving an attempt back failed", "error", err)
			}
		}
		w.Header().Set("Retry-After", "5")
		s.show(w, r, http.StatusServiceUnavailable, "error", page{Title: "Very busy right now",
			Data: "Nothing was changed. Please try again in a few seconds."})
	case errors.Is(err, sqlstore.ErrUnknownOutcome): // also if the client is gone
		s.unavailablePage(w, r, err)
	case r.Context().Err() != nil && errors.Is(context.Cause(r.Context()), context.Canceled):
		s.log.InfoContext(r.Context(), "the client disconnected", "path", r.URL.Path)
		return
	case r.Context().Err() != nil, s.unavailable(err):
		s.unavailablePage(w, r, err)
	default:
		s.log.ErrorContext(r.Context(), "failed", "path", r.URL.Path, "error", err)
		s.pages.render(w, r, http.StatusInternalServerError, "error", page{Title: "Something went wrong",
			Data: "This is our fault, and your changes may not have been saved. Please check before you try again."})
	}
}

func (s *service) unavailablePage(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "unavailable", "path", r.URL.Path, "error", err)
	w.Header().Set("Retry-After", "5")
	s.pages.render(w, r, http.StatusServiceUnavailable, "error", page{Title: "Not available right now",
		Data: "The service is temporarily unavailable, and your changes may not have been saved. Please try again in a " +
			"moment."})
}

// refused answers a request that was refused by a hook, or in a form that cannot show the reason.
func (s *service) refused(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal) {
	title := "Request not accepted"
	if no.Status == http.StatusTooManyRequests {
		title = "Too many attempts"
	}
	if no.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(no.RetryAfter.Seconds()))))
	}
	if s.again(w, r, no) {
		return
	}
	s.show(w, r, cmp.Or(no.Status, http.StatusForbidden), "error", page{Title: title, Data: no.Text})
}

// again answers a form that was refused before its handler saw it: with the form, with what was typed
// except passwords, and with the reason. It reports false if the path has no form of its own.
func (s *service) again(w http.ResponseWriter, r *http.Request, no *flowhook.Refusal) bool {
	if r.Method != http.MethodPost {
		return false
	}
	shown := *no
	shown.Field = "" // it concerns the whole form
	shown.Status = cmp.Or(no.Status, http.StatusForbidden)
	no = &shown
	email := r.PostFormValue("email")
	switch path := r.URL.Path; path {
	case "/login":
		s.signInAgain(w, r, no)
	case "/register":
		s.registrationAgain(w, r, no)
	case "/register/again":
		s.resendAgain(w, r, no)
	case "/recovery":
		s.askAgain(w, r, recoveryTitle, recoveryForm(email), no)
	case "/recovery/new":
		s.askAgain(w, r, newPasswordTitle, newPasswordForm(r.PostFormValue("token"), ""), no)
	case "/recovery/code":
		s.askAgain(w, r, newPasswordTitle, recoveryCodeForm(email), no)
	case "/verify":
		if !r.PostForm.Has("email") {
			return false
		}
		s.askAgain(w, r, verifyTitle, verifyCodeForm(email), no)
	case "/settings/confirm": // nothing is typed
		return false
	default:
		if !strings.HasPrefix(path, "/settings/") {
			return false
		}
		u, _, err := s.current(r)
		if err != nil || ofAnother(r, u) {
			return false
		}
		s.settingsAgain(w, r, u, path, no)
	}
	return true
}

// unavailable reports whether err comes from a conflict, from a commit that was not answered, or
// from a database that is down, stopping or overloaded. Otherwise it is a bug in this program. If
// the error does not tell, unavailable pings the database.
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
	for _, target := range []error{sqlstore.ErrUnknownOutcome, errReadOnly, context.DeadlineExceeded, driver.ErrBadConn,
		sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
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
	var no *flowhook.Refusal
	var hook *flowhook.HookError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &no):
		return no.Code
	case errors.Is(err, flowhook.ErrUsedToken):
		return "used_token"
	case errors.Is(err, flowhook.ErrBadToken):
		return "bad_token"
	case errors.Is(err, sqlstore.ErrUnknownOutcome):
		return "unknown_outcome"
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

const notUnderstood = "Something was wrong with what your browser sent. Go back and try again."

func (s *service) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusMethodNotAllowed, "error", page{Title: "Request not understood",
		Data: notUnderstood})
}

const fromElsewhere = "This form was sent from another website, so nothing was changed. "

func (s *service) crossOrigin(w http.ResponseWriter, r *http.Request) {
	s.log.WarnContext(r.Context(), "refused a cross-origin request", slog.String("path", r.URL.Path))
	no := &flowhook.Refusal{Status: http.StatusForbidden, Code: "cross_origin", Text: fromElsewhere +
		"Check what is entered here and try again."}
	// The other site may have chosen the values, so they are not shown as changes of an account. Nor
	// are its tokens, which may be those of another account.
	guarded := func(prefix string) bool { return strings.HasPrefix(r.URL.Path, prefix) }
	if slices.ContainsFunc([]string{"/settings/", "/recovery/", "/verify"}, guarded) || !s.again(w, r, no) {
		s.show(w, r, http.StatusForbidden, "error", page{Title: "Request not accepted",
			Data: fromElsewhere + "Open the page on this site and try again."})
	}
}
