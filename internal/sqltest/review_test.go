package sqltest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func countOf(t testing.TB, db *sql.DB, q string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(testContext(t), q).Scan(&n))
	return n
}

// A clean-up that waits for a row in use does not keep others from storing what expires between the rows that it has
// gone through; it would be a deadlock.
func TestExpiredGap(t *testing.T) {
	d := databases[2]
	s, db := d.store(t)
	old := newSession("old")
	old.ExpiresAt = time.Now().Add(-time.Hour)
	held := newSession("held")
	held.ExpiresAt = time.Now().Add(-2 * time.Hour)
	require.NoError(t, s.CreateSession(testContext(t), old))
	require.NoError(t, s.CreateSession(testContext(t), held))
	clean := make(chan error, 1)
	err := s.Transaction(testContext(t), "held", func(ctx context.Context) error {
		if err := s.DeleteSessions(ctx, "old", ""); err != nil { // a login of old
			return err
		}
		go func() {
			_, err := s.DeleteExpired(testContext(t), time.Now(), 10)
			clean <- err
		}()
		waitUntil(t, func() string {
			if countOf(t, db, "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND info LIKE 'DELETE FROM flowhook_sessions WHERE expires_at%'") == 0 {
				return "nobody waits"
			}
			return ""
		})
		v := newSession("held")
		v.ExpiresAt = time.Now().Add(-90 * time.Minute)
		return s.CreateSession(ctx, v)
	})
	require.NoError(t, err, "login")
	require.NoError(t, <-clean)
}
