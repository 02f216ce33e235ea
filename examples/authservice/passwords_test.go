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
	s.browser().open("/login/oidc/acme").at("/", "Hello, Alice") // has no password
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

// TestPasswords_Turns checks that a request waits for its turn until it ends, that too many waiting
// requests are refused at once, and that checking and choosing passwords do not wait for each other.
func TestPasswords_Turns(t *testing.T) {
	p, err := newPasswords()
	require.NoError(t, err)
	check := func(ctx context.Context) error { _, err := p.match(ctx, password, p.dummy); return err }
	choose := func(ctx context.Context) error { _, err := p.hash(ctx, password); return err }
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		turns       turns
		same, other func(ctx context.Context) error
	}{{p.checks, check, choose}, {p.choices, choose, check}} {
		var taken []func()
		for range cap(row.turns.running) {
			done, err := row.turns.take(t.Context())
			require.NoError(t, err)
			taken = append(taken, done)
		}
		require.ErrorIs(t, row.same(canceled), context.Canceled)
		require.NoError(t, row.other(t.Context()))

		waiting := cap(row.turns.present) - len(row.turns.present)
		require.Equal(t, waitingPerTurn*cap(row.turns.running), waiting, "a canceled request waits no more")
		for range waiting {
			row.turns.present <- struct{}{}
		}
		require.ErrorIs(t, row.same(t.Context()), errBusy)
		require.NoError(t, row.other(t.Context()))
		for range waiting {
			<-row.turns.present
		}
		for _, done := range taken {
			done()
		}
		require.NoError(t, row.same(t.Context()))
	}
}

// TestLogin_Busy checks that a user learns at once that too many others are signing in, and that this
// costs no attempt.
func TestLogin_Busy(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	present := s.service.passwords.checks.present
	for range cap(present) {
		present <- struct{}{}
	}
	for range 6 { // more than rate_limit allows
		page := s.browser().open("/login").press("Sign in", "email", email, "password", password).
			refused(http.StatusServiceUnavailable, "Very busy right now")
		require.Equal(t, "5", page.Header.Get("Retry-After"))
	}
	for range cap(present) {
		<-present
	}
	s.register(email, password)
	s.signedIn(email, password)
}

// TestPasswords checks that passwords are normalized.
func TestPasswords(t *testing.T) {
	p, err := newPasswords()
	require.NoError(t, err)
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
