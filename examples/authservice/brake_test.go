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

// A guarded site counts how often a password is looked at. Its clients come from the networks that a test gives them.
type guarded struct {
	*site
	looked atomic.Int64
}

func newGuarded(t *testing.T, database string, pairs ...string) *guarded {
	s := &guarded{site: newSite(t, database, append(pairs, "TRUSTED_PROXIES", "127.0.0.1")...)}
	compare := s.service.passwords.compare
	s.service.passwords.compare = func(password, hash string) (bool, error) {
		s.looked.Add(1)
		if strings.HasPrefix(password, "wrong") { // it is, and to find that out takes long
			return false, nil
		}
		return compare(password, hash)
	}
	return s
}

// from gives a browser in a network.
func (s *guarded) from(network string) *browser {
	b := s.browser()
	b.client.Transport = forwarding{b.client.Transport, network}
	return b
}

type forwarding struct {
	http.RoundTripper
	network string
}

func (f forwarding) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", f.network)
	return f.RoundTripper.RoundTrip(r)
}

// tries posts a password, and gives the status.
func (b *browser) tries(email, password string) int {
	b.t.Helper()
	return b.post("/login", url.Values{"email": {email}, "password": {password}}).Status
}

const wrong, tooMany = http.StatusUnprocessableEntity, http.StatusTooManyRequests

// TestBrake: whoever has used up their tries is told so before the password is looked at, be it right or wrong.
func TestBrake(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		b := s.from("192.0.2.1")
		for range 5 {
			require.Equal(t, wrong, b.tries(email, "wrong"))
		}
		looked := s.looked.Load()
		for _, typed := range []string{email, " ALICE@Example.org "} {
			require.Equal(t, tooMany, b.tries(typed, password))
			b.at("/login", "Too many tries").refused(tooMany, "Please try again in a minute.")
			wait, err := strconv.Atoi(b.Header.Get("Retry-After"))
			require.NoError(t, err)
			require.Greater(t, wait, 50)
			require.LessOrEqual(t, wait, 60)
			require.Empty(t, b.Header.Values("Set-Cookie"))
		}
		require.Equal(t, looked, s.looked.Load(), "the password was looked at")
		require.Equal(t, 0, s.count("flowhook_sessions"))
		b.open("/login").at("/login", "Sign in").open("/").at("/", "Welcome") // only what gives a password is refused
		require.Equal(t, wrong, b.tries("bob@example.org", "wrong"), "another account")
		s.ahead.Add(int64(time.Minute))
		require.Equal(t, wrong, b.tries(email, "wrong"))
		require.Equal(t, tooMany, b.tries(email, password))
		s.ahead.Add(int64(time.Minute))
		require.Equal(t, http.StatusOK, b.tries(email, password))
		b.at("/", "Hello, Alice")

		require.Equal(t, 2, s.count("audit WHERE point = 'login/before' AND outcome = 'too_many_by_pair' AND address = '192.0.2.1' AND account IS NOT NULL"), "one each time it begins to hold")
		require.Len(t, s.log.lines("the brake holds", "by=pair"), 2)
		require.Empty(t, s.log.lines(email))
	})
}

// TestBrakeTellsNothing: with an address that is nobody's, everything that the client sees is the same.
func TestBrakeTellsNothing(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	answers := func(network, email string) (seen []string) {
		b := s.from(network)
		for range 7 {
			b.tries(email, "wrong")
			b.Header.Del("Date")
			seen = append(seen, fmt.Sprint(b.Status, b.Header, strings.ReplaceAll(b.Body, email, "ADDRESS")))
		}
		return seen
	}
	somebody, nobody := answers("192.0.2.1", email), answers("192.0.2.2", "bruno@example.org") // as long
	require.Contains(t, somebody[5], "Too many tries")
	require.NotContains(t, somebody[4], "Too many tries")
	for i := range somebody {
		// The wait is in whole seconds, and may be one less where the clock has just gone on.
		require.Equal(t, strings.ReplaceAll(somebody[i], "Retry-After:[59]", "Retry-After:[60]"), strings.ReplaceAll(nobody[i], "Retry-After:[59]", "Retry-After:[60]"))
	}
	for _, no := range []string{"", "no address", "a\x00b", "\xff", strings.Repeat("x", 10_000)} { // nor is what is no address let through
		b := s.from("192.0.2.3")
		for range 5 {
			require.Equal(t, wrong, b.tries(no, "wrong"))
		}
		require.Equal(t, tooMany, b.tries(no, "wrong"), "%q", no)
	}
}

// TestBrakeForAnAccount: who has a network for each try does not go on for ever, and does not lock the owner out of a browser
// that the account knows.
func TestBrakeForAnAccount(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		owner := s.from("192.0.2.200")
		require.Equal(t, http.StatusOK, owner.tries(email, password))
		owner.press("Sign out").at("/", "Welcome")
		mallory := s.from("192.0.2.201") // who has a browser that an account knows, but not this one
		s.register("mallory@example.org", password)
		require.Equal(t, http.StatusOK, mallory.tries("mallory@example.org", password))
		mallory.press("Sign out").at("/", "Welcome")
		laptop := s.from("192.0.2.202")
		require.Equal(t, http.StatusOK, laptop.tries(email, password))
		laptop.press("Sign out").at("/", "Welcome")

		for i := range 50 {
			require.Equal(t, wrong, s.from(fmt.Sprintf("192.0.2.%d", i)).tries(email, "wrong"))
		}
		require.Equal(t, tooMany, s.from("192.0.2.99").tries(email, password))
		require.Equal(t, tooMany, mallory.tries(email, password))
		require.Equal(t, 1, s.count("audit WHERE outcome = 'too_many_by_account'"))
		require.Equal(t, wrong, s.from("192.0.2.99").tries("bob@example.org", "wrong"), "another account")

		require.Equal(t, http.StatusOK, owner.tries(email, password))
		owner.at("/", "Hello, Alice").press("Sign out").at("/", "Welcome")
		for range 5 { // but that browser has no more tries than any
			require.Equal(t, wrong, owner.tries(email, "wrong"))
		}
		require.Equal(t, tooMany, owner.tries(email, password))
		require.Equal(t, http.StatusOK, laptop.tries(email, password), "each for itself")
		require.Equal(t, wrong, laptop.press("Sign out").tries("a\x00\xff", "wrong"), "no text, and no account's")
		s.ahead.Add(int64(5 * time.Minute))
		require.Equal(t, wrong, s.from("192.0.2.99").tries(email, "wrong"))
		require.Equal(t, tooMany, s.from("192.0.2.98").tries(email, "wrong"))
	})
}

// TestBrakeForAClient: who tries one password on many accounts is stopped too, wherever in their network they are.
func TestBrakeForAClient(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	for i := range 50 {
		require.Equal(t, wrong, s.from(fmt.Sprintf("2001:db8:1:2::%x", i)).tries(fmt.Sprintf("user%d@example.org", i), "wrong"))
	}
	require.Equal(t, tooMany, s.from("2001:db8:1:2:ffff::1").tries(email, "wrong"))
	require.Equal(t, 1, s.count("audit WHERE outcome = 'too_many_by_client'"))
	require.Equal(t, wrong, s.from("2001:db8:1:3::1").tries(email, "wrong"))
	s.ahead.Add(int64(10 * time.Second))
	require.Equal(t, wrong, s.from("2001:db8:1:2:ffff::1").tries(email, "wrong"))
	require.Equal(t, tooMany, s.from("2001:db8:1:2:ffff::1").tries(email, "wrong"))
}

// TestBrakeForgets: who gets in after some failures begins anew, and has not used up what others have failed.
func TestBrakeForgets(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	for range 4 {
		b := s.from("192.0.2.1") // each time a new browser, so the network counts
		for range 4 {
			require.Equal(t, wrong, b.tries(email, "wrong"))
		}
		require.Equal(t, http.StatusOK, b.tries(email, password))
	}
	b := s.from("192.0.2.1")
	for range 5 {
		require.Equal(t, wrong, b.tries(email, "wrong"))
	}
	require.Equal(t, tooMany, b.tries(email, password))
	for i := range 50 - 4*4 - 5 { // a success gives the account nothing back
		require.Equal(t, wrong, s.from(fmt.Sprintf("192.0.2.%d", 10+i)).tries(email, "wrong"))
	}
	require.Equal(t, tooMany, s.from("192.0.2.2").tries(email, password))
}

// TestBrakeCountsNoFaultsOfOurs: a password that was right, or was not looked at, uses up no try.
func TestBrakeCountsNoFaultsOfOurs(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		b := s.from("192.0.2.1")
		rename := func(from, to string) {
			_, err := s.service.db.Exec("ALTER TABLE " + from + " RENAME TO " + to)
			require.NoError(t, err)
		}
		for _, table := range []string{"users", "sign_ins", "devices", "audit"} { // before the password, in save, and in the hooks
			rename(table, "gone")
			for range 6 {
				require.Equal(t, http.StatusInternalServerError, b.tries(email, password), table)
			}
			rename("gone", table)
		}
		for range 5 {
			require.Equal(t, wrong, b.tries(email, "wrong"))
		}
		rename("audit", "gone")
		require.Equal(t, tooMany, b.tries(email, password), "who is refused is refused without the log, too")
	})
}

// TestBrakeAtOnce: tries that come all at once are no more than those that come one after the other.
func TestBrakeAtOnce(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	before := s.looked.Load()
	var refused atomic.Int64
	var all sync.WaitGroup
	for range 40 {
		b := s.from("192.0.2.1")
		all.Go(func() {
			response, err := b.client.PostForm(s.server.URL+"/login", url.Values{"email": {email}, "password": {"wrong"}})
			if err == nil {
				response.Body.Close()
				if response.StatusCode == tooMany {
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 5, s.looked.Load()-before)
	require.EqualValues(t, 35, refused.Load())
}

// TestBrakeAtTheSettings: who finds a browser signed in does not find out the password there.
func TestBrakeAtTheSettings(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		b := s.from("192.0.2.1")
		b.tries(email, password)
		for range 3 {
			b.open("/settings").press("Change password", "current", "wrong", "new", "another password").refused(wrong, "not your current password")
			b.open("/settings").press("Save profile", "name", "Alice", "current", "wrong").at("/settings", "Settings") // no password is looked at, so none is forgiven
		}
		for range 2 {
			b.open("/settings").press("Save profile", "email", "eve@example.org", "current", "wrong").refused(wrong, "not your current password")
		}
		for button, fields := range map[string][]string{"Change password": {"current", password, "new", "another password"}, "Save profile": {"email", "eve@example.org", "current", password}} {
			b.open("/settings").press(button, fields...).refused(tooMany, "There were too many wrong passwords.")
			require.True(t, b.hasHeader())
			require.NotEmpty(t, b.Header.Get("Retry-After"))
		}
		b.open("/settings").press("Save profile", "name", "Alice L.").at("/settings", "Settings") // without a password
		require.Equal(t, 1, s.count("users WHERE name = 'Alice L.' AND email = $1", email))
		require.Equal(t, 1, s.count("audit WHERE point = 'settings/before' AND outcome = 'too_many_by_pair' AND user_id IS NOT NULL"))

		s.ahead.Add(int64(5 * time.Minute))
		s.register("bob@example.org", password)
		for range 6 { // refused for another reason, behind a password that was right
			b.open("/settings").press("Save profile", "email", "bob@example.org", "current", password).refused(wrong, "This address cannot be used.")
		}
		for range 5 {
			b.open("/settings").press("Change password", "current", "wrong", "new", "another password").refused(wrong, "not your current password")
		}
		b.open("/settings").press("Sign out").at("/", "Welcome")
		require.Equal(t, tooMany, b.tries(email, password), "the same password, of the same browser")
		require.Equal(t, http.StatusOK, s.from("192.0.2.1").tries(email, password), "and of that alone")
		s.browser().post("/settings/password", url.Values{"current": {"wrong"}, "new": {"another password"}}).at("/login", "Sign in")
	})
}

// TestBrakeOutlivesAReload: to have auth.yml read again gives nobody their tries back, and its limits are the new ones.
func TestBrakeOutlivesAReload(t *testing.T) {
	path := withConfig(t, "session:\n", "session:\n")
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", path)
	b := s.from("192.0.2.1")
	for range 5 {
		require.Equal(t, wrong, b.tries(email, "wrong"))
	}
	s.service.reload(t.Context())
	require.Len(t, s.log.lines("AUTH_CONFIG was read again, and is taken"), 1)
	require.Equal(t, tooMany, b.tries(email, "wrong"))
	data, err := os.ReadFile(withConfig(t, "pair: {tries: 5, every: 1m} # by one", "pair: {tries: 5, every: 1s} # by one"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	s.service.reload(t.Context())
	require.Equal(t, tooMany, b.tries(email, "wrong"))
	s.ahead.Add(int64(time.Second))
	require.Equal(t, wrong, b.tries(email, "wrong"))
}

// TestBrakeStandsBefore: where it only counts, and refuses nobody, it says so.
func TestBrakeStandsBefore(t *testing.T) {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	_, before, _ := strings.Cut(string(data), "    login:\n")
	before, _, _ = strings.Cut(before, "      after:\n")
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", withConfig(t, before, ""))
	require.Equal(t, wrong, s.from("192.0.2.1").tries(email, "wrong"))
	require.Len(t, s.log.lines("level=ERROR", "it does not stand before this flow"), 1)
}
