package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// withConfig writes an auth.yml in which old is replaced.
func withConfig(t *testing.T, old, with string) string {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(data), old), "auth.yml is not what this test expects")
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(data), old, with, 1)), 0o600))
	return path
}

// unbraked writes an auth.yml in which nobody uses up their tries.
func unbraked(t *testing.T) string {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.Equal(t, 6, strings.Count(string(data), "{tries: "), "auth.yml is not what this test expects")
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), "{tries: ", "{tries: 1000000")), 0o600))
	return path
}

// ready are the lines that auth.yml has ready for a maintenance, and taken are the same, taken in.
const ready = `          # - hook: redirect
          #   config:
          #     to: /maintenance
`

var taken = strings.ReplaceAll(ready, "          # ", "          ")

// TestMaintenance takes in the lines that auth.yml has ready.
func TestMaintenance(t *testing.T) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "db")
	s := newSite(t, database)
	s.register(email, password)
	b := s.signedIn(email, password)

	closed := newSite(t, database, "AUTH_CONFIG", withConfig(t, ready, taken))
	closed.browser().open("/login").at("/maintenance", "We are working on it")
	closed.browser().open("/login/oidc").at("/maintenance", "We are working on it")
	closed.browser().post("/login", url.Values{"email": {email}, "password": {password}}).at("/maintenance", "We are working on it")
	require.Equal(t, 1, closed.count("flowhook_sessions"))
	for _, c := range b.client.Jar.Cookies(b.URL) { // who is signed in stays so
		there, err := url.Parse(closed.server.URL)
		require.NoError(t, err)
		c.Secure, c.Path = true, "/"
		b.client.Jar.SetCookies(there, []*http.Cookie{c})
	}
	b.open(closed.server.URL+"/maintenance").refused(http.StatusServiceUnavailable, "You are signed in").follow("To the start page").at("/", "Hello, Alice")
}

// TestHooksRefuseTheirPlace: a hook where it makes no sense keeps the service from starting.
func TestHooksRefuseTheirPlace(t *testing.T) {
	for _, c := range []struct{ old, with, says string }{
		{"- hook: new_device # a mail", "- hook: new_devices # a mail", `unknown hook "new_devices"; did you mean "new_device"?`},
		{ready, "          - hook: audit\n", "it stands at after and at failed"},
		{"- hook: verify # where the address is new", "- hook: brake", "it stands before login and settings, at their failed, and after login"},
		{"- hook: verify # mails the link", "- hook: brake # mails the link", "it stands before login and settings"},
		{"pair: {tries: 5, every: 1m} # by one", "# by one", "pair, account and client each need tries and every, above 0"},
		{"{tries: 50, every: 5m} # on", "{tries: 0, every: 5m} # on", "above 0"},
		{"{tries: 50, every: 10s} # by", "{tries: 50, every: -10s} # by", "above 0"},
		{"{tries: 50, every: 10s} # by", "{tries: 50, each: 10s} # by", "each"},
		{"- hook: brake # counts", "- hook: brake\n            config: {tries: 5} # counts", "config"},
		{"- hook: verify # where the address is new", "- hook: new_device", "it stands after login"},
		{"- hook: new_device # a mail", "- hook: new_device\n            config: {mail: true} # a mail", "config"},
	} {
		configuration, err := readConfig(environment("sqlite:"+filepath.Join(t.TempDir(), "db"), "AUTH_CONFIG", withConfig(t, c.old, c.with)))
		require.NoError(t, err)
		configuration.PublicURL = "http://127.0.0.1:8080"
		db, err := openDatabase(t.Context(), configuration)
		require.NoError(t, err)
		_, err = newService(configuration, db, courier(nil), nil, nil, nil)
		require.ErrorContains(t, err, c.says)
		require.NoError(t, db.Close())
	}
}

type courier func(ctx context.Context, m flowhook.Message) error

func (c courier) Send(ctx context.Context, m flowhook.Message) error { return c(ctx, m) }

// TestPasswordChangedMeanwhile: who signs in with the old password while it is being changed has no session afterwards,
// whichever of the two was first.
func TestPasswordChangedMeanwhile(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "AUTH_CONFIG", unbraked(t))
		s.register(email, password)
		current, rounds := password, testkit.Times(t, 60)
		b := s.signedIn(email, current)
		for range rounds {
			next := "the password after " + current
			if len(next) > passwordMax {
				next = password
			}
			var running sync.WaitGroup
			for range 4 {
				thief := s.browser()
				running.Go(func() {
					response, err := thief.client.PostForm(s.server.URL+"/login", url.Values{"email": {email}, "password": {current}})
					if err == nil {
						response.Body.Close()
					}
				})
			}
			b.open("/settings").press("Change password", "current", current, "new", next).at("/settings", "Settings")
			running.Wait()
			require.Equal(t, 1, s.count("flowhook_sessions"), "only the one that changed the password")
			b.open("/").at("/", "Hello, Alice")
			current = next
		}
		t.Logf("%d password changes, each with 4 sign-ins by the old one at the same time: none of those had a session afterwards", rounds)
	})
}

// TestFailureLeavesNothing: where one hook fails, nothing of the flow stands, and the log has a row of its own.
func TestFailureLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		_, err := s.service.db.ExecContext(t.Context(), "ALTER TABLE devices RENAME TO gone")
		require.NoError(t, err)
		s.register(email, password)
		b := s.browser().open("/login").press("Sign in", "email", email, "password", password).refused(http.StatusInternalServerError, "what you sent may not have been saved")
		require.NotContains(t, b.Body, "Nothing was changed")
		require.Empty(t, b.Header.Values("Set-Cookie"))
		require.Equal(t, 0, s.count("flowhook_sessions"))
		require.Equal(t, 0, s.count("sign_ins"))
		require.Equal(t, 1, s.count("audit WHERE point = 'login/failed/password' AND outcome = 'hook_new_device'"))
		require.Equal(t, 0, s.count("audit WHERE point = 'login/after/password'"))
		require.Len(t, s.log.lines("msg=hook", "name=new_device", "outcome=error"), 1)
	})
}

func TestCleanUp(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		s.signedIn(email, password)
		tables := func() []int {
			return []int{s.count("flowhook_sessions"), s.count("flowhook_verifications"), s.count("sign_ins"), s.count("devices"), s.count("audit"), s.count("users")}
		}
		ahead := func(d time.Duration) []int {
			s.ahead.Store(int64(d))
			require.NoError(t, s.service.cleanUp(t.Context()))
			return tables()
		}
		const day = 24 * time.Hour
		require.Equal(t, []int{1, 1, 1, 1, 3, 1}, ahead(0))
		require.Equal(t, []int{1, 1, 1, 1, 3, 1}, ahead(day-time.Hour))
		require.Equal(t, []int{1, 1, 0, 1, 3, 1}, ahead(day+time.Hour))
		require.Equal(t, []int{0, 0, 0, 1, 3, 1}, ahead(2*day+time.Hour))
		require.Equal(t, []int{0, 0, 0, 1, 0, 1}, ahead(366*day))
		require.Equal(t, []int{0, 0, 0, 0, 0, 1}, ahead(401*day))

		_, err := s.service.db.Exec("INSERT INTO audit (at, point, outcome, client) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201) SELECT i, 'p', 'ok', 'c' FROM n")
		require.NoError(t, err)
		require.NoError(t, s.service.cleanUp(t.Context()))
		require.Equal(t, 0, s.count("audit"), "batch after batch")
	})
}

// TestHashingWaitsInLine: no more at a time than there are processors; who waits gives up with the request.
func TestHashingWaitsInLine(t *testing.T) {
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
	for typed, want := range map[string]bool{"A ligature: fi": true, "a ligature: fi": false, strings.Repeat("x", 1<<16): false, "": false} {
		got, err := p.match(t.Context(), typed, hash)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := p.match(t.Context(), "", "")
	require.NoError(t, err)
	require.False(t, got, "no password is nobody's password")
}

func TestClient(t *testing.T) {
	for agent, want := range map[string]string{
		"": "An unknown program",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0":               "Edge on Windows",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36":                            "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iOS",
		"curl/8.5.0":                            "curl",
		"Win a prize at https://evil.example/ ": "An unknown program",
	} {
		require.Equal(t, want, client(&http.Request{Header: http.Header{"User-Agent": {agent}}}))
	}
}

// TestEndedMeanwhile: what is asked for with a session that is ended while the request waits for its turn is not done.
func TestEndedMeanwhile(t *testing.T) {
	s := newSite(t, testkit.PostgreSQL(t))
	s.register(email, password)
	for path, form := range map[string]url.Values{
		"/settings/profile":  {"name": {"Eve"}, "email": {"eve@example.org"}, "current": {password}},
		"/settings/password": {"current": {password}, "new": {"the password of somebody else"}},
		"/sessions/end":      {"session": {"none"}},
		"/sessions/end-all":  nil,
	} {
		b := s.signedIn(email, password)
		var id string
		require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
		rows := s.count("audit WHERE outcome = 'ok'")
		done := make(chan *browser)
		err := s.service.store.Transaction(t.Context(), id, func(ctx context.Context) error {
			go func() { done <- b.post(path, form) }()
			if err := s.someoneWaits(ctx); err != nil {
				return err
			}
			return s.service.store.DeleteSessions(ctx, id, "")
		})
		require.NoError(t, err)
		(<-done).at("/login", "Sign in")
		require.Equal(t, rows, s.count("audit WHERE outcome = 'ok'"), path)
	}
	s.signedIn(email, password) // as before
}
