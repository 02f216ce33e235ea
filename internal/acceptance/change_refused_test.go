package acceptance_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func TestChange_Refused(t *testing.T) {
	two := []flowhook.Address{verified(oldEmail), verified("second@example.org")}
	for _, row := range []struct {
		name   string
		has    []flowhook.Address
		wait   time.Duration
		within string
		form   []string
		status int
		code   string
	}{
		{"two replaced", two, 0, "", []string{newEmail, "newer@example.net"}, 400, "one_change_at_a_time"},
		{"two added", two[:1], 0, "", []string{oldEmail, newEmail, "newer@example.net"}, 400, "one_change_at_a_time"},
		{"two for one", two[:1], 0, "", []string{newEmail, "newer@example.net"}, 400, "one_change_at_a_time"},
		{"one for two", two, 0, "", []string{newEmail}, 400, "one_change_at_a_time"},
		{"old sign-in", two[:1], 15*time.Minute + time.Microsecond, "", []string{newEmail}, 403, "reauthenticate"},
		{"fresh sign-in", two[:1], 15*time.Minute - time.Microsecond, "", []string{newEmail}, 200, ""},
		{"old sign-in, configured", two[:1], time.Minute + time.Microsecond, "1m", []string{newEmail}, 403, "reauthenticate"},
		{"fresh sign-in, configured", two[:1], time.Minute - time.Microsecond, "1m", []string{newEmail}, 200, ""},
		{"old sign-in, no new address", two, time.Hour - time.Second, "", []string{oldEmail}, 200, ""},
		{"no address", two[:1], 0, "", []string{"nobody"}, 400, "bad_address"},
		{"two addresses in one", two[:1], 0, "", []string{newEmail + ", " + oldEmail}, 400, "bad_address"},
		{"header", two[:1], 0, "", []string{newEmail + "\r\nBcc: " + oldEmail}, 400, "bad_address"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := changeYAML
			if row.within != "" {
				text = strings.ReplaceAll(text, "{hook: verify_new_address}",
					"{hook: verify_new_address, config: {within: "+row.within+"}}")
			}
			s, v := newChangeService(t, text, row.has)
			s.clock.Add(row.wait)
			saved := false
			s.saves = func(context.Context) error { saved = true; return nil }
			var form []string
			for _, a := range row.form {
				form = append(form, "address", a)
			}
			res := v.post("/settings", form...)
			require.Equal(t, row.status, res.StatusCode, res.Text)
			require.Equal(t, row.code == "", saved)
			if row.code == "" {
				require.NotEmpty(t, s.mail.Take())
				return
			}
			require.Equal(t, row.code, codeIn(t, res))
			require.NotContains(t, res.Text, "@example.net", "a refusal does not repeat what was entered")
			require.NotContains(t, s.log.String(), "@example.net")
			require.Empty(t, s.mail.Take())
			require.Empty(t, s.store.liveTokens(t, s.clock.Now()))
			s.requireAddresses(row.has...)
		})
	}
}

func TestChange_NoPrevious(t *testing.T) {
	for _, hook := range []string{"verify_new_address", "notify_previous_addresses"} {
		t.Run(hook, func(t *testing.T) {
			s, v := newChangeService(t, `
selfservice:
  login: {after: [{hook: session}]}
  settings: {after: [{hook: `+hook+`}]}
`, []flowhook.Address{verified(oldEmail)}, func(s *accountService, _ *flowhook.Options) { s.hides = true })
			res := v.post("/settings", "address", newEmail)
			require.Equal(t, http.StatusInternalServerError, res.StatusCode)
			require.Contains(t, s.log.String(), flowhook.ErrNoPrevious.Error())
			require.Contains(t, s.log.String(), hook)
			s.requireAddresses(verified(oldEmail))
			require.Empty(t, s.mail.Take())

			x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
			_, err := s.pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Settings, flowhook.Profile, nil)
			require.ErrorIs(t, err, flowhook.ErrNoPrevious)
		})
	}
}
