package sqltest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// The migrations can be applied, reverted and applied again.
func TestMigrations(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.source(t))
		p := d.migrations(t, db)
		for range 2 {
			_, err := p.Up(testContext(t))
			require.NoError(t, err)
			s, err := sqlstore.New(db, d.dialect)
			require.NoError(t, err)
			requireOneSession(t, s)
			_, err = p.DownTo(testContext(t), 0)
			require.NoError(t, err)
		}
	})
}

// A process of the previous version stores tokens in the tables of migration 1. Migration 2 keeps
// them, and the previous version can go on while the new one is running.
func TestMigrations_PreviousVersion(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db := d.connect(t, d.source(t))
		p := d.migrations(t, db)
		ctx, now := testContext(t), time.Now().Truncate(time.Microsecond)
		address := flowhook.Address{Via: "email", Value: "alice@example.org", Verified: true}
		tokens, n := map[string]flowhook.Token{}, 0

		// The statements of the previous version.
		create := func(hash string) {
			t.Helper()
			v := flowhook.Token{
				Hash: []byte(hash), Purpose: flowhook.PurposeVerification, IdentityID: "alice", Address: address,
				IssuedAt: now.Add(time.Duration(n) * time.Minute), ExpiresAt: now.Add(time.Duration(n+60) * time.Minute),
			}
			n++
			_, err := db.ExecContext(ctx, d.bind("INSERT INTO flowhook_verifications "+
				"(hash, recipient, identity_id, via, address, verified, issued_at, expires_at) "+
				"VALUES (?, ?, ?, ?, ?, ?, ?, ?)"), v.Hash, earlierRecipient("alice", "email", address.Key()), "alice",
				"email", address.Value, true, v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro())
			require.NoError(t, err)
			tokens[hash] = v
		}
		use := func(hash string) {
			t.Helper()
			result, err := db.ExecContext(ctx, d.bind("UPDATE flowhook_verifications SET used = true WHERE hash = ?"),
				[]byte(hash))
			require.NoError(t, err)
			rows, err := result.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 1, rows)
		}
		unused := func(hash string) bool {
			t.Helper()
			rows := 0
			require.NoError(t, db.QueryRowContext(ctx, d.bind("SELECT count(*) FROM flowhook_verifications "+
				"WHERE hash = ? AND used = false AND expires_at > ?"), []byte(hash), now.UnixMicro()).Scan(&rows))
			return rows == 1
		}

		_, err := p.UpTo(ctx, 1)
		require.NoError(t, err)
		create("before")
		create("used before")
		use("used before")
		_, err = p.UpTo(ctx, 2)
		require.NoError(t, err)
		create("after")
		create("used after")
		use("used after")

		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		for _, hash := range []string{"before", "after"} {
			got, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, []byte(hash), now)
			require.NoError(t, err, hash)
			require.Empty(t, got.Data)
			got.Data, got.IssuedAt, got.ExpiresAt = nil, got.IssuedAt.Local(), got.ExpiresAt.Local()
			require.Equal(t, tokens[hash], got)
			require.False(t, unused(hash), "the previous version finds a used token")
		}
		for _, hash := range []string{"used before", "used after"} {
			_, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, []byte(hash), now)
			require.ErrorIs(t, err, flowhook.ErrUsedToken, hash)
		}

		v := tokens["after"]
		v.Hash, v.IssuedAt = []byte("new"), now.Add(3*time.Minute)
		created, err := s.CreateToken(ctx, v, now)
		require.NoError(t, err)
		require.False(t, created, "the tokens of the previous version count within the interval")
		created, err = s.CreateToken(ctx, v, v.IssuedAt)
		require.NoError(t, err)
		require.True(t, created)
		require.True(t, unused("new"), "the previous version does not find a new verification")
		v.Hash, v.Purpose, v.Data = []byte("recovery"), flowhook.PurposeRecovery, []byte("data")
		created, err = s.CreateToken(ctx, v, now)
		require.NoError(t, err)
		require.True(t, created)

		// Without its column purpose, a recovery would be a verification.
		_, err = p.DownTo(ctx, 1)
		require.NoError(t, err)
		require.Equal(t, 5, count(t, db, "SELECT count(*) FROM flowhook_verifications"))
		require.True(t, unused("new"))
		require.False(t, unused("recovery"))
	})
}
