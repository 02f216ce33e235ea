package sqltest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

const (
	indexedRows   = 20_000
	perIdentity   = 4
	indexedLength = time.Hour
)

// began is when the first of the rows began; each begins a second after the one before.
var began = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func indexedSession(i int) flowhook.Session {
	at := began.Add(time.Duration(i) * time.Second)
	return flowhook.Session{ID: fmt.Sprintf("%x", sha256.Sum256([]byte("session"+itoa(i))))[:26],
		IdentityID: fmt.Sprintf("%x", sha256.Sum256([]byte("identity"+itoa(i%(indexedRows/perIdentity)))))[:36],
		IssuedAt:   at, AuthenticatedAt: at, ExpiresAt: at.Add(indexedLength)}
}

func indexedToken(i int) flowhook.VerificationToken {
	hash := sha256.Sum256([]byte("token" + itoa(i)))
	at := began.Add(time.Duration(i) * time.Second)
	return flowhook.VerificationToken{Hash: hash[:], IdentityID: indexedSession(i).IdentityID,
		Address: flowhook.Address{Via: "email", Value: itoa(i) + "@example.org"}, IssuedAt: at, ExpiresAt: at.Add(indexedLength)}
}

// fillIndexed puts rows into both tables, without the store: it would take a minute.
func (d database) fillIndexed(t *testing.T, db *sql.DB) {
	d.bulk(t, db, "flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at)", func(i int) []any {
		v := indexedSession(i)
		return []any{v.ID, v.IdentityID, v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
	})
	d.bulk(t, db, "flowhook_verifications (hash, recipient, identity_id, via, address, verified, issued_at, expires_at)", func(i int) []any {
		v := indexedToken(i)
		recipient := sha256.Sum256([]byte(v.Address.Value))
		return []any{v.Hash, recipient[:], v.IdentityID, v.Address.Via, v.Address.Value, false, v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
	})
	analyze := "ANALYZE"
	if d.dialect == sqlstore.MariaDB {
		analyze = "ANALYZE TABLE flowhook_sessions, flowhook_verifications"
	}
	_, err := db.Exec(analyze)
	require.NoError(t, err)
}

func (d database) bulk(t *testing.T, db *sql.DB, into string, row func(i int) []any) {
	t.Helper()
	const batch = 1000
	tx, err := db.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	for i := 0; i < indexedRows; i += batch {
		var text strings.Builder
		var values []any
		for j := range batch {
			text.WriteString(", (")
			for k, v := range row(i + j) {
				values = append(values, v)
				mark := "?"
				if d.dialect == sqlstore.PostgreSQL {
					mark = "$" + strconv.Itoa(len(values))
				}
				if k > 0 {
					mark = ", " + mark
				}
				text.WriteString(mark)
			}
			text.WriteString(")")
		}
		_, err := tx.Exec("INSERT INTO "+into+" VALUES "+text.String()[2:], values...)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}

// callAll calls every method that the store has, in all the ways that have statements of their own.
func callAll(t *testing.T, s *sqlstore.Store) {
	ctx := testContext(t)
	first, other, fresh := indexedSession(100), indexedSession(200), indexedSession(300)
	fresh.ID = "fresh"
	token := indexedToken(indexedRows) // one more than there are
	calls := map[string]func(ctx context.Context) error{
		"CreateSession": func(ctx context.Context) error { return s.CreateSession(ctx, fresh) },
		"FindSession":   func(ctx context.Context) error { _, err := s.FindSession(ctx, first.ID); return err },
		"ListSessions": func(ctx context.Context) error {
			_, err := s.ListSessions(ctx, first.IdentityID, began, 100)
			return err
		},
		"DeleteSession": func(ctx context.Context) error { return s.DeleteSession(ctx, indexedSession(400).ID) },
		"DeleteSessions": func(ctx context.Context) error {
			if err := s.DeleteSessions(ctx, first.IdentityID, first.ID); err != nil {
				return err
			}
			return s.DeleteSessions(ctx, other.IdentityID, "")
		},
		"CreateVerification": func(ctx context.Context) error {
			_, err := s.CreateVerification(ctx, token, began)
			return err
		},
		"ConsumeVerification": func(ctx context.Context) error {
			_, err := s.ConsumeVerification(ctx, indexedToken(100).Hash, began)
			return err
		},
		"DeleteVerification": func(ctx context.Context) error {
			return s.DeleteVerification(ctx, indexedToken(200).Hash)
		},
		"DeleteExpired": func(ctx context.Context) error {
			_, err := s.DeleteExpired(ctx, began.Add(2*time.Hour), 100)
			return err
		},
		"Transaction": func(ctx context.Context) error {
			return s.Transaction(ctx, first.IdentityID, func(ctx context.Context) error {
				_, _ = sqlstore.Tx(ctx) // which is lent
				return s.DeleteSession(ctx, "unknown")
			})
		},
	}
	methods := reflect.TypeFor[*sqlstore.Store]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		call, ok := calls[name]
		require.True(t, ok, "%s is a method whose statements nobody looks at; call it here", name)
		require.NoError(t, call(ctx), name)
		delete(calls, name)
	}
	require.Empty(t, calls)
}

// TestIndexes shows that no statement of the store goes through a whole table.
func TestIndexes(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		source := d.migrated(t)
		plain := d.connect(t, source)
		d.fillIndexed(t, plain)
		db, recorder := d.record(t, source)
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		callAll(t, s)

		control := statement{"SELECT id FROM flowhook_sessions WHERE authenticated_at = 7", nil}
		require.NotEmpty(t, d.scans(t, plain, control), "what goes through a whole table is known as such")
		explained := 0
		for _, s := range recorder.statements() {
			if !strings.Contains(s.text, "flowhook_") {
				t.Logf("of no table: %s", s.text)
				continue
			}
			explained++
			require.Empty(t, d.scans(t, plain, s), "%s", s.text)
		}
		require.GreaterOrEqual(t, explained, 13)
		t.Logf("%s: no statement of the store's goes through a whole table: %d statements, %d rows", d.name, explained, indexedRows)
	})
}

// scans gives those steps of a statement's plan that go through a whole table, or a whole index.
func (d database) scans(t *testing.T, db *sql.DB, s statement) (steps []string) {
	t.Helper()
	switch d.dialect {
	case sqlstore.PostgreSQL:
		conn, err := db.Conn(context.Background())
		require.NoError(t, err)
		defer conn.Close()
		plan := explain(t, conn, "EXPLAIN "+s.text, s.values...)
		// The plan that is kept for all values, which PostgreSQL may choose when a statement has run five times.
		for _, text := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE kept AS " + s.text} {
			_, err := conn.ExecContext(context.Background(), text)
			require.NoError(t, err, text)
		}
		execute := "EXPLAIN EXECUTE kept"
		if len(s.values) > 0 {
			execute += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", len(s.values)), ", ") + ")"
		}
		plan = append(plan, explain(t, conn, execute)...)
		for _, text := range []string{"DEALLOCATE kept", "RESET plan_cache_mode"} {
			_, err := conn.ExecContext(context.Background(), text)
			require.NoError(t, err, text)
		}
		for _, row := range plan {
			if step := row["QUERY PLAN"]; strings.Contains(step, "Seq Scan") {
				steps = append(steps, step)
			}
		}
	case sqlstore.MariaDB:
		for _, row := range explain(t, db, "EXPLAIN "+s.text, s.values...) {
			if kind := row["type"]; row["select_type"] != "INSERT" && (kind == "ALL" || kind == "index") {
				steps = append(steps, fmt.Sprint(row))
			}
		}
	case sqlstore.SQLite:
		if strings.HasPrefix(s.text, "INSERT") || strings.HasSuffix(s.text, " WHERE false") {
			return nil // the one has no plan, and the other's is not entered
		}
		for _, row := range explain(t, db, "EXPLAIN QUERY PLAN "+s.text, s.values...) {
			if step := row["detail"]; strings.HasPrefix(step, "SCAN") {
				steps = append(steps, step)
			}
		}
	}
	return steps
}
