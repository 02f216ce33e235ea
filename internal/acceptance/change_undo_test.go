package acceptance_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// requireNoMention asserts that no part of a message has the address or its local part.
func requireNoMention(t *testing.T, m flowhook.Message, address string) {
	t.Helper()
	local, domain, _ := strings.Cut(address, "@")
	for _, part := range []string{m.Subject, m.Text, m.HTML, m.Link, m.Code} {
		require.NotContains(t, part, address)
		require.NotContains(t, part, local+"@")
		require.NotContains(t, part, domain)
	}
}

func TestChange_UndoLink(t *testing.T) {
	for _, waits := range []bool{true, false} {
		text := changeYAML
		if !waits {
			text = strings.ReplaceAll(text, "{hook: verify_new_address}, ", "")
		}
		for _, redeems := range []bool{false, true} {
			if redeems && !waits {
				continue
			}
			t.Run(fmt.Sprintf("change waits %t/redeemed %t", waits, redeems), func(t *testing.T) {
				s, v := newChangeService(t, text, []flowhook.Address{verified(oldEmail)})
				require.Equal(t, http.StatusOK, v.post("/settings", "address", newEmail).StatusCode)
				mails := map[string]flowhook.Message{}
				for _, m := range s.mail.Take() {
					mails[m.To] = m
				}
				notice := mails[oldEmail]
				requireNoMention(t, notice, newEmail)
				require.Contains(t, notice.Text, notice.Link)
				undo := secretIn(t, notice)
				if waits {
					require.Len(t, mails, 2)
					s.requireAddresses(verified(oldEmail))
				} else {
					require.Len(t, mails, 1)
					s.requireAddresses(emails(newEmail)...)
				}
				if redeems {
					require.Empty(t, s.redeemLink(secretIn(t, mails[newEmail])))
					s.requireAddresses(verified(newEmail))
				}

				s.clock.Add(20 * time.Minute)
				var change flowhook.Change
				require.NoError(t, s.pipeline.Redeem(t.Context(), undo, func(ctx context.Context, v flowhook.Token) error {
					require.Equal(t, flowhook.PurposeAddressChange, v.Purpose)
					var err error
					if change, err = v.Change(); err != nil {
						return err
					}
					return s.confirm(ctx, v)
				}))
				require.True(t, change.Undo)
				require.Equal(t, newEmail, change.From.Value)
				require.Equal(t, verified(oldEmail), change.To)
				s.requireAddresses(verified(oldEmail))
				require.Empty(t, v.whoami(), "taking a change back ends the sessions")
				require.Equal(t, "used_token", s.redeemLink(undo))
				if waits && !redeems {
					require.Equal(t, "bad_token", s.redeemLink(secretIn(t, mails[newEmail])), "the change was taken back")
				}
				s.requireAddresses(verified(oldEmail))
			})
		}
	}

	t.Run("From was replaced again", func(t *testing.T) {
		s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
		first, undo := v.change(newEmail)
		require.Empty(t, s.redeemLink(first))
		second, _ := v.change("other@example.com")
		require.Empty(t, s.redeemLink(second))
		require.Empty(t, s.redeemLink(undo))
		s.requireAddresses(verified(oldEmail))
	})

	t.Run("only the first of two changes has a link", func(t *testing.T) {
		s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
		_, first := v.change(newEmail)
		confirm, second := v.change("other@example.com") // within a minute
		require.Empty(t, second)
		require.Empty(t, s.redeemLink(confirm))
		require.Empty(t, s.redeemLink(first), "it takes back whatever has changed")
		s.requireAddresses(verified(oldEmail))
	})

	t.Run("expires after 7 days", func(t *testing.T) {
		const week = 7 * 24 * time.Hour
		for after, code := range map[time.Duration]string{week - time.Microsecond: "", week: "bad_token"} {
			s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
			_, undo := v.change(newEmail)
			s.clock.Add(after)
			require.Equal(t, code, s.redeemLink(undo), "after %s", after)
		}
	})
}
