package acceptance_test

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
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// calls returns one call of the store for each ID.
func calls(method string, ids ...string) (list []string) {
	for _, id := range ids {
		list = append(list, method+" "+id)
	}
	return list
}

// forgedCookies returns n different cookies that are forged in the signature only.
func forgedCookies(n int) (cookies []string) {
	for i := range n {
		token := flowtest.SignToken("another-secret-than-that", flowtest.CookieName, "1780000000",
			fmt.Sprint("session ", i))
		cookies = append(cookies, flowtest.CookieName+"="+token)
	}
	return cookies
}

// TestCookies_Several sends every pair over a connection, in both orders.
func TestCookies_Several(t *testing.T) {
	h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice, flowtest.Bob))
	login := func(user string) (value string) {
		b := h.Browser()
		require.Equal(t, http.StatusOK, b.PostPath("/login/password", "user", user).StatusCode)
		require.Equal(t, user, b.WhoAmI())
		return b.Cookies()[flowtest.CookieName]
	}
	live, second, bobs, ended, endedToo := login("alice"), login("alice"), login("bob"), login("alice"), login("bob")
	for _, value := range []string{ended, endedToo} {
		b := h.Browser()
		u, err := url.Parse(h.Server.URL)
		require.NoError(t, err)
		b.Jar.SetCookies(u, []*http.Cookie{{Name: flowtest.CookieName, Value: value, Path: "/", Secure: true}})
		require.Equal(t, http.StatusOK, b.PostPath("/logout").StatusCode)
	}
	forged := strings.TrimPrefix(forgedCookies(1)[0], flowtest.CookieName+"=")
	c := &wire{h: h}
	defer c.close()
	for _, row := range []struct {
		name, one, other, who string
	}{
		{"junk and a live session", "=junk", "=" + live, "alice"},
		{"empty value and a live session", "=", "=" + live, "alice"},
		{"no value and a live session", "", "=" + live, "alice"},
		{"forged signature and a live session", "=" + forged, "=" + live, "alice"},
		{"ended session and a live one", "=" + ended, "=" + live, "alice"},
		{"another user's ended session and a live one", "=" + endedToo, "=" + live, "alice"},
		{"same session twice", "=" + live, "=" + live, "alice"},
		{"session in quotes and without", `="` + live + `"`, "=" + live, "alice"},
		{"another session in quotes and a live one", `="` + bobs + `"`, "=" + live, "alice"},
		{"two live sessions of one user", "=" + live, "=" + second, "anonymous"},
		{"live sessions of two users", "=" + live, "=" + bobs, "anonymous"},
		{"two ended sessions", "=" + ended, "=" + endedToo, "anonymous"},
		{"ended session and junk", "=" + ended, "=junk", "anonymous"},
		{"ended session and one in quotes", "=" + ended, `="` + live + `"`, "anonymous"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, pair := range [][2]string{{row.one, row.other}, {row.other, row.one}} {
				for _, between := range []string{"; ", "; theme=dark; ", "\r\nCookie: "} {
					status, body := c.whoami(flowtest.CookieName + pair[0] + between + flowtest.CookieName + pair[1])
					require.Equal(t, http.StatusOK, status)
					require.Equal(t, row.who, body)
				}
			}
		})
	}
	four := strings.Join([]string{ended, "junk", live, endedToo}, "; "+flowtest.CookieName+"=")
	status, body := c.whoami(flowtest.CookieName + "=" + four)
	require.Equal(t, []any{http.StatusOK, "alice"}, []any{status, body}, "want one live session of four")
}

// A browser keeps the cookie of the old path and sends it together with the new one.
func TestCookies_SeveralAfterPathChange(t *testing.T) {
	const cookie = "session: {cookie: {name: sid, path: %s}}" + flowtest.SecretYAML
	h := flowtest.NewService(t, fmt.Sprintf(cookie, "/"), flowtest.WithUsers(flowtest.Alice))
	b := h.Browser()
	b.PostPath("/login/password", "user", "alice")
	require.Equal(t, "alice", b.WhoAmI())

	require.NoError(t, h.Pipeline.Reload(flowtest.Parse(t, fmt.Sprintf(cookie, "/whoami"))))
	require.Equal(t, "alice", b.WhoAmI(), "the old cookie must be valid")
	b.PostPath("/login/password", "user", "alice")
	u, err := url.Parse(h.Server.URL + "/whoami")
	require.NoError(t, err)
	require.Len(t, b.Jar.Cookies(u), 2)
	require.Equal(t, "alice", b.WhoAmI(), "the session of the old cookie must end")
}

func TestCookies_SeveralInFromRequest(t *testing.T) {
	errTrouble := errors.New("trouble")

	t.Run("expired session does not count", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "session: {lifespan: 1h}\n")
		expired, _ := d.SignIn("bob")
		d.Clock.Add(time.Hour)
		live, _ := d.SignIn("alice")
		require.Equal(t, "alice", d.IdentityOf(expired, live))
		require.Equal(t, "alice", d.IdentityOf(live, expired))
	})

	t.Run("forged cookie costs no lookup", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		live, s := d.SignIn("alice")
		d.Store.Take()
		require.Equal(t, "alice", d.IdentityOf(append(forgedCookies(20), live, live)...))
		require.Equal(t, calls("FindSession", s.ID), d.Store.Take())
	})

	t.Run("third session is not looked up", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookies, ids := d.CookiesOf("alice", 3)
		d.Store.Take()
		require.Empty(t, d.IdentityOf(cookies...))
		require.Equal(t, calls("FindSession", ids[:2]...), d.Store.Take())
	})

	for _, first := range []string{"live", "ended"} {
		t.Run("failed lookup after a session that is "+first+" is an error", func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			cookies, ids := d.CookiesOf("alice", 2)
			if first == "ended" {
				require.NoError(t, d.Store.DeleteSession(t.Context(), ids[0]))
			}
			d.Store.Fail["FindSession "+ids[1]] = errTrouble
			for range 2 {
				s, err := d.FromRequest(flowtest.NewVisitor("", cookies...).Request)
				require.ErrorIs(t, err, errTrouble)
				require.NotErrorIs(t, err, flowhook.ErrNoSession)
				require.Nil(t, s)
				slices.Reverse(cookies)
			}
		})
	}

	t.Run("one of eight sessions may be live", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookies, ids := d.CookiesOf("alice", 8)
		for _, id := range ids[:7] {
			require.NoError(t, d.Store.DeleteSession(t.Context(), id))
		}
		d.Store.Take()
		require.Equal(t, "alice", d.IdentityOf(append(cookies, cookies...)...))
		require.Equal(t, calls("FindSession", ids...), d.Store.Take())
	})

	t.Run("short junk is not verified and not limited", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		live, _ := d.SignIn("alice")
		require.Equal(t, "alice", d.IdentityOf(append(slices.Repeat([]string{flowtest.CookieName + "=junkjunk"},
			2000), live)...))
	})

	t.Run("at most 64 cookies are verified", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		live, _ := d.SignIn("alice")
		forged := forgedCookies(64)
		require.Equal(t, "alice", d.IdentityOf(append(forged[:63:63], live)...))
		d.Store.Take()
		s, err := d.FromRequest(flowtest.NewVisitor("", append(forged, live)...).Request)
		require.ErrorContains(t, err, "more than 64 cookies with the session cookie's name; delete this site's cookies")
		require.NotErrorIs(t, err, flowhook.ErrNoSession)
		require.Nil(t, s)
		require.Empty(t, d.Store.Take())
	})
}

// A request with more than eight genuine cookies is an error of all methods, and nothing changes.
func TestCookies_NineGenuine(t *testing.T) {
	for name, call := range map[string]func(d *flowtest.SessionTest, v flowtest.Visitor) error{
		"FromRequest": func(d *flowtest.SessionTest, v flowtest.Visitor) error {
			_, err := d.FromRequest(v.Request)
			return err
		},
		"Issue": func(d *flowtest.SessionTest, v flowtest.Visitor) error { return d.Issue(d.T.Context(), v.Exchange) },
		"Create": func(d *flowtest.SessionTest, v flowtest.Visitor) error {
			_, err := d.Create(d.T.Context(), v.Exchange)
			return err
		},
		"End": func(d *flowtest.SessionTest, v flowtest.Visitor) error { return d.End(d.T.Context(), v.Exchange) },
	} {
		t.Run(name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			cookies, ids := d.CookiesOf("alice", 9)
			for _, id := range ids[1:] { // ended ones count, too: to find out costs a lookup each
				require.NoError(t, d.Store.DeleteSession(t.Context(), id))
			}
			d.Store.Take()
			v := flowtest.NewVisitor("alice", cookies...)
			v.Session = &flowhook.Session{ID: "in use", IdentityID: "alice"}
			err := call(d, v)
			require.ErrorContains(t, err, "more than 8 genuine session cookies; "+
				"delete this site's cookies in the browser, or change session.cookie.name")
			require.NotErrorIs(t, err, flowhook.ErrNoSession)
			require.Empty(t, d.Store.Take(), "the store was asked")
			require.Empty(t, flowtest.SetCookies(v))
			require.Equal(t, &flowhook.Session{ID: "in use", IdentityID: "alice"}, v.Session)
			require.Equal(t, "alice", d.IdentityOf(cookies[0]))
			for _, c := range cookies {
				require.NotContains(t, err.Error(), strings.TrimPrefix(c, flowtest.CookieName+"="))
			}
			require.NoError(t, call(d, flowtest.NewVisitor("alice", cookies[:8]...)), "eight cookies must be allowed")
		})
	}
}

// Issue, Create and End end every session that a genuine cookie of the request is for.
func TestCookies_SeveralSessionsEnd(t *testing.T) {
	errTrouble := errors.New("trouble")
	for name, call := range map[string]func(d *flowtest.SessionTest, v flowtest.Visitor) error{
		"Issue": func(d *flowtest.SessionTest, v flowtest.Visitor) error { return d.Issue(d.T.Context(), v.Exchange) },
		"Create": func(d *flowtest.SessionTest, v flowtest.Visitor) error {
			_, err := d.Create(d.T.Context(), v.Exchange)
			return err
		},
		"End": func(d *flowtest.SessionTest, v flowtest.Visitor) error { return d.End(d.T.Context(), v.Exchange) },
	} {
		t.Run(name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "", flowtest.WithoutReplace)
			alices, ids := d.CookiesOf("alice", 2)
			mallorys, planted := d.CookiesOf("mallory", 2)
			bystander, _ := d.SignIn("alice")
			inUse, s := d.SignIn("alice")
			v := flowtest.NewVisitor("alice", alices[0], flowtest.CookieName+"=junk", mallorys[0], alices[1],
				alices[0], flowtest.CookieName+"=", mallorys[1])
			v.Session = &s
			all := []string{ids[0], planted[0], ids[1], planted[1], s.ID}

			d.Store.Fail["DeleteSession "+planted[1]] = errTrouble
			require.ErrorIs(t, call(d, v), errTrouble)
			require.Equal(t, "alice", d.IdentityOf(alices[0]), "only some of the sessions ended")
			require.Equal(t, &s, v.Session)
			require.Empty(t, flowtest.SetCookies(v))
			delete(d.Store.Fail, "DeleteSession "+planted[1])

			d.Store.Take()
			require.NoError(t, call(d, v))
			want := calls("DeleteSession", all...)
			if name != "End" {
				want = append(want, "CreateSession "+v.Session.ID)
			}
			require.Equal(t, want, d.Store.Take())
			for _, c := range slices.Concat(alices, mallorys, []string{inUse}) {
				require.Empty(t, d.IdentityOf(c))
			}
			require.Equal(t, "alice", d.IdentityOf(bystander), "a session without a cookie in the request was ended")
		})
	}

	t.Run("over HTTP", func(t *testing.T) {
		h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice, flowtest.Bob))
		u, err := url.Parse(h.Server.URL + "/login/password")
		require.NoError(t, err)
		signIn := func(user string) string {
			b := h.Browser()
			b.PostPath("/login/password", "user", user)
			return b.Cookies()[flowtest.CookieName]
		}
		c := &wire{h: h}
		defer c.close()
		for _, path := range []string{"/login/password", "/logout"} {
			mine, planted := signIn("alice"), signIn("bob")
			b := h.Browser()
			b.Jar.SetCookies(u, []*http.Cookie{ // the one of the longer path is sent first
				{Name: flowtest.CookieName, Value: planted, Path: path, Secure: true},
				{Name: flowtest.CookieName, Value: mine, Path: "/", Secure: true}})
			require.Equal(t, http.StatusOK, b.PostPath(path, "user", "alice").StatusCode)
			for _, value := range []string{mine, planted} {
				_, body := c.whoami(flowtest.CookieName + "=" + value)
				require.Equal(t, "anonymous", body, path)
			}
			require.Equal(t, path == "/login/password", b.WhoAmI() == "alice", path)
		}
	})
}

// While one of two live sessions ends, the request is anonymous or signed in by the other one.
func TestCookies_OneSessionEndsMeanwhile(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	for range testkit.Times(t, 200) {
		ending, _ := d.SignIn("mallory")
		staying, s := d.SignIn("alice")
		var wg sync.WaitGroup
		for _, cookies := range [][]string{{ending, staying}, {staying, ending}} {
			wg.Go(func() {
				for range 10 {
					found, err := d.FromRequest(flowtest.NewVisitor("", cookies...).Request)
					if err == nil && found.ID != s.ID || err != nil && !errors.Is(err, flowhook.ErrNoSession) {
						t.Errorf("%v, %v", found, err)
					}
				}
			})
			wg.Go(func() {
				if err := d.End(t.Context(), flowtest.NewVisitor("", ending, flowtest.CookieName+
					"=junk").Exchange); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, "alice", d.IdentityOf(ending, staying))

		for _, cookies := range [][]string{{ending, staying}, {staying, ending}} { // both at once, in either order
			wg.Go(func() {
				if err := d.End(t.Context(), flowtest.NewVisitor("", cookies...).Exchange); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Empty(t, d.IdentityOf(ending, staying))
	}
}
