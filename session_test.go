package flowhook_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// TestSessions_CookieAttributes tests the cookie of every setting, when it is set and when it is
// deleted.
func TestSessions_CookieAttributes(t *testing.T) {
	cookie := func(settings string) string { return "session: {cookie: {" + settings + "}}\n" }
	const older = "cookies: {domain: old.example, path: /old, same_site: Strict}\n"
	for _, row := range []struct{ name, text, cookie, scope, rest, age string }{
		{"nothing", "", "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"lifespan", "session: {lifespan: 90m}\n", "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Lax",
			"5400"},
		{"name", cookie("name: sid"), "sid", "Path=/", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"name with a prefix", cookie("name: __Secure-sid, path: /a"), "__Secure-sid", "Path=/a",
			"HttpOnly; Secure; SameSite=Lax", "86400"},
		{"domain", cookie("domain: example.org"), "session", "Path=/; Domain=example.org",
			"HttpOnly; Secure; SameSite=Lax", "86400"},
		{"path", cookie("path: /auth"), "session", "Path=/auth", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"same_site Strict", cookie("same_site: Strict"), "__Host-session", "Path=/",
			"HttpOnly; Secure; SameSite=Strict", "86400"},
		{"same_site None", cookie("same_site: None"), "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=None",
			"86400"},
		{"not persistent", cookie("persistent: false"), "__Host-session", "Path=/", "HttpOnly; Secure; SameSite=Lax",
			""},
		{"not secure", cookie("secure: false"), "session", "Path=/", "HttpOnly; SameSite=Lax", "86400"},
		{"older cookies", older, "session", "Path=/old; Domain=old.example", "HttpOnly; Secure; SameSite=Strict",
			"86400"},
		{"oldest same_site", "security: {session: {cookie: {same_site: None}}}\n", "__Host-session", "Path=/",
			"HttpOnly; Secure; SameSite=None", "86400"},
		{"older over the oldest", older + "security: {session: {cookie: {same_site: None}}}\n",
			"session", "Path=/old; Domain=old.example", "HttpOnly; Secure; SameSite=Strict", "86400"},
		{"newer over the older", cookie("domain: new.example, path: /new, same_site: Lax") + older,
			"session", "Path=/new; Domain=new.example", "HttpOnly; Secure; SameSite=Lax", "86400"},
		{"newer over the older, one by one", cookie("path: /new") + older,
			"session", "Path=/new; Domain=old.example", "HttpOnly; Secure; SameSite=Strict", "86400"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, row.text)
			v := flowtest.NewVisitor("alice")
			require.NoError(t, d.Issue(t.Context(), v.Exchange))
			age := ""
			if row.age != "" {
				age = "Max-Age=" + row.age + "; "
			}
			require.Len(t, flowtest.SetCookies(v), 1)
			require.Regexp(t, "^"+row.cookie+`=[A-Za-z0-9_=-]{80,200}; `+
				regexp.QuoteMeta(row.scope+"; "+age+row.rest)+"$", flowtest.SetCookies(v)[0])
			cookie, _, _ := strings.Cut(flowtest.SetCookies(v)[0], ";")
			require.Equal(t, "alice", d.IdentityOf(cookie))

			v = flowtest.NewVisitor("", cookie)
			require.NoError(t, d.End(t.Context(), v.Exchange))
			require.Equal(t, []string{row.cookie + "=; " + row.scope +
				"; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; " + row.rest}, flowtest.SetCookies(v))
			require.Empty(t, d.IdentityOf(cookie))
		})
	}
}

func TestSessions_Issue(t *testing.T) {
	t.Run("every sign-in stores a session with a new ID", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		seen := map[string]bool{}
		for range 1000 {
			_, s := d.SignIn("alice")
			require.GreaterOrEqual(t, len(s.ID), 26, "130 bits, 5 in each character")
			require.False(t, seen[s.ID])
			seen[s.ID] = true
			stored, err := d.Store.FindSession(t.Context(), s.ID)
			require.NoError(t, err)
			require.Equal(t, "alice", stored.IdentityID)
		}
	})

	t.Run("cookie hides the identity", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookie, _ := d.SignIn("alice-the-identity")
		require.NotContains(t, cookie, "alice")
	})

	t.Run("x.Session has times in microseconds", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "session: {lifespan: 90m}\n")
		now := time.Date(2026, 7, 1, 12, 0, 0, 123456000, time.UTC)
		cookie, s := d.SignIn("alice")
		require.Equal(t, flowhook.Session{ID: s.ID, IdentityID: "alice", AuthenticatedAt: now, IssuedAt: now,
			ExpiresAt: now.Add(90 * time.Minute)}, s)
		found, err := d.FromRequest(flowtest.NewVisitor("", cookie).Request)
		require.NoError(t, err)
		require.Equal(t, s, *found)
	})

	t.Run("two calls leave one session and one cookie", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		v := flowtest.NewVisitor("alice")
		v.Recorder.Header()["Set-Cookie"] = []string{"theme=dark", "__Host-session-of-another=1"}
		require.NoError(t, d.Issue(t.Context(), v.Exchange))
		first := flowtest.SetCookies(v)[2]
		require.NoError(t, d.Issue(t.Context(), v.Exchange))
		require.Len(t, flowtest.SetCookies(v), 3)
		require.Equal(t, []string{"theme=dark", "__Host-session-of-another=1"}, flowtest.SetCookies(v)[:2])
		require.NotEqual(t, first, flowtest.SetCookies(v)[2])
		first, _, _ = strings.Cut(first, ";")
		second, _, _ := strings.Cut(flowtest.SetCookies(v)[2], ";")
		require.Empty(t, d.IdentityOf(first))
		require.Equal(t, "alice", d.IdentityOf(second))
	})

	t.Run("End afterwards leaves one cookie, which deletes", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		v := flowtest.NewVisitor("alice")
		require.NoError(t, d.Issue(t.Context(), v.Exchange))
		require.NoError(t, d.End(t.Context(), v.Exchange))
		require.Len(t, flowtest.SetCookies(v), 1)
		require.True(t, strings.HasPrefix(flowtest.SetCookies(v)[0], "__Host-session=; "))
	})

	t.Run("missing identity is an error", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		empty := flowtest.NewVisitor("")
		empty.Identity = &flowhook.Identity{}
		for _, x := range []flowtest.Visitor{flowtest.NewVisitor(""), empty} {
			require.ErrorIs(t, d.Issue(t.Context(), x.Exchange), flowhook.ErrNoIdentity)
			_, err := d.Create(t.Context(), x.Exchange)
			require.ErrorIs(t, err, flowhook.ErrNoIdentity)
		}
		require.Empty(t, d.Store.Take())
	})

	t.Run("missing writer is an error and stores nothing", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		v := flowtest.NewVisitor("alice")
		v.Writer = nil
		require.ErrorIs(t, d.Issue(t.Context(), v.Exchange), flowhook.ErrNoExchange)
		require.ErrorIs(t, d.End(t.Context(), v.Exchange), flowhook.ErrNoExchange)
		require.Empty(t, d.Store.Take())
	})
}

func TestSessions_CreateWithoutRequest(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	token, err := d.Create(t.Context(), x)
	require.NoError(t, err)
	s, err := d.FromToken(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, *x.Session, *s)

	v := flowtest.NewVisitor("alice")
	_, err = d.Create(t.Context(), v.Exchange)
	require.NoError(t, err)
	require.Empty(t, v.Recorder.Header(), "Create has set a cookie")
}

// A session that an attacker planted or saw before the sign-in is useless after it.
func TestSessions_SignInEndsPresentedSessions(t *testing.T) {
	issue := func(d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.Issue(d.T.Context(), x) }
	create := func(d *flowtest.SessionTest, x *flowhook.Exchange) error {
		_, err := d.Create(d.T.Context(), x)
		return err
	}
	for name, signIn := range map[string]func(*flowtest.SessionTest, *flowhook.Exchange) error{"Issue": issue,
		"Create": create} {
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
				d := flowtest.NewSessionTest(t, "")
				cookie, s := d.SignIn(row.owner)
				bystander, _ := d.SignIn("alice")
				v := flowtest.NewVisitor("alice")
				if row.cookie {
					v = flowtest.NewVisitor("alice", "theme=dark", cookie)
				}
				if row.field {
					v.Session = &s
				}
				d.Store.Take()
				require.NoError(t, signIn(d, v.Exchange))
				require.Equal(t, []string{"ReplaceSession " + s.ID + " " + v.Session.ID}, d.Store.Take())
				require.NotEqual(t, s.ID, v.Session.ID)
				require.Empty(t, d.IdentityOf(cookie), "the presented session is alive")
				require.Equal(t, "alice", d.IdentityOf(bystander), "a session on another device was ended")
			})
		}
		t.Run(name+" both, where they differ", func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			inCookie, s1 := d.SignIn("mallory")
			inField, s2 := d.SignIn("alice")
			v := flowtest.NewVisitor("alice", inCookie)
			v.Session = &s2
			d.Store.Take()
			require.NoError(t, signIn(d, v.Exchange))
			require.Equal(t, []string{"ReplaceSession " + s1.ID + " " + s2.ID + " " + v.Session.ID}, d.Store.Take())
			require.Empty(t, d.IdentityOf(inCookie)+d.IdentityOf(inField))
		})
		t.Run(name+" but not where the cookie is forged", func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			victim, s := d.SignIn("alice")
			forged := flowtest.NewSessionTest(t, "",
				func(d *flowtest.SessionTest) { d.Options.Secrets = []string{"another-secret-than-that"} })
			forged.Store = d.Store
			stolen, _ := forged.SignIn("alice")
			for _, cookie := range []string{"__Host-session=" + s.ID, stolen, victim[:len(victim)-4] + "AAA="} {
				d.Store.Take()
				v := flowtest.NewVisitor("mallory", cookie)
				require.NoError(t, signIn(d, v.Exchange))
				require.Equal(t, []string{"CreateSession " + v.Session.ID}, d.Store.Take())
				require.Equal(t, "alice", d.IdentityOf(victim))
			}
		})
	}
}

func TestSessions_End(t *testing.T) {
	errTrouble := errors.New("trouble")
	t.Run("session of the cookie and x.Session are deleted", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		a, _ := d.SignIn("alice")
		b, s := d.SignIn("alice")
		c, _ := d.SignIn("alice")
		v := flowtest.NewVisitor("alice", a)
		v.Session = &s
		require.NoError(t, d.End(t.Context(), v.Exchange))
		require.Nil(t, v.Session)
		require.Equal(t, []string{"", "", "alice"}, []string{d.IdentityOf(a), d.IdentityOf(b), d.IdentityOf(c)})
		require.Len(t, flowtest.SetCookies(v), 1)
	})
	t.Run("anonymous request is no error and deletes the cookie", func(t *testing.T) {
		for _, cookies := range [][]string{nil, {"__Host-session=forged"}, {"theme=dark"}} {
			d := flowtest.NewSessionTest(t, "")
			v := flowtest.NewVisitor("", cookies...)
			require.NoError(t, d.End(t.Context(), v.Exchange))
			require.Len(t, flowtest.SetCookies(v), 1)
			require.Empty(t, d.Store.Take())
		}
	})
	t.Run("ended session is no error", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookie, _ := d.SignIn("alice")
		for range 2 {
			require.NoError(t, d.End(t.Context(), flowtest.NewVisitor("", cookie).Exchange))
		}
	})
	t.Run("rollback of the run restores the session", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "")
		cookie, s := d.SignIn("alice")
		v := flowtest.NewVisitor("alice", cookie)
		v.Session = &s
		require.ErrorIs(t, d.CompleteLogin(v, func(ctx context.Context) error {
			require.NoError(t, d.End(ctx, v.Exchange))
			return errTrouble
		}), errTrouble)
		require.Equal(t, "alice", d.IdentityOf(cookie))
		require.Equal(t, s, *v.Session)
		require.Empty(t, flowtest.SetCookies(v))
	})
	t.Run("over HTTP", func(t *testing.T) {
		h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice))
		b := h.Browser()
		require.Equal(t, http.StatusOK, b.PostPath("/login/password", "user", "alice").StatusCode)
		require.Equal(t, "alice", b.WhoAmI())
		require.Equal(t, http.StatusOK, b.PostPath("/logout").StatusCode)
		require.Empty(t, b.Cookies())
		require.Equal(t, "anonymous", b.WhoAmI())
	})
}

// Issue and End make one call of the store if they can, and a transaction of the identity if not. A
// call that fails changes nothing.
func TestSessions_StoreCalls(t *testing.T) {
	errTrouble := errors.New("trouble")
	steps := []func(*flowtest.SessionTest){flowtest.WithoutReplace}
	for _, row := range []struct {
		name   string
		issues bool // or else it ends
		old    int  // sessions of the request
		change []func(*flowtest.SessionTest)
		want   []string
	}{
		{"Issue", true, 0, nil, []string{"CreateSession"}},
		{"Issue ends one", true, 1, nil, []string{"ReplaceSession"}},
		{"Issue ends two", true, 2, nil, []string{"ReplaceSession"}},
		{"Issue without ReplaceSession", true, 0, steps, []string{"CreateSession"}},
		{"Issue ends one without ReplaceSession", true, 1, steps,
			[]string{"Transaction", "DeleteSession", "CreateSession"}},
		{"End without a session", false, 0, nil, nil},
		{"End", false, 1, nil, []string{"DeleteSession"}},
		{"End of two", false, 2, nil, []string{"Transaction", "DeleteSession", "DeleteSession"}},
		{"End without ReplaceSession", false, 1, steps, []string{"DeleteSession"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "", row.change...)
			cookies, ids := d.CookiesOf("alice", row.old)
			v := flowtest.NewVisitor("alice", cookies...)
			var before *flowhook.Session
			if row.old > 0 {
				s, err := d.Store.FindSession(t.Context(), ids[0])
				require.NoError(t, err)
				before, v.Session = &s, &s
			}
			call := d.End
			if row.issues {
				call = d.Issue
			}
			for _, method := range row.want {
				d.Store.Fail[method] = errTrouble
				require.ErrorIs(t, call(t.Context(), v.Exchange), errTrouble)
				delete(d.Store.Fail, method)
				require.Same(t, before, v.Session)
				require.Empty(t, v.Recorder.Header())
				require.Equal(t, row.old, d.LiveSessions("alice")["alice"])
			}

			d.Store.Calls = nil
			require.NoError(t, call(t.Context(), v.Exchange))
			var got []string
			for _, c := range d.Store.Calls {
				method, about, _ := strings.Cut(c, " ")
				got = append(got, method)
				require.True(t, method != "Transaction" || about == "alice", "%s is not of the identity", c)
			}
			require.Equal(t, row.want, got)
			for _, c := range cookies {
				require.Empty(t, d.IdentityOf(c))
			}
			require.Equal(t, row.issues, v.Session != nil)
			require.Len(t, flowtest.SetCookies(v), 1)
		})
	}
}

func TestSessions_CookieAfterCommit(t *testing.T) {
	h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice))
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(),
		Identity: flowtest.Alice.Identity()}
	ran := false
	_, err := h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
		func(context.Context) error {
			x.AfterCommit(func(ctx context.Context) error {
				ran = true
				require.ErrorContains(t, h.Pipeline.Sessions().Issue(ctx, x), "committed")
				require.ErrorContains(t, h.Pipeline.Sessions().End(ctx, x), "committed")
				require.Nil(t, x.Session)
				return nil
			})
			return nil
		})
	require.NoError(t, err)
	require.True(t, ran)
	require.NoError(t, h.Pipeline.Sessions().Issue(t.Context(), x), "the run is over")
}

const sessionHookYAML = "selfservice: {login: {after: [{hook: session}]}}\n"

// The session hook signs the user in unless the session is already issued.
func TestSessionHook_IssuesOnce(t *testing.T) {
	type step = func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error
	issue := func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.Issue(ctx, x) }
	create := func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error {
		_, err := d.Create(ctx, x)
		return err
	}
	end := func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.End(ctx, x) }
	become := func(id string) step {
		return func(_ context.Context, _ *flowtest.SessionTest, x *flowhook.Exchange) error {
			x.Identity = &flowhook.Identity{ID: id}
			return nil
		}
	}
	for _, row := range []struct {
		name  string
		steps []step
		live  map[string]int // sessions of each identity in the end
		lines int
	}{
		{"not yet issued", nil, map[string]int{"alice": 1}, 1},
		{"not after Issue", []step{issue}, map[string]int{"alice": 1}, 1},
		{"not after Create", []step{create}, map[string]int{"alice": 1}, 0},
		{"issued and ended", []step{issue, end}, map[string]int{"alice": 1}, 1},
		{"issued for another identity", []step{issue, become("bob")}, map[string]int{"bob": 1}, 1},
		{"issued for the first identity, then for another", []step{issue, become("bob"), issue, become("alice")},
			map[string]int{"alice": 1}, 1},
	} {
		for _, inSave := range []bool{true, false} {
			where := " in save"
			if !inSave {
				where = " before the run"
			}
			t.Run(row.name+where, func(t *testing.T) {
				d := flowtest.NewSessionTest(t, sessionHookYAML)
				v := flowtest.NewVisitor("alice")
				steps := func(ctx context.Context) error {
					for _, s := range row.steps {
						if err := s(ctx, d, v.Exchange); err != nil {
							return err
						}
					}
					return nil
				}
				save := steps
				if !inSave {
					require.NoError(t, steps(t.Context()))
					save = nil
				}
				require.NoError(t, d.CompleteLogin(v, save))
				require.Len(t, flowtest.SetCookies(v), row.lines)
				require.NotNil(t, v.Session)
				require.Equal(t, row.live, d.LiveSessions("alice", "bob"))
			})
		}
	}

	t.Run("twice in one chain", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: {password: {hooks: [{hook: session}]}, hooks: [{hook: session}, {hook: session}]}}}\n")
		v := flowtest.NewVisitor("alice")
		require.NoError(t, d.CompleteLogin(v, nil))
		require.Len(t, flowtest.SetCookies(v), 1)
		require.Equal(t, map[string]int{"alice": 1}, d.LiveSessions("alice"))
	})

	t.Run("run that issued it failed", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, sessionHookYAML)
		v := flowtest.NewVisitor("alice")
		errNo := errors.New("no")
		require.ErrorIs(t, d.CompleteLogin(v, func(ctx context.Context) error {
			require.NoError(t, d.Issue(ctx, v.Exchange))
			return errNo
		}), errNo)
		require.Nil(t, v.Session)
		require.Empty(t, flowtest.SetCookies(v))
		require.Empty(t, d.LiveSessions("alice"))
		require.NoError(t, d.CompleteLogin(v, nil))
		require.Equal(t, map[string]int{"alice": 1}, d.LiveSessions("alice"))
	})

	t.Run("no identity", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, sessionHookYAML)
		err := d.CompleteLogin(flowtest.NewVisitor(""), nil)
		require.ErrorIs(t, err, flowhook.ErrNoIdentity)
		var hookError *flowhook.HookError
		require.ErrorAs(t, err, &hookError)
		require.Equal(t, "session", hookError.Name)
	})
}

func TestSessionHook_OptionsIssue(t *testing.T) {
	errNo := errors.New("no session today")
	for _, fails := range []bool{false, true} {
		called := 0
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: session}, {hook: session}]}}\n",
			func(d *flowtest.SessionTest) {
				d.Options.Issue = func(_ context.Context, x *flowhook.Exchange) error {
					called++
					require.Equal(t, "alice", x.Identity.ID)
					if fails {
						return errNo
					}
					x.Session = &flowhook.Session{ID: "the host's own", IdentityID: "alice"}
					return nil
				}
			})
		v := flowtest.NewVisitor("alice")
		err := d.CompleteLogin(v, nil)
		require.Equal(t, 1, called)
		require.Empty(t, flowtest.SetCookies(v))
		require.Empty(t, d.Store.Take())
		if fails {
			require.ErrorIs(t, err, errNo)
			require.Nil(t, v.Session)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "the host's own", v.Session.ID)
	}
}

// With a context from outside the transaction, a session would outlive its rollback.
func TestSessions_ContextFromOutsideTransaction(t *testing.T) {
	for _, row := range []struct {
		name string
		call func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error
	}{
		{"Issue", func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error {
			return d.Issue(ctx, x)
		}},
		{"Create", func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error {
			_, err := d.Create(ctx, x)
			return err
		}},
		{"End", func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error {
			return d.End(ctx, x)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			cookie, _ := d.SignIn("alice")
			d.Store.Take()
			v := flowtest.NewVisitor("alice", cookie)
			soon, cancel := context.WithTimeout(context.Background(),
				10*time.Second) // what is not noticed waits for the transaction
			defer cancel()
			outside := flowhook.NewContext(soon, v.Exchange)
			other := flowtest.NewVisitor("bob")
			for name, ctx := range map[string]context.Context{"another": soon, "the request's": outside} {
				err := d.CompleteLogin(v, func(context.Context) error { return row.call(ctx, d, v.Exchange) })
				require.ErrorContains(t, err, "the context is not the transaction's", name)
				require.Empty(t, d.Store.Take())
				require.Empty(t, flowtest.SetCookies(v))
				require.Equal(t, "alice", d.IdentityOf(cookie))
				d.Store.Take()
			}
			err := d.CompleteLogin(other, func(ctx context.Context) error { // the transaction of another exchange
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				return d.CompleteLogin(v, func(context.Context) error { return row.call(ctx, d, v.Exchange) })
			})
			require.ErrorContains(t, err, "the context is not the transaction's")
			require.Empty(t, d.Store.Take())

			require.NoError(t, d.CompleteLogin(v, func(ctx context.Context) error {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				return row.call(child, d, v.Exchange)
			}), "a context derived from the transaction's is inside it")
		})
	}
}

// A token that is not genuine belongs to nobody, in a cookie or bare, and the store is not asked
// for it.
func FuzzFromToken(f *testing.F) {
	d := flowtest.NewSessionTest(f, "")
	s := flowhook.Session{ID: "GENUINEGENUINEGENUINEGENUI", IdentityID: "alice",
		ExpiresAt: d.Clock.Now().Add(time.Hour)}
	require.NoError(f, d.Store.Store.CreateSession(f.Context(), s))
	genuine := flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "1780000000", s.ID)
	found, err := d.FromToken(f.Context(), genuine)
	require.NoError(f, err)
	require.Equal(f, "alice", found.IdentityID)

	for _, token := range []string{genuine, "", "=", "====", s.ID,
		flowtest.SignToken("another-secret-than-that", flowtest.CookieName, "1780000000", s.ID),
		flowtest.SignToken(flowtest.Secret, "session", "1780000000", s.ID),
		flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "", ""),
		base64.URLEncoding.EncodeToString([]byte("1|2|3"))} {
		f.Add(token, uint16(0), uint8(0), "")
	}
	for _, m := range []string{"A", "=", "\n", "\r\n", "|", `"`, ";", "; " + flowtest.CookieName + "=", "\x00",
		"\xff", "+", "/", "%3D", " "} {
		for _, place := range []uint16{0, 1, 60, uint16(len(genuine) - 2), uint16(len(genuine))} {
			f.Add(genuine, place, uint8(0), m)
			f.Add(genuine, place, uint8(1), m)
		}
	}
	f.Fuzz(func(t *testing.T, token string, place uint16, width uint8, piece string) {
		token = mutate(token, place, width, piece)
		d.Store.Take()
		found, err := d.FromToken(t.Context(), token)
		checkFound(t, d, s, found, err, token == genuine)

		r := flowtest.NewRequest()
		r.Header["Cookie"] = []string{flowtest.CookieName + "=" + token}
		parsed := r.CookiesNamed(flowtest.CookieName)
		found, err = d.FromRequest(r)
		checkFound(t, d, s, found, err, slices.ContainsFunc(parsed,
			func(c *http.Cookie) bool { return c.Value == genuine && !c.Quoted }))
	})
}

func checkFound(t *testing.T, d *flowtest.SessionTest, s flowhook.Session, found *flowhook.Session, err error,
	genuine bool) {
	t.Helper()
	calls := d.Store.Take()
	if genuine {
		require.NoError(t, err)
		require.Equal(t, s.ID, found.ID)
		require.Equal(t, []string{"FindSession " + s.ID}, calls)
		return
	}
	require.ErrorIs(t, err, flowhook.ErrNoSession)
	require.Nil(t, found)
	require.Empty(t, calls, "the store was asked")
}
