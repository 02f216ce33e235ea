package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/flowhook/flowhook"
)

// CreateToken implements [flowhook.TokenStore].
func (s *Store) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (created bool, err error) {
	const what = "store a verification token"
	if len(v.Hash) == 0 || len(v.Hash) > hashLength || !storable(v.IdentityID, identityIDLength) ||
		!storable(v.Address.Via, viaLength) || !storable(v.Address.Value, addressLength) {
		return false, errors.New("sqlstore: " + what + ": the hash, the ID or the address is too long, or not UTF-8 without NUL")
	}
	err = s.within(ctx, "", func(ctx context.Context) error {
		to, one := recipient(v.IdentityID, v.Address.Via, v.Address.Key()), 0
		old := recipient(v.IdentityID, v.Address.Via, v.Address.Value)
		recent, err := s.row(ctx, what, s.queries.recentVerification,
			[]any{to, old, notSince.UnixMicro(), v.IssuedAt.Add(time.Minute).UnixMicro()}, &one)
		if err != nil || recent {
			return err
		}
		_, err = s.exec(ctx, what, s.queries.createVerification, v.Hash, to, v.IdentityID, v.Address.Via, v.Address.Value,
			v.Address.Verified, v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro())
		created = true // unless this, or the commit, fails
		return err
	})
	return created && err == nil, err
}

// ConsumeToken implements [flowhook.TokenStore]. It returns times in UTC.
func (s *Store) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (flowhook.Token, error) {
	const what = "use a verification token"
	v := flowhook.Token{Hash: bytes.Clone(hash)}
	err := s.within(ctx, "", func(ctx context.Context) error {
		var issued, expires int64
		found, err := s.row(ctx, what, s.queries.findVerification, []any{v.Hash, now.UnixMicro()},
			&v.IdentityID, &v.Address.Via, &v.Address.Value, &v.Address.Verified, &issued, &expires)
		if err == nil && !found {
			err = flowhook.ErrNotFound
		}
		if err != nil {
			return err
		}
		v.IssuedAt, v.ExpiresAt = micro(issued), micro(expires)
		_, err = s.exec(ctx, what, s.queries.useVerification, v.Hash)
		return err
	})
	if err != nil {
		return flowhook.Token{}, err
	}
	return v, nil
}

// DeleteToken implements [flowhook.TokenStore].
func (s *Store) DeleteToken(ctx context.Context, hash []byte) error {
	const what = "delete a verification token"
	return s.within(ctx, "", func(ctx context.Context) error {
		one := 0
		free, err := s.row(ctx, what, s.queries.lockVerification, []any{hash}, &one)
		if err != nil || !free {
			return err
		}
		_, err = s.exec(ctx, what, s.queries.deleteVerification, hash)
		return err
	})
}

// recipient returns what an interval is about, in 32 bytes however long the names are: an identity
// and one of its addresses, as an [flowhook.Address.Key]. Rows of earlier versions have the address
// itself, so CreateToken looks for both: old rows still count for the spelling they have, no
// migration is needed, and processes of both versions can run side by side.
func recipient(identityID, via, address string) []byte {
	h := sha256.New()
	for _, part := range []string{identityID, via, address} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// CountAttempt implements [flowhook.TokenStore].
func (s *Store) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	return 0, errors.New("sqlstore: CountAttempt is not implemented yet")
}
