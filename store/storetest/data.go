package storetest

import (
	"bytes"
	"context"
	"crypto/rand"

	"github.com/stretchr/testify/require"
)

// dataCases test that the data of a token comes back.
var dataCases = []testCase{
	{
		name: "data-comes-back",
		explanation: "a token comes back with every byte of its data: zero bytes at any place, what is not " +
			"UTF-8, and 4 KiB of it",
		needs: tokens,
		run: func(e *env) {
			id := e.newIdentity()
			random := make([]byte, 4<<10)
			_, _ = rand.Read(random) // never fails
			for _, data := range [][]byte{
				{0}, []byte("\x00a\x00b\x00"), []byte("a "), []byte("\xff\xfe'\\\r\n"), random,
			} {
				v := e.token(id)
				v.Data = data
				e.issue(v)
				e.requireToken(v)
			}
		},
	},
	{
		name:        "no-data-comes-back",
		explanation: "a token without data comes back without data: nil and empty are the same",
		needs:       tokens,
		run: func(e *env) {
			id := e.newIdentity()
			for _, data := range [][]byte{nil, {}} {
				v := e.token(id)
				v.Data = data
				e.issue(v)
				e.requireToken(v)
			}
		},
	},
	{
		name: "stored-data-is-a-copy",
		explanation: "the caller may change the data that it passed and that it got: a store keeps a copy and " +
			"returns a copy",
		needs: tokens,
		run: func(e *env) {
			v := e.token(e.newIdentity())
			v.Data = []byte("data")
			given := v
			given.Data = bytes.Clone(v.Data)
			e.issue(given)
			clear(given.Data)
			require.ErrorIs(e, e.store.Transaction(e.ctx, v.IdentityID, func(ctx context.Context) error {
				got, err := e.tokens().ConsumeToken(ctx, v.Purpose, v.Hash, v.IssuedAt)
				if err != nil {
					return err
				}
				clear(got.Data)
				return errOnPurpose
			}), errOnPurpose)
			e.requireToken(v)
		},
	},
}
