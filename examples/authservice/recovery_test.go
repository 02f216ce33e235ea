package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const newPassword = "another battery horse staple"

// withCodes writes a copy of auth.yml in which emails have codes instead of links.
func withCodes(t *testing.T) string {
	data, err := os.ReadFile("auth.yml")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(data), "# use: code"), "auth.yml is not what this test expects")
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), "# use: code", "use: code")), 0o600))
	return path
}

// askRecovery asks for a recovery email as a user does.
func (b *browser) askRecovery(email string) *browser {
	b.t.Helper()
	return b.open("/login").follow("Forgot your password?").at("/recovery", "Reset your password").
		press("Send the email", "email", email)
}

var sixDigits = regexp.MustCompile(`\b\d{3} ?\d{3}\b`)

// code returns the code in the newest email.
func (s *site) code(to, subject string, seen int) string {
	s.t.Helper()
	code := sixDigits.FindString(s.mail(to, subject, seen).Text)
	require.NotEmpty(s.t, code)
	return code
}

// recoveredOnly checks that the browser is signed in, that all other sessions have ended, and that
// only the new password works.
func (s *site) recoveredOnly(b *browser, others ...*browser) {
	s.t.Helper()
	b.at("/recovery/done", "Your password is changed").follow("Continue").at("/", "Hello, Alice")
	for _, other := range others {
		other.open("/settings").at("/login", "Sign in")
	}
	require.Equal(s.t, 1, s.count("flowhook_sessions"))
	s.browser().open("/login").press("Sign in", "email", email, "password", password).
		refused(http.StatusUnprocessableEntity, "Wrong email address or password.")
	s.signedIn(email, newPassword)
	require.Equal(s.t, 1, s.count("users WHERE email = $1 AND verified_at IS NOT NULL", email))
	s.mail(email, passwordSubject, 0)
}

// TestRecovery_Link recovers an account with a link, and uses the link again.
func TestRecovery_Link(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		stolen, other := s.signedIn(email, password), s.signedIn(email, password)
		b := s.browser().askRecovery(" ALICE@Example.org").at("/recovery/sent", "Check your email")
		m := s.mail(email, recoverySubject, 0)
		require.True(t, strings.HasPrefix(m.Links[0], s.server.URL+"/recovery/new?token="), m.Links)
		link := m.Links[0]

		b.open(link).at("/recovery/new", "Choose a new password").press("Set the password", "new", "short").
			refused(http.StatusUnprocessableEntity, "at least 8")
		stolen.open("/settings").at("/settings", "Settings") // nothing has changed yet
		b.press("Set the password", "new", newPassword)
		s.recoveredOnly(b, stolen, other)
		require.Equal(t, 1, s.count("audit WHERE point = 'recovery/after/link' AND outcome = 'ok' AND user_id IS NOT NULL"))

		_, token, _ := strings.Cut(link, "token=")
		b.open(link).refused(http.StatusGone, "already used").
			follow("Reset your password").at("/recovery", "Reset your password")
		b.post("/recovery/new", url.Values{"token": {token}, "new": {password}}).refused(http.StatusGone, "already used")
		require.Equal(t, 1, s.count("audit WHERE point = 'recovery/failed/link' AND outcome = 'used_token'"))
		s.signedIn(email, newPassword)
		s.browser().open(link).follow("Sign in").at("/login", "Sign in")
		b.open("/recovery/new").at("/recovery/new", "Choose a new password").refused(http.StatusOK, "incomplete")
		b.post("/recovery/new", url.Values{"token": {"nonsense"}, "new": {newPassword}}).
			refused(http.StatusGone, "no longer works").follow("Request a new email").at("/recovery", "Reset your password")
	})
}

// TestRecovery_Expired checks that a link works for 15 minutes, and for no other purpose.
func TestRecovery_Expired(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		b := s.browser().askRecovery(email).at("/recovery/sent", "Check your email")
		link := s.mail(email, recoverySubject, 0).Links[0]
		_, token, _ := strings.Cut(link, "token=")
		b.post("/verify", url.Values{"token": {token}}).refused(http.StatusGone, "no longer works")
		s.ahead.Add(int64(15 * time.Minute))
		b.open(link).refused(http.StatusGone, "has expired")
		s.signedIn(email, password)
	})
}

// TestRecovery_Code recovers an account with a code.
func TestRecovery_Code(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "AUTH_CONFIG", withCodes(t))
		b := s.browser().open("/register").
			press("Register", "name", "Alice", "email", email, "password", password).at("/register/sent", "Check your email")
		b.follow("Enter the code").at("/verify", "Confirm your address")
		code := s.code(email, "Your address confirmation code", 0)
		b.press("Confirm my address", "email", email, "code", other(code)).refused(wrong, "This code is wrong")
		b.press("Confirm my address", "email", "bob@example.org", "code", code).refused(wrong, "This code is wrong")
		b.press("Send a new code", "email", "nonsense").at("/register/again", "Confirm your address").
			refused(wrong, "Enter an email address")
		s.ahead.Add(int64(time.Minute))
		b.press("Send a new code", "email", email).at("/register/sent", "Check your email").
			refused(http.StatusOK, "We'll send it again.").follow("Enter the code")
		code = s.code(email, "Your address confirmation code", 1)
		b.press("Confirm my address", "email", email, "code", " "+code+" ").at("/verify/done", "Your address is confirmed")
		b.open("/verify").press("Confirm my address", "email", email, "code", code).
			refused(wrong, "This code is wrong or no longer works.")
		require.Equal(t, 1, s.count("audit WHERE point = 'verification/after/code'"))
		require.Equal(t, 3, s.count("audit WHERE point = 'verification/failed/code' AND outcome = 'wrong_code'"))

		stolen := s.signedIn(email, password)
		b.askRecovery(email).at("/recovery/code", "Choose a new password")
		s.code(email, codeSubject, 0)
		require.NotContains(t, text(b.doc), "We'll send it again.")
		s.ahead.Add(int64(time.Minute))
		b.press("Send a new code").at("/recovery/code", "Choose a new password").
			refused(http.StatusOK, "We'll send it again. We send at most one email per minute.")
		code = s.code(email, codeSubject, 1)
		for range 3 {
			b.press("Set the password", "email", email, "code", other(code), "new", newPassword).
				refused(wrong, "This code is wrong")
		}
		b.press("Set the password", "email", email, "code", code, "new", "short").refused(wrong, "at least 8")
		stolen.open("/settings").at("/settings", "Settings")
		b.press("Set the password", "email", email, "code", code, "new", newPassword)
		s.recoveredOnly(b, stolen)
		require.Equal(t, 1, s.count("audit WHERE point = 'recovery/after/code' AND outcome = 'ok'"))
		require.Equal(t, 3, s.count("audit WHERE point = 'recovery/failed/code' AND outcome = 'wrong_code' AND account IS "+
			"NOT NULL"))
	})
}

// other returns another code.
func other(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

// TestRecovery_UnknownAddress checks that neither the answers nor the statements before them depend
// on whether there is an account.
func TestRecovery_UnknownAddress(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		for name, path := range map[string]string{"link": "auth.yml", "code": withCodes(t)} {
			s := newSite(t, database, "AUTH_CONFIG", path)
			known, unknown := name+"@example.org", name+"@example.net"
			s.browser().open("/register").press("Register", "name", "Alice", "email", known, "password", password)
			answers := func(email string) (seen []string) {
				b := s.browser()
				b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				see := func() {
					b.Header.Del("Date")
					b.Header.Del("X-Request-Id") // random
					seen = append(seen, fmt.Sprint(b.Status, b.Header, strings.ReplaceAll(b.Body, email, "ADDRESS")))
				}
				b.post("/recovery", url.Values{"email": {email}})
				require.Equal(t, notice{Email: email}, b.takeNotice())
				see()
				for range 3 {
					b.post("/recovery/code", url.Values{"email": {email}, "code": {"000000"}, "new": {newPassword}})
					see()
				}
				return seen
			}
			require.Equal(t, answers(unknown), answers(known))
			s.service.recoveries.Wait()
			require.Equal(t, 1, s.count("flowhook_verifications WHERE purpose = 'recovery' AND address = $1", known))
			require.Equal(t, 0, s.count("flowhook_verifications WHERE address = $1", unknown))
			s.browser().open("/recovery").press("Send the email", "email", "nonsense").
				refused(wrong, "Enter an email address")
		}
	})
}

// TestRecovery_SendAgain checks that asking again shows that it had an effect, known address or not.
func TestRecovery_SendAgain(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	for _, address := range []string{email, "nobody@example.org"} {
		b := s.browser().askRecovery(address).at("/recovery/sent", "Check your email")
		require.NotContains(t, text(b.doc), "send it again.")
		b.press("Send it again").at("/recovery/sent", "Check your email").
			refused(http.StatusOK, "We'll send it again. We send at most one email per minute.").
			refused(http.StatusOK, "If there is an account with "+address+", we have sent an email to it.")
	}
}

// TestRecovery_AnswersFirst checks that the answer does not wait for the search for the account.
func TestRecovery_AnswersFirst(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	require.NoError(t, s.service.recoveryTurns.Acquire(t.Context(), recoveriesAtOnce))
	s.browser().askRecovery(email).at("/recovery/sent", "Check your email")
	require.Equal(t, 0, s.count("flowhook_verifications WHERE purpose = 'recovery'"))
	s.service.recoveryTurns.Release(recoveriesAtOnce)
	s.mail(email, recoverySubject, 0)
}

// TestRecovery_NoDatabase checks that nobody waits for an email that cannot be queued, and that the
// answer is the same for all addresses.
func TestRecovery_NoDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		database string
		breakIt  func(s *site)
	}{
		"closed":    {"sqlite:" + filepath.Join(t.TempDir(), "db"), func(s *site) { require.NoError(t, s.service.db.DB.Close()) }},
		"read-only": {newPostgreSQL(t), (*site).makeReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.database)
			s.register(email, password)
			require.NoError(t, s.outbox.Stop(t.Context()))
			c.breakIt(s)
			for _, path := range []string{"/recovery", "/register/again"} {
				for _, address := range []string{email, "nobody@example.org"} {
					b := s.browser()
					b.post(path, url.Values{"email": {address}}).refused(http.StatusServiceUnavailable, "Not available right now")
					require.Equal(t, "5", b.Header.Get("Retry-After"))
				}
			}
		})
	}
}

// TestRecovery_NotQueued checks that the log says which request an email is missing for.
func TestRecovery_NotQueued(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	_, err := s.service.db.Exec("ALTER TABLE flowhook_verifications RENAME TO gone")
	require.NoError(t, err)
	b := s.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post("/recovery", url.Values{"email": {email}})
	s.service.recoveries.Wait()
	require.Len(t, s.log.lines("level=ERROR", "an email was not sent", "flow=recovery",
		"request_id="+b.Header.Get("X-Request-Id")), 1)
}

// TestRecovery_NotAudited checks that a failed row of the audit keeps no email from being sent.
func TestRecovery_NotAudited(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	_, err := s.service.db.Exec("ALTER TABLE audit RENAME TO gone")
	require.NoError(t, err)
	emails := s.count("river_job")
	b := s.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post("/recovery", url.Values{"email": {email}})
	s.service.recoveries.Wait()
	require.Equal(t, emails+1, s.count("river_job"))
	require.Len(t, s.log.lines("level=ERROR", "its request not audited", "flow=recovery"), 1)
}

// TestRecovery_Audit checks that the log says when and from where someone asked for emails, also for
// an address without an account, and that a flood of requests writes few rows.
func TestRecovery_Audit(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		const nobody = "nobody@example.org"
		for _, address := range []string{email, nobody} {
			s.from("192.0.2.1").post("/recovery", url.Values{"email": {address}})
			s.service.recoveries.Wait()
			s.from("192.0.2.1").post("/register/again", url.Values{"email": {address}})
			s.service.recoveries.Wait()
		}
		rows := func(address string) []string {
			return []string{
				"recovery/before requested unknown " + address + " 192.0.2.1 Firefox on Linux",
				"confirm_address/before requested unknown " + address + " 192.0.2.1 Firefox on Linux",
			}
		}
		require.Equal(t, rows(nobody), s.audited(nobody))
		known := s.audited(email)
		require.Equal(t, rows(email), known[len(known)-2:])

		stopped := time.Now()
		s.service.now = func() time.Time { return stopped }
		for i := range 30 {
			s.from(fmt.Sprintf("198.51.100.%d", i)).post("/recovery", url.Values{"email": {fmt.Sprintf("a%d@example.org", i)}})
		}
		s.service.recoveries.Wait()
		require.LessOrEqual(t, s.count("audit WHERE outcome = 'requested'"), 24)
		require.GreaterOrEqual(t, s.count("audit WHERE outcome = 'requested'"), 20)
	})
}

// TestRecovery_RateLimit checks that requests for email are limited, known address or not, and do not
// keep anyone from signing in.
func TestRecovery_RateLimit(t *testing.T) {
	s := newGuarded(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.register(email, password)
	for network, address := range map[string]string{"192.0.2.1": email, "192.0.2.2": "bruno@example.org"} {
		b := s.from(network)
		for range 10 {
			b.post("/recovery", url.Values{"email": {address}}).at("/recovery/sent", "Check your email")
		}
		b.post("/recovery", url.Values{"email": {address}}).refused(tooMany, "There were too many attempts.")
		b.post("/recovery/code", url.Values{"email": {address}, "code": {"000000"}, "new": {newPassword}}).
			refused(tooMany, "There were too many attempts.")
		require.NotEmpty(t, b.Header.Get("Retry-After"))
	}
	s.service.recoveries.Wait()
	require.Equal(t, 4, s.count("audit WHERE point = 'recovery/before' AND outcome = 'too_many_by_pair'"))
	require.Equal(t, 2, s.count("river_job"), "one to confirm the address, one for recovery within a minute")
	require.Equal(t, http.StatusOK, s.from("192.0.2.1").tries(email, password))
}

// TestRecovery_WithoutPassword checks that a user of a provider gets a password and keeps the
// provider, which the page names.
func TestRecovery_WithoutPassword(t *testing.T) {
	s, _ := newOIDCSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"))
	s.browser().open("/login/oidc/acme").at("/", "Hello, Alice").open("/settings").follow("get a link by email").
		press("Send the email", "email", email).at("/recovery/sent", "Check your email")
	s.browser().open(s.mail(email, recoverySubject, 0).Links[0]).press("Set the password", "new", newPassword).
		at("/recovery/done", "Your password is changed").
		refused(http.StatusOK, "If you don't recognize it, disconnect it in your settings.").
		follow("settings").at("/settings", "Settings")
	s.signedIn(email, newPassword)
	s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
	require.Equal(t, 1, s.count("users"))
}

// TestRequireVerifiedAddress uncomments require_verified_address in auth.yml.
func TestRequireVerifiedAddress(t *testing.T) {
	const comment = `          # - hook: require_verified_address
          #   config:
          #     to: /register/sent
`
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "AUTH_CONFIG",
			withConfig(t, comment, strings.ReplaceAll(comment, "          # ", "          ")))
		b := s.browser().open("/register").press("Register", "name", "Alice", "email", email, "password", password)
		link := s.mail(email, confirmSubject, 0).Links[0]
		b.open("/login").press("Sign in", "email", email, "password", password).at("/register/sent", "Check your email")
		require.Equal(t, 0, s.count("flowhook_sessions"))
		b.open(link).press("Confirm my address").at("/verify/done", "Your address is confirmed")
		s.signedIn(email, password)
	})
}
