package sqltest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
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

// began is when the first row was issued. Each row is issued a second after the one before it.
var began = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func indexedSession(i int) flowhook.Session {
	at := began.Add(time.Duration(i) * time.Second)
	return flowhook.Session{
		ID:              fmt.Sprintf("%x", sha256.Sum256([]byte("session"+itoa(i))))[:26],
		IdentityID:      fmt.Sprintf("%x", sha256.Sum256([]byte("identity"+itoa(i%(indexedRows/perIdentity)))))[:36],
		IssuedAt:        at,
		AuthenticatedAt: at,
		ExpiresAt:       at.Add(indexedLength),
	}
}

func indexedToken(i int) flowhook.Token {
	hash := sha256.Sum256([]byte("token" + itoa(i)))
	at := began.Add(time.Duration(i) * time.Second)
	return flowhook.Token{
		Hash:       hash[:],
		Purpose:    flowhook.PurposeVerification,
		IdentityID: indexedSession(i).IdentityID,
		Address:    flowhook.Address{Via: "email", Value: itoa(i) + "@example.org"},
		IssuedAt:   at,
		ExpiresAt:  at.Add(indexedLength),
	}
}

// fillIndexed fills the tables. It does not use the store, which would take a minute.
func (d database) fillIndexed(t *testing.T, db *sql.DB) {
	sessions := "flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at)"
	d.bulk(t, db, sessions, func(i int) []any {
		v := indexedSession(i)
		return []any{v.ID, v.IdentityID, v.AuthenticatedAt.UnixMicro(), v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
	})
	tokens := "flowhook_verifications (hash, recipient, identity_id, via, address, verified, issued_at, expires_at)"
	d.bulk(t, db, tokens, func(i int) []any {
		v := indexedToken(i)
		recipient := sha256.Sum256([]byte(v.Address.Value))
		return []any{v.Hash, recipient[:], v.IdentityID, v.Address.Via, v.Address.Value, false,
			v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro()}
	})
	attempts := "flowhook_attempts (recipient, since, attempts, expires_at)"
	d.bulk(t, db, attempts, func(i int) []any {
		v := indexedToken(i)
		recipient := sha256.Sum256([]byte(v.Address.Value))
		return []any{recipient[:], v.IssuedAt.UnixMicro(), 1, v.ExpiresAt.UnixMicro()}
	})
	_, err := db.Exec(d.analyze)
	require.NoError(t, err)
}

// bulk inserts the rows in batches.
func (d database) bulk(t *testing.T, db *sql.DB, into string, row func(i int) []any) {
	t.Helper()
	const batch = 1000
	tx, err := db.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	for i := 0; i < indexedRows; i += batch {
		var rows []string
		var values []any
		for j := range batch {
			columns := row(i + j)
			values = append(values, columns...)
			rows = append(rows, "(?"+strings.Repeat(", ?", len(columns)-1)+")")
		}
		_, err := tx.Exec(d.bind("INSERT INTO "+into+" VALUES "+strings.Join(rows, ", ")), values...)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}

// callAll calls every method of the store, in all ways that run different statements.
func callAll(t *testing.T, s *sqlstore.Store) {
	ctx := testContext(t)
	first, other, fresh := indexedSession(100), indexedSession(200), indexedSession(300)
	fresh.ID = "fresh"
	token := indexedToken(indexedRows) // is not stored yet
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
		"CreateToken": func(ctx context.Context) error {
			_, err := s.CreateToken(ctx, token, began)
			return err
		},
		"ReplaceSession": func(ctx context.Context) error {
			return s.ReplaceSession(ctx, []string{indexedSession(400).ID, "unknown"}, newSession("replaced"))
		},
		"Verify": s.Verify,
		"ConsumeToken": func(ctx context.Context) error {
			if _, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, indexedToken(100).Hash, began); err != nil {
				return err
			}
			_, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, indexedToken(100).Hash, began)
			if !errors.Is(err, flowhook.ErrUsedToken) {
				return fmt.Errorf("a used token: %w", err)
			}
			return nil
		},
		"CountAttempt": func(ctx context.Context) error {
			for range 2 {
				if _, err := s.CountAttempt(ctx, token.Purpose, token.IdentityID, token.Address, began); err != nil {
					return err
				}
			}
			return nil
		},
		"DeleteToken": func(ctx context.Context) error {
			return s.DeleteToken(ctx, indexedToken(200).Hash)
		},
		"DeleteExpired": func(ctx context.Context) error {
			_, err := s.DeleteExpired(ctx, began.Add(2*time.Hour), 100)
			return err
		},
		"Transaction": func(ctx context.Context) error {
			return s.Transaction(ctx, first.IdentityID, func(ctx context.Context) error {
				_, _ = sqlstore.Tx(ctx) // makes the store run its guards
				return s.DeleteSession(ctx, "unknown")
			})
		},
	}
	methods := reflect.TypeFor[*sqlstore.Store]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		call, ok := calls[name]
		require.True(t, ok, "the statements of %s are not tested; call it here", name)
		require.NoError(t, call(ctx), name)
		delete(calls, name)
	}
	require.Empty(t, calls)
}

// No statement of the store reads a whole table.
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
		require.NotEmpty(t, d.scans(t, plain, control), "the test recognizes a statement that reads a whole table")
		explained := 0
		for _, s := range recorder.statements() {
			if !strings.Contains(s.text, "flowhook_") {
				t.Logf("not explained, as it reads no table: %s", s.text)
				continue
			}
			explained++
			require.Empty(t, d.scans(t, plain, s), "%s", s.text)
		}
		require.GreaterOrEqual(t, explained, 16)
		t.Logf("%s: no statement of the store reads a whole table: %d statements, %d rows",
			d.name, explained, indexedRows)
	})
}
