package relational

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/flowhook/flowhook"
)

// The table of the tokens is named flowhook_verifications, because earlier versions had no other
// tokens.

// CreateToken implements [flowhook.TokenStore].
func (s *Store) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (created bool, err error) {
	const what = "store a token"
	if len(v.Hash) == 0 || len(v.Hash) > hashLength || !storable(string(v.Purpose), purposeLength) ||
		!storable(v.IdentityID, identityIDLength) || !storable(v.Address.Via, viaLength) ||
		!storable(v.Address.Value, addressLength) {
		return false, s.errorf("%s: the hash is empty or too long, "+
			"or the purpose, the ID or the address is too long, or not UTF-8 without NUL", what)
	}
	if len(v.Data) > dataLength {
		return false, s.errorf("%s: the data has %d bytes; at most %d are allowed", what, len(v.Data), dataLength)
	}
	var data any // NULL if there is none
	if len(v.Data) > 0 {
		data = v.Data
	}
	to := recipient(v.Purpose, v.IdentityID, v.Address.Via, v.Address.Key())
	old := recipient(v.Purpose, v.IdentityID, v.Address.Via, v.Address.Value)
	err = s.within(ctx, func(ctx context.Context) error {
		rows, err := s.exec(ctx, what, s.Queries.createToken, v.Hash, to, string(v.Purpose), v.IdentityID, v.Address.Via,
			v.Address.Value, v.Address.Verified, v.IssuedAt.UnixMicro(), v.ExpiresAt.UnixMicro(), data,
			to, old, notSince.UnixMicro(), v.IssuedAt.Add(time.Minute).UnixMicro())
		created = rows > 0 // unless the commit fails
		return err
	})
	return created && err == nil, err
}

// ConsumeToken implements [flowhook.TokenStore]. It returns times in UTC.
func (s *Store) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (flowhook.Token, error) {
	const what = "use a token"
	v := flowhook.Token{Hash: bytes.Clone(hash), Purpose: p}
	err := s.within(ctx, func(ctx context.Context) error {
		if !storable(string(p), purposeLength) {
			return flowhook.ErrNotFound
		}
		var issued, expires int64
		key := []any{v.Hash, string(p), now.UnixMicro()}
		query, one := s.Queries.findToken, s.Queries.consumeToken != ""
		if one {
			query = s.Queries.consumeToken
		}
		found, err := s.row(ctx, what, one, query, key,
			&v.IdentityID, &v.Address.Via, &v.Address.Value, &v.Address.Verified, &issued, &expires, &v.Data)
		if err == nil && !found {
			err = s.missing(ctx, what, key)
		}
		if err != nil {
			return err
		}
		v.IssuedAt, v.ExpiresAt = micro(issued), micro(expires)
		if !one {
			_, err = s.exec(ctx, what, s.Queries.useToken, v.Hash)
		}
		return err
	})
	if err != nil {
		return flowhook.Token{}, err
	}
	return v, nil
}

// missing returns why findToken has not found the token with the key: ErrUsedToken or ErrNotFound.
// Its query locks nothing, so several calls at once learn that a token is used. findToken would
// skip the row for all but one of them.
func (s *Store) missing(ctx context.Context, what string, key []any) error {
	one := 0
	used, err := s.row(ctx, what, false, s.Queries.usedToken, key, &one)
	switch {
	case err != nil:
		return err
	case used:
		return flowhook.ErrUsedToken
	}
	return flowhook.ErrNotFound
}

// DeleteToken implements [flowhook.TokenStore].
func (s *Store) DeleteToken(ctx context.Context, hash []byte) error {
	const what = "delete a token"
	return s.within(ctx, func(ctx context.Context) error {
		one := 0
		free, err := s.row(ctx, what, false, s.Queries.lockToken, []any{hash}, &one)
		if err != nil || !free {
			return err
		}
		_, err = s.exec(ctx, what, s.Queries.deleteToken, hash)
		return err
	})
}

// CountAttempt implements [flowhook.TokenStore]. It commits a transaction of its own, at READ
// COMMITTED, and retries it after a conflict, such as with DeleteExpired on MariaDB. DeleteExpired
// deletes the count when all tokens that it was about have expired.
func (s *Store) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	const what = "count an attempt"
	if s.transactionOf(ctx) != nil {
		return 0, s.errorf("%s: the context is a transaction's, which might be rolled back", what)
	}
	for range attemptTries {
		n, err = s.countOnce(ctx, what, p, identityID, a, now)
		if !errors.Is(err, ErrConflict) {
			break
		}
	}
	return n, err
}

// attemptTries is how often CountAttempt tries to count. A conflict has saved nothing.
const attemptTries = 3

func (s *Store) countOnce(
	ctx context.Context, what string, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	to, old := recipient(p, identityID, a.Via, a.Key()), recipient(p, identityID, a.Via, a.Value)
	at, none := now.UnixMicro(), time.Time{}.UnixMicro()
	err = s.Transaction(ctx, "", func(ctx context.Context) error {
		var since, expires int64
		_, err := s.row(ctx, what, false, s.Queries.newestToken, []any{none, at, to, old, at}, &since, &expires)
		if err != nil {
			return err
		}
		_, err = s.row(ctx, what, true, s.Queries.countAttempt, []any{to, since, expires}, &n)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// recipient returns what an interval and a count of attempts are about: a purpose, an identity and
// one of its addresses, as an [flowhook.Address.Key]. It has 32 bytes, however long the names are.
//
// The recipient of a verification has no purpose in it, because earlier versions had no purposes,
// and processes of both versions can run side by side. Rows of even earlier versions have the
// address itself, so the queries look for both: old rows still count for the spelling they have.
func recipient(p flowhook.Purpose, identityID, via, address string) []byte {
	parts := []string{identityID, via, address}
	if p != flowhook.PurposeVerification {
		parts = append(parts, string(p))
	}
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}
