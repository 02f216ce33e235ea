package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// codeYAML emails codes instead of links.
const codeYAML = `
selfservice:
  flows:
    registration: {after: {hooks: [{hook: verify}]}}
    recovery: {use: code, after: {hooks: [{hook: revoke_active_sessions}, {hook: session}]}}
    verification: {use: code}
`

// codePurposes are the purposes that codes are sent for.
var codePurposes = []flowhook.Purpose{flowhook.PurposeVerification, flowhook.PurposeRecovery}

// newCodeService starts a service with a user, alice.
func newCodeService(t testing.TB, text string, change ...func(*accountService, *flowhook.Options)) *accountService {
	t.Helper()
	s := newAccountService(t, text, change...)
	s.store.save(t.Context(), "alice", emails(oldEmail))
	return s
}

// sendCode has a code sent to the address of alice and returns it.
func (s *accountService) sendCode(p flowhook.Purpose) string {
	s.t.Helper()
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: emails(oldEmail)}}
	if p == flowhook.PurposeRecovery {
		require.NoError(s.t, s.pipeline.SendRecovery(s.t.Context(), x))
	} else {
		_, err := s.pipeline.Complete(flowhook.NewContext(s.t.Context(), x), flowhook.Registration, flowhook.Password, nil)
		require.NoError(s.t, err)
	}
	m := s.onlyMail(oldEmail)
	require.Empty(s.t, m.Link)
	require.Regexp(s.t, `^\d{6}$`, m.Code)
	require.Contains(s.t, m.Text, m.Code)
	return m.Code
}

// guess redeems a code of alice, and returns the result and whether it was confirmed.
func (s *accountService) guess(p flowhook.Purpose, code string) (confirmed bool, err error) {
	err = s.pipeline.RedeemCode(s.t.Context(), p, "alice", emails(oldEmail)[0], code,
		func(ctx context.Context, v flowhook.Token) error {
			confirmed = true
			return s.confirm(ctx, v)
		})
	return confirmed, err
}

// requireBadCode asserts that a code is not accepted.
func (s *accountService) requireBadCode(p flowhook.Purpose, code string) {
	s.t.Helper()
	confirmed, err := s.guess(p, code)
	require.Equal(s.t, flowhook.ErrBadToken, err)
	require.False(s.t, confirmed)
}

// requireGoodCode asserts that a code is accepted.
func (s *accountService) requireGoodCode(p flowhook.Purpose, code string) {
	s.t.Helper()
	confirmed, err := s.guess(p, code)
	require.NoError(s.t, err)
	require.True(s.t, confirmed)
}

// wrongCode returns the nth code that is not the right one.
func wrongCode(right string, n int) string {
	code := fmt.Sprintf("%06d", n)
	if code >= right {
		code = fmt.Sprintf("%06d", n+1)
	}
	return code
}

// eachCodePurpose runs a test for the codes of each purpose.
func eachCodePurpose(t *testing.T, test func(t *testing.T, s *accountService, p flowhook.Purpose)) {
	for _, p := range codePurposes {
		t.Run(string(p), func(t *testing.T) { test(t, newCodeService(t, codeYAML), p) })
	}
}

func TestCode_ParallelGuesses(t *testing.T) {
	eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
		for _, guessed := range []bool{false, true} { // whether the right code is among the guesses
			right := s.sendCode(p)
			s.store.count("ConsumeToken")
			s.store.count("CountAttempt")
			var visitors [atOnce]*visitor
			for i := range visitors {
				visitors[i] = s.visitor("application/json")
			}
			var accepted atomic.Int32
			flowtest.Concurrently(atOnce, func(i int) {
				code := wrongCode(right, i)
				if guessed && i == atOnce/2 {
					code = right
				}
				res := visitors[i].post("/code", "purpose", string(p), "user", "alice", "address", oldEmail, "code", code)
				switch {
				case res.StatusCode == http.StatusOK && code == right:
					accepted.Add(1)
				case res.StatusCode != http.StatusBadRequest:
					t.Errorf("%d %s", res.StatusCode, res.Text)
				}
			})
			require.Equal(t, atOnce, s.store.count("CountAttempt"))
			require.Equal(t, 5, s.store.count("ConsumeToken"), "guesses that were compared")
			require.LessOrEqual(t, accepted.Load(), int32(1))
			if p == flowhook.PurposeRecovery {
				require.Len(t, s.store.liveSessions(t), int(accepted.Load()))
			}
			s.requireBadCode(p, right)
			require.Zero(t, s.store.count("ConsumeToken"), "the code is dead, even the right one")
			s.clock.Add(time.Minute)
		}
		s.requireGoodCode(p, s.sendCode(p)) // a new code is a new chance
	})
}

func TestCode_Browser(t *testing.T) {
	s := newCodeService(t, codeYAML)
	code, v := s.sendCode(flowhook.PurposeRecovery), s.visitor("application/json")
	post := func(code string) flowtest.Answer {
		return v.post("/code", "purpose", "recovery", "user", "alice", "address", oldEmail, "code", code)
	}
	require.Equal(t, "bad_token", codeIn(t, post(wrongCode(code, 0))))
	require.Empty(t, v.whoami())
	require.Equal(t, http.StatusOK, post(code).StatusCode)
	require.Equal(t, "alice", v.whoami())
	s.requireAddresses(verified(oldEmail))
	require.Equal(t, "used_token", codeIn(t, post(code)), "a double click")
	require.Equal(t, "alice", v.whoami())
}

func TestCode_CountSurvivesRollback(t *testing.T) {
	eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
		code, calls := s.sendCode(p), 0
		refuse := func() error {
			return s.pipeline.RedeemCode(t.Context(), p, "alice", emails(oldEmail)[0], code,
				func(context.Context, flowhook.Token) error { calls++; return errRollBack })
		}
		for range 5 {
			require.Equal(t, errRollBack, refuse())
		}
		require.Equal(t, flowhook.ErrBadToken, refuse())
		require.Equal(t, 5, calls)
		s.requireBadCode(p, code)
	})
}

func TestCode_LastAttempt(t *testing.T) {
	for _, wrong := range []int{4, 5} {
		t.Run(fmt.Sprintf("%d wrong", wrong), func(t *testing.T) {
			eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
				code := s.sendCode(p)
				for i := range wrong {
					s.requireBadCode(p, wrongCode(code, i))
				}
				if wrong < 5 {
					s.requireGoodCode(p, code)
				} else {
					s.requireBadCode(p, code)
				}
			})
		})
	}
}

func TestCode_IsFor(t *testing.T) {
	t.Run("purpose, identity and address", func(t *testing.T) {
		eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
			code := s.sendCode(p)
			never := func(context.Context, flowhook.Token) error { panic("confirm must not be called") }
			for _, other := range []struct {
				purpose flowhook.Purpose
				id      string
				address flowhook.Address
			}{
				{codePurposes[0], "alice", emails(oldEmail)[0]}, {codePurposes[1], "alice", emails(oldEmail)[0]},
				{flowhook.PurposeAddressChange, "alice", emails(oldEmail)[0]}, {"", "alice", emails(oldEmail)[0]},
				{p, "", emails(oldEmail)[0]}, {p, "bob", emails(oldEmail)[0]}, {p, "Alice", emails(oldEmail)[0]},
				{p, "alice", emails(newEmail)[0]}, {p, "alice", flowhook.Address{}},
				{p, "alice", flowhook.Address{Via: "sms", Value: oldEmail}},
				{p, "alice" + oldEmail, flowhook.Address{Via: "email"}},
			} {
				if other.purpose == p && other.id == "alice" && other.address == emails(oldEmail)[0] {
					continue
				}
				err := s.pipeline.RedeemCode(t.Context(), other.purpose, other.id, other.address, code, never)
				require.Equal(t, flowhook.ErrBadToken, err, "%v", other)
			}
			folded := flowhook.Address{Via: "email", Value: strings.ToUpper(oldEmail), Verified: true}
			require.NoError(t, s.pipeline.RedeemCode(t.Context(), p, "alice", folded, code, s.confirm),
				"the attempts for others do not count, and neither do case and Verified")
		})
	})

	t.Run("the time until a newer one", func(t *testing.T) {
		eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
			older := s.sendCode(p)
			s.clock.Add(time.Minute)
			newer := s.sendCode(p)
			for newer == older { // one time in a million
				s.clock.Add(time.Minute)
				newer = s.sendCode(p)
			}
			s.requireBadCode(p, older)
			s.requireGoodCode(p, newer)
			s.requireBadCode(p, older)
		})
	})

	t.Run("10 minutes", func(t *testing.T) {
		eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
			code := s.sendCode(p)
			s.clock.Add(10*time.Minute - time.Microsecond)
			s.requireGoodCode(p, code)
			code = s.sendCode(p)
			s.clock.Add(10 * time.Minute)
			s.requireBadCode(p, code)
		})
	})

	t.Run("lifespan in the file", func(t *testing.T) {
		text := strings.ReplaceAll(codeYAML, "use: code", "use: code, lifespan: 3m")
		for _, p := range codePurposes {
			s := newCodeService(t, text)
			code := s.sendCode(p)
			s.clock.Add(3 * time.Minute)
			s.requireBadCode(p, code)
			code = s.sendCode(p)
			s.clock.Add(3*time.Minute - time.Microsecond)
			s.requireGoodCode(p, code)
		}
	})
}

func TestCode_Used(t *testing.T) {
	eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
		code := s.sendCode(p)
		var accepted atomic.Int32
		flowtest.Concurrently(4, func(int) { // a double click, with a nervous finger
			switch _, err := s.guess(p, code); {
			case err == nil:
				accepted.Add(1)
			case !errors.Is(err, flowhook.ErrBadToken):
				t.Error(err)
			}
		})
		require.EqualValues(t, 1, accepted.Load())
		confirmed, err := s.guess(p, code)
		require.ErrorIs(t, err, flowhook.ErrUsedToken)
		require.ErrorIs(t, err, flowhook.ErrBadToken)
		require.False(t, confirmed)
	})
}

func TestCode_SecretsRotate(t *testing.T) {
	secrets := func(list string) string { return codeYAML + "secrets: {session: [" + list + "]}\n" }
	const older, newer = "the-older-session-secret", "the-newer-session-secret"
	eachRotation := func(t *testing.T, after string, test func(s *accountService, p flowhook.Purpose, code string)) {
		for _, p := range codePurposes {
			t.Run(string(p), func(t *testing.T) {
				s := newCodeService(t, secrets(older), func(_ *accountService, o *flowhook.Options) { o.Secrets = nil })
				code := s.sendCode(p)
				require.NoError(t, s.pipeline.Reload(flowtest.Parse(t, secrets(after))))
				test(s, p, code)
			})
		}
	}
	t.Run("old secret is second", func(t *testing.T) {
		eachRotation(t, newer+", "+older, func(s *accountService, p flowhook.Purpose, code string) {
			s.requireBadCode(p, wrongCode(code, 0))
			s.requireGoodCode(p, code)
			confirmed, err := s.guess(p, code)
			require.ErrorIs(s.t, err, flowhook.ErrUsedToken)
			require.False(s.t, confirmed)
		})
	})
	t.Run("both secrets count as one attempt", func(t *testing.T) {
		eachRotation(t, newer+", "+older, func(s *accountService, p flowhook.Purpose, code string) {
			for i := range 4 {
				s.requireBadCode(p, wrongCode(code, i))
			}
			s.requireGoodCode(p, code)
		})
	})
	t.Run("old secret is gone", func(t *testing.T) {
		eachRotation(t, newer, func(s *accountService, p flowhook.Purpose, code string) {
			s.requireBadCode(p, code)
			s.clock.Add(time.Minute)
			s.requireGoodCode(p, s.sendCode(p))
		})
	})
}

func TestCode_WhiteSpace(t *testing.T) {
	for name, typed := range map[string]func(code string) string{
		"before":          func(code string) string { return " " + code },
		"line break":      func(code string) string { return code + "\r\n" },
		"no-break spaces": func(code string) string { return "\u00a0" + code + "\u2003\u3000" },
		"two groups":      func(code string) string { return code[:3] + " " + code[3:] },
		"digits apart":    func(code string) string { return strings.Join(strings.Split(code, ""), "\t") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newCodeService(t, codeYAML)
			s.requireGoodCode(flowhook.PurposeRecovery, typed(s.sendCode(flowhook.PurposeRecovery)))
		})
	}
}

// In a transaction, the count would be rolled back with it.
func TestCode_InTransaction(t *testing.T) {
	eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
		code := s.sendCode(p)
		redeem := func(ctx context.Context) error {
			return s.pipeline.RedeemCode(ctx, p, "alice", emails(oldEmail)[0], code,
				func(context.Context, flowhook.Token) error { panic("confirm must not be called") })
		}
		x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: emails(oldEmail)}}
		_, err := s.pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Settings, flowhook.Profile, redeem)
		require.ErrorIs(t, err, flowhook.ErrNested)

		links := newAccountService(t, "selfservice: {registration: {after: [{hook: verify}]}}",
			func(links *accountService, o *flowhook.Options) { links.store, o.Store = s.store, s.store })
		res := links.visitor("").post("/registration", "user", "bob", "address", newEmail)
		require.Equal(t, http.StatusOK, res.StatusCode)
		err = links.pipeline.Redeem(t.Context(), secretIn(t, links.onlyMail(newEmail)),
			func(ctx context.Context, _ flowhook.Token) error { return redeem(ctx) })
		require.ErrorIs(t, err, flowhook.ErrNested)

		err = s.store.Transaction(t.Context(), "alice", redeem)
		require.Error(t, err, "the store knows its own transaction")
		require.NotErrorIs(t, err, flowhook.ErrBadToken)
		s.requireGoodCode(p, code)
	})
}

func TestCode_StoreFails(t *testing.T) {
	eachCodePurpose(t, func(t *testing.T, s *accountService, p flowhook.Purpose) {
		code := s.sendCode(p)
		for _, method := range []string{"CountAttempt", "ConsumeToken", "Transaction", "CreateToken", "DeleteToken"} {
			s.store.failing(method, flowtest.ErrStoreDown)
			confirmed, err := s.guess(p, code)
			require.ErrorIs(t, err, flowtest.ErrStoreDown, method)
			require.NotErrorIs(t, err, flowhook.ErrBadToken, method)
			require.NotContains(t, err.Error(), code)
			require.False(t, confirmed)
			s.store.failing(method, nil)
		}
		s.requireGoodCode(p, code) // the fifth attempt, because CountAttempt has failed once
	})
}
