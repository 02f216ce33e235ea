package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// What runs on a database is tested in internal/sqltest, with the drivers.

// failing is a database that answers with an error.
type failing struct{ err error }

func (f failing) Connect(context.Context) (driver.Conn, error) { return nil, f.err }
func (f failing) Driver() driver.Driver                        { return nil }

// Errors with the shapes that drivers give theirs.
type (
	postgresError struct{ state string }           // pgx, lib/pq
	mariadbError  struct{ Number uint16 }          // go-sql-driver
	moderncError  struct{ code int }               // modernc.org/sqlite
	mattnError    struct{ Code, ExtendedCode int } // mattn/go-sqlite3

	foreignError struct{ Code int }      // no database's: net/textproto's, of an SMTP server, say
	nilError     struct{ *mariadbError } // with nothing in it
	wrapperError struct {                // a host's, whose number is its own
		error
		Number uint16
	}
)

func (e *postgresError) Error() string    { return "postgres " + e.state }
func (e *postgresError) SQLState() string { return e.state }
func (e *mariadbError) Error() string     { return fmt.Sprint("mariadb ", e.Number) }
func (e *moderncError) Error() string     { return fmt.Sprint("sqlite ", e.code) }
func (e *moderncError) Code() int         { return e.code }
func (e foreignError) Error() string      { return fmt.Sprint("foreign ", e.Code) }
func (e nilError) Error() string          { return "nil" }
func (e wrapperError) Unwrap() error      { return e.error }
func (e mattnError) Error() string        { return fmt.Sprint("sqlite ", e.Code) }

func TestIsConflict_WithoutDriver(t *testing.T) {
	for _, c := range []struct {
		dialect  sqlstore.Dialect
		err      error
		conflict bool
	}{
		{sqlstore.PostgreSQL, &postgresError{"40001"}, true},
		{sqlstore.PostgreSQL, &postgresError{"40P01"}, true},
		{sqlstore.PostgreSQL, &postgresError{"55P03"}, true},
		{sqlstore.PostgreSQL, fmt.Errorf("wrapped: %w", &postgresError{"40P01"}), true},
		{sqlstore.PostgreSQL, errors.Join(errors.New("beside it"), fmt.Errorf("%w (%w)", errors.New("a"), &postgresError{"40P01"})), true},
		{sqlstore.PostgreSQL, &postgresError{"57P01"}, false},
		{sqlstore.MariaDB, &mariadbError{1213}, true},
		{sqlstore.MariaDB, &mariadbError{1205}, true},
		{sqlstore.MariaDB, &mariadbError{1020}, true},
		{sqlstore.MariaDB, &mariadbError{1064}, false},
		{sqlstore.SQLite, &moderncError{5}, true},
		{sqlstore.SQLite, &moderncError{517}, true}, // SQLITE_BUSY_SNAPSHOT
		{sqlstore.SQLite, &moderncError{1}, false},
		{sqlstore.SQLite, mattnError{Code: 5}, true},
		{sqlstore.SQLite, mattnError{Code: 6, ExtendedCode: 262}, true}, // SQLITE_LOCKED_SHAREDCACHE
		{sqlstore.SQLite, mattnError{Code: 1}, false},
		{sqlstore.SQLite, errors.New("something else"), false},
		{sqlstore.SQLite, foreignError{517}, false},
		{sqlstore.MariaDB, nilError{}, false},
		{sqlstore.MariaDB, wrapperError{errors.New("order"), 1213}, false},
		{sqlstore.MariaDB, wrapperError{&mariadbError{1213}, 1}, true},
		{sqlstore.SQLite, errors.Join(&postgresError{"57P01"}, &moderncError{5}), false}, // the first counts
	} {
		s, err := sqlstore.New(sql.OpenDB(failing{c.err}), c.dialect)
		require.NoError(t, err)
		_, err = s.FindSession(t.Context(), "id")
		require.ErrorIs(t, err, c.err, "what the driver said is lost")
		require.Equal(t, c.conflict, errors.Is(err, sqlstore.ErrConflict), "%v", err)
		require.Equal(t, c.conflict, sqlstore.IsConflict(err), "%v", err)
		if c.dialect != sqlstore.SQLite { // which has writers wait
			require.ErrorIs(t, s.DeleteSession(t.Context(), "id"), c.err)
		}
		require.Equal(t, c.conflict, sqlstore.IsConflict(fmt.Errorf("save: %w", c.err)), "as a statement of the host's own gives it: %v", err)
	}
}

// Complete returns an error of the host's unchanged, whatever it is.
func TestIsConflict_UninspectableError(t *testing.T) {
	require.False(t, sqlstore.IsConflict((*url.Error)(nil)))
	require.False(t, sqlstore.IsConflict(fmt.Errorf("save: %w", (*url.Error)(nil))))
}

func TestDuplicate_WithoutDriver(t *testing.T) {
	for d, err := range map[sqlstore.Dialect]error{
		sqlstore.PostgreSQL: &postgresError{"23505"},
		sqlstore.MariaDB:    &mariadbError{1062},
		sqlstore.SQLite:     mattnError{Code: 19, ExtendedCode: 1555},
	} {
		s, _ := sqlstore.New(sql.OpenDB(failing{err}), d)
		require.ErrorContains(t, s.CreateSession(t.Context(), flowhook.Session{ID: "id"}), "stored already")
	}
}

// ending is a database that answers with an error as the request ends.
type ending struct {
	failing
	end context.CancelFunc
}

func (e ending) Connect(context.Context) (driver.Conn, error) { e.end(); return nil, e.err }

// Databases quote the duplicate key, and error texts are logged.
func TestDuplicate_NotQuotedWhenRequestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := sqlstore.New(sql.OpenDB(ending{failing{&mariadbError{1062}}, cancel}), sqlstore.MariaDB)
	require.NoError(t, err)
	err = s.CreateSession(ctx, flowhook.Session{ID: "id"})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stored already")
	require.NotContains(t, err.Error(), "1062")
}

func TestNew_BadArguments(t *testing.T) {
	_, err := sqlstore.New(nil, sqlstore.SQLite)
	require.ErrorContains(t, err, "nil")
	for _, d := range []sqlstore.Dialect{"", "sqlite", "mariadb", "POSTGRES"} {
		_, err = sqlstore.New(sql.OpenDB(failing{}), d)
		require.ErrorContains(t, err, fmt.Sprintf("%q", d))
		require.ErrorContains(t, err, `"postgres", "mysql"`)
		require.Panics(t, func() { d.Migrations() })
	}
}

func TestDialect_SameMigrations(t *testing.T) {
	var names [][]string
	for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MariaDB, sqlstore.SQLite} {
		files, err := fs.Glob(d.Migrations(), "*.sql")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		names = append(names, files)
	}
	require.Equal(t, names[0], names[1])
	require.Equal(t, names[0], names[2])
}

// A host's own statement takes part in the transaction of the context.
func ExampleTx() {
	var pipeline *flowhook.Pipeline // with a sqlstore.Store as its Store

	register := func(ctx context.Context, x *flowhook.Exchange, email string) (handled bool, err error) {
		return pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
			tx, _ := sqlstore.Tx(ctx)
			_, err := tx.ExecContext(sqlstore.TxContext(ctx), "INSERT INTO users (id, email) VALUES ($1, $2)", x.Identity.ID, email)
			return err
		})
	}
	_ = register
}
