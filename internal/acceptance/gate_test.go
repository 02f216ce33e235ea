package acceptance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// gateYAML returns a file that lets in users with verified addresses, with the entry as in Kratos:
// at after, without a phase. It is flow-wide, or else repeated for each strategy.
func gateYAML(need string, flowWide bool) string {
	const prefix = "selfservice:\n  flows:\n    login:\n      after:\n"
	entry := "{hook: require_verified_address, config: {need: " + need + "}}"
	if flowWide {
		return prefix + "        hooks: [" + entry + ", {hook: session}]\n"
	}
	text := prefix + "        hooks: [{hook: session}]\n"
	for _, s := range flowtest.Strategies {
		if s != flowhook.FlowWide {
			text += fmt.Sprintf("        %s: {hooks: [%s]}\n", s, entry)
		}
	}
	return text
}

// A gateCase is the addresses of a user who signs in.
type gateCase struct {
	name      string
	addresses []flowhook.Address
	passes    func(need string) bool
	fails     bool // with an error
}

func gateCases(user string) []gateCase {
	never, always := func(string) bool { return false }, func(string) bool { return true }
	first, second := user+"-1@example.org", user+"-2@example.org"
	return []gateCase{
		{"verified", []flowhook.Address{verified(first)}, always, false},
		{"unverified", emails(first), never, false},
		{"no address", nil, never, true},
		{"one of two verified", append(emails(first), verified(second)),
			func(need string) bool { return need == "any" }, false},
	}
}

// requireGated asserts that a login that does not pass was answered as it should be.
func requireGated(t *testing.T, res flowtest.Answer, client string) {
	t.Helper()
	require.Empty(t, res.Header["Set-Cookie"])
	if client == "browser" {
		require.Equal(t, http.StatusSeeOther, res.StatusCode)
		require.Equal(t, []string{"https://auth.example/verify"}, res.Header["Location"])
		return
	}
	require.Equal(t, http.StatusForbidden, res.StatusCode)
	require.Empty(t, res.Header["Location"])
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	var problem struct {
		Code   string
		Status int
	}
	require.NoError(t, json.Unmarshal([]byte(res.Text), &problem), res.Text)
	require.Equal(t, "address_not_verified", problem.Code)
	require.Equal(t, http.StatusForbidden, problem.Status)
}

// acceptHeaders are those of the two kinds of clients.
var acceptHeaders = map[string]string{"browser": "text/html,*/*;q=0.8", "JSON": "application/json"}

func TestGate_Login(t *testing.T) {
	for _, need := range []string{"any", "all"} {
		for _, flowWide := range []bool{true, false} {
			for _, outbox := range []bool{false, true} {
				t.Run(fmt.Sprintf("need %s/flow-wide %t/outbox %t", need, flowWide, outbox), func(t *testing.T) {
					s := newAccountService(t, gateYAML(need, flowWide), func(_ *accountService, o *flowhook.Options) {
						o.Outbox = outbox
					})
					for _, strategy := range flowtest.Strategies {
						if strategy == flowhook.FlowWide && !flowWide {
							continue // no gate there
						}
						for client := range acceptHeaders {
							user := fmt.Sprintf("%s-%s", strategy, client)
							for i, c := range gateCases(user) {
								t.Run(string(strategy)+"/"+client+"/"+c.name, func(t *testing.T) {
									s.testGate(t, c, fmt.Sprintf("%s-%d", user, i), string(strategy), client, c.passes(need))
								})
							}
						}
					}
				})
			}
		}
	}
}

// testGate tests the login of one user with one strategy.
func (s *accountService) testGate(t *testing.T, c gateCase, user, strategy, client string, passes bool) {
	s.store.save(t.Context(), user, c.addresses)
	v, sessions, log := s.visitor(acceptHeaders[client]), s.store.liveSessions(t), s.log.String()
	login := func() flowtest.Answer { return v.post("/login", "user", user, "strategy", strategy) }
	res := login()
	switch {
	case passes:
		require.Equal(t, http.StatusOK, res.StatusCode, res.Text)
		requireSessionCookie(t, res)
		require.Equal(t, user, v.whoami())
		require.Len(t, s.store.liveSessions(t), len(sessions)+1)
		require.Empty(t, s.mail.Take())
		return
	case c.fails:
		require.Equal(t, http.StatusInternalServerError, res.StatusCode)
		require.Empty(t, res.Header["Set-Cookie"])
		require.Empty(t, res.Header["Location"])
		require.Contains(t, strings.TrimPrefix(s.log.String(), log), "the identity has no addresses")
		require.Empty(t, s.mail.Take())
	default:
		requireGated(t, res, client)
		require.Equal(t, []string{c.addresses[0].Value}, recipients(s.mail.Take()), "only the unverified address")
		s.clock.Add(time.Minute - time.Microsecond)
		requireGated(t, login(), client)
		require.Empty(t, s.mail.Take(), "within the interval")
		s.clock.Add(time.Microsecond)
		requireGated(t, login(), client)
		mails := s.mail.Take()
		require.Equal(t, []string{c.addresses[0].Value}, recipients(mails), "after the interval")

		require.Empty(t, v.whoami())
		require.Empty(t, v.client.Jar.Cookies(res.Request.URL))
		require.Equal(t, sessions, s.store.liveSessions(t))
		require.Equal(t, http.StatusOK, v.post("/redeem", "token", secretIn(t, mails[0])).StatusCode)
		require.Equal(t, http.StatusOK, login().StatusCode, "the email verifies the address")
		require.Equal(t, user, v.whoami())
		return
	}
	require.Empty(t, v.whoami())
	require.Equal(t, sessions, s.store.liveSessions(t))
}

func TestGate_KratosEntryMovesToBeforePersist(t *testing.T) {
	for _, flowWide := range []bool{true, false} {
		cfg := flowtest.Parse(t, gateYAML("any", flowWide))
		opts := flowtest.AnyOptions()
		opts.VerificationURL = "https://auth.example/verify"
		p, err := flowhook.New(cfg, opts)
		require.NoError(t, err)
		gated := map[flowhook.Strategy]bool{}
		for point, hooks := range p.Plan().Points() {
			for _, h := range hooks {
				if h.Name == "require_verified_address" {
					require.Equal(t, flowhook.BeforePersist, point.Phase)
					gated[point.Strategy] = true
				}
			}
		}
		for _, s := range flowtest.Strategies {
			require.Equal(t, flowWide == (s == flowhook.FlowWide), gated[s], "%q", s)
		}
		require.False(t, flowtest.HasFinding(p, "late-gate"))
	}
}

// secretAddress is an address that no answer and no log may show.
const secretAddress = "hidden-" + flowtest.Canary + "@example.org"

func TestGate_StoreFails(t *testing.T) {
	for _, outbox := range []bool{false, true} {
		for _, method := range []string{"Transaction", "CreateToken"} {
			for client := range acceptHeaders {
				t.Run(fmt.Sprintf("%s/outbox %t/%s", method, outbox, client), func(t *testing.T) {
					s := newAccountService(t, gateYAML("any", true), func(_ *accountService, o *flowhook.Options) {
						o.Outbox = outbox
					})
					s.store.save(t.Context(), "alice", emails(secretAddress))
					s.store.failing(method, flowtest.ErrStoreDown)
					v := s.visitor(acceptHeaders[client])
					res := v.post("/login", "user", "alice", "strategy", "password")
					require.Equal(t, http.StatusInternalServerError, res.StatusCode)
					require.Contains(t, s.log.String(), flowtest.ErrStoreDown.Error())
					requireNoTrace(t, s, v, res)
					require.Empty(t, s.mail.Take())

					s.store.failing(method, nil)
					requireGated(t, v.post("/login", "user", "alice", "strategy", "password"), client)
					require.Len(t, s.mail.Take(), 1, "what failed does not count against the interval")
				})
			}
		}
	}
}

// requireNoTrace asserts that a login has left no session, no cookie and no token, and that neither
// the answer nor the log shows the address.
func requireNoTrace(t *testing.T, s *accountService, v *visitor, res flowtest.Answer) {
	t.Helper()
	require.Empty(t, res.Header["Set-Cookie"])
	require.Empty(t, v.whoami())
	require.Empty(t, s.store.liveSessions(t))
	require.Empty(t, s.store.liveTokens(t, s.clock.Now()))
	flowtest.RequireSilent(t, res.Text+fmt.Sprint(res.Header)+s.log.String())
}

func TestGate_CourierFails(t *testing.T) {
	couriers := map[string]func(m flowhook.Message) error{
		"error": func(m flowhook.Message) error { return fmt.Errorf("no such mailbox: %s, %s", m.To, m.Link) },
		"panic": func(m flowhook.Message) error { panic(m.Text + m.To) },
	}
	for _, outbox := range []bool{false, true} {
		for how, fail := range couriers {
			for client := range acceptHeaders {
				t.Run(fmt.Sprintf("%s/outbox %t/%s", how, outbox, client), func(t *testing.T) {
					var broken flowhook.Message
					works := false
					s := newAccountService(t, gateYAML("any", true), func(s *accountService, o *flowhook.Options) {
						o.Outbox = outbox
						o.Courier = flowtest.CourierFunc(func(ctx context.Context, m flowhook.Message) error {
							if !works {
								broken = m
								return fail(m)
							}
							return s.mail.Send(ctx, m)
						})
					})
					s.store.save(t.Context(), "alice", emails(secretAddress))
					v := s.visitor(acceptHeaders[client])
					res := v.post("/login", "user", "alice", "strategy", "password")
					if outbox {
						require.Equal(t, http.StatusInternalServerError, res.StatusCode)
						require.Empty(t, res.Header["Location"])
					} else {
						requireGated(t, res, client)
					}
					requireNoTrace(t, s, v, res)
					require.Equal(t, secretAddress, broken.To)
					require.NotContains(t, s.log.String(), secretIn(t, broken))
					require.Contains(t, s.log.String(), "the courier did not send the email")

					works = true
					requireGated(t, v.post("/login", "user", "alice", "strategy", "password"), client)
					require.Len(t, s.mail.Take(), 1, "an email that was not sent does not count against the interval")
				})
			}
		}
	}
}

// With use: code, a store that cannot delete the hash that may be in the way fails the login.
func TestGate_Code(t *testing.T) {
	text := gateYAML("any", true) + "    verification: {use: code}\n"
	s := newAccountService(t, text)
	s.store.save(t.Context(), "alice", emails(secretAddress))
	s.store.failing("DeleteToken", flowtest.ErrStoreDown)
	v := s.visitor("")
	res := v.post("/login", "user", "alice", "strategy", "password")
	require.Equal(t, http.StatusInternalServerError, res.StatusCode)
	requireNoTrace(t, s, v, res)

	s.store.failing("DeleteToken", nil)
	requireGated(t, v.post("/login", "user", "alice", "strategy", "password"), "browser")
	mails := s.mail.Take()
	require.Len(t, mails, 1)
	require.Empty(t, mails[0].Link)
	require.NoError(t, s.pipeline.RedeemCode(t.Context(), flowhook.PurposeVerification, "alice",
		emails(secretAddress)[0], mails[0].Code, s.confirm))
	require.Equal(t, http.StatusOK, v.post("/login", "user", "alice", "strategy", "password").StatusCode)
	require.Equal(t, "alice", v.whoami())
}

func TestGate_HostsFactoryWins(t *testing.T) {
	var points []flowhook.Point
	s := newAccountService(t, gateYAML("all", true), func(_ *accountService, o *flowhook.Options) {
		o.Hooks = map[string]flowhook.HookFactory{"require_verified_address": func(
			p flowhook.Point, decode func(any) error,
		) (flowhook.Hook, error) {
			var config struct{ Need string }
			if err := decode(&config); err != nil || config.Need != "all" {
				return nil, errors.New("the config is not the entry's")
			}
			points = append(points, p)
			return placedGate{}, nil
		}}
	})
	require.Equal(t, []flowhook.Point{{Flow: flowhook.Login, Phase: flowhook.After}}, slices.Compact(points),
		"where the entry is written")
	s.store.save(t.Context(), "alice", emails("alice@example.org"))
	s.store.save(t.Context(), "mallory", []flowhook.Address{verified("mallory@example.org")})
	v := s.visitor("")
	require.Equal(t, http.StatusOK, v.post("/login", "user", "alice", "strategy", "password").StatusCode)
	require.Equal(t, "alice", v.whoami(), "the host's own gate lets unverified users in")
	require.Equal(t, http.StatusTeapot, s.visitor("").post("/login", "user", "mallory", "strategy", "oidc").StatusCode)
	require.Len(t, s.store.liveSessions(t), 1)
	require.Empty(t, s.mail.Take())
}

// A placedGate is a gate of the host's own, which refuses mallory.
type placedGate struct{}

func (placedGate) Place(flowhook.Point) flowhook.Phase { return flowhook.BeforePersist }

func (placedGate) Run(_ context.Context, x *flowhook.Exchange) error {
	if x.Identity.ID == "mallory" {
		return flowhook.Refuse(http.StatusTeapot, "mallory", "")
	}
	return nil
}
