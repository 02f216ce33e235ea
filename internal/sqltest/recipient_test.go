package sqltest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// Earlier versions of the store hashed the address itself, not its key. A token that one of them
// issued keeps its spelling, still counts against the interval, and can still be redeemed.
func TestRowOfAnEarlierVersionCounts(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		ctx := testContext(t)
		issued := time.Now().Truncate(time.Microsecond)
		old := flowhook.VerificationToken{Hash: []byte("a hash of an earlier version"), IdentityID: "alice", IssuedAt: issued,
			Address: flowhook.Address{Via: "email", Value: "Alice@Example.org"}, ExpiresAt: issued.Add(time.Hour)}
		insert := "INSERT INTO flowhook_verifications (hash, recipient, identity_id, via, address, verified, issued_at, expires_at) " +
			"VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
		if d.dialect == sqlstore.PostgreSQL {
			insert = "INSERT INTO flowhook_verifications (hash, recipient, identity_id, via, address, verified, issued_at, expires_at) " +
				"VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
		}
		_, err := db.ExecContext(ctx, insert, old.Hash, earlierRecipient("alice", "email", old.Address.Value), "alice", "email",
			old.Address.Value, false, issued.UnixMicro(), old.ExpiresAt.UnixMicro())
		require.NoError(t, err)

		next := old
		next.Hash, next.IssuedAt = []byte("another"), issued.Add(time.Second)
		created, err := s.CreateVerification(ctx, next, issued.Add(-time.Minute))
		require.NoError(t, err)
		require.False(t, created, "the old row does not count")
		created, err = s.CreateVerification(ctx, next, issued)
		require.NoError(t, err)
		require.True(t, created, "the old row counts for longer than it should")

		got, err := s.ConsumeVerification(ctx, old.Hash, issued)
		require.NoError(t, err)
		require.Equal(t, old.Address, got.Address)
	})
}

func earlierRecipient(parts ...string) []byte {
	h := sha256.New()
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		fmt.Fprint(h, part)
	}
	return h.Sum(nil)
}
