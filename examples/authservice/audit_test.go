package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// audited returns the lines that "authservice audit" prints about a user, without the times.
func (s *site) audited(user string) (lines []string) {
	s.t.Helper()
	var out bytes.Buffer
	require.NoError(s.t, printAudit(s.t.Context(), s.service.config, user, auditMax, &out))
	for line := range strings.Lines(out.String()) {
		cells := strings.Fields(line)
		if len(lines) > 0 {
			at, err := time.Parse(time.RFC3339, cells[0])
			require.NoError(s.t, err)
			require.WithinDuration(s.t, s.service.now(), at, time.Minute)
		}
		lines = append(lines, strings.Join(cells[1:], " "))
	}
	require.Equal(s.t, "WHAT OUTCOME USER ADDRESS FROM BY", lines[0])
	return lines[1:]
}

// TestAudit checks that an operator finds the attempts on an address, with or without an account,
// and that the log contains nothing that was typed.
func TestAudit(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		const nobody, typed = "nobody@example.org", "wrong and secret"
		s.from("192.0.2.9").tries(email, typed) // before the account exists
		s.register(email, password)
		var id string
		require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
		s.from("192.0.2.1").tries(email, typed)
		b := s.from("2001:db8::1")
		b.tries(" ALICE@Example.org", password)
		b.open("/settings").press("Change password", "current", typed, "new", "another password")
		s.from("192.0.2.1").tries(nobody, typed)
		s.from("192.0.2.2").tries("Nobody@EXAMPLE.org", typed)
		s.from("192.0.2.1").tries(password, typed) // typed into the wrong field

		by := func(address, from string) string { return " " + address + " " + from + " Firefox on Linux" }
		require.Equal(t, []string{
			"login/failed/password wrong_password unknown" + by(email, "192.0.2.9"),
			"registration/after/password ok " + id + by(email, "127.0.0.1"),
			"verification/after/link ok " + id + by(email, "127.0.0.1"),
			"login/failed/password wrong_password " + id + by(email, "192.0.2.1"),
			"login/after/password ok " + id + by(email, "2001:db8::1"),
			"settings/failed/password wrong_password " + id + by(email, "2001:db8::1"),
		}, s.audited("alice@EXAMPLE.org"))
		require.Equal(t, []string{
			"login/failed/password wrong_password unknown" + by(nobody, "192.0.2.1"),
			"login/failed/password wrong_password unknown" + by(nobody, "192.0.2.2"),
		}, s.audited(nobody))
		for _, unknown := range []string{"bob@example.org", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} {
			require.ErrorIs(t, printAudit(t.Context(), s.service.config, unknown, auditMax, nil), errNoUser)
		}
		require.Equal(t, 1, s.count("audit WHERE outcome = 'wrong_password' AND account IS NULL"))

		rows, err := s.service.db.Query("SELECT * FROM audit")
		require.NoError(t, err)
		defer rows.Close()
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			cells, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range cells {
				into[i] = &cells[i]
			}
			require.NoError(t, rows.Scan(into...))
			row := fmt.Sprintf("%s %v", cells, cells)
			for _, secret := range []string{email, nobody, password, typed, "__Host-"} {
				require.NotContains(t, strings.ToLower(row), secret)
			}
		}
		require.NoError(t, rows.Err())
		require.ErrorContains(t, printAudit(t.Context(), s.service.config, "alice", auditMax, nil), "not an email address")

		// the key does not depend on them
		other := newSite(t, database, "SESSION_SECRETS", "another-secret-0123456789abcdef0")
		require.Len(t, other.audited(nobody), 2)
	})
}

// TestAudit_CallbackFlood checks that callbacks that belong to no sign-in write few rows, and that
// they hide neither sign-ins nor refused attempts.
func TestAudit_CallbackFlood(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s, _ := newOIDCSite(t, database)
		b := s.browser()
		b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == callbackPath("acme") {
				return http.ErrUseLastResponse
			}
			return nil
		}
		callback, err := url.Parse(b.open("/login/oidc/acme").Header.Get("Location"))
		require.NoError(t, err)
		canceled := "?error=access_denied&state=" + callback.Query().Get("state")
		own := b.cookie(attemptCookie)
		require.NotEmpty(t, own)
		stopped := time.Now()
		s.service.now = func() time.Time { return stopped }
		for range 15 {
			for value, query := range map[string]string{"": "", "bad": "?state=x&code=y", own: canceled} {
				r, err := http.NewRequest("GET", s.server.URL+callbackPath("acme")+query, nil)
				require.NoError(t, err)
				if value != "" {
					r.AddCookie(&http.Cookie{Name: attemptCookie, Value: value})
				}
				s.browser().do(r).at(callbackPath("acme"), "Sign in").refused(http.StatusForbidden, "")
			}
		}
		require.Equal(t, 20, s.count("audit"))
		require.Greater(t, s.count("audit WHERE outcome = 'canceled'"), 0, "with the attempt's cookie")
		require.Greater(t, s.count("audit WHERE outcome = 'bad_attempt'"), 0)

		for range 6 {
			s.browser().post("/login", url.Values{"email": {"bob@example.org"}, "password": {"wrong"}})
		}
		require.Equal(t, 5, s.count("audit WHERE outcome = 'wrong_password'"))
		require.Equal(t, 1, s.count("audit WHERE outcome = 'too_many_by_pair'"))
		s.browser().open("/login/oidc/acme").at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("audit WHERE point = 'registration/after/oidc'"))
		require.Equal(t, 27, s.count("audit"))
		s.service.now = func() time.Time { return stopped.Add(time.Second) }
		s.browser().open(callbackPath("acme"))
		require.Equal(t, 28, s.count("audit"))
	})
}

// TestAuditCommand runs "authservice audit" while the service runs, without any secret.
func TestAuditCommand(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.browser().post("/login", url.Values{"email": {email}, "password": {"wrong"}})
		out, code := runCommand(t, t.TempDir(), []string{"DATABASE_URL=" + database}, "audit", email)
		require.Equal(t, 0, code, out)
		require.Equal(t, 2, strings.Count(out, "\n"), out)
		require.Contains(t, out, "login/failed/password  wrong_password  unknown  alice@example.org  127.0.0.1  "+
			"Firefox on Linux\n")
		for _, c := range []struct {
			args []string
			code int
		}{{[]string{"audit"}, 2}, {[]string{"audit", "alice"}, 1}, {[]string{"audit", email, email}, 2},
			{[]string{"audit", "-all"}, 1}} {
			out, code = runCommand(t, t.TempDir(), []string{"DATABASE_URL=" + database}, c.args...)
			require.Equal(t, c.code, code, c.args)
			require.Contains(t, out, "email address", c.args)
		}
	})
}

// TestAuditCommand_All checks that the command says what it leaves out, and that it prints all
// entries on request. It knows an account without entries, and an unknown one is an error.
func TestAuditCommand_All(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		var id string
		require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
		audit := func(args ...string) (lines []string, code int) {
			out, code := runCommand(t, t.TempDir(), []string{"DATABASE_URL=" + database}, append([]string{"audit"}, args...)...)
			return strings.Split(strings.TrimSuffix(out, "\n"), "\n"), code
		}
		_, err := s.service.db.Exec("DELETE FROM audit")
		require.NoError(t, err)
		for _, user := range []string{email, id} {
			lines, code := audit(user)
			require.Equal(t, 0, code, lines)
			require.Len(t, lines, 1, "the header")
		}
		lines, code := audit("bob@example.org")
		require.Equal(t, 1, code)
		require.Equal(t, []string{`authservice: audit: nothing is known about "bob@example.org": no such user`}, lines)

		for range auditMax + 2 {
			_, err := s.service.db.Exec(`INSERT INTO audit (at, point, outcome, user_id, account, address, client)
				VALUES (0, 'login/after/password', 'ok', $1, NULL, NULL, '')`, id)
			require.NoError(t, err)
		}
		lines, code = audit(email)
		require.Equal(t, 0, code)
		require.Len(t, lines, 1+auditMax+1)
		require.Equal(t, "2 older entries are not shown; audit -all prints them, too", lines[1+auditMax])
		lines, code = audit("-all", email)
		require.Equal(t, 0, code)
		require.Len(t, lines, 1+auditMax+2)
	})
}

// TestAuditCommand_NoDatabase checks that the command does not create a database.
func TestAuditCommand_NoDatabase(t *testing.T) {
	dir := t.TempDir()
	out, code := runCommand(t, dir, nil, "audit", email)
	require.Equal(t, 1, code)
	require.Contains(t, out, "authservice.db")
	require.Contains(t, out, "DATABASE_URL=")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestAudit_AddressChange checks that a takeover by a change of the address shows to an operator
// who asks with the old address, with the new one or with the ID. An attempt of the owner to sign
// in with the old address belongs to it, and an account that has nothing to do with it does not.
func TestAudit_AddressChange(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register("carol@example.org", password)
		s.register(email, password)
		var id string
		require.NoError(t, s.service.db.QueryRow("SELECT id FROM users WHERE email = $1", email).Scan(&id))
		mallory := s.from("192.0.2.66")
		mallory.tries(email, password)
		mallory.open(s.change(mallory, newEmail)).press("Change my address").at("/verify/done", "Your address is confirmed")
		s.from("192.0.2.1").tries(email, "wrong") // the owner
		mallory.open("/settings").press("Change password", "current", password, "new", newPassword)

		lines := func(old string) []string {
			line := func(what, user, address, from string) string {
				return what + " " + user + " " + address + " " + from + " Firefox on Linux"
			}
			return []string{
				line("registration/after/password ok", id, old, "127.0.0.1"),
				line("verification/after/link ok", id, old, "127.0.0.1"),
				line("login/after/password ok", id, old, "192.0.2.66"),
				line("settings/after/profile ok_address_change", id, old, "192.0.2.66"),
				line("verification/after/link ok", id, newEmail, "192.0.2.66"),
				line("login/failed/password wrong_password", "unknown", old, "192.0.2.1"),
				line("settings/after/password ok", id, newEmail, "192.0.2.66"),
			}
		}
		require.Equal(t, lines(email), s.audited(email), "by the old address")
		require.Equal(t, lines("other-1"), s.audited(newEmail), "by the new address")
		require.Equal(t, lines("other-1"), s.audited(id), "by the ID")
	})
}

// TestAudit_Transaction checks that the row of a sign-in exists only with its session, and that the
// row of a failure survives the rollback.
func TestAudit_Transaction(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newGuarded(t, database)
		s.register(email, password)
		_, err := s.service.db.Exec("ALTER TABLE audit RENAME TO gone")
		require.NoError(t, err)
		b := s.from("192.0.2.1")
		require.Equal(t, 500, b.tries(email, password))
		require.Equal(t, 0, s.count("flowhook_sessions"), "no sign-in without an audit row")
		_, err = s.service.db.Exec("ALTER TABLE gone RENAME TO audit")
		require.NoError(t, err)
		_, err = s.service.db.Exec("ALTER TABLE sign_ins RENAME TO gone")
		require.NoError(t, err)
		require.Equal(t, 500, b.tries(email, password))
		require.Equal(t, 1, s.count("audit WHERE point = 'login/failed/password' AND outcome = 'error' AND user_id "+
			"IS NOT NULL AND account IS NOT NULL AND address = '192.0.2.1'"))
		require.Equal(t, 0, s.count("audit WHERE point = 'login/after/password'"))
	})
}

// TestAudit_AddressesAreDeleted checks that IP addresses are deleted before the rest of the log.
func TestAudit_AddressesAreDeleted(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.browser().post("/login", url.Values{"email": {email}, "password": {"wrong"}})
		with := func(after time.Duration) int {
			s.ahead.Store(int64(after))
			require.NoError(t, s.service.cleanUp(t.Context()))
			require.Equal(t, 1, s.count("audit"))
			return s.count("audit WHERE address IS NOT NULL")
		}
		require.Equal(t, 1, with(89*24*time.Hour))
		require.Equal(t, 0, with(91*24*time.Hour))
		require.Equal(t, 1, s.count("audit WHERE account IS NOT NULL AND outcome = 'wrong_password'"))
		s.ahead.Store(0)
		require.Equal(t, []string{"login/failed/password wrong_password unknown alice@example.org deleted Firefox on Linux"},
			s.audited(email))
	})
}
