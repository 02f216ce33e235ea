package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const wrong, tooMany = http.StatusUnprocessableEntity, http.StatusTooManyRequests

// TestRateLimit_Pair checks that after too many wrong passwords, a request is refused before its
// password is checked.
func TestRateLimit_Pair(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		b := s.from("192.0.2.1")
		for range 5 {
			require.Equal(t, wrong, b.tries(email, "wrong"))
		}
		checked := s.checked.Load()
		for _, typed := range []string{email, " ALICE@Example.org "} {
			require.Equal(t, tooMany, b.tries(typed, password))
			b.at("/login", "Sign in").refused(tooMany, "There were too many attempts. Please try again in")
			wait, err := strconv.Atoi(b.Header.Get("Retry-After"))
			require.NoError(t, err)
			require.Greater(t, wait, 50)
			require.LessOrEqual(t, wait, 60)
			require.Empty(t, b.Header.Values("Set-Cookie"))
		}
		require.Equal(t, checked, s.checked.Load(), "the password was checked")
		require.Equal(t, 0, s.count("flowhook_sessions"))
		b.open("/login").at("/login", "Sign in").open("/").at("/", "Welcome to Accounts") // only forms with a password are refused
		require.Equal(t, wrong, b.tries("bob@example.org", "wrong"), "another account")
		s.ahead.Add(int64(time.Minute))
		require.Equal(t, wrong, b.tries(email, "wrong"))
		require.Equal(t, tooMany, b.tries(email, password))
		s.ahead.Add(int64(time.Minute))
		require.Equal(t, http.StatusOK, b.tries(email, password))
		b.at("/", "Hello, Alice")

		require.Equal(t, 3, s.count("audit WHERE point = 'login/before' AND outcome = 'too_many_by_pair' AND address "+
			"= '192.0.2.1' AND account IS NOT NULL"), "one row for each refusal")
		require.Len(t, s.log.lines("level=WARN", "too many attempts", "by=pair"), 3)
		require.Empty(t, s.log.lines(email))
	})
}

// TestRateLimit_UnknownAddress checks that refusals do not reveal whether an address has an account.
func TestRateLimit_UnknownAddress(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	answers := func(network, email string) (seen []string) {
		b := s.from(network)
		for range 7 {
			b.tries(email, "wrong")
			b.Header.Del("Date")
			b.Header.Del("X-Request-Id") // random
			seen = append(seen, fmt.Sprint(b.Status, b.Header, strings.ReplaceAll(b.Body, email, "ADDRESS")))
		}
		return seen
	}
	known, unknown := answers("192.0.2.1", email), answers("192.0.2.2", "bruno@example.org") // of the same length
	require.Contains(t, known[5], "too many attempts")
	require.NotContains(t, known[4], "too many attempts")
	for i := range known {
		// The wait is in whole seconds and may be one less if the clock has advanced.
		require.Equal(t, strings.ReplaceAll(known[i], "Retry-After:[59]", "Retry-After:[60]"),
			strings.ReplaceAll(unknown[i], "Retry-After:[59]", "Retry-After:[60]"))
	}
	// invalid addresses are limited, too
	for _, no := range []string{"", "no address", "a\x00b", "\xff", strings.Repeat("x", 10_000)} {
		b := s.from("192.0.2.3")
		for range 5 {
			require.Equal(t, wrong, b.tries(no, "wrong"))
		}
		require.Equal(t, tooMany, b.tries(no, "wrong"), "%q", no)
	}
}

// TestRateLimit_Account checks that guessing from many networks is limited and does not lock out the
// owner's known browsers.
func TestRateLimit_Account(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		owner := s.from("192.0.2.200")
		require.Equal(t, http.StatusOK, owner.tries(email, password))
		owner.press("Sign out").at("/", "Welcome to Accounts")
		mallory := s.from("192.0.2.201") // has a browser that is known to another account
		s.register("mallory@example.org", password)
		require.Equal(t, http.StatusOK, mallory.tries("mallory@example.org", password))
		mallory.press("Sign out").at("/", "Welcome to Accounts")
		laptop := s.from("192.0.2.202")
		require.Equal(t, http.StatusOK, laptop.tries(email, password))
		laptop.press("Sign out").at("/", "Welcome to Accounts")

		for i := range 50 {
			require.Equal(t, wrong, s.from(fmt.Sprintf("192.0.2.%d", i)).tries(email, "wrong"))
		}
		require.Equal(t, tooMany, s.from("192.0.2.99").tries(email, password))
		require.Equal(t, tooMany, mallory.tries(email, password))
		require.Equal(t, 2, s.count("audit WHERE outcome = 'too_many_by_account'"))
		require.Equal(t, wrong, s.from("192.0.2.99").tries("bob@example.org", "wrong"), "another account")

		require.Equal(t, http.StatusOK, owner.tries(email, password))
		owner.at("/", "Hello, Alice").press("Sign out").at("/", "Welcome to Accounts")
		for range 5 { // a known browser is limited, too
			require.Equal(t, wrong, owner.tries(email, "wrong"))
		}
		require.Equal(t, tooMany, owner.tries(email, password))
		require.Equal(t, http.StatusOK, laptop.tries(email, password), "each browser has its own limit")
		require.Equal(t, wrong, laptop.press("Sign out").tries("a\x00\xff", "wrong"), "an invalid address")
		s.ahead.Add(int64(5 * time.Minute))
		require.Equal(t, wrong, s.from("192.0.2.99").tries(email, "wrong"))
		require.Equal(t, tooMany, s.from("192.0.2.98").tries(email, "wrong"))
	})
}

// TestRateLimit_Client checks that a client that tries many accounts is limited, across its IPv6
// network.
func TestRateLimit_Client(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	for i := range 50 {
		require.Equal(t, wrong, s.from(fmt.Sprintf("2001:db8:1:2::%x", i)).tries(fmt.Sprintf("user%d@example.org", i),
			"wrong"))
	}
	require.Equal(t, tooMany, s.from("2001:db8:1:2:ffff::1").tries(email, "wrong"))
	require.Equal(t, 1, s.count("audit WHERE outcome = 'too_many_by_client'"))
	require.Equal(t, wrong, s.from("2001:db8:1:3::1").tries(email, "wrong"))
	s.ahead.Add(int64(10 * time.Second))
	require.Equal(t, wrong, s.from("2001:db8:1:2:ffff::1").tries(email, "wrong"))
	require.Equal(t, tooMany, s.from("2001:db8:1:2:ffff::1").tries(email, "wrong"))
}

// TestRateLimit_Success checks that a login costs no attempt, and forgives no earlier failure.
func TestRateLimit_Success(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	first := s.from("192.0.2.1") // a new browser each time, so the network counts
	for range 4 {
		require.Equal(t, wrong, first.tries(email, "wrong"))
	}
	for range 3 {
		require.Equal(t, http.StatusOK, s.from("192.0.2.1").tries(email, password))
	}
	require.Equal(t, wrong, s.from("192.0.2.1").tries(email, "wrong"))
	require.Equal(t, tooMany, s.from("192.0.2.1").tries(email, password))
	for i := range 50 - 5 {
		require.Equal(t, wrong, s.from(fmt.Sprintf("192.0.2.%d", 10+i)).tries(email, "wrong"))
	}
	require.Equal(t, tooMany, s.from("192.0.2.2").tries(email, password))
}

// TestRateLimit_NoAuditRow checks that an attempt is refused even if the audit row cannot be
// written.
func TestRateLimit_NoAuditRow(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		b := s.from("192.0.2.1")
		for range 5 {
			require.Equal(t, wrong, b.tries(email, "wrong"))
		}
		_, err := s.service.db.Exec("ALTER TABLE audit RENAME TO gone")
		require.NoError(t, err)
		require.Equal(t, tooMany, b.tries(email, password))
		require.Len(t, s.log.lines("level=ERROR", "writing the audit row of a refused attempt failed"), 1)
	})
}

// TestRateLimit_Flood checks that a flood of refused attempts writes few rows.
func TestRateLimit_Flood(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	b := s.from("192.0.2.1")
	for range 5 {
		require.Equal(t, wrong, b.tries(email, "wrong"))
	}
	stopped := time.Now()
	s.service.now = func() time.Time { return stopped }
	for range 30 {
		require.Equal(t, tooMany, b.tries(email, "wrong"))
	}
	require.Equal(t, 20, s.count("audit WHERE outcome = 'too_many_by_pair'"))
}

// TestRateLimit_Registration checks that one client cannot register accounts without a limit.
func TestRateLimit_Registration(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	register := func(network, email string) *browser {
		return s.from(network).post("/register", url.Values{"name": {"Eve"}, "email": {email}, "password": {"short"}})
	}
	for i := range 20 {
		register("192.0.2.1", fmt.Sprintf("eve%d@example.org", i)).refused(wrong, "Use at least 8 characters.")
	}
	register("192.0.2.1", "eve@example.org").refused(tooMany, "There were too many attempts.")
	require.NotEmpty(t, s.from("192.0.2.1").open("/register").at("/register", "Register"), "the form is free")
	register("192.0.2.2", "eve@example.org").refused(wrong, "Use at least 8 characters.")
}

// TestRateLimit_Concurrent checks that concurrent attempts are limited like sequential ones.
func TestRateLimit_Concurrent(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	before := s.checked.Load()
	var refused atomic.Int64
	var all sync.WaitGroup
	for range 40 {
		b := s.from("192.0.2.1")
		all.Go(func() {
			response, err := b.client.PostForm(s.server.URL+"/login",
				url.Values{"email": {email}, "password": {"wrong"}})
			if err == nil {
				response.Body.Close()
				if response.StatusCode == tooMany {
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 5, s.checked.Load()-before)
	require.EqualValues(t, 35, refused.Load())
}

// TestRateLimit_Settings checks that the password cannot be guessed in a signed-in browser either.
func TestRateLimit_Settings(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		b := s.from("192.0.2.1")
		b.tries(email, password)
		for range 3 {
			b.open("/settings").press("Change password", "current", "wrong", "new", "another password").
				refused(wrong, "not your current password")
			// checks no password, so it resets no counter
			b.open("/settings").press("Save name", "name", "Alice").at("/settings", "Settings")
		}
		for range 2 {
			b.open("/settings").press("Change email", "email", "eve@example.org", "current", "wrong").
				refused(wrong, "not your current password")
		}
		for button, fields := range map[string][]string{"Change password": {"current", password, "new",
			"another password"}, "Change email": {"email", "eve@example.org", "current", password}} {
			b.open("/settings").press(button, fields...).refused(tooMany, "There were too many attempts.")
			require.True(t, b.hasHeader())
			require.NotEmpty(t, b.Header.Get("Retry-After"))
		}
		b.open("/settings").press("Save name", "name", "Alice L.").at("/settings", "Settings") // without a password
		require.Equal(t, 1, s.count("users WHERE name = 'Alice L.' AND email = $1", email))
		require.Equal(t, 2, s.count("audit WHERE point = 'settings/before' AND outcome = 'too_many_by_pair' AND "+
			"user_id IS NOT NULL"))

		s.ahead.Add(int64(5 * time.Minute))
		s.register("bob@example.org", password)
		for i := range changesAtOnce {
			b.open("/settings").press("Change email", "email", fmt.Sprintf("a%d@example.org", i), "current", password).
				at("/settings/pending", "Check your new inbox")
		}
		for range 2 { // refused after the right password, which counts
			b.open("/settings").press("Change email", "email", "bob@example.org", "current", password).
				refused(wrong, "changed your email address too often")
		}
		for range 3 {
			b.open("/settings").press("Change password", "current", "wrong", "new", "another password").
				refused(wrong, "not your current password")
		}
		b.open("/settings").press("Sign out").at("/", "Welcome to Accounts")
		require.Equal(t, tooMany, b.tries(email, password), "login and settings share their limits")
		require.Equal(t, http.StatusOK, s.from("192.0.2.1").tries(email, password),
			"another browser has its own limit")
		s.browser().post("/settings/password", url.Values{"current": {"wrong"}, "new": {"another password"}}).
			at("/login", "Sign in")
	})
}

// TestRateLimit_Reload checks that a reload keeps the attempts and applies the new limits.
func TestRateLimit_Reload(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	b := s.from("192.0.2.1")
	for range 5 {
		require.Equal(t, wrong, b.tries(email, "wrong"))
	}
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("AUTH_CONFIG was reloaded"), 1)
	require.Equal(t, tooMany, b.tries(email, "wrong"))
	data, err := os.ReadFile(withConfig(t, "{by: pair, tries: 5, every: 1m} # one client",
		"{by: pair, tries: 5, every: 1s} # one client"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	s.service.reload(t.Context())
	require.Equal(t, tooMany, b.tries(email, "wrong"))
	s.ahead.Add(int64(time.Second))
	require.Equal(t, wrong, b.tries(email, "wrong"))
}

// TestRateLimit_NoPassword checks that a form without the current password costs nothing, because it
// does not count.
func TestRateLimit_NoPassword(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	b := s.from("192.0.2.1")
	b.tries(email, password)
	checked := s.checked.Load()
	for range 6 {
		b.open("/settings").press("Change password", "current", "", "new", "another password").
			refused(wrong, "not your current password")
	}
	require.Equal(t, checked, s.checked.Load(), "a password was hashed")
	require.Equal(t, 0, s.count("audit WHERE point LIKE 'settings/failed%'"))
}

// TestRateLimit_Link checks that a client cannot have passwords hashed for any number of made-up
// links.
func TestRateLimit_Link(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	try := func(network string) *browser {
		return s.from(network).post("/recovery/new", url.Values{"token": {"made up"}, "new": {"short"}})
	}
	for range 50 {
		try("192.0.2.1").refused(wrong, "Use at least 8 characters.")
	}
	try("192.0.2.1").refused(tooMany, "There were too many attempts.")
	try("192.0.2.2").refused(wrong, "Use at least 8 characters.")
}
