package storetest

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// storesData breaks CreateToken by what it makes of the data.
func storesData(change func(data []byte) []byte) func(b *broken) {
	return stores(func(v flowhook.Token) flowhook.Token {
		v.Data = change(v.Data)
		return v
	})
}

var brokenData = []brokenStore{
	{"stores no data", []string{"data-comes-back"}, storesData(func([]byte) []byte { return nil })},
	{"cuts the data at a zero byte", []string{"data-comes-back"}, storesData(func(data []byte) []byte {
		data, _, _ = bytes.Cut(data, []byte{0})
		return data
	})},
	{"cuts trailing zero bytes", []string{"data-comes-back"}, storesData(func(data []byte) []byte {
		return bytes.TrimRight(data, "\x00")
	})},
	{"cuts the data at 255 bytes", []string{"data-comes-back"}, storesData(func(data []byte) []byte {
		return data[:min(len(data), 255)]
	})},
	{"stores data as text", []string{"data-comes-back"}, storesData(func(data []byte) []byte {
		return []byte(strings.ToValidUTF8(string(data), "?"))
	})},
	{"needs data", []string{"no-data-comes-back"}, func(b *broken) {
		b.create = func(ctx context.Context, v flowhook.Token, notSince time.Time) (bool, error) {
			if v.Data == nil {
				return false, errors.New("the data is null")
			}
			return b.Store.CreateToken(ctx, v, notSince)
		}
	}},
	{"returns a zero byte for no data", []string{"no-data-comes-back"}, storesData(func(data []byte) []byte {
		return append(data, make([]byte, max(1-len(data), 0))...)
	})},
	{"shares the slice of the data", []string{"stored-data-is-a-copy"}, func(b *broken) {
		consumes(func(
			b *broken, ctx context.Context, p flowhook.Purpose, v flowhook.Token, now time.Time,
		) (flowhook.Token, error) {
			found, err := b.Store.ConsumeToken(ctx, p, v.Hash, now)
			if err == nil {
				found.Data = v.Data
			}
			return found, err
		})(b)
	}},
}
