package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCleanUp(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		s.signedIn(email, password)
		tables := func() []int {
			return []int{s.count("flowhook_sessions"), s.count("flowhook_verifications"), s.count("sign_ins"),
				s.count("devices"), s.count("audit"), s.count("users")}
		}
		ahead := func(d time.Duration) []int {
			s.ahead.Store(int64(d))
			require.NoError(t, s.service.cleanUp(t.Context()))
			return tables()
		}
		const day = 24 * time.Hour
		require.Equal(t, []int{1, 1, 1, 1, 3, 1}, ahead(0))
		require.Equal(t, []int{1, 1, 1, 1, 3, 1}, ahead(day-time.Hour))
		require.Equal(t, []int{1, 1, 0, 1, 3, 1}, ahead(day+time.Hour))
		require.Equal(t, []int{0, 0, 0, 1, 3, 1}, ahead(2*day+time.Hour))
		require.Equal(t, []int{0, 0, 0, 1, 0, 1}, ahead(366*day))
		require.Equal(t, []int{0, 0, 0, 0, 0, 1}, ahead(401*day))

		_, err := s.service.db.Exec("INSERT INTO audit (at, point, outcome, client) WITH RECURSIVE n(i) AS (SELECT 1 " +
			"UNION ALL SELECT i + 1 FROM n WHERE i < 1201) SELECT i, 'p', 'ok', 'c' FROM n")
		require.NoError(t, err)
		require.NoError(t, s.service.cleanUp(t.Context()))
		require.Equal(t, 0, s.count("audit"), "all batches")
	})
}
