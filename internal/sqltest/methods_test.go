package sqltest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestListSessions(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		ctx, id, now := testContext(t), rand.Text(), time.Now().Truncate(time.Microsecond)
		var want []string
		for i := range 5 {
			v := newSession(id)
			v.IssuedAt = now.Add(time.Duration(-i) * time.Minute) // the newest first
			v.ExpiresAt = now.Add(time.Hour)
			if i == 2 {
				v.ExpiresAt = now // good before this instant, not at it
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
		for _, nobody := range []string{"", "nobody", "a\x00b", strings.Repeat("x", 2000)} {
			got, err = s.ListSessions(ctx, nobody, now, 100)
			require.NoError(t, err)
			require.Empty(t, got)
		}

		extra := newSession(id)
		require.NoError(t, s.Transaction(ctx, id, func(ctx context.Context) error {
			require.NoError(t, s.CreateSession(ctx, extra))
			got, err = s.ListSessions(ctx, id, now, 100)
			require.NoError(t, err)
			require.Len(t, got, 5, "the transaction's own session")
			return nil
		}))
	})
}

func TestDeleteExpired(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		ctx, now := testContext(t), time.Now().Truncate(time.Microsecond)
		expiry := func(i int) time.Time { return now.Add(time.Duration(i-9) * time.Microsecond) } // the tenth expires now
		var sessions []flowhook.Session
		var tokens []flowhook.VerificationToken
		for i := range 12 {
			v := newSession(rand.Text())
			v.ExpiresAt = expiry(i)
			sessions = append(sessions, v)
			require.NoError(t, s.CreateSession(ctx, v))

			hash := sha256.Sum256([]byte(v.ID))
			token := flowhook.VerificationToken{Hash: hash[:], IdentityID: v.IdentityID, Address: flowhook.Address{Via: "email", Value: "a@example.org"}, IssuedAt: expiry(i).Add(-time.Hour), ExpiresAt: expiry(i)}
			tokens = append(tokens, token)
			created, err := s.CreateVerification(ctx, token, token.IssuedAt)
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
		require.Equal(t, []int{8, 8, 4, 0}, counts, "ten of each, at most four of each at a time")
		for i, v := range sessions {
			_, err := s.FindSession(ctx, v.ID)
			_, tokenErr := s.ConsumeVerification(ctx, tokens[i].Hash, tokens[i].IssuedAt)
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
			require.ErrorContains(t, err, "at least 1", "a loop until it gives less than the limit would not end")
			require.Zero(t, n)
		}
		n, err := s.DeleteExpired(ctx, now.Add(time.Hour), 1)
		require.NoError(t, err)
		require.Equal(t, 2, n, "one of each")
	})
}

// What a column could not hold as it is would be cut, or mixed up with something else, by some database.
func TestWhatCannotBeStored(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		ctx := testContext(t)
		fits := newSession(strings.Repeat("ä", 512))
		fits.ID = strings.Repeat("x", 255)
		require.NoError(t, s.CreateSession(ctx, fits))
		got, err := s.FindSession(ctx, fits.ID)
		require.NoError(t, err)
		require.Equal(t, fits.IdentityID, got.IdentityID)
		token := flowhook.VerificationToken{
			Hash: make([]byte, 255), IdentityID: fits.IdentityID,
			Address:  flowhook.Address{Via: strings.Repeat("v", 255), Value: strings.Repeat("x", 1024)},
			IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
		}
		created, err := s.CreateVerification(ctx, token, time.Now())
		require.NoError(t, err)
		require.True(t, created)
		found, err := s.ConsumeVerification(ctx, token.Hash, time.Now())
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
			require.NoError(t, s.DeleteSessions(ctx, bad, ""))
			require.ErrorIs(t, s.DeleteSessions(ctx, bad, fits.ID), flowhook.ErrNotFound)
			require.ErrorIs(t, s.DeleteSessions(ctx, fits.IdentityID, bad), flowhook.ErrNotFound)
			for _, token := range []flowhook.VerificationToken{
				{Hash: []byte("h"), IdentityID: bad},
				{Hash: []byte("h"), Address: flowhook.Address{Via: bad}},
				{Hash: []byte("h"), Address: flowhook.Address{Value: bad}},
				{Hash: nil},
				{Hash: make([]byte, 256)},
			} {
				_, err = s.CreateVerification(ctx, token, time.Now())
				require.Error(t, err)
			}
		}
		_, err = s.FindSession(ctx, fits.ID)
		require.NoError(t, err)
	})
}

// Two stores in one context are two transactions; a call goes to its own store's.
func TestTwoStores(t *testing.T) {
	d := databases[0]
	one, _ := d.store(t)
	two, _ := d.store(t)
	v := newSession("a")
	_, ok := sqlstore.Tx(context.Background())
	require.False(t, ok)
	_, ok = sqlstore.Conn(context.Background())
	require.False(t, ok)
	err := one.Transaction(testContext(t), "a", func(ctx context.Context) error {
		first, ok := sqlstore.Tx(ctx)
		require.True(t, ok)
		err := two.Transaction(ctx, "a", func(ctx context.Context) error {
			second, ok := sqlstore.Tx(ctx)
			require.True(t, ok)
			require.NotSame(t, first, second, "Tx gives the innermost")
			require.NoError(t, one.CreateSession(ctx, v))
			return two.CreateSession(ctx, v)
		})
		require.NoError(t, err)
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	requireNone(t, one, v.ID)
	_, err = two.FindSession(testContext(t), v.ID)
	require.NoError(t, err, "the other store's transaction was its own")
}

// The migrations go down as well as up, and up again.
func TestMigrations(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.source(t))
		p, err := goose.NewProvider(goose.Dialect(d.dialect), db, d.dialect.Migrations())
		require.NoError(t, err)
		for range 2 {
			_, err = p.Up(testContext(t))
			require.NoError(t, err)
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(t, err)
			loginsLeaveOne(t, s)
			_, err = p.DownTo(testContext(t), 0)
			require.NoError(t, err)
		}
	})
}
