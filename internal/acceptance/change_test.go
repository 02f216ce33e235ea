package acceptance_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// changeYAML makes a changed address wait for its link, and tells the old one.
const changeYAML = `
session: {lifespan: 1h}
selfservice:
  login: {after: [{hook: session}]}
  settings: {after: [{hook: verify_new_address}, {hook: notify_previous_addresses}]}
`

const oldEmail, newEmail = "before@example.org", "after@example.net"

// newChangeService starts a service with a user, alice, who has these addresses and is signed in.
func newChangeService(
	t *testing.T, text string, addresses []flowhook.Address, change ...func(*accountService, *flowhook.Options),
) (*accountService, *visitor) {
	t.Helper()
	s := newAccountService(t, text, change...)
	s.store.save(t.Context(), "alice", addresses)
	return s, s.signIn("alice")
}

// signIn returns a client that is signed in.
func (s *accountService) signIn(user string) *visitor {
	s.t.Helper()
	v := s.visitor("application/json")
	require.Equal(s.t, http.StatusOK, v.post("/login", "user", user, "strategy", "password").StatusCode)
	return v
}

// onlyMail takes all messages and returns the only one, which goes to an address.
func (s *accountService) onlyMail(address string) flowhook.Message {
	s.t.Helper()
	mails := s.mail.Take()
	require.Equal(s.t, []string{address}, recipients(mails))
	return mails[0]
}

// change asks for a change and returns the secrets of the link that makes it, and of the one that
// takes it back.
func (v *visitor) change(addresses ...string) (confirm, undo string) {
	s, t := v.service, v.service.t
	t.Helper()
	var form []string
	for _, a := range addresses {
		form = append(form, "address", a)
	}
	res := v.post("/settings", form...)
	require.Equal(t, http.StatusOK, res.StatusCode, res.Text)
	for _, m := range s.mail.Take() {
		switch {
		case indexOf(s.store.addresses(t.Context(), "alice"), emails(m.To)[0]) < 0:
			confirm = secretIn(t, m)
		case m.Link != "":
			undo = secretIn(t, m)
		}
	}
	require.NotEmpty(t, confirm)
	return confirm, undo
}

// requireAddresses asserts which addresses alice has.
func (s *accountService) requireAddresses(want ...flowhook.Address) {
	s.t.Helper()
	require.Equal(s.t, want, s.store.addresses(s.t.Context(), "alice"))
}

// requireUnused asserts that the token of a link was not consumed.
func (s *accountService) requireUnused(secret string) {
	s.t.Helper()
	hash := sha256.Sum256([]byte(secret))
	err := s.store.Transaction(s.t.Context(), "", func(ctx context.Context) error {
		_, err := s.store.ConsumeToken(ctx, flowhook.PurposeAddressChange, hash[:], s.clock.Now())
		require.NoError(s.t, err)
		return errRollBack
	})
	require.ErrorIs(s.t, err, errRollBack)
}

// redeemLink opens a link in a browser without a session, and returns the code of the refusal, or
// "" if the link did something.
func (s *accountService) redeemLink(secret string) (code string) {
	s.t.Helper()
	res := s.visitor("application/json").post("/redeem", "token", secret)
	if res.StatusCode == http.StatusOK {
		return ""
	}
	require.Equal(s.t, http.StatusBadRequest, res.StatusCode, res.Text)
	return codeIn(s.t, res)
}

// codeIn returns the code of a refusal.
func codeIn(t testing.TB, res flowtest.Answer) string {
	t.Helper()
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), res.Text)
	var problem struct{ Code string }
	require.NoError(t, json.Unmarshal([]byte(res.Text), &problem))
	return problem.Code
}

func TestChange_WaitsForLink(t *testing.T) {
	for _, outbox := range []bool{false, true} {
		for _, runs := range []bool{false, true} {
			t.Run(fmt.Sprintf("outbox %t/Run %t", outbox, runs), func(t *testing.T) {
				s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)},
					func(s *accountService, o *flowhook.Options) { o.Outbox, s.runs = outbox, runs })
				confirm, undo := v.change(newEmail)
				require.NotEmpty(t, undo)
				s.requireAddresses(verified(oldEmail))
				s.clock.Add(10 * time.Minute)
				s.requireAddresses(verified(oldEmail))
				require.Empty(t, s.redeemLink(confirm))
				s.requireAddresses(verified(newEmail))
				require.Equal(t, "used_token", s.redeemLink(confirm))
				require.Equal(t, "alice", v.whoami(), "a change does not sign the user out")
			})
		}
	}
}

// A handler that calls the new address verified does not make it so.
func TestChange_HandlerSaysVerified(t *testing.T) {
	s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
	s.trusts = true
	confirm, _ := v.change(newEmail)
	s.requireAddresses(verified(oldEmail))
	for _, token := range s.store.liveTokens(t, s.clock.Now()) {
		require.Equal(t, token.Address.Value == oldEmail, token.Address.Verified)
	}
	require.Empty(t, s.redeemLink(confirm))
	s.requireAddresses(verified(newEmail))
}

func TestChange_AdditionalAddress(t *testing.T) {
	s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
	require.Equal(t, http.StatusOK, v.post("/settings", "address", oldEmail, "address", newEmail).StatusCode)
	confirm := secretIn(t, s.onlyMail(newEmail)) // no address is removed, so nobody else gets an email
	s.requireAddresses(verified(oldEmail))
	require.Empty(t, s.redeemLink(confirm))
	s.requireAddresses(verified(oldEmail), verified(newEmail))

	// A removal needs no link, and cannot be taken back by one.
	require.Equal(t, http.StatusOK, v.post("/settings", "address", newEmail).StatusCode)
	s.requireAddresses(verified(newEmail))
	require.Empty(t, s.onlyMail(oldEmail).Link)
}

func TestChange_NothingChanged(t *testing.T) {
	s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail), verified(newEmail)})
	for _, form := range [][]string{{oldEmail, newEmail}, {newEmail, oldEmail}} {
		require.Equal(t, http.StatusOK, v.post("/settings", "address", form[0], "address", form[1]).StatusCode)
		require.Empty(t, s.mail.Take())
		require.Empty(t, s.store.liveTokens(t, s.clock.Now()))
		s.requireAddresses(verified(form[0]), verified(form[1]))
	}
}

func TestChange_LinkLosesToDrift(t *testing.T) {
	t.Run("second change", func(t *testing.T) {
		s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
		first, _ := v.change(newEmail)
		second, _ := v.change("other@example.com")
		require.Empty(t, s.redeemLink(second))
		require.Equal(t, "bad_token", s.redeemLink(first), "its From is gone")
		s.requireAddresses(verified("other@example.com"))
		s.requireUnused(first)
	})

	t.Run("address taken meanwhile", func(t *testing.T) {
		s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
		confirm, _ := v.change(newEmail)
		s.store.save(t.Context(), "mallory", emails(newEmail))
		require.ErrorIs(t, s.pipeline.Redeem(t.Context(), confirm, s.confirm), flowhook.ErrBadToken)
		require.Equal(t, "bad_token", s.redeemLink(confirm))
		s.requireAddresses(verified(oldEmail))
		s.requireUnused(confirm)
		s.store.save(t.Context(), "mallory", nil)
		require.Empty(t, s.redeemLink(confirm), "the rejected token must still be valid")
		s.requireAddresses(verified(newEmail))
	})

	never := func(context.Context, flowhook.Token) error { panic("confirm must not be called") }
	for name, end := range map[string]func(s *accountService, v *visitor){
		"session revoked": func(s *accountService, _ *visitor) {
			require.NoError(s.t, s.store.DeleteSessions(s.t.Context(), "alice", ""))
		},
		"session expired":  func(s *accountService, _ *visitor) { s.clock.Add(time.Hour) },
		"session replaced": func(_ *accountService, v *visitor) { v.post("/login", "user", "alice", "strategy", "oidc") },
	} {
		t.Run(name, func(t *testing.T) {
			s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
			confirm, _ := v.change(newEmail)
			end(s, v)
			other := s.signIn("alice") // another session of the same user does not help
			require.Equal(t, "alice", other.whoami())
			require.Equal(t, flowhook.ErrBadToken, s.pipeline.Redeem(t.Context(), confirm, never))
			require.Equal(t, "bad_token", s.redeemLink(confirm))
			s.requireAddresses(verified(oldEmail))
			s.requireUnused(confirm)
		})
	}

	t.Run("session lives to the microsecond", func(t *testing.T) {
		s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
		confirm, _ := v.change(newEmail)
		s.clock.Add(time.Hour - time.Microsecond)
		require.Empty(t, s.redeemLink(confirm))
		s.requireAddresses(verified(newEmail))
	})

	t.Run("store cannot find the session", func(t *testing.T) {
		broken := &sessionlessStore{accountStore: newAccountStore()}
		s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)},
			func(s *accountService, o *flowhook.Options) { s.store, o.Store = broken.accountStore, broken })
		confirm, _ := v.change(newEmail)
		broken.down.Store(true)
		err := s.pipeline.Redeem(t.Context(), confirm, never)
		require.ErrorIs(t, err, flowtest.ErrStoreDown)
		require.NotErrorIs(t, err, flowhook.ErrBadToken, "a failure is not the user's mistake")
		broken.down.Store(false)
		require.Empty(t, s.redeemLink(confirm))
	})
}

// A sessionlessStore cannot find sessions while it is down.
type sessionlessStore struct {
	*accountStore
	down atomic.Bool
}

func (s *sessionlessStore) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	if s.down.Load() {
		return flowhook.Session{}, flowtest.ErrStoreDown
	}
	return s.accountStore.FindSession(ctx, id)
}

func TestChange_ConcurrentRedeemers(t *testing.T) {
	s, v := newChangeService(t, changeYAML, []flowhook.Address{verified(oldEmail)})
	confirm, _ := v.change(newEmail)
	var changed, refused, confirmed atomic.Int32
	flowtest.Concurrently(atOnce, func(int) {
		err := s.pipeline.Redeem(t.Context(), confirm, func(ctx context.Context, v flowhook.Token) error {
			confirmed.Add(1)
			return s.confirm(ctx, v)
		})
		switch {
		case err == nil:
			changed.Add(1)
		case errors.Is(err, flowhook.ErrBadToken):
			refused.Add(1)
		default:
			t.Error(err)
		}
	})
	require.EqualValues(t, 1, changed.Load())
	require.EqualValues(t, 1, confirmed.Load())
	require.EqualValues(t, atOnce-1, refused.Load())
	s.requireAddresses(verified(newEmail))
}
