package process_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// maintenanceComment is the commented-out maintenance redirect in auth.yml.
const maintenanceComment = `          # - hook: redirect
          #   config:
          #     to: /maintenance
`

// maintenanceHook is the same, uncommented.
var maintenanceHook = strings.ReplaceAll(maintenanceComment, "          # ", "          ")

// TestSIGHUP turns the maintenance redirect on and off under load. Each request is answered by the
// old or the new configuration, sessions go on, and a file with errors changes nothing.
func TestSIGHUP(t *testing.T) { onEach(t, testSIGHUP) }

func testSIGHUP(t *testing.T, database string) {
	const same = "session:\n"
	path, rounds := withoutLimits(t, same, same), times(t, 50, 1)
	d := deploy(t, database, newMailbox(t, newSeed(t)).url, 1, "AUTH_CONFIG", path)
	d.start()
	u := &reloadUser{checkedClient: newCheckedClient(t), r: d.copies[0]}
	require.True(t, u.ask(u.r, nil, "POST", "/register", "name", "Alice", "email", aliceEmail, "password",
		password).is("/register/sent"))
	session := u.signIn("/")
	require.NotNil(t, session)

	var stop atomic.Bool
	var all sync.WaitGroup
	t.Cleanup(func() { stop.Store(true); all.Wait() })
	for range 3 {
		all.Go(func() {
			for !stop.Load() {
				u.signIn("/", "/maintenance")
			}
		})
	}
	all.Go(func() {
		for !stop.Load() {
			u.sees("/", session, http.StatusOK, "Hello, Alice")
			u.sees("/settings", session, http.StatusOK, "Alice")
		}
	})

	reload := func(from, want string) {
		t.Helper()
		data, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path+".new", data, 0o600))
		require.NoError(t, os.Rename(path+".new", path)) // atomically
		before := d.logged(want)
		require.NoError(t, u.r.cmd.Process.Signal(syscall.SIGHUP))
		eventually(t, 20*time.Second, func() bool { return d.logged(want) == before+1 }, "not in the log: %s", want)
	}
	more := func(n *atomic.Int64, what string) {
		t.Helper()
		before := n.Load()
		eventually(t, 20*time.Second, func() bool { return n.Load() > before }, "%s", what)
	}
	open, closed := withoutLimits(t, same, same), withoutLimits(t, maintenanceComment, maintenanceHook)
	bad := withoutLimits(t, "- hook: new_device # emails", "- hook: new_devices # emails")
	for range rounds {
		more(&u.logins, "nobody signs in")
		reload(closed, "AUTH_CONFIG was reloaded")
		u.sees("/login", nil, http.StatusFound, "")
		reload(bad, "AUTH_CONFIG was not reloaded")
		u.sees("/login", nil, http.StatusFound, "")
		more(&u.redirected, "nobody is redirected")
		reload(open, "AUTH_CONFIG was reloaded")
		u.sees("/login", nil, http.StatusOK, "Sign in")
	}
	stop.Store(true)
	all.Wait()
	u.sees("/", session, http.StatusOK, "Hello, Alice")
	require.Equal(t, rounds, d.logged(`unknown hook \"new_devices\"`))
	require.Equal(t, 2*rounds, d.logged("level=ERROR"))
	code, _ := u.r.stop(grace, func() {})
	require.Zero(t, code)
	t.Logf("maintenance turned on and off %d times by SIGHUP under load, with a broken file in between: %d "+
		"logins, %d redirects, %d pages of a signed-in user, no failed request",
		rounds, u.logins.Load(), u.redirected.Load(), u.pages.Load())
}

// A reloadUser is Alice, who uses one copy. Her methods may be called at once.
type reloadUser struct {
	*checkedClient
	r                         *replica
	logins, redirected, pages atomic.Int64
}

// signIn signs in and expects a redirect to one of the targets. It returns the session, or nil.
func (u *reloadUser) signIn(to ...string) (session visitor) {
	a := u.ask(u.r, nil, "POST", "/login", "email", aliceEmail, "password", password)
	cookie := a.set[sessionCookie]
	if !a.redirect() || !slices.Contains(to, a.location) || (a.location == "/") != (cookie != "") {
		u.fault("a login was answered %d, to %q, want one of %q", a.status, a.location, to)
	}
	if cookie == "" {
		u.redirected.Add(1)
		return nil
	}
	u.logins.Add(1)
	return visitor{sessionCookie: cookie}
}

// sees opens a page and checks its status and text.
func (u *reloadUser) sees(path string, session visitor, status int, want string) {
	a := u.ask(u.r, session, "GET", path)
	if a.status != status || !strings.Contains(a.body, want) {
		u.fault("GET %s: status %d, want %d and %q", path, a.status, status, want)
	}
	u.pages.Add(1)
}
