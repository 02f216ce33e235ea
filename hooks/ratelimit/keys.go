package ratelimit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// The values of a row's key "by".
const (
	byClient  = "client"
	byAccount = "account"
	byPair    = "pair"
)

// buckets returns what a request counts on, and the row of each bucket.
func (c *config) buckets(k Keys) (buckets []Bucket, rows []row) {
	for _, r := range c.Limits {
		if parts := k.of(r.By); parts != nil {
			buckets = append(buckets, Bucket{bucketKey(append([]string{c.Name, r.By}, parts...)...), r.Tries, r.Every})
			rows = append(rows, r)
		}
	}
	return buckets, rows
}

// of returns what a row counts, or nil if a key that it needs is empty.
func (k Keys) of(by string) []string {
	switch {
	case k.Account != "" && k.Device != "":
		return []string{"device", k.Device, k.Account}
	case by == byClient && k.Client != "":
		return []string{k.Client}
	case by == byAccount && k.Account != "":
		return []string{k.Account}
	case by == byPair && k.Client != "" && k.Account != "":
		return []string{k.Client, k.Account}
	}
	return nil
}

// bucketKey returns a hash of parts. Each is preceded by its length, so that no two lists of parts
// are hashed alike.
func bucketKey(parts ...string) string {
	var text []byte
	for _, p := range parts {
		text = binary.AppendUvarint(text, uint64(len(p)))
		text = append(text, p...)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
