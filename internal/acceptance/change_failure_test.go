package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestChange_FailureSendsNothing(t *testing.T) {
	failure := errors.New("this step fails")
	for _, runs := range []bool{false, true} {
		for _, fails := range []string{"save", "after", "CreateToken", "Transaction", "panic"} {
			if runs && fails == "save" {
				continue // the host's own, before Run
			}
			t.Run(fmt.Sprintf("%s/Run %t", fails, runs), func(t *testing.T) {
				broken := fails
				text := strings.Replace(changeYAML, "{hook: notify_previous_addresses}",
					"{hook: notify_previous_addresses}, {hook: fail}", 1)
				s, v := newChangeService(t, text, []flowhook.Address{verified(oldEmail)},
					func(s *accountService, o *flowhook.Options) {
						s.runs = runs
						s.saves = func(context.Context) error {
							if broken == "save" {
								return failure
							}
							return nil
						}
						o.Hooks = map[string]flowhook.HookFactory{"fail": func(
							flowhook.Point, func(any) error,
						) (flowhook.Hook, error) {
							return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
								switch broken {
								case "panic":
									panic(failure)
								case "after":
									return failure
								}
								return nil
							}), nil
						}}
					})
				if fails == "CreateToken" || fails == "Transaction" {
					s.store.failing(fails, failure)
				}
				res := v.post("/settings", "address", newEmail)
				require.Equal(t, http.StatusInternalServerError, res.StatusCode)
				require.NotContains(t, s.log.String(), newEmail)
				require.Empty(t, s.mail.Take())
				require.Empty(t, s.store.liveTokens(t, s.clock.Now()))
				s.requireAddresses(verified(oldEmail))

				broken = ""
				s.store.failing(fails, nil)
				confirm, undo := v.change(newEmail)
				require.NotEmpty(t, undo)
				require.Empty(t, s.redeemLink(confirm), "what failed does not count")
			})
		}
	}
}

// With Outbox, an email that cannot be queued fails the change; otherwise it is logged.
func TestChange_CourierFails(t *testing.T) {
	for _, outbox := range []bool{false, true} {
		for _, to := range []string{oldEmail, newEmail} {
			t.Run(fmt.Sprintf("outbox %t/to %s", outbox, to), func(t *testing.T) {
				s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)},
					func(s *accountService, o *flowhook.Options) {
						o.Outbox = outbox
						o.Courier = flowtest.CourierFunc(func(ctx context.Context, m flowhook.Message) error {
							if m.To == to {
								return fmt.Errorf("%s: %s", m.To, m.Link)
							}
							return s.mail.Send(ctx, m)
						})
					})
				res := v.post("/settings", "address", newEmail)
				live := s.store.liveTokens(t, s.clock.Now())
				require.NotContains(t, s.log.String(), newEmail)
				require.NotContains(t, s.log.String(), oldEmail)
				s.requireAddresses(verified(oldEmail))
				if outbox {
					require.Equal(t, http.StatusInternalServerError, res.StatusCode)
					require.Empty(t, live)
					return
				}
				require.Equal(t, http.StatusOK, res.StatusCode)
				require.Contains(t, s.log.String(), "the courier did not send the email")
				require.Len(t, live, 1, "the token of the email that has not left is deleted")
				require.NotEqual(t, to, live[0].Address.Value)
			})
		}
	}
}
