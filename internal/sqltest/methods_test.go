package sqltest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
)

func TestListSessions(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		s, _ := of.store(t)
		ctx, id, now := testContext(t), rand.Text(), time.Now().Truncate(time.Microsecond)
		var want []string
		for i := range 5 {
			v := newSession(id)
			v.IssuedAt = now.Add(time.Duration(-i) * time.Minute) // the newest first
			v.ExpiresAt = now.Add(time.Hour)
			if i == 2 {
				v.ExpiresAt = now // a session is valid before this instant, not at it
			} else {
				want = append(want, v.ID)
			}
			require.NoError(t, s.CreateSession(ctx, v))
		}
		require.NoError(t, s.CreateSession(ctx, newSession(id+" ")))
		got, err := s.ListSessions(ctx, id, now, 100)
		require.NoError(t, err)
		var ids []string
		for _, v := range got {
			ids = append(ids, v.ID)
			stored, err := s.FindSession(ctx, v.ID)
			require.NoError(t, err)
			require.Equal(t, stored, v)
		}
		require.Equal(t, want, ids)

		for limit, n := range map[int]int{3: 3, 0: 0, -1: 0} {
			got, err = s.ListSessions(ctx, id, now, limit)
			require.NoError(t, err)
			require.Len(t, got, n)
		}
		for _, unknown := range []string{"", "unknown", "a\x00b", strings.Repeat("x", 2000)} {
			got, err = s.ListSessions(ctx, unknown, now, 100)
			require.NoError(t, err)
			require.Empty(t, got)
		}

		extra := newSession(id)
		require.NoError(t, s.Transaction(ctx, id, func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, extra))
			got, err = s.ListSessions(ctx, id, now, 100)
			require.NoError(t, err)
			require.Len(t, got, 5, "the list has the session of the transaction")
			return nil
		}))
		_, err = s.ListSessions(canceledContext(t), id, now, 100)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// canceledContext returns a context that has ended.
func canceledContext(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	return ctx
}

// A row that cannot be read keeps no connection.
func TestFindSession_UnreadableRow(t *testing.T) {
	s, db := postgreSQL.store(t)
	v := newSession("a")
	require.NoError(t, s.CreateSession(testContext(t), v))
	exec(t, db, "ALTER TABLE flowhook_sessions ALTER COLUMN issued_at TYPE text USING 'not a number'")
	_, err := s.FindSession(testContext(t), v.ID)
	require.ErrorContains(t, err, "find a session")
	require.Zero(t, db.Stats().InUse)
}

func TestDeleteExpired(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		s, db := of.store(t)
		ctx, now := testContext(t), time.Now().Truncate(time.Microsecond)
		// The tenth expires now.
		expiry := func(i int) time.Time { return now.Add(time.Duration(i-9) * time.Microsecond) }
		var sessions []flowhook.Session
		var tokens []flowhook.Token
		for i := range 12 {
			v := newSession(rand.Text())
			v.ExpiresAt = expiry(i)
			sessions = append(sessions, v)
			require.NoError(t, s.CreateSession(ctx, v))

			hash := sha256.Sum256([]byte(v.ID))
			token := flowhook.Token{
				Hash: hash[:], Purpose: flowhook.PurposeVerification, IdentityID: v.IdentityID,
				Address:  flowhook.Address{Via: "email", Value: "a@example.org"},
				IssuedAt: expiry(i).Add(-time.Hour), ExpiresAt: expiry(i),
			}
			tokens = append(tokens, token)
			created, err := s.CreateToken(ctx, token, token.IssuedAt)
			require.NoError(t, err)
			require.True(t, created)
		}
		var counts []int
		for {
			n, err := s.DeleteExpired(ctx, now, 4)
			require.NoError(t, err)
			counts = append(counts, n)
			if n < 4 {
				break
			}
		}
		require.Equal(t, []int{8, 8, 4, 0}, counts, "ten sessions and ten tokens, at most four of each at a time")
		for i, v := range sessions {
			_, err := s.FindSession(ctx, v.ID)
			_, tokenErr := s.ConsumeToken(ctx, flowhook.PurposeVerification, tokens[i].Hash, tokens[i].IssuedAt)
			if i < 10 {
				require.ErrorIs(t, err, flowhook.ErrNotFound, "session %d", i)
				require.ErrorIs(t, tokenErr, flowhook.ErrNotFound, "token %d", i)
			} else {
				require.NoError(t, err, "session %d", i)
				require.NoError(t, tokenErr, "token %d", i)
			}
		}
		for _, limit := range []int{0, -1} {
			n, err := s.DeleteExpired(ctx, now.Add(time.Hour), limit)
			require.ErrorContains(t, err, "at least 1", "a loop until less than the limit is deleted would not end")
			require.Zero(t, n)
		}
		_, err := s.DeleteExpired(canceledContext(t), now.Add(time.Hour), 100)
		require.ErrorIs(t, err, context.Canceled)
		n, err := s.DeleteExpired(ctx, now.Add(time.Hour), 1)
		require.NoError(t, err)
		require.Equal(t, 2, n, "one session and one token")

		// A count expires with the newest token, or at once if there is none.
		token := tokens[11]
		token.Hash, token.ExpiresAt = []byte("another"), now.Add(time.Hour)
		created, err := s.CreateToken(ctx, token, token.IssuedAt)
		require.NoError(t, err)
		require.True(t, created)
		requireAttempt := func(want int, identityID string) {
			t.Helper()
			n, err := s.CountAttempt(ctx, token.Purpose, identityID, token.Address, now)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		requireAttempt(1, token.IdentityID)
		requireAttempt(1, "nobody")
		_, err = s.DeleteExpired(ctx, token.ExpiresAt.Add(-time.Microsecond), 10)
		require.NoError(t, err)
		requireAttempt(2, token.IdentityID)
		requireAttempt(1, "nobody")
		n, err = s.DeleteExpired(ctx, token.ExpiresAt, 1)
		require.NoError(t, err)
		require.Equal(t, 2, n, "one token and one count")
		_, err = s.DeleteExpired(ctx, token.ExpiresAt, 10)
		require.NoError(t, err)
		require.Zero(t, count(t, db, "SELECT count(*) FROM flowhook_attempts"))
	})
}

// The store rejects values that some database would cut or confuse with another value.
func TestStore_ValuesThatDoNotFit(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		s, _ := of.store(t)
		ctx := testContext(t)
		fits := newSession(strings.Repeat("ä", 512))
		fits.ID = strings.Repeat("x", 255)
		require.NoError(t, s.CreateSession(ctx, fits))
		got, err := s.FindSession(ctx, fits.ID)
		require.NoError(t, err)
		require.Equal(t, fits.IdentityID, got.IdentityID)
		token := flowhook.Token{
			Hash: make([]byte, 255), Purpose: flowhook.Purpose(strings.Repeat("p", 255)), IdentityID: fits.IdentityID,
			Address:  flowhook.Address{Via: strings.Repeat("v", 255), Value: strings.Repeat("x", 1024)},
			IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}
		created, err := s.CreateToken(ctx, token, time.Now())
		require.NoError(t, err)
		require.True(t, created)
		found, err := s.ConsumeToken(ctx, token.Purpose, token.Hash, time.Now())
		require.NoError(t, err)
		require.Equal(t, token.Address, found.Address)

		for _, bad := range []string{strings.Repeat("x", 1025), "a\x00b", "\xff"} {
			session := newSession(bad)
			require.Error(t, s.CreateSession(ctx, session))
			session = newSession("a")
			session.ID = bad
			require.Error(t, s.CreateSession(ctx, session))
			_, err = s.FindSession(ctx, bad)
			require.ErrorIs(t, err, flowhook.ErrNotFound)
			require.NoError(t, s.DeleteSession(ctx, bad))
			require.NoError(t, s.ReplaceSession(ctx, []string{bad}, newSession("a")))
			require.NoError(t, s.DeleteSessions(ctx, bad, ""))
			require.ErrorIs(t, s.DeleteSessions(ctx, bad, fits.ID), flowhook.ErrNotFound)
			require.ErrorIs(t, s.DeleteSessions(ctx, fits.IdentityID, bad), flowhook.ErrNotFound)
			for _, token := range []flowhook.Token{
				{Hash: []byte("h"), Purpose: flowhook.Purpose(bad)},
				{Hash: []byte("h"), IdentityID: bad},
				{Hash: []byte("h"), Address: flowhook.Address{Via: bad}},
				{Hash: []byte("h"), Address: flowhook.Address{Value: bad}},
				{Hash: nil},
				{Hash: make([]byte, 256)},
			} {
				_, err = s.CreateToken(ctx, token, time.Now())
				require.Error(t, err)
			}
			_, err = s.ConsumeToken(ctx, flowhook.Purpose(bad), token.Hash, time.Now())
			require.ErrorIs(t, err, flowhook.ErrNotFound)
			n, err := s.CountAttempt(ctx, flowhook.Purpose(bad), bad, flowhook.Address{Via: bad, Value: bad}, time.Now())
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
		_, err = s.CreateToken(ctx, flowhook.Token{Hash: []byte("h"), Data: make([]byte, 4<<10+1)}, time.Now())
		require.ErrorContains(t, err, "the data has 4097 bytes")
		_, err = s.FindSession(ctx, fits.ID)
		require.NoError(t, err)
	})
}

// Error texts go to logs, so they must not quote IDs. Databases quote a duplicate key.
func TestCreateSession_DuplicateErrorQuotesNothing(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		s, _ := of.store(t)
		v := newSession("the-identity")
		require.NoError(t, s.CreateSession(testContext(t), v))
		err := s.CreateSession(testContext(t), v)
		require.ErrorContains(t, err, "stored already")
		for e := err; e != nil; e = errors.Unwrap(e) {
			require.NotContains(t, e.Error(), v.ID)
			require.NotContains(t, e.Error(), v.IdentityID)
		}
	})
}

// Two devices that sign each other out at the same time do not deadlock: one of them wins.
func TestDeleteSessions_EachOther(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		s, _ := of.store(t)
		for range testkit.Times(t, 1000) {
			identityID := newID()
			one, two := newSession(identityID), newSession(identityID)
			require.NoError(t, s.CreateSession(testContext(t), one))
			require.NoError(t, s.CreateSession(testContext(t), two))
			errs := make(chan error, 2)
			for _, v := range []flowhook.Session{one, two} {
				go func() { errs <- s.DeleteSessions(testContext(t), identityID, v.ID) }()
			}
			won := 0
			for range 2 {
				if err := <-errs; err == nil {
					won++
				} else {
					require.ErrorIs(t, err, flowhook.ErrNotFound)
				}
			}
			require.Equal(t, 1, won)
		}
	})
}
