package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"
)

// TestNobodyTakesAsLong: how long a sign-in takes to be refused does not tell who has an account, nor who has a password.
// Counted is what takes the time, which no clock does reliably: one comparison, with a hash that takes as much work.
func TestNobodyTakesAsLong(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.browser().open("/login/oidc").at("/", "Hello, Alice") // has no password
	s.register("bob@example.org", password)

	var hashes []string
	s.service.passwords.compare = func(password, hash string) (bool, error) {
		hashes = append(hashes, hash)
		return argon2id.ComparePasswordAndHash(password, hash)
	}
	for what, c := range map[string]struct{ email, password string }{
		"an unknown user":           {"nobody@example.org", password},
		"what is no address":        {"nobody", password},
		"a user without a password": {email, password},
		"a wrong password":          {"bob@example.org", "wrong"},
		"no password":               {"bob@example.org", ""},
		"a password without end":    {"bob@example.org", strings.Repeat("x", 4*passwordMax+1)},
	} {
		hashes = nil
		s.browser().open("/login").press("Sign in", "email", c.email, "password", c.password).refused(http.StatusUnprocessableEntity, "is wrong")
		require.Len(t, hashes, 1, what)
		params, _, _, err := argon2id.DecodeHash(hashes[0])
		require.NoError(t, err, what)
		require.Equal(t, argon2, params, what)
	}
}
