package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/storetest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	iterations = 1
	m.Run()
}

// outbox is a Courier that keeps the links.
type outbox chan string

func (o outbox) Send(_ context.Context, m flowhook.Message) error { o <- m.Link; return nil }

// databases open a new, empty database.
var databases = map[string]func(t *testing.T) database{
	"memory": func(*testing.T) database { return newMemory() },
	"PostgreSQL": func(t *testing.T) database { // of a service that has used scs's own store so far
		source := testkit.PostgreSQL(t)
		db, err := sql.Open("pgx", source)
		require.NoError(t, err)
		_, err = db.Exec(`CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)`)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		p, err := openPostgres(t.Context(), source)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.db.Close()) })
		return p
	},
}

// everyDatabase runs a test with each kind of database.
func everyDatabase(t *testing.T, test func(t *testing.T, open func(t *testing.T) database)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// serve runs the service with TLS, because a cookie with the prefix __Host- needs it.
func serve(t *testing.T, db database, hooks ...func(cfg *flowhook.Config)) (base string, s *service, mail outbox) {
	t.Helper()
	cfg, err := flowhook.LoadConfig("auth.yml")
	require.NoError(t, err)
	for _, add := range hooks {
		add(cfg)
	}
	srv := httptest.NewUnstartedServer(nil)
	base = "https://" + srv.Listener.Addr().String()
	mail = make(outbox, 100)
	s, err = newService(cfg, db, base, mail)
	require.NoError(t, err)
	srv.Config.Handler = s.handler()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return base, s, mail
}

// device is a browser.
type device struct {
	t    *testing.T
	base string
	*http.Client
}

func newDevice(t *testing.T, base string) device {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	c := httptest.NewTLSServer(nil) // all httptest servers have the same certificate
	defer c.Close()
	return device{t, base, &http.Client{Jar: jar, Transport: c.Client().Transport}}
}

func (d device) get(path string) string {
	d.t.Helper()
	res, err := d.Get(d.base + path)
	return d.read(res, err)
}

func (d device) post(path, form string) string {
	d.t.Helper()
	res, err := d.Post(d.base+path, "application/x-www-form-urlencoded", strings.NewReader(form))
	return d.read(res, err)
}

func (d device) read(res *http.Response, err error) string {
	d.t.Helper()
	require.NoError(d.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(d.t, err)
	return strings.TrimSpace(string(b))
}

func (d device) cookies() []*http.Cookie {
	u, err := url.Parse(d.base)
	require.NoError(d.t, err)
	return d.Jar.Cookies(u)
}

// sessionsOf counts the sessions of a user that have not ended. Without a name, it counts those of
// nobody.
func (s *service) sessionsOf(t *testing.T, name string) (n int) {
	t.Helper()
	require.NoError(t, s.sessions.Iterate(t.Context(), func(ctx context.Context) error {
		if s.sessions.GetString(ctx, userKey) == name {
			n++
		}
		return nil
	}))
	return n
}

const (
	anonymous = "not signed in"
	failed    = "something went wrong; nothing was changed"
	newAlice  = "name=alice&email=alice@example.org&password=correct-horse"
	alice     = "name=alice&password=correct-horse"
	isAlice   = `alice, with the motto ""`
)

func requireNoUser(t *testing.T, s *service, name string) {
	t.Helper()
	u, err := s.db.User(t.Context(), name)
	require.NoError(t, err)
	require.Zero(t, u)
}

func requireVerified(t *testing.T, s *service, want bool) {
	t.Helper()
	u, err := s.db.User(t.Context(), "alice")
	require.NoError(t, err)
	require.Equal(t, want, u.Verified)
}

func TestRegistration(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, _ := serve(t, open(t))
		d := newDevice(t, base)
		require.Equal(t, anonymous, d.get("/whoami"))
		require.Equal(t, "welcome", d.post("/registration", newAlice))
		require.Equal(t, isAlice, d.get("/whoami"))
		require.Equal(t, "the name is taken", newDevice(t, base).post("/registration", newAlice))
	})
}

func TestRegistration_InvalidAddress(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, mail := serve(t, open(t))
		d := newDevice(t, base)
		require.Equal(t, "enter a name, an email address and a password of at least 8 bytes",
			d.post("/registration", "name=alice&email=user..name@example.org&password=correct-horse"))
		require.Equal(t, anonymous, d.get("/whoami"))
		require.Empty(t, mail)
	})
}

func TestLogin_RevokesOtherSessions(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, _ := serve(t, open(t))
		laptop, phone, bob := newDevice(t, base), newDevice(t, base), newDevice(t, base)
		laptop.post("/registration", newAlice)
		bob.post("/registration", "name=bob&email=bob@example.org&password=correct-horse")
		require.Equal(t, "hello", phone.post("/login", alice))
		require.Equal(t, isAlice, phone.get("/whoami"))
		require.Equal(t, anonymous, laptop.get("/whoami"))
		require.Equal(t, `bob, with the motto ""`, bob.get("/whoami"))
	})
}

func TestLogin_ReplacesSession(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, _ := serve(t, open(t))
		d := newDevice(t, base)
		d.post("/registration", newAlice)
		old := d.cookies()
		d.post("/login", alice)
		require.NotEqual(t, old[0].Value, d.cookies()[0].Value)
		thief := newDevice(t, base)
		u, _ := url.Parse(base)
		thief.Jar.SetCookies(u, old)
		require.Equal(t, anonymous, thief.get("/whoami"))
	})
}

func TestLogin_Concurrent(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, _ := serve(t, open(t))
		newDevice(t, base).post("/registration", newAlice)
		devices := make([]device, 8)
		var all sync.WaitGroup
		for i := range devices {
			devices[i] = newDevice(t, base)
			all.Go(func() { devices[i].post("/login", alice) })
		}
		all.Wait()
		signedIn := 0
		for _, d := range devices {
			if d.get("/whoami") == isAlice {
				signedIn++
			}
		}
		require.Equal(t, 1, signedIn)
	})
}

func TestHooks_Fail(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		for name, fail := range map[string]flowhook.HookFunc{
			"error": func(context.Context, *flowhook.Exchange) error { return errors.New("on purpose") },
			"panic": func(context.Context, *flowhook.Exchange) error { panic("on purpose") },
			"answer": func(_ context.Context, x *flowhook.Exchange) error {
				x.Writer.WriteHeader(http.StatusForbidden)
				return nil
			},
		} {
			t.Run(name, func(t *testing.T) {
				base, s, mail := serve(t, open(t), func(cfg *flowhook.Config) {
					late := func(ctx context.Context, x *flowhook.Exchange) error {
						if x.Request.FormValue("fail") == "" {
							return nil
						}
						return fail(ctx, x)
					}
					cfg.Add(flowhook.Point{Flow: flowhook.Registration, Phase: flowhook.After}, "late",
						flowhook.HookFunc(late))
					cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "late", flowhook.HookFunc(late))
				})

				d := newDevice(t, base)
				require.Equal(t, failed, d.post("/registration?fail=1", newAlice))
				require.Empty(t, d.cookies())
				require.Empty(t, mail)
				requireNoUser(t, s, "alice")
				require.Zero(t, s.sessionsOf(t, "alice")+s.sessionsOf(t, ""))

				require.Equal(t, "welcome", d.post("/registration", newAlice))
				other := newDevice(t, base)
				require.Equal(t, failed, other.post("/login?fail=1", alice))
				require.Empty(t, other.cookies())
				require.Equal(t, isAlice, d.get("/whoami"), "the old session must not be revoked")
				require.Equal(t, 1, s.sessionsOf(t, "alice"))
			})
		}
	})
}

func TestHooks_Goexit(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, s, _ := serve(t, open(t), func(cfg *flowhook.Config) {
			cfg.Add(flowhook.Point{Flow: flowhook.Registration, Phase: flowhook.After}, "late",
				flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { runtime.Goexit(); return nil }))
		})
		_, err := newDevice(t, base).Post(base+"/registration", "application/x-www-form-urlencoded",
			strings.NewReader(newAlice))
		require.Error(t, err)
		requireNoUser(t, s, "alice")
		require.Zero(t, s.sessionsOf(t, "alice")+s.sessionsOf(t, ""))
	})
}

// TestSession_RevokedDuringRequest checks that scs does not write back a session that was revoked
// while a request was using it.
func TestSession_RevokedDuringRequest(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, s, _ := serve(t, open(t))
		d := newDevice(t, base)
		d.post("/registration", newAlice)
		require.Equal(t, "visit 1", d.get("/visits"))
		srv := httptest.NewTLSServer(s.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.sessions.Put(r.Context(), "visits", 7)
			require.Equal(t, "hello", newDevice(t, base).post("/login", alice))
			io.WriteString(w, "slow")
		})))
		defer srv.Close()
		slow := device{t, srv.URL, d.Client}
		require.Equal(t, "slow", slow.get("/"))
		require.Equal(t, anonymous, d.get("/whoami"))
	})
}

func TestSettings(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, _ := serve(t, open(t))
		d := newDevice(t, base)
		require.Equal(t, anonymous, d.post("/settings", "motto=none"))
		d.post("/registration", newAlice)
		d.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		res, err := d.PostForm(base+"/settings", url.Values{"motto": {"saved first"}})
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, "/whoami", res.Header.Get("Location"))
		require.Equal(t, `alice, with the motto "saved first"`, d.get("/whoami"))
	})
}

func TestVerification(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, s, mail := serve(t, open(t))
		newDevice(t, base).post("/registration", newAlice)
		path := strings.TrimPrefix(<-mail, base)
		d := newDevice(t, base)
		require.Contains(t, d.get(path), "<button>")
		requireVerified(t, s, false)
		require.Equal(t, "verified", d.post(path, ""))
		requireVerified(t, s, true)
		require.Equal(t, "this link has expired or was already used", d.post(path, ""))
	})
}

func TestStore(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		db := open(t)
		storetest.Run(t, func(*testing.T) (flowhook.Store, func() string) {
			return store{db, newSignIns(db)}, rand.Text
		})
	})
}
