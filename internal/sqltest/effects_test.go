package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// A call is something that an app does with its store. prepare stores what the call finds, with an
// app that has no proxy, and returns the work of one call.
type call struct {
	name    string
	always  bool // it is tested even if FLOWHOOK_REPEAT is low
	alone   bool // a single statement that commits by itself: nobody knows the outcome of an error
	parts   bool // several transactions
	prepare func(t testing.TB, direct *app, n counter) work
}

// work is one call and its effects on the database.
type work struct {
	do      func(ctx context.Context, a *app) error
	effects []effect
}

// An effect is that a query selects another number after the call than before.
type effect struct {
	query         string
	args          []any
	before, after int
}

// A counter selects numbers from a system's database.
type counter struct {
	database database
	db       *sql.DB
}

func (c counter) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	row := c.db.QueryRowContext(testContext(t), c.database.bind(query), args...)
	require.NoError(t, row.Scan(&n), query)
	return n
}

// requireOutcome asserts that what is stored fits the error that the call returned.
func (c counter) requireOutcome(t testing.TB, of call, w work, err error, what string) {
	t.Helper()
	happened := 0
	for _, e := range w.effects {
		n := c.count(t, e.query, e.args...)
		require.Contains(t, []int{e.before, e.after}, n, "%s: %s (%v)", what, e.query, err)
		if n == e.after {
			happened++
		}
	}
	all := len(w.effects)
	switch {
	case err == nil:
		require.Equal(t, all, happened, "%s: the call succeeded; effects", what)
	case of.parts:
	case of.alone, errors.Is(err, sqlstore.ErrUnknownOutcome):
		require.Contains(t, []int{0, all}, happened, "%s: all or nothing (%v)", what, err)
	default:
		require.Zero(t, happened, "%s: the call failed (%v); effects", what, err)
	}
}
