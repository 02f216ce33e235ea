package sqltest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// Earlier versions of the store hashed the address itself, not its key. A token that they issued
// keeps its spelling, still counts against the interval, and can still be redeemed.
func TestCreateToken_RowOfEarlierVersion(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		ctx := testContext(t)
		issued := time.Now().Truncate(time.Microsecond)
		old := flowhook.Token{
			Hash:       []byte("a hash of an earlier version"),
			Purpose:    flowhook.PurposeVerification,
			IdentityID: "alice",
			Address:    flowhook.Address{Via: "email", Value: "Alice@Example.org"},
			IssuedAt:   issued,
			ExpiresAt:  issued.Add(time.Hour),
		}
		insert := d.bind("INSERT INTO flowhook_verifications " +
			"(hash, recipient, identity_id, via, address, verified, issued_at, expires_at) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
		recipient := earlierRecipient("alice", "email", old.Address.Value)
		_, err := db.ExecContext(ctx, insert, old.Hash, recipient, "alice", "email",
			old.Address.Value, false, issued.UnixMicro(), old.ExpiresAt.UnixMicro())
		require.NoError(t, err)

		next := old
		next.Hash, next.IssuedAt = []byte("another"), issued.Add(time.Second)
		created, err := s.CreateToken(ctx, next, issued.Add(-time.Minute))
		require.NoError(t, err)
		require.False(t, created, "the old row counts within the interval")
		created, err = s.CreateToken(ctx, next, issued)
		require.NoError(t, err)
		require.True(t, created, "the old row counts after the interval, too")

		got, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, old.Hash, issued)
		require.NoError(t, err)
		require.Equal(t, old.Address, got.Address)
	})
}

// CountAttempt finds the newest token also in a row of an earlier version.
func TestCountAttempt_RowOfEarlierVersion(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		ctx, now := testContext(t), time.Now()
		address := flowhook.Address{Via: "email", Value: "Alice@Example.org"}
		attempt := func() int {
			n, err := s.CountAttempt(ctx, flowhook.PurposeVerification, "alice", address, now)
			require.NoError(t, err)
			return n
		}
		require.Equal(t, 1, attempt())
		require.Equal(t, 2, attempt())
		insert := d.bind("INSERT INTO flowhook_verifications " +
			"(hash, recipient, identity_id, via, address, verified, issued_at, expires_at) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
		recipient := earlierRecipient("alice", "email", address.Value)
		_, err := db.ExecContext(ctx, insert, []byte("hash"), recipient, "alice", "email",
			address.Value, false, now.UnixMicro(), now.Add(time.Hour).UnixMicro())
		require.NoError(t, err)
		require.Equal(t, 1, attempt())
		require.Equal(t, 2, attempt())
	})
}

// Processes of the previous version find a verification by its recipient, and no other token.
func TestCreateToken_Recipient(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		ctx, now := testContext(t), time.Now()
		address := flowhook.Address{Via: "email", Value: "Alice@Example.org"}
		previous := earlierRecipient("alice", "email", address.Key())
		seen := make(map[string]bool)
		for _, p := range []flowhook.Purpose{
			flowhook.PurposeVerification, flowhook.PurposeRecovery, flowhook.PurposeAddressChange,
		} {
			created, err := s.CreateToken(ctx, flowhook.Token{
				Hash: []byte(p), Purpose: p, IdentityID: "alice", Address: address,
				IssuedAt: now, ExpiresAt: now.Add(time.Hour),
			}, now)
			require.NoError(t, err)
			require.True(t, created)
			var recipient []byte
			query := d.bind("SELECT recipient FROM flowhook_verifications WHERE hash = ?")
			require.NoError(t, db.QueryRowContext(ctx, query, []byte(p)).Scan(&recipient))
			require.Len(t, recipient, 32)
			require.Equal(t, p == flowhook.PurposeVerification, bytes.Equal(recipient, previous), p)
			require.False(t, seen[string(recipient)], p)
			seen[string(recipient)] = true
		}
	})
}

// earlierRecipient hashes a recipient as earlier versions did.
func earlierRecipient(parts ...string) []byte {
	h := sha256.New()
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		fmt.Fprint(h, part)
	}
	return h.Sum(nil)
}
