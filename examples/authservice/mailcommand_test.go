package main

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMailCommand checks that an operator finds emails that were given up, without their content, and
// can queue them again.
func TestMailCommand(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database, "SMTP_URL", "smtp://127.0.0.1:1")
		mail := func(args ...string) (string, int) {
			return runCommand(t, t.TempDir(), []string{"DATABASE_URL=" + database}, append([]string{"mail"}, args...)...)
		}
		out, code := mail("list")
		require.Equal(t, 0, code, out)
		require.Equal(t, 1, strings.Count(out, "\n"), out)

		s.browser().post("/register", url.Values{"name": {"Alice"}, "email": {email}, "password": {password}})
		require.Eventually(t, func() bool { return s.count("river_job WHERE state = 'retryable'") == 1 },
			20*time.Second, 10*time.Millisecond)
		require.NoError(t, s.outbox.Stop(t.Context()))
		_, err := s.service.db.Exec("UPDATE river_job SET state = 'cancelled', finalized_at = CURRENT_TIMESTAMP")
		require.NoError(t, err) // as after a refusal for good

		for _, command := range []string{"list", "retry"} {
			out, code = mail(command)
			require.Equal(t, 0, code, out)
			require.Equal(t, 2, strings.Count(out, "\n"), out)
			require.Contains(t, out, "connection refused\n")
			require.NotContains(t, out, email)
		}
		require.Equal(t, 1, s.count("river_job WHERE state = 'available'"))
		out, code = mail("list")
		require.Equal(t, 0, code, out)
		require.Equal(t, 1, strings.Count(out, "\n"), out)

		for _, wrong := range [][]string{nil, {"lists"}, {"list", email}} {
			out, code = mail(wrong...)
			require.Equal(t, 2, code)
			require.Contains(t, out, "authservice: mail takes list or retry")
		}
	})
	out, code := runCommand(t, t.TempDir(), nil, "mail", "list")
	require.Equal(t, 1, code)
	require.Contains(t, out, "DATABASE_URL does not lead to a database")
}
