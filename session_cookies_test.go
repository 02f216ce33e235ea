package flowhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// cookiesOf signs an identity in n times and returns the cookies and the IDs of the sessions.
func (d *desk) cookiesOf(identity string, n int) (cookies, ids []string) {
	d.t.Helper()
	for range n {
		cookie, s := d.signIn(identity)
		cookies, ids = append(cookies, cookie), append(ids, s.ID)
	}
	return cookies, ids
}

// calls returns a call of the store for each ID.
func calls(method string, ids ...string) (list []string) {
	for _, id := range ids {
		list = append(list, method+" "+id)
	}
	return list
}

// forgedCookies returns n different cookies that only a check of the signature tells from genuine ones.
func forgedCookies(n int) (cookies []string) {
	for i := range n {
		token := sign("another-secret-than-that", hostSession, "1780000000", fmt.Sprint("session ", i))
		cookies = append(cookies, hostSession+"="+token)
	}
	return cookies
}

// TestSeveralCookies sends every pair over a connection, in both orders.
func TestSeveralCookies(t *testing.T) {
	h := newHost(t, "", withUsers(alice, bob))
	login := func(user string) (value string) {
		b := h.browser()
		require.Equal(t, http.StatusOK, b.post("/login/password", "user", user).StatusCode)
		require.Equal(t, user, b.who())
		return b.cookies()[hostSession]
	}
	live, second, bobs, ended, endedToo := login("alice"), login("alice"), login("bob"), login("alice"), login("bob")
	for _, value := range []string{ended, endedToo} {
		b := h.browser()
		u, err := url.Parse(h.srv.URL)
		require.NoError(t, err)
		b.Jar.SetCookies(u, []*http.Cookie{{Name: hostSession, Value: value, Path: "/", Secure: true}})
		require.Equal(t, http.StatusOK, b.post("/logout").StatusCode)
	}
	forged := strings.TrimPrefix(forgedCookies(1)[0], hostSession+"=")
	c := &wire{h: h}
	defer c.close()
	for _, row := range []struct {
		name, one, other, who string
	}{
		{"junk and a live session", "=junk", "=" + live, "alice"},
		{"an empty value and a live session", "=", "=" + live, "alice"},
		{"no value and a live session", "", "=" + live, "alice"},
		{"a forged signature and a live session", "=" + forged, "=" + live, "alice"},
		{"an ended session and a live one", "=" + ended, "=" + live, "alice"},
		{"another user's ended session and a live one", "=" + endedToo, "=" + live, "alice"},
		{"the same session twice", "=" + live, "=" + live, "alice"},
		{"a session in quotes and without", `="` + live + `"`, "=" + live, "alice"},
		{"another session in quotes and a live one", `="` + bobs + `"`, "=" + live, "alice"},
		{"two live sessions of one user", "=" + live, "=" + second, "anonymous"},
		{"live sessions of two users", "=" + live, "=" + bobs, "anonymous"},
		{"two ended sessions", "=" + ended, "=" + endedToo, "anonymous"},
		{"an ended session and junk", "=" + ended, "=junk", "anonymous"},
		{"an ended session and one in quotes", "=" + ended, `="` + live + `"`, "anonymous"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, pair := range [][2]string{{row.one, row.other}, {row.other, row.one}} {
				for _, between := range []string{"; ", "; theme=dark; ", "\r\nCookie: "} {
					status, body := c.whoami(hostSession + pair[0] + between + hostSession + pair[1])
					require.Equal(t, http.StatusOK, status)
					require.Equal(t, row.who, body)
				}
			}
		})
	}
	four := strings.Join([]string{ended, "junk", live, endedToo}, "; "+hostSession+"=")
	status, body := c.whoami(hostSession + "=" + four)
	require.Equal(t, []any{http.StatusOK, "alice"}, []any{status, body}, "one of four is live")
}

// A browser keeps the cookie of the old path and sends it together with the new one.
func TestSeveralCookies_AfterTheCookiePathChanged(t *testing.T) {
	const cookie = "session: {cookie: {name: sid, path: %s}}" + secretYAML
	h := newHost(t, fmt.Sprintf(cookie, "/"), withUsers(alice))
	b := h.browser()
	b.post("/login/password", "user", "alice")
	require.Equal(t, "alice", b.who())

	require.NoError(t, h.pipeline.Reload(parse(t, fmt.Sprintf(cookie, "/whoami"))))
	require.Equal(t, "alice", b.who(), "the old cookie is good")
	b.post("/login/password", "user", "alice")
	u, err := url.Parse(h.srv.URL + "/whoami")
	require.NoError(t, err)
	require.Len(t, b.Jar.Cookies(u), 2)
	require.Equal(t, "alice", b.who(), "signing in ended the session of the old cookie")
}

func TestFromRequest_SeveralCookies(t *testing.T) {
	errTrouble := errors.New("trouble")

	t.Run("an expired session does not count", func(t *testing.T) {
		d := newDesk(t, "session: {lifespan: 1h}\n")
		expired, _ := d.signIn("bob")
		d.clock.Add(time.Hour)
		live, _ := d.signIn("alice")
		require.Equal(t, "alice", d.who(expired, live))
		require.Equal(t, "alice", d.who(live, expired))
	})

	t.Run("a forged cookie costs no lookup", func(t *testing.T) {
		d := newDesk(t, "")
		live, s := d.signIn("alice")
		d.store.take()
		require.Equal(t, "alice", d.who(append(forgedCookies(20), live, live)...))
		require.Equal(t, calls("FindSession", s.ID), d.store.take())
	})

	t.Run("a third session is not looked up", func(t *testing.T) {
		d := newDesk(t, "")
		cookies, ids := d.cookiesOf("alice", 3)
		d.store.take()
		require.Empty(t, d.who(cookies...))
		require.Equal(t, calls("FindSession", ids[:2]...), d.store.take())
	})

	for _, first := range []string{"live", "ended"} {
		t.Run("a failed lookup after a session that is "+first+" is an error", func(t *testing.T) {
			d := newDesk(t, "")
			cookies, ids := d.cookiesOf("alice", 2)
			if first == "ended" {
				require.NoError(t, d.store.DeleteSession(t.Context(), ids[0]))
			}
			d.store.fail["FindSession "+ids[1]] = errTrouble
			for range 2 {
				s, err := d.FromRequest(visit("", cookies...).Request)
				require.ErrorIs(t, err, errTrouble)
				require.NotErrorIs(t, err, flowhook.ErrNoSession)
				require.Nil(t, s)
				slices.Reverse(cookies)
			}
		})
	}

	t.Run("one of eight sessions may be live", func(t *testing.T) {
		d := newDesk(t, "")
		cookies, ids := d.cookiesOf("alice", 8)
		for _, id := range ids[:7] {
			require.NoError(t, d.store.DeleteSession(t.Context(), id))
		}
		d.store.take()
		require.Equal(t, "alice", d.who(append(cookies, cookies...)...))
		require.Equal(t, calls("FindSession", ids...), d.store.take())
	})

	t.Run("short junk is not verified and has no limit", func(t *testing.T) {
		d := newDesk(t, "")
		live, _ := d.signIn("alice")
		require.Equal(t, "alice", d.who(append(slices.Repeat([]string{hostSession + "=junkjunk"}, 2000), live)...))
	})

	t.Run("at most 64 cookies are verified", func(t *testing.T) {
		d := newDesk(t, "")
		live, _ := d.signIn("alice")
		forged := forgedCookies(64)
		require.Equal(t, "alice", d.who(append(forged[:63:63], live)...))
		d.store.take()
		s, err := d.FromRequest(visit("", append(forged, live)...).Request)
		require.ErrorContains(t, err, "more than 64 cookies with the session cookie's name; delete this site's cookies")
		require.NotErrorIs(t, err, flowhook.ErrNoSession)
		require.Nil(t, s)
		require.Empty(t, d.store.take())
	})
}

// A request with more than eight genuine cookies is an error of all methods, and nothing changes.
func TestNineGenuineCookies(t *testing.T) {
	for name, call := range map[string]func(d *desk, v visitor) error{
		"FromRequest": func(d *desk, v visitor) error { _, err := d.FromRequest(v.Request); return err },
		"Issue":       func(d *desk, v visitor) error { return d.Issue(d.t.Context(), v.Exchange) },
		"Create":      func(d *desk, v visitor) error { _, err := d.Create(d.t.Context(), v.Exchange); return err },
		"End":         func(d *desk, v visitor) error { return d.End(d.t.Context(), v.Exchange) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, "")
			cookies, ids := d.cookiesOf("alice", 9)
			for _, id := range ids[1:] { // ended ones count, too: to find out costs a lookup each
				require.NoError(t, d.store.DeleteSession(t.Context(), id))
			}
			d.store.take()
			v := visit("alice", cookies...)
			v.Session = &flowhook.Session{ID: "in use", IdentityID: "alice"}
			err := call(d, v)
			require.ErrorContains(t, err, "more than 8 genuine session cookies; "+
				"delete this site's cookies in the browser, or change session.cookie.name")
			require.NotErrorIs(t, err, flowhook.ErrNoSession)
			require.Empty(t, d.store.take(), "the store was asked")
			require.Empty(t, setCookies(v))
			require.Equal(t, &flowhook.Session{ID: "in use", IdentityID: "alice"}, v.Session)
			require.Equal(t, "alice", d.who(cookies[0]))
			for _, c := range cookies {
				require.NotContains(t, err.Error(), strings.TrimPrefix(c, hostSession+"="))
			}
			require.NoError(t, call(d, visit("alice", cookies[:8]...)), "eight are not too many")
		})
	}
}

// Issue, Create and End end every session that a genuine cookie of the request is for.
func TestSeveralCookies_AllSessionsEnd(t *testing.T) {
	errTrouble := errors.New("trouble")
	for name, call := range map[string]func(d *desk, v visitor) error{
		"Issue":  func(d *desk, v visitor) error { return d.Issue(d.t.Context(), v.Exchange) },
		"Create": func(d *desk, v visitor) error { _, err := d.Create(d.t.Context(), v.Exchange); return err },
		"End":    func(d *desk, v visitor) error { return d.End(d.t.Context(), v.Exchange) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, "")
			alices, ids := d.cookiesOf("alice", 2)
			mallorys, planted := d.cookiesOf("mallory", 2)
			bystander, _ := d.signIn("alice")
			inUse, s := d.signIn("alice")
			v := visit("alice", alices[0], hostSession+"=junk", mallorys[0], alices[1], alices[0], hostSession+"=", mallorys[1])
			v.Session = &s
			all := []string{ids[0], planted[0], ids[1], planted[1], s.ID}

			d.store.fail["DeleteSession "+planted[1]] = errTrouble
			require.ErrorIs(t, call(d, v), errTrouble)
			require.Equal(t, "alice", d.who(alices[0]), "a part of them ended")
			require.Equal(t, &s, v.Session)
			require.Empty(t, setCookies(v))
			delete(d.store.fail, "DeleteSession "+planted[1])

			d.store.take()
			require.NoError(t, call(d, v))
			want := calls("DeleteSession", all...)
			if name != "End" {
				want = append(want, "CreateSession "+v.Session.ID)
			}
			require.Equal(t, want, d.store.take())
			for _, c := range slices.Concat(alices, mallorys, []string{inUse}) {
				require.Empty(t, d.who(c))
			}
			require.Equal(t, "alice", d.who(bystander), "a session that the request has no cookie of")
		})
	}

	t.Run("over HTTP", func(t *testing.T) {
		h := newHost(t, "", withUsers(alice, bob))
		u, err := url.Parse(h.srv.URL + "/login/password")
		require.NoError(t, err)
		signIn := func(user string) string {
			b := h.browser()
			b.post("/login/password", "user", user)
			return b.cookies()[hostSession]
		}
		c := &wire{h: h}
		defer c.close()
		for _, path := range []string{"/login/password", "/logout"} {
			mine, planted := signIn("alice"), signIn("bob")
			b := h.browser()
			b.Jar.SetCookies(u, []*http.Cookie{ // the one of the longer path is sent first
				{Name: hostSession, Value: planted, Path: path, Secure: true},
				{Name: hostSession, Value: mine, Path: "/", Secure: true}})
			require.Equal(t, http.StatusOK, b.post(path, "user", "alice").StatusCode)
			for _, value := range []string{mine, planted} {
				_, body := c.whoami(hostSession + "=" + value)
				require.Equal(t, "anonymous", body, path)
			}
			require.Equal(t, path == "/login/password", b.who() == "alice", path)
		}
	})
}

// While one of two live sessions ends, the request is anonymous or signed in by the other one.
func TestSeveralCookies_OneEndsMeanwhile(t *testing.T) {
	d := newDesk(t, "")
	for range testkit.Times(t, 200) {
		ending, _ := d.signIn("mallory")
		staying, s := d.signIn("alice")
		var wg sync.WaitGroup
		for _, cookies := range [][]string{{ending, staying}, {staying, ending}} {
			wg.Go(func() {
				for range 10 {
					found, err := d.FromRequest(visit("", cookies...).Request)
					if err == nil && found.ID != s.ID || err != nil && !errors.Is(err, flowhook.ErrNoSession) {
						t.Errorf("%v, %v", found, err)
					}
				}
			})
			wg.Go(func() {
				if err := d.End(t.Context(), visit("", ending, hostSession+"=junk").Exchange); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, "alice", d.who(ending, staying))

		for _, cookies := range [][]string{{ending, staying}, {staying, ending}} { // both at once, in either order
			wg.Go(func() {
				if err := d.End(t.Context(), visit("", cookies...).Exchange); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Empty(t, d.who(ending, staying))
	}
}
