package queries

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

const alice = "alice@example.org"

var errOnPurpose = errors.New("on purpose")

// everyLibrary runs a test on a new database for each library.
func everyLibrary(t *testing.T, test func(t *testing.T, open func(t *testing.T, url string) service)) {
	for name, open := range libraries {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func TestRegister(t *testing.T) {
	everyLibrary(t, func(t *testing.T, open func(t *testing.T, url string) service) {
		url, db := newDatabase(t)
		s := open(t, url)
		sessions := -1
		pipeline := newPipeline(t, s.store, func(ctx context.Context, x *flowhook.Exchange) (err error) {
			requireRows(t, db, 0, "users")
			requireRows(t, db, 0, "flowhook_sessions")
			sessions, err = s.sessions(ctx, x.Identity.ID)
			return err
		})
		ctx, x, w := newExchange(t)
		handled, err := register(ctx, pipeline, x, s.users, alice)
		require.NoError(t, err)
		require.False(t, handled)
		require.Equal(t, 1, sessions, "the library does not see the session in the transaction")
		require.Len(t, w.Result().Cookies(), 1)
		requireRows(t, db, 1, "users WHERE id = $1 AND email = $2", x.Identity.ID, alice)
		// xmin is the transaction that has written a row.
		requireRows(t, db, 1, "users JOIN flowhook_sessions s ON s.identity_id = users.id AND s.xmin = users.xmin")
	})
}

func TestRegister_HookFails(t *testing.T) {
	everyLibrary(t, func(t *testing.T, open func(t *testing.T, url string) service) {
		url, db := newDatabase(t)
		s := open(t, url)
		pipeline := newPipeline(t, s.store, func(context.Context, *flowhook.Exchange) error { return errOnPurpose })
		ctx, x, w := newExchange(t)
		_, err := register(ctx, pipeline, x, s.users, alice)
		require.ErrorIs(t, err, errOnPurpose)
		require.Empty(t, w.Result().Cookies())
		requireRows(t, db, 0, "users")
		requireRows(t, db, 0, "flowhook_sessions")
	})
}

func TestRegister_StatementFails(t *testing.T) {
	everyLibrary(t, func(t *testing.T, open func(t *testing.T, url string) service) {
		url, db := newDatabase(t)
		s := open(t, url)
		_, err := db.Exec("INSERT INTO users (id, email) VALUES ('1', $1)", alice)
		require.NoError(t, err)
		ctx, x, _ := newExchange(t)
		_, err = register(ctx, newPipeline(t, s.store, nil), x, s.users, alice)
		var duplicate interface{ SQLState() string }
		require.ErrorAs(t, err, &duplicate)
		require.Equal(t, "23505", duplicate.SQLState())
		requireRows(t, db, 1, "users")
		requireRows(t, db, 0, "flowhook_sessions")
	})
}

// A conflict is the first INSERT of the database, because a sequence is not rolled back.
const conflictOnce = `
CREATE SEQUENCE attempts;
CREATE FUNCTION conflict_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF nextval('attempts') = 1 THEN RAISE EXCEPTION 'on purpose' USING ERRCODE = '40001'; END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER conflict_once BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION conflict_once();`

func TestRegisterOrRetry(t *testing.T) {
	everyLibrary(t, func(t *testing.T, open func(t *testing.T, url string) service) {
		url, db := newDatabase(t)
		s := open(t, url)
		_, err := db.Exec(conflictOnce)
		require.NoError(t, err)
		ctx, x, _ := newExchange(t)
		_, err = registerOrRetry(ctx, newPipeline(t, s.store, nil), x, s.users, alice)
		require.NoError(t, err)
		var attempts int
		require.NoError(t, db.QueryRow("SELECT last_value FROM attempts").Scan(&attempts))
		require.Equal(t, 2, attempts)
		requireRows(t, db, 1, "users")
		requireRows(t, db, 1, "flowhook_sessions")
	})
}

func TestInsert_NoTransaction(t *testing.T) {
	everyLibrary(t, func(t *testing.T, open func(t *testing.T, url string) service) {
		url, db := newDatabase(t)
		require.ErrorIs(t, open(t, url).users.Insert(t.Context(), "1", alice), errNoTransaction)
		requireRows(t, db, 0, "users")
	})
}

// The context of a hook ends at its deadline, that of a sqlstore's transaction does not.
func TestInsert_ContextEnds(t *testing.T) {
	everyLibrary(t, func(t *testing.T, open func(t *testing.T, url string) service) {
		url, db := newDatabase(t)
		s := open(t, url)
		err := s.store.Transaction(t.Context(), "1", func(ctx context.Context) error {
			short, cancel := context.WithCancel(ctx)
			cancel()
			return s.users.Insert(short, "1", alice)
		})
		if s.native {
			require.ErrorIs(t, err, context.Canceled)
			requireRows(t, db, 0, "users")
			return
		}
		require.NoError(t, err)
		requireRows(t, db, 1, "users")
	})
}
