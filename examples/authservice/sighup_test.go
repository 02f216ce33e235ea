package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestSIGHUP turns the maintenance redirect on and off under load. Each request is answered by the
// old or the new configuration, sessions go on, and a file with errors changes nothing.
func TestSIGHUP(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		path, rounds := withConfig(t, "session:\n", "session:\n"), testkit.Times(t, 50)
		p, err := startProcess(t.TempDir(), "DATABASE_URL="+database, "AUTH_CONFIG="+path,
			"SESSION_SECRETS="+testSecret)
		require.NoError(t, err)
		t.Cleanup(func() {
			if p.ProcessState == nil {
				p.Process.Kill()
				p.Wait()
			}
		})
		c := &loadClient{t: t, base: p.url, client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		c.post("/register", "/register/sent")
		session := c.post("/login", "/")
		require.NotEmpty(t, session)

		var stop atomic.Bool
		var all sync.WaitGroup
		t.Cleanup(func() { stop.Store(true); all.Wait() })
		for range 3 { // fewer than rate_limit allows at once
			all.Go(func() {
				for !stop.Load() {
					if c.post("/login", "/", "/maintenance") == "" {
						c.refused.Add(1)
					}
				}
			})
		}
		all.Go(func() {
			for !stop.Load() {
				c.is("/", session, http.StatusOK, "Hello, Alice")
				c.is("/settings", session, http.StatusOK, "Alice")
			}
		})

		put := func(from, want string) {
			t.Helper()
			data, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+".new", data, 0o600))
			require.NoError(t, os.Rename(path+".new", path)) // atomically
			before := len(p.log.lines(want))
			require.NoError(t, p.Process.Signal(syscall.SIGHUP))
			require.Eventually(t, func() bool { return len(p.log.lines(want)) == before+1 }, 20*time.Second,
				2*time.Millisecond, want)
		}
		closed, bad := withConfig(t, maintenanceComment, maintenanceHook), withConfig(t,
			"- hook: new_device # emails", "- hook: new_devices # emails")
		more := func(n *atomic.Int64, want string) {
			t.Helper()
			before := n.Load()
			require.Eventually(t, func() bool { return n.Load() > before }, 20*time.Second, time.Millisecond, want)
		}
		for range rounds {
			more(&c.signedIn, "nobody signs in")
			put(closed, "AUTH_CONFIG was reloaded")
			c.is("/login", "", http.StatusFound, "")
			put(bad, "AUTH_CONFIG was not reloaded")
			c.is("/login", "", http.StatusFound, "")
			more(&c.refused, "nobody is redirected")
			put("auth.yml", "AUTH_CONFIG was reloaded")
			c.is("/login", "", http.StatusOK, "Sign in")
		}
		stop.Store(true)
		all.Wait()
		c.is("/", session, http.StatusOK, "Hello, Alice")
		require.Len(t, p.log.lines("level=ERROR", "error in AUTH_CONFIG", "new_devices"), rounds)
		require.Len(t, p.log.lines("level=ERROR"), 2*rounds, p.log)
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.Wait(), p.log)
		t.Logf("maintenance turned on and off %d times by SIGHUP under load, with a broken file in between: %d "+
			"logins, %d redirects, %d pages of a signed-in user, no failed request",
			rounds, c.signedIn.Load(), c.refused.Load(), c.pages.Load())
	})
}

// A loadClient sends requests to a process and checks the answers.
type loadClient struct {
	t                        *testing.T
	base                     string
	client                   *http.Client
	signedIn, refused, pages atomic.Int64
}

// post sends Alice's form, expects a redirect to one of the targets, and returns the session
// cookie.
func (c *loadClient) post(path string, to ...string) (session string) {
	response, err := c.client.PostForm(c.base+path, url.Values{"name": {"Alice"}, "email": {email},
		"password": {password}})
	if err != nil {
		c.t.Error(err)
		return ""
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	location := response.Header.Get("Location")
	for _, one := range response.Cookies() {
		if one.Name == "__Host-session" {
			session = one.Value
			c.signedIn.Add(1)
		}
	}
	if !strings.Contains(fmt.Sprint(to), location) || location == "" || (location == "/") != (session != "") {
		c.t.Errorf("POST %s: status %d, to %q", path, response.StatusCode, location)
	}
	return session
}

// is opens a page and checks its status and text.
func (c *loadClient) is(path, session string, status int, want string) {
	r, err := http.NewRequest("GET", c.base+path, nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	if session != "" {
		r.AddCookie(&http.Cookie{Name: "__Host-session", Value: session})
	}
	response, err := c.client.Do(r)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status || !strings.Contains(string(body), want) {
		c.t.Errorf("GET %s: %v, status %d, want %d and %q", path, err, response.StatusCode, status, want)
	}
	c.pages.Add(1)
}
