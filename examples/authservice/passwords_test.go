package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"
)

// TestLogin_EqualWork checks that every failed login does the same work, so that its time does not
// reveal whether the account or its password exists. It counts comparisons, because times vary.
func TestLogin_EqualWork(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.browser().open("/login/oidc").at("/", "Hello, Alice") // has no password
	s.register("bob@example.org", password)

	var hashes []string
	s.service.passwords.compare = func(password, hash string) (bool, error) {
		hashes = append(hashes, hash)
		return argon2id.ComparePasswordAndHash(password, hash)
	}
	for what, c := range map[string]struct{ email, password string }{
		"unknown user":            {"nobody@example.org", password},
		"invalid address":         {"nobody", password},
		"user without a password": {email, password},
		"wrong password":          {"bob@example.org", "wrong"},
		"no password":             {"bob@example.org", ""},
		"very long password":      {"bob@example.org", strings.Repeat("x", 4*passwordMax+1)},
	} {
		hashes = nil
		s.browser().open("/login").press("Sign in", "email", c.email, "password", c.password).
			refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
		require.Len(t, hashes, 1, what)
		params, _, _, err := argon2id.DecodeHash(hashes[0])
		require.NoError(t, err, what)
		require.Equal(t, argon2, params, what)
	}
}

// TestPasswords checks that hashing waits for a free slot until the request ends, and that
// passwords are normalized.
func TestPasswords(t *testing.T) {
	p, err := newPasswords()
	require.NoError(t, err)
	for range cap(p.turns) {
		p.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.hash(ctx, password)
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.match(ctx, password, p.dummy)
	require.ErrorIs(t, err, context.Canceled)
	<-p.turns

	hash, err := p.hash(t.Context(), "Ａ ligature: ﬁ")
	require.NoError(t, err)
	for typed, want := range map[string]bool{"A ligature: fi": true, "a ligature: fi": false,
		strings.Repeat("x", 1<<16): false, "": false} {
		got, err := p.match(t.Context(), typed, hash)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := p.match(t.Context(), "", "")
	require.NoError(t, err)
	require.False(t, got, "an empty hash matches no password")
}
