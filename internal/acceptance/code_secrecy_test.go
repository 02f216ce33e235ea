package acceptance_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/token"
	"github.com/stretchr/testify/require"
)

// crack returns the code in a row of a store, as somebody finds it who has stolen the table: by
// hashing all codes in the ways that a careless program would. It returns "" if it finds none.
func crack(row flowhook.Token) string {
	salt := []string{string(row.Purpose), row.IdentityID, row.Address.Via, row.Address.Key()}
	var framed []byte
	for _, part := range salt {
		framed = append(binary.BigEndian.AppendUint64(framed, uint64(len(part))), part...)
	}
	framed = binary.BigEndian.AppendUint64(framed, token.CodeLength)
	plain := []byte(strings.Join(salt, ""))
	var text []byte
	for n := range 1_000_000 {
		code := strconv.AppendInt(nil, int64(1_000_000+n), 10)[1:] // with its leading zeros
		for _, candidate := range [][2][]byte{{nil, code}, {plain, code}, {code, plain}, {framed, code}} {
			text = append(append(text[:0], candidate[0]...), candidate[1]...)
			if hash := sha256.Sum256(text); bytes.Equal(hash[:], row.Hash) {
				return string(code)
			}
		}
	}
	return ""
}

func TestCode_RowsDoNotRevealIt(t *testing.T) {
	eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
		code := s.sendCode(p)
		rows := s.store.liveTokens(t, s.clock.Now())
		require.Len(t, rows, 1)
		row := rows[0]
		require.Empty(t, crack(row))
		require.NotContains(t, fmt.Sprintf("%s %x %s", row.Hash, row.Hash, row.Data), code)
		require.NotContains(t, s.log.String(), code)

		salt := []string{string(p), "alice", "email", oldEmail}
		key, err := token.NewCodeKey(accountSecret)
		require.NoError(t, err)
		require.Equal(t, key.Hash(code, salt...), row.Hash, "only the key of the secret leads to the row")
		for _, guessable := range []string{"", "flowhook code"} {
			key, err := token.NewCodeKey(guessable)
			require.NoError(t, err)
			require.NotEqual(t, key.Hash(code, salt...), row.Hash)
			require.NotEqual(t, token.CodeKey(guessable).Hash(code, salt...), row.Hash)
		}

		// The test can fail.
		hash := sha256.Sum256([]byte(string(p) + "aliceemail" + oldEmail + "000123"))
		row.Hash = hash[:]
		require.Equal(t, "000123", crack(row))
	})
}

// FuzzRedeemCode looks for a text that is taken for a code. In typed, "#" is the right code and "!"
// is a wrong one.
func FuzzRedeemCode(f *testing.F) {
	for _, typed := range []string{"", "#", " #", "#\n", "\u00a0#\u3000", "!", "##", "#!", "-#", "+#", "0#", "#0", "#\x00",
		"\x00#", "\xff#", "#\u200b", "\ufeff#", "1e5", "0x1234", "12345", "1234567", "１２３４５６", "٠١٢٣٤٥", "123.45", "12_345",
		"١23456", "#;#", "'#", strings.Repeat(" ", 58) + "#", strings.Repeat(" ", 59) + "#", strings.Repeat("9", 99)} {
		f.Add(typed)
	}
	s := newCodeService(f, codeYAML)
	f.Fuzz(func(t *testing.T, typed string) {
		s.t, s.store.tokens = t, nil
		s.clock.Add(time.Minute) // a new code counts from 1
		code := s.sendCode(flowhook.PurposeRecovery)
		typed = strings.NewReplacer("#", code, "!", wrongCode(code, 7)).Replace(typed)
		s.store.count("CountAttempt")
		s.store.count("ConsumeToken")

		digits := strings.Join(strings.FieldsFunc(typed, unicode.IsSpace), "")
		wellFormed := len(digits) == 6 && strings.Trim(digits, "0123456789") == ""
		err := s.pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", emails(oldEmail)[0], typed,
			func(_ context.Context, v flowhook.Token) error {
				require.Equal(t, code, digits)
				require.Equal(t, "alice", v.IdentityID)
				return errRollBack
			})
		compared := s.store.count("ConsumeToken")
		require.Equal(t, compared, s.store.count("CountAttempt"))
		switch {
		case !wellFormed:
			require.Equal(t, flowhook.ErrBadToken, err)
			require.Zero(t, compared, "malformed codes do not use up attempts")
		case len(typed) > 64: // more white space than anybody types
			require.Equal(t, flowhook.ErrBadToken, err)
			require.Zero(t, compared)
		case digits == code:
			require.Equal(t, errRollBack, err)
			require.Equal(t, 1, compared)
		default:
			require.Equal(t, flowhook.ErrBadToken, err)
			require.Equal(t, 1, compared)
		}
	})
}
