package flowhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// What a cookie says, for every setting, when it is set and when it is taken back.
func TestTheCookieIsAsTheFileSays(t *testing.T) {
	cookie := func(settings string) string { return "session: {cookie: {" + settings + "}}\n" }
	const older = "cookies: {domain: old.example, path: /old, same_site: Strict}\n"
	for _, row := range []struct{ name, text, cookie, scope, rest, age string }{
		{"nothing", "", "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"a lifespan", "session: {lifespan: 90m}\n", "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Lax", "5400"},
		{"a name", cookie("name: sid"), "sid", "Path=/", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"a name with a prefix", cookie("name: __Secure-sid, path: /a"), "__Secure-sid", "Path=/a", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"a domain", cookie("domain: example.org"), "session", "Path=/; Domain=example.org", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"a path", cookie("path: /auth"), "session", "Path=/auth", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"same_site Strict", cookie("same_site: Strict"), "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Strict", "86400"},
		{"same_site None", cookie("same_site: None"), "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=None", "86400"},
		{"not persistent", cookie("persistent: false"), "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Lax", ""},
		{"not secure", cookie("secure: false"), "session", "Path=/", "HttpOnly; SameSite=Lax", "86400"},
		{"the older cookies", older, "session", "Path=/old; Domain=old.example", "HttpOnly; Secure; SameSite=Strict", "86400"},
		{"the oldest same_site", "security: {session: {cookie: {same_site: None}}}\n", "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=None", "86400"},
		{"the older over the oldest", older + "security: {session: {cookie: {same_site: None}}}\n",
			"session", "Path=/old; Domain=old.example", "HttpOnly; Secure; SameSite=Strict", "86400"},
		{"the newer over the older", cookie("domain: new.example, path: /new, same_site: Lax") + older,
			"session", "Path=/new; Domain=new.example", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"the newer over the older, one by one", cookie("path: /new") + older,
			"session", "Path=/new; Domain=old.example", "HttpOnly; Secure; SameSite=Strict", "86400"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t, row.text)
			v := visit("alice")
			require.NoError(t, d.Issue(t.Context(), v.Exchange))
			age := ""
			if row.age != "" {
				age = "Max-Age=" + row.age + "; "
			}
			require.Len(t, setCookies(v), 1)
			require.Regexp(t, "^"+row.cookie+`=[A-Za-z0-9_=-]{80,200}; `+regexp.QuoteMeta(row.scope+"; "+age+row.rest)+"$", setCookies(v)[0])
			cookie, _, _ := strings.Cut(setCookies(v)[0], ";")
			require.Equal(t, "alice", d.who(cookie))

			v = visit("", cookie)
			require.NoError(t, d.End(t.Context(), v.Exchange))
			require.Equal(t, []string{row.cookie + "=; " + row.scope + "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; " + row.rest}, setCookies(v))
			require.Empty(t, d.who(cookie))
		})
	}
}

func TestIssue(t *testing.T) {
	t.Run("stores a session with a new ID at each sign-in", func(t *testing.T) {
		d := newDesk(t, "")
		seen := map[string]bool{}
		for range 1000 {
			_, s := d.signIn("alice")
			require.GreaterOrEqual(t, len(s.ID), 26, "130 bits, 5 in each character")
			require.False(t, seen[s.ID])
			seen[s.ID] = true
			stored, err := d.store.FindSession(t.Context(), s.ID)
			require.NoError(t, err)
			require.Equal(t, "alice", stored.IdentityID)
		}
	})

	t.Run("the cookie does not show the session's identity", func(t *testing.T) {
		d := newDesk(t, "")
		cookie, _ := d.signIn("alice-the-identity")
		require.NotContains(t, cookie, "alice")
	})

	t.Run("gives the session, with times in microseconds", func(t *testing.T) {
		d := newDesk(t, "session: {lifespan: 90m}\n")
		now := time.Date(2026, 7, 1, 12, 0, 0, 123456000, time.UTC)
		cookie, s := d.signIn("alice")
		require.Equal(t, flowhook.Session{ID: s.ID, IdentityID: "alice", AuthenticatedAt: now, IssuedAt: now, ExpiresAt: now.Add(90 * time.Minute)}, s)
		found, err := d.FromRequest(visit("", cookie).Request)
		require.NoError(t, err)
		require.Equal(t, s, *found)
	})

	t.Run("twice leaves one session and one cookie, and other cookies", func(t *testing.T) {
		d := newDesk(t, "")
		v := visit("alice")
		v.rec.Header()["Set-Cookie"] = []string{"theme=dark", "__Host-session-of-another=1"}
		require.NoError(t, d.Issue(t.Context(), v.Exchange))
		first := setCookies(v)[2]
		require.NoError(t, d.Issue(t.Context(), v.Exchange))
		require.Len(t, setCookies(v), 3)
		require.Equal(t, []string{"theme=dark", "__Host-session-of-another=1"}, setCookies(v)[:2])
		require.NotEqual(t, first, setCookies(v)[2])
		first, _, _ = strings.Cut(first, ";")
		second, _, _ := strings.Cut(setCookies(v)[2], ";")
		require.Empty(t, d.who(first))
		require.Equal(t, "alice", d.who(second))
	})

	t.Run("then End leaves one cookie, the one that takes it back", func(t *testing.T) {
		d := newDesk(t, "")
		v := visit("alice")
		require.NoError(t, d.Issue(t.Context(), v.Exchange))
		require.NoError(t, d.End(t.Context(), v.Exchange))
		require.Len(t, setCookies(v), 1)
		require.True(t, strings.HasPrefix(setCookies(v)[0], "__Host-session=; "))
	})

	t.Run("without an identity is an error", func(t *testing.T) {
		d := newDesk(t, "")
		empty := visit("")
		empty.Identity = &flowhook.Identity{}
		for _, x := range []visitor{visit(""), empty} {
			require.ErrorIs(t, d.Issue(t.Context(), x.Exchange), flowhook.ErrNoIdentity)
			_, err := d.Create(t.Context(), x.Exchange)
			require.ErrorIs(t, err, flowhook.ErrNoIdentity)
		}
		require.Empty(t, d.store.take())
	})

	t.Run("without a writer is an error, and stores nothing", func(t *testing.T) {
		d := newDesk(t, "")
		v := visit("alice")
		v.Writer = nil
		require.ErrorIs(t, d.Issue(t.Context(), v.Exchange), flowhook.ErrNoExchange)
		require.ErrorIs(t, d.End(t.Context(), v.Exchange), flowhook.ErrNoExchange)
		require.Empty(t, d.store.take())
	})
}

func TestCreateNeedsNeitherWriterNorRequest(t *testing.T) {
	d := newDesk(t, "")
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	token, err := d.Create(t.Context(), x)
	require.NoError(t, err)
	s, err := d.FromToken(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, *x.Session, *s)

	v := visit("alice")
	_, err = d.Create(t.Context(), v.Exchange)
	require.NoError(t, err)
	require.Empty(t, v.rec.Header(), "Create has set a cookie")
}

// What an attacker has planted, or seen, before the sign-in is worth nothing after it.
func TestASignInEndsTheSessionsItCameWith(t *testing.T) {
	issue := func(d *desk, x *flowhook.Exchange) error { return d.Issue(d.t.Context(), x) }
	create := func(d *desk, x *flowhook.Exchange) error { _, err := d.Create(d.t.Context(), x); return err }
	for name, signIn := range map[string]func(*desk, *flowhook.Exchange) error{"Issue": issue, "Create": create} {
		for _, row := range []struct {
			name   string
			cookie bool   // the request brings the session in its cookie
			field  bool   // x.Session is the session
			owner  string // whose it is
		}{
			{"by cookie", true, false, "alice"}, {"by cookie, another's", true, false, "mallory"},
			{"by x.Session", false, true, "alice"}, {"by x.Session, another's", false, true, "mallory"},
			{"by both, the same one", true, true, "mallory"},
		} {
			t.Run(name+" "+row.name, func(t *testing.T) {
				d := newDesk(t, "")
				cookie, s := d.signIn(row.owner)
				bystander, _ := d.signIn("alice")
				v := visit("alice")
				if row.cookie {
					v = visit("alice", "theme=dark", cookie)
				}
				if row.field {
					v.Session = &s
				}
				d.store.take()
				require.NoError(t, signIn(d, v.Exchange))
				require.Equal(t, []string{"DeleteSession " + s.ID, "CreateSession " + v.Session.ID}, d.store.take())
				require.NotEqual(t, s.ID, v.Session.ID)
				require.Empty(t, d.who(cookie), "the session it came with lives")
				require.Equal(t, "alice", d.who(bystander), "a session on another device is dead")
			})
		}
		t.Run(name+" both, where they differ", func(t *testing.T) {
			d := newDesk(t, "")
			inCookie, s1 := d.signIn("mallory")
			inField, s2 := d.signIn("alice")
			v := visit("alice", inCookie)
			v.Session = &s2
			d.store.take()
			require.NoError(t, signIn(d, v.Exchange))
			require.Equal(t, []string{"DeleteSession " + s1.ID, "DeleteSession " + s2.ID, "CreateSession " + v.Session.ID}, d.store.take())
			require.Empty(t, d.who(inCookie)+d.who(inField))
		})
		t.Run(name+" but not where the cookie is forged", func(t *testing.T) {
			d := newDesk(t, "")
			victim, s := d.signIn("alice")
			forged := newDesk(t, "", func(d *desk) { d.opts.Secrets = []string{"another-secret-than-that"} })
			forged.store = d.store
			stolen, _ := forged.signIn("alice")
			for _, cookie := range []string{"__Host-session=" + s.ID, stolen, victim[:len(victim)-4] + "AAA="} {
				d.store.take()
				v := visit("mallory", cookie)
				require.NoError(t, signIn(d, v.Exchange))
				require.Equal(t, []string{"CreateSession " + v.Session.ID}, d.store.take())
				require.Equal(t, "alice", d.who(victim))
			}
		})
	}
}

func TestEnd(t *testing.T) {
	errTrouble := errors.New("trouble")
	t.Run("deletes the session of the cookie and x.Session", func(t *testing.T) {
		d := newDesk(t, "")
		a, _ := d.signIn("alice")
		b, s := d.signIn("alice")
		c, _ := d.signIn("alice")
		v := visit("alice", a)
		v.Session = &s
		require.NoError(t, d.End(t.Context(), v.Exchange))
		require.Nil(t, v.Session)
		require.Equal(t, []string{"", "", "alice"}, []string{d.who(a), d.who(b), d.who(c)})
		require.Len(t, setCookies(v), 1)
	})
	t.Run("waits its turn with the sign-ins of the session's identity", func(t *testing.T) {
		d := newDesk(t, "")
		_, s := d.signIn("alice")
		v := visit("")
		v.Session = &s
		d.store.take()
		require.NoError(t, d.End(t.Context(), v.Exchange))
		require.Equal(t, []string{"Transaction alice", "DeleteSession " + s.ID}, d.store.calls)
	})
	t.Run("of nobody's is no error, and takes the cookie back", func(t *testing.T) {
		for _, cookies := range [][]string{nil, {"__Host-session=forged"}, {"theme=dark"}} {
			d := newDesk(t, "")
			v := visit("", cookies...)
			require.NoError(t, d.End(t.Context(), v.Exchange))
			require.Len(t, setCookies(v), 1)
			require.Empty(t, d.store.take())
		}
	})
	t.Run("of a session that is gone is no error", func(t *testing.T) {
		d := newDesk(t, "")
		cookie, _ := d.signIn("alice")
		for range 2 {
			require.NoError(t, d.End(t.Context(), visit("", cookie).Exchange))
		}
	})
	t.Run("is undone with the run that it is part of", func(t *testing.T) {
		d := newDesk(t, "")
		cookie, s := d.signIn("alice")
		v := visit("alice", cookie)
		v.Session = &s
		require.ErrorIs(t, d.complete(v, func(ctx context.Context) error {
			require.NoError(t, d.End(ctx, v.Exchange))
			return errTrouble
		}), errTrouble)
		require.Equal(t, "alice", d.who(cookie))
		require.Equal(t, s, *v.Session)
		require.Empty(t, setCookies(v))
	})
	t.Run("over HTTP", func(t *testing.T) {
		h := newHost(t, "", withUsers(alice))
		b := h.browser()
		require.Equal(t, http.StatusOK, b.post("/login/password", "user", "alice").StatusCode)
		require.Equal(t, "alice", b.who())
		require.Equal(t, http.StatusOK, b.post("/logout").StatusCode)
		require.Empty(t, b.cookies())
		require.Equal(t, "anonymous", b.who())
	})
}

func TestACookieAfterTheCommitIsAnError(t *testing.T) {
	h := newHost(t, "", withUsers(alice))
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: newRequest(), Identity: alice.identity()}
	ran := false
	_, err := h.pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, func(context.Context) error {
		x.AfterCommit(func(ctx context.Context) error {
			ran = true
			require.ErrorContains(t, h.pipeline.Sessions().Issue(ctx, x), "committed")
			require.ErrorContains(t, h.pipeline.Sessions().End(ctx, x), "committed")
			require.Nil(t, x.Session)
			return nil
		})
		return nil
	})
	require.NoError(t, err)
	require.True(t, ran)
	require.NoError(t, h.pipeline.Sessions().Issue(t.Context(), x), "the run is over")
}
