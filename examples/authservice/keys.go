package main

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// The purposes of the service's key. Each has its own key, derived from the service's.
const (
	auditKeyName = "authservice audit"
	oidcKeyName  = "authservice OIDC cookie"
	mailKeyName  = "authservice queued email"
	keptKeyName  = "authservice kept form"
)

// makeKey creates the service's key unless it exists.
//
// The key is in the database, so that all copies share it. It is not derived from the session
// secrets: they change, while this key must not, and they may be in auth.yml, where only flowhook
// reads them. An attacker who can read the database could forge the cookie of a provider sign-in,
// but would have to set it in someone's browser. They could also test whether an address they know
// was tried.
func (d *database) makeKey(ctx context.Context) error {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	_, err := d.exec(ctx, "INSERT INTO keys (name, value) VALUES ('service', $1) ON CONFLICT (name) DO NOTHING", key)
	if err != nil {
		return fmt.Errorf("storing the service's key: %w", err)
	}
	return nil
}

// serviceKey returns the key for a purpose.
func (d *database) serviceKey(ctx context.Context, purpose string) ([]byte, error) {
	var key []byte
	if err := d.row(ctx, []any{&key}, "SELECT value FROM keys WHERE name = 'service'"); err != nil {
		return nil, fmt.Errorf("reading the service's key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, key, nil, purpose, 96)
	if err != nil {
		return nil, fmt.Errorf("deriving the key for %s: %w", purpose, err)
	}
	return key, nil
}

// mailSecrets returns the secrets that encrypt the emails in the outbox: those that sign the
// sessions, and a key in the database. If auth.yml has the session secrets, only flowhook reads
// them, and the key is the only secret. Then an attacker who can read the whole database can
// decrypt the emails. Set SESSION_SECRETS to prevent that.
func (d *database) mailSecrets(ctx context.Context, session []string) ([]string, error) {
	key, err := d.serviceKey(ctx, mailKeyName)
	if err != nil {
		return nil, err
	}
	return append(slices.Clone(session), hex.EncodeToString(key)), nil
}
