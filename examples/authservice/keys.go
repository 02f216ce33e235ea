package main

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// What the service's own key is for. Each purpose has a key of its own, made of that one.
const (
	auditKeyName = "authservice audit"
	oidcKeyName  = "authservice OIDC cookie"
)

// makeKey makes the service's own key, where there is none yet.
//
// It is kept in the database, so that all copies have the same. It is not made of the secrets of the sessions: those may stand
// in auth.yml, where only flowhook reads them, and they change while this must not. Who reads the database could make a
// cookie of a sign-in by the provider, but would have to get it into somebody's browser; and they can find out whether an
// address that they know was tried.
func (d *database) makeKey(ctx context.Context) error {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	if _, err := d.exec(ctx, "INSERT INTO keys (name, value) VALUES ('service', $1) ON CONFLICT (name) DO NOTHING", key); err != nil {
		return fmt.Errorf("keeping the service's key: %w", err)
	}
	return nil
}

// serviceKey gives the key for a purpose.
func (d *database) serviceKey(ctx context.Context, purpose string) ([]byte, error) {
	var key []byte
	if err := d.row(ctx, []any{&key}, "SELECT value FROM keys WHERE name = 'service'"); err != nil {
		return nil, fmt.Errorf("reading the service's key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, key, nil, purpose, 96)
	if err != nil {
		return nil, fmt.Errorf("the key of %s: %w", purpose, err)
	}
	return key, nil
}
