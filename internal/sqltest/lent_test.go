package sqltest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// If the host ignores a failure, its later statements on the connection do not commit by
// themselves.
func TestConn_AfterFailure(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(map[bool]string{true: "late", false: "early"}[late], func(t *testing.T) {
			each(t, func(t *testing.T, d database) {
				s, db := d.store(t)
				hostTable(t, db, 0)
				v := newSession("a")
				require.NoError(t, s.CreateSession(testContext(t), v))
				err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
					var conn *sql.Conn
					if !late {
						conn, _ = sqlstore.Conn(ctx)
					}
					require.Error(t, s.CreateSession(ctx, v))
					if late {
						conn, _ = sqlstore.Conn(ctx)
					}
					_, err := conn.ExecContext(ctx, "INSERT INTO host (id, v) VALUES (1, 1)")
					require.NoError(t, err, "the connection does not know of the failure")
					return nil
				})
				require.Error(t, err)
				require.Zero(t, count(t, db, "SELECT count(*) FROM host"))
			})
		})
	}
}

// Rows that the host leaves open do not prevent the transaction from ending.
func TestTransaction_HostLeavesRowsOpen(t *testing.T) {
	for _, how := range []string{"Tx", "Conn"} {
		t.Run(how, func(t *testing.T) {
			each(t, func(t *testing.T, d database) {
				s, db := d.store(t)
				hostTable(t, db, 3)
				done := make(chan error, 1)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					done <- s.Transaction(ctx, "a", func(ctx context.Context) error {
						var q interface {
							QueryContext(context.Context, string, ...any) (*sql.Rows, error)
						}
						if how == "Tx" {
							q, _ = sqlstore.Tx(ctx)
						} else {
							q, _ = sqlstore.Conn(ctx)
						}
						rows, err := q.QueryContext(sqlstore.TxContext(ctx), "SELECT id FROM host")
						if err != nil {
							return err
						}
						rows.Next()
						return nil
					})
				}()
				select {
				case err := <-done:
					t.Log(err)
				case <-time.After(3 * time.Second):
					t.Fatal("Transaction did not return")
				}
				require.Zero(t, db.Stats().InUse)
			})
		})
	}
}

// The context that TxContext returns ends with the transaction, even if the request goes on.
func TestTxContext_EndsWithTransaction(t *testing.T) {
	s, _ := sqlite.store(t)
	var c context.Context
	require.NoError(t, s.Transaction(context.Background(), "a", func(ctx context.Context) error {
		c = sqlstore.TxContext(ctx)
		return nil
	}))
	require.Error(t, c.Err())
}

// A host may set a savepoint before it calls the store, and roll back to it.
func TestTx_HostSavepoint(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		v, w := newSession("a"), newSession("a")
		require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, v))
			tx, _ := sqlstore.Tx(ctx)
			exec(t, tx, "SAVEPOINT host")
			require.NoError(t, s.CreateSession(ctx, w))
			exec(t, tx, "ROLLBACK TO SAVEPOINT host")
			exec(t, tx, "RELEASE SAVEPOINT host")
			return nil
		}))
		requireNone(t, s, w.ID)
		_, err := s.FindSession(testContext(t), v.ID)
		require.NoError(t, err)
	})
}

// The store notices a statement on the connection that ends the transaction.
func TestConn_HostEndsTransaction(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		if d.ends == "" {
			return
		}
		s, _ := d.store(t)
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			conn, _ := sqlstore.Conn(ctx)
			exec(t, conn, d.ends)
			return nil
		})
		require.ErrorContains(t, err, "has ended the transaction")
	})
}

// In SQLite, a statement whose own context ends rolls back the whole transaction, and the next one
// would commit by itself.
func TestSQLite_ContextOfHostStatementEnds(t *testing.T) {
	const slow = "INSERT INTO host (id, v) WITH RECURSIVE n (i) AS " +
		"(SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT i, 0 FROM n"
	s, db := sqlite.store(t)
	hostTable(t, db, 1)

	t.Run("then a store call", func(t *testing.T) {
		before, after := newSession("a"), newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, before))
			tx, _ := sqlstore.Tx(ctx)
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := tx.ExecContext(short, slow)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Error(t, s.CreateSession(ctx, after), "a write after the failure")
			return nil
		})
		require.Error(t, err)
		requireNone(t, s, before.ID, after.ID)
	})

	t.Run("then nothing", func(t *testing.T) {
		before := newSession("a")
		err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, before))
			tx, _ := sqlstore.Tx(ctx)
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := tx.ExecContext(short, slow)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return nil
		})
		require.Error(t, err, "the commit must fail, because nothing is saved")
		requireNone(t, s, before.ID)
	})

	t.Run("TxContext prevents it", func(t *testing.T) {
		kept := newSession("a")
		require.NoError(t, s.Transaction(testContext(t), "a", func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, kept))
			tx, _ := sqlstore.Tx(ctx)
			ended, cancel := context.WithCancel(context.WithValue(ctx, key{}, "kept"))
			cancel()
			ended = sqlstore.TxContext(ended)
			require.Equal(t, "kept", ended.Value(key{}), "the values of the statement's context are lost")
			_, err := tx.ExecContext(ended, "UPDATE host SET v = 7")
			return err
		}))
		_, err := s.FindSession(testContext(t), kept.ID)
		require.NoError(t, err)
	})
}

type key struct{}

// In PostgreSQL, a statement that fails aborts the transaction. It does not commit even if the host
// ignores the error.
func TestPostgreSQL_HostIgnoresError(t *testing.T) {
	s, _ := postgreSQL.store(t)
	v := newSession("a")
	err := s.Transaction(testContext(t), "a", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, v))
		tx, _ := sqlstore.Tx(ctx)
		_, err := tx.ExecContext(ctx, "SELECT 1 / 0")
		require.Error(t, err)
		return nil
	})
	require.Error(t, err)
	requireNone(t, s, v.ID)
}
