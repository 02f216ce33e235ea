package flowhook_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func newID() string { return rand.Text() }

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "document", name))
	require.NoError(t, err)
	return string(text)
}

// down is a store that is down, whatever is asked of it.
type down struct{ *hostStore }

var errDown = errors.New("the database is down")

func (down) Transaction(context.Context, string, func(context.Context) error) error { return errDown }
func (down) FindSession(context.Context, string) (flowhook.Session, error) {
	return flowhook.Session{}, errDown
}
func (down) CreateSession(context.Context, flowhook.Session) error { return errDown }
func (down) DeleteSession(context.Context, string) error           { return errDown }
func (down) DeleteSessions(ctx context.Context, _, _ string) error { return errDown }
func storeDown(h *host, o *flowhook.Options)                       { o.Store = down{h.store} }
func withUsers(users ...user) func(h *host, o *flowhook.Options) {
	return func(h *host, o *flowhook.Options) {
		for _, u := range users {
			h.store.users[u.ID] = u
		}
	}
}

var alice, bob = user{ID: "alice", Email: "alice@example.org"}, user{ID: "bob", Email: "bob@example.org"}

// Every sentence of the document about its ten examples, through a service on a real server.
func TestDocument(t *testing.T) {
	used := map[string]bool{}
	document := func(t *testing.T, name string) string { used[name] = true; return document(t, name) }
	t.Cleanup(func() { // when all rows have run
		require.Len(t, used, 10, "an example of the document is driven by no row")
		t.Logf("the document: %d examples driven over TLS", len(used))
	})
	const maintenance = "https://www.ory.sh/maintenance"

	for _, trouble := range []struct {
		name string
		with func(h *host, o *flowhook.Options)
	}{{"", withUsers()}, {" while the store is down", storeDown}} {
		for _, row := range []struct{ file, get, post string }{
			{"01-login-before.yml", "/login", "/login/password"},
			{"05-registration-before.yml", "/registration", "/registration/password"},
		} {
			t.Run(row.file+" redirects whoever initiates the flow"+trouble.name, func(t *testing.T) {
				h := newHost(t, document(t, row.file), trouble.with)
				for _, res := range []answer{h.browser().get(row.get), h.browser().post(row.post, "user", "alice")} {
					require.Equal(t, http.StatusFound, res.StatusCode)
					require.Equal(t, []string{maintenance}, res.Header["Location"])
					require.Empty(t, res.Header["Set-Cookie"])
				}
				require.Empty(t, h.handlers(), "the host's handler was reached")
			})
		}
	}

	t.Run("02-login-after.yml redirects after an OIDC login, whose session arrives and works", func(t *testing.T) {
		h := newHost(t, document(t, "02-login-after.yml"), withUsers(alice))
		b := h.browser()
		res := b.post("/login/oidc", "user", "alice")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://www.ory.sh/"}, res.Header["Location"])
		require.Len(t, res.Header["Set-Cookie"], 1)
		require.Equal(t, "alice", b.who())
	})

	t.Run("02-login-after.yml does not redirect a password login", func(t *testing.T) {
		h := newHost(t, document(t, "02-login-after.yml"), withUsers(alice))
		b := h.browser()
		res := b.post("/login/password", "user", "alice")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Empty(t, res.Header["Location"])
		require.Equal(t, "alice", b.who())
	})

	t.Run("03-login-after-redirect.yml enforces its URL", func(t *testing.T) {
		h := newHost(t, document(t, "03-login-after-redirect.yml"), withUsers(alice))
		b := h.browser()
		res := b.post("/login/password", "user", "alice")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://url-to-redirect/to"}, res.Header["Location"])
		require.Equal(t, "alice", b.who())
	})

	for _, file := range []string{"02-login-after.yml", "04-login-after-revoke.yml"} {
		for _, way := range []signIn{byComplete, byRun, byOwnSessions} {
			t.Run(file+" revokes all earlier sessions of that user, through "+string(way), func(t *testing.T) {
				h := newHost(t, document(t, file), withUsers(alice, bob), func(h *host, _ *flowhook.Options) { h.signIn = way })
				phone, laptop, other := h.browser(), h.browser(), h.browser()
				require.Equal(t, http.StatusOK, other.post("/login/password", "user", "bob").StatusCode)
				require.Equal(t, http.StatusOK, phone.post("/login/password", "user", "alice").StatusCode)
				require.Equal(t, "alice", phone.who())
				require.Equal(t, http.StatusOK, laptop.post("/login/password", "user", "alice").StatusCode)

				require.Equal(t, "anonymous", phone.who(), "an earlier session lives")
				require.Equal(t, "alice", laptop.who(), "the new session is dead")
				require.Equal(t, "bob", other.who(), "another user's session is dead")
			})
		}
	}

	t.Run("05-registration-before.yml also for an OIDC callback that began as a login", func(t *testing.T) {
		h := newHost(t, document(t, "05-registration-before.yml"))
		res := h.browser().get("/login/oidc?user=nobody")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{maintenance}, res.Header["Location"])
		_, saved := h.store.User(t.Context(), "nobody")
		require.False(t, saved)
	})

	for _, strategy := range []string{"password", "oidc"} {
		t.Run("06-registration-after.yml signs a new user in by "+strategy, func(t *testing.T) {
			h := newHost(t, document(t, "06-registration-after.yml"))
			b := h.browser()
			res := b.post("/registration/"+strategy, "user", "carol")
			require.Equal(t, http.StatusOK, res.StatusCode)
			requireSessionCookie(t, res)
			require.Equal(t, "carol", b.who())
			_, saved := h.store.User(t.Context(), "carol")
			require.True(t, saved)
		})
	}

	t.Run("06-registration-after.yml runs after the identity has been saved", func(t *testing.T) {
		saved := false
		h := newHost(t, document(t, "06-registration-after.yml"), func(h *host, o *flowhook.Options) {
			o.Issue = func(ctx context.Context, x *flowhook.Exchange) error {
				_, saved = h.store.User(ctx, "carol")
				return nil
			}
		})
		require.Equal(t, http.StatusOK, h.browser().post("/registration/password", "user", "carol").StatusCode)
		require.True(t, saved)
	})

	t.Run("07-session-secrets.yml signs a new user in", func(t *testing.T) {
		h := newHost(t, document(t, "07-session-secrets.yml"))
		b := h.browser()
		requireSessionCookie(t, b.post("/registration/password", "user", "carol"))
		require.Equal(t, "carol", b.who())
	})

	t.Run("08-registration-after-redirect.yml disables registration", func(t *testing.T) {
		h := newHost(t, document(t, "08-registration-after-redirect.yml"))
		res := h.browser().post("/registration/password", "user", "carol")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://url-to-redirect/to"}, res.Header["Location"])
		_, saved := h.store.User(t.Context(), "carol")
		require.False(t, saved, "the identity was saved")
	})

	for _, row := range []struct{ file, strategy, to string }{
		{"09-settings-after.yml", "profile", "https://www.ory.sh/"},
		{"09-settings-after.yml", "password", "https://www.ory.sh/"},
		{"10-settings-after-strategy.yml", "profile", "https://www.ory.sh/settings-updated"},
		{"10-settings-after-strategy.yml", "password", ""},
	} {
		t.Run(row.file+" saves, then redirects, by "+row.strategy, func(t *testing.T) {
			h := newHost(t, document(t, row.file), withUsers(alice))
			b := h.browser()
			b.post("/login/password", "user", "alice")
			res := b.post("/settings/"+row.strategy, "name", "Alice A.")
			if row.to == "" {
				require.Equal(t, http.StatusOK, res.StatusCode)
			} else {
				require.Equal(t, http.StatusFound, res.StatusCode)
				require.Equal(t, []string{row.to}, res.Header["Location"])
			}
			u, _ := h.store.User(t.Context(), "alice")
			require.Equal(t, "Alice A.", u.Name)
		})
	}

	t.Run("settings flows do not have before hooks", func(t *testing.T) {
		for _, before := range []string{"", " []", " [{hook: redirect, config: {to: /}}]", "\n      hooks: []"} {
			cfg, err := flowhook.ParseConfig([]byte("selfservice:\n  settings:\n    before:" + before + "\n"))
			require.NoError(t, err)
			_, err = flowhook.New(cfg, flowhook.Options{})
			require.ErrorContains(t, err, "settings flows do not have before hooks")
			require.ErrorContains(t, err, "3:")
		}
	})
}

func requireSessionCookie(t *testing.T, res answer) {
	t.Helper()
	require.Len(t, res.Header["Set-Cookie"], 1)
	require.Regexp(t, `^__Host-session=[A-Za-z0-9_=-]+; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax$`, res.Header.Get("Set-Cookie"))
}

// The document's four secrets, and every rotation of one to five.
func TestSecretsRotate(t *testing.T) {
	inDocument := []string{"something-super-secret", "old-session-secret", "older-session-secret", "ancient-session-secret"}
	file := document(t, "07-session-secrets.yml")
	for _, s := range inDocument {
		require.Contains(t, file, "- "+s)
	}
	store := newHostStore()
	sessions := func(t *testing.T, text string, secrets ...string) *flowhook.Sessions {
		cfg, err := flowhook.ParseConfig([]byte(text))
		require.NoError(t, err)
		p, err := flowhook.New(cfg, flowhook.Options{Store: store, Secrets: secrets})
		require.NoError(t, err)
		return p.Sessions()
	}
	issue := func(t *testing.T, s *flowhook.Sessions) string {
		token, err := s.Create(t.Context(), &flowhook.Exchange{Identity: alice.identity()})
		require.NoError(t, err)
		return token
	}
	accepts := func(t *testing.T, s *flowhook.Sessions, token string) bool {
		got, err := s.FromToken(t.Context(), token)
		if err != nil {
			require.ErrorIs(t, err, flowhook.ErrNoSession)
			return false
		}
		require.Equal(t, "alice", got.IdentityID)
		return true
	}

	t.Run("as in the document", func(t *testing.T) {
		document := sessions(t, file)
		for _, secret := range inDocument {
			require.True(t, accepts(t, document, issue(t, sessions(t, "", secret))), "signed earlier under %s", secret)
		}
		token := issue(t, document)
		require.True(t, accepts(t, sessions(t, "", inDocument[0]), token), "signed with the first")
		require.False(t, accepts(t, sessions(t, "", inDocument[1:]...), token), "signed with another")
		require.False(t, accepts(t, document, issue(t, sessions(t, "", "a-secret-that-was-removed"))))
	})

	for n := 1; n <= 5; n++ {
		t.Run(fmt.Sprintf("%d secrets", n), func(t *testing.T) {
			var all []string
			for i := range 2 * n {
				all = append(all, fmt.Sprintf("secret-number-%03d", i))
			}
			t.Logf("rotation: %d secrets, each of them taking its turn at the front and falling off the end", n)
			// At each step the newest comes to the front and the oldest falls off.
			tokens := map[int]string{}
			for step := range n + 1 {
				var now []string
				for i := n - 1 + step; i >= step; i-- {
					if i < len(all) {
						now = append(now, all[i])
					}
				}
				s := sessions(t, "", now...)
				tokens[n-1+step] = issue(t, s)
				for signed, token := range tokens {
					require.Equal(t, signed >= step, accepts(t, s, token), "step %d, signed with %d", step, signed)
				}
				for i, secret := range now {
					require.Equal(t, i == 0, accepts(t, sessions(t, "", secret), tokens[n-1+step]), "new tokens are signed with the first only")
				}
			}
		})
	}
}

const verifyYAML = `
selfservice:
  registration: {after: [{hook: verify}]}
  settings: {after: [{hook: verification}]}
`

var linkToken = regexp.MustCompile(`https://auth\.example/verify\?token=([A-Za-z0-9_-]{43})`)

func TestVerify(t *testing.T) {
	token := func(t *testing.T, m flowhook.Message) string {
		found := linkToken.FindStringSubmatch(m.Link)
		require.NotNil(t, found, m.Link)
		require.Contains(t, m.Text, m.Link)
		require.Contains(t, m.HTML, `href="`+m.Link+`"`)
		return found[1]
	}

	t.Run("mails a link that verifies once", func(t *testing.T) {
		h := newHost(t, verifyYAML)
		b := h.browser()
		require.Equal(t, http.StatusOK, b.post("/registration/password", "user", "carol").StatusCode)
		mails := h.mail.take()
		require.Len(t, mails, 1)
		require.Equal(t, "email", mails[0].Via)
		require.Equal(t, "carol@example.org", mails[0].To)
		require.NotEmpty(t, mails[0].Subject)

		u, _ := h.store.User(t.Context(), "carol")
		require.False(t, u.Verified)
		require.Equal(t, http.StatusOK, b.post("/verification", "token", token(t, mails[0])).StatusCode)
		u, _ = h.store.User(t.Context(), "carol")
		require.True(t, u.Verified)
		require.Equal(t, http.StatusGone, b.post("/verification", "token", token(t, mails[0])).StatusCode, "a second time")
	})

	t.Run("mails to unverified addresses only", func(t *testing.T) {
		h := newHost(t, verifyYAML)
		x := &flowhook.Exchange{Writer: discard{}, Request: newRequest(), Identity: &flowhook.Identity{ID: "carol", Addresses: []flowhook.Address{
			{Via: "email", Value: "old@example.org", Verified: true}, {Via: "email", Value: "new@example.org"}, {Via: "email", Value: "newer@example.org"},
		}}}
		_, err := h.pipeline.Run(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.After, flowhook.Password)
		require.NoError(t, err)
		var to []string
		for _, m := range h.mail.take() {
			to = append(to, m.To)
		}
		require.Equal(t, []string{"new@example.org", "newer@example.org"}, to)
	})

	t.Run("an address that was changed after the mail is not verified by it", func(t *testing.T) {
		h := newHost(t, verifyYAML, withUsers(alice))
		b := h.browser()
		b.post("/login/password", "user", "alice")
		b.post("/settings/profile", "email", "first@example.org")
		first := h.mail.take()
		require.Len(t, first, 1)
		b.post("/settings/profile", "email", "second@example.org")
		second := h.mail.take()
		require.Len(t, second, 1)

		require.Equal(t, http.StatusGone, b.post("/verification", "token", token(t, first[0])).StatusCode)
		u, _ := h.store.User(t.Context(), "alice")
		require.False(t, u.Verified)
		require.Equal(t, http.StatusOK, b.post("/verification", "token", token(t, second[0])).StatusCode)
		u, _ = h.store.User(t.Context(), "alice")
		require.Equal(t, "second@example.org", u.Email)
		require.True(t, u.Verified)
	})

	t.Run("a token that confirm refused is not used up", func(t *testing.T) {
		h := newHost(t, verifyYAML)
		h.browser().post("/registration/password", "user", "carol")
		tok := token(t, h.mail.take()[0])
		refuse := func(context.Context, flowhook.VerificationToken) error { return flowhook.ErrBadToken }
		require.ErrorIs(t, h.pipeline.Redeem(t.Context(), tok, refuse), flowhook.ErrBadToken)
		require.Equal(t, http.StatusOK, h.browser().post("/verification", "token", tok).StatusCode)
	})

	t.Run("a link expires, to the microsecond", func(t *testing.T) {
		for _, row := range []struct {
			after  time.Duration
			status int
		}{{24*time.Hour - time.Microsecond, http.StatusOK}, {24 * time.Hour, http.StatusGone}} {
			h := newHost(t, verifyYAML)
			h.browser().post("/registration/password", "user", "carol")
			tok := token(t, h.mail.take()[0])
			h.clock.Add(row.after)
			require.Equal(t, row.status, h.browser().post("/verification", "token", tok).StatusCode, "after %s", row.after)
		}
	})

	t.Run("at most one mail in an interval", func(t *testing.T) {
		h := newHost(t, strings.ReplaceAll(verifyYAML, "{hook: verify}", "{hook: verify, config: {interval: 10m, lifespan: 90m}}"))
		b := h.browser()
		for _, row := range []struct {
			wait  time.Duration
			mails int
		}{{0, 1}, {0, 0}, {10*time.Minute - time.Microsecond, 0}, {time.Microsecond, 1}} {
			h.clock.Add(row.wait)
			require.Equal(t, http.StatusOK, b.post("/registration/password", "user", "carol").StatusCode)
			mails := h.mail.take()
			require.Len(t, mails, row.mails)
			for _, m := range mails {
				require.Contains(t, m.Text, "expires in 90 minutes")
			}
		}
	})

	t.Run("the token is stored as its hash only, bound to identity and address", func(t *testing.T) {
		h := newHost(t, verifyYAML)
		h.browser().post("/registration/password", "user", "carol")
		tok := token(t, h.mail.take()[0])
		err := h.pipeline.Redeem(t.Context(), tok, func(_ context.Context, v flowhook.VerificationToken) error {
			require.Len(t, v.Hash, 32)
			require.NotContains(t, string(v.Hash), tok)
			require.Equal(t, "carol", v.IdentityID)
			require.Equal(t, flowhook.Address{Via: "email", Value: "carol@example.org"}, v.Address)
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("an address that could smuggle a header never reaches the courier", func(t *testing.T) {
		for _, value := range []string{"", " ", "a@b.example\r\nBcc: c@d.example", "a@b.example\nx", "a@b.example, c@d.example", "A <a@b.example>",
			"a@b.example (c)", "a b@c.example", "\"a b\"@c.example", "a@b.example\x00", "a@b.example\u2028", "a\u202e@b.example", "nobody", "a@b@c.example", "a@\xff.example",
			strings.Repeat("a", 243) + "@b.example.org"} {
			for _, via := range []string{"email", ""} {
				if via == "" && !strings.Contains(value, "@") {
					continue
				}
				h := newHost(t, verifyYAML)
				run := func(addresses ...flowhook.Address) error {
					x := &flowhook.Exchange{Writer: discard{}, Request: newRequest(), Identity: &flowhook.Identity{ID: "carol", Addresses: addresses}}
					_, err := h.pipeline.Run(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.After, flowhook.Password)
					return err
				}
				fine, bad := flowhook.Address{Via: "email", Value: "fine@example.org"}, flowhook.Address{Via: via, Value: value}
				err := run(bad)
				require.ErrorIs(t, err, flowhook.ErrBadAddress, "%q", value)
				require.ErrorContains(t, err, "address 1 of the identity", "%q", value)
				require.Empty(t, h.mail.take(), "%q", value)
				require.NoError(t, run(bad, fine), "%q", value)
				mails := h.mail.take()
				require.Len(t, mails, 1, "%q", value)
				require.Equal(t, fine.Value, mails[0].To)
				if value != "" && value != " " {
					require.NotContains(t, err.Error(), value)
					require.NotContains(t, h.log.String(), value)
				}
			}
		}
	})

	t.Run("the link keeps the query of its URL", func(t *testing.T) {
		for _, row := range []struct{ query, kept string }{
			{"?lang=de&x=1%262", "?lang=de&x=1%262&"}, {"?b=2&a=1;c=3#/top", "?b=2&a=1;c=3&"}, {"?next=/a", "?next=/a&"}, {"?", "?"}, {"?token=old&tokens=2", "?tokens=2&"},
		} {
			h := newHost(t, verifyYAML, func(_ *host, o *flowhook.Options) { o.VerificationURL = "https://auth.example/verify" + row.query })
			h.browser().post("/registration/password", "user", "carol")
			link := h.mail.take()[0].Link
			require.Regexp(t, "^"+regexp.QuoteMeta("https://auth.example/verify"+row.kept)+"token=[A-Za-z0-9_-]{43}(#/top)?$", link)
			require.Equal(t, strings.Contains(row.query, "#"), strings.Contains(link, "#"))
		}
	})
}

// discard is a writer for tests that look at something else.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func newRequest() *http.Request {
	r, err := http.NewRequest(http.MethodPost, "https://auth.example/", nil)
	if err != nil {
		panic(err)
	}
	return r
}
