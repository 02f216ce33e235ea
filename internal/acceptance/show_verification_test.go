package acceptance_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

const showYAML = `
selfservice:
  login: {after: [{hook: session}, {hook: verify}, {hook: show_verification_ui}]}
  registration: {after: [{hook: verify}, {hook: show_verification_ui, config: {to: /check-your-email}}]}
  settings:
    after: [{hook: verify_new_address}, {hook: notify_previous_addresses}, {hook: verify}, {hook: show_verification_ui}]
`

func TestShowVerification(t *testing.T) {
	const page = "https://auth.example/verify"
	for _, outbox := range []bool{false, true} {
		for client, accept := range acceptHeaders {
			t.Run(fmt.Sprintf("outbox %t/%s", outbox, client), func(t *testing.T) {
				s := newAccountService(t, showYAML, func(_ *accountService, o *flowhook.Options) { o.Outbox = outbox })
				// shown posts a form and asserts where the answer leads, and how many emails it has sent.
				shown := func(v *visitor, to string, emails int, path string, pairs ...string) {
					t.Helper()
					res := v.post(path, pairs...)
					switch {
					case to == "":
						require.Equal(t, http.StatusOK, res.StatusCode)
						require.Equal(t, "done", res.Text)
					case client == "browser":
						require.Equal(t, http.StatusFound, res.StatusCode)
						require.Equal(t, []string{to}, res.Header["Location"])
					default:
						require.Equal(t, http.StatusOK, res.StatusCode)
						require.JSONEq(t, `{"continue_with": [{"action": "redirect_browser_to", "redirect_browser_to": "`+
							to+`"}]}`, res.Text)
					}
					require.Len(t, s.mail.Take(), emails)
				}
				v := s.visitor(accept)
				register := []string{"user", "alice", "address", oldEmail}
				shown(v, "/check-your-email", 1, "/registration", register...)
				shown(v, "", 0, "/registration", register...) // the interval suppresses the email
				shown(v, "", 0, "/login", "user", "alice", "strategy", "password")
				require.Equal(t, "alice", v.whoami())
				s.clock.Add(time.Minute)
				shown(v, page, 1, "/login", "user", "alice", "strategy", "oidc")
				require.Equal(t, "alice", v.whoami(), "the redirect comes with the session")

				s.store.save(t.Context(), "alice", []flowhook.Address{verified(oldEmail)})
				shown(v, "", 0, "/login", "user", "alice", "strategy", "password")
				shown(v, "", 0, "/settings", "address", oldEmail)
				shown(v, page, 2, "/settings", "address", newEmail)
				s.requireAddresses(verified(oldEmail))
				shown(v, "", 0, "/settings", "address", newEmail) // nothing is announced twice
				s.clock.Add(time.Minute)
				shown(v, page, 2, "/settings", "address", newEmail)
			})
		}
	}
}
