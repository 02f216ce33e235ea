package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A redeemTest is a pipeline that sends an email at every login.
type redeemTest struct {
	*flowhook.Pipeline
	t     *testing.T
	store *faultStore
	mail  *flowtest.Mailbox
}

func newRedeemTest(t *testing.T) *redeemTest {
	o := &redeemTest{t: t, store: &faultStore{}, mail: &flowtest.Mailbox{}}
	o.store.clear()
	cfg, err := flowhook.ParseConfig([]byte(`
selfservice:
  login:
    after:
      - {hook: verify, config: {interval: 0s}}
      - {hook: revoke_active_sessions}
      - {hook: session}
` + flowtest.SecretYAML))
	require.NoError(t, err)
	o.Pipeline, err = flowhook.New(cfg, flowhook.Options{Store: o.store, Courier: o.mail,
		VerificationURL: "https://auth.example/verify",
		Now:             flowtest.NewClock().Now, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return o
}

// login signs in a user with one address and returns the session, even if it fails.
func (o *redeemTest) login(ctx context.Context, id string, save func(ctx context.Context) error) (*flowhook.Session,
	error) {
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(),
		Identity: flowtest.User{ID: id, Email: id + "@example.org"}.Identity()}
	_, err := o.Complete(flowhook.NewContext(ctx, x), flowhook.Login, flowhook.Password, save)
	return x.Session, err
}

// tokens returns the tokens that were sent since the last call.
func (o *redeemTest) tokens() (tokens []string) {
	for _, m := range o.mail.Take() {
		u, err := url.Parse(m.Link)
		require.NoError(o.t, err)
		tokens = append(tokens, u.Query().Get("token"))
	}
	return tokens
}

// confirm marks the user as verified.
func (o *redeemTest) confirm(ctx context.Context, v flowhook.Token) error {
	return o.store.SaveUser(ctx, flowtest.User{ID: v.IdentityID, Email: v.Address.Value, Verified: true})
}

// testContext returns a context with a timeout, so that a deadlock ends.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestRaces_TokenIsRedeemedOnce(t *testing.T) {
	chance, seed := newSeed()
	o, ctx := newRedeemTest(t), testContext(t)
	tokens, successes, refusals := testkit.Times(t, 1000), 0, 0
	for n := range tokens {
		id := fmt.Sprint("user-", n)
		_, err := o.login(ctx, id, nil)
		require.NoError(t, err)
		token := o.tokens()[0]

		var redeemed, confirmed atomic.Int32
		refuses := chance.IntN(10) == 0 // the host refuses the first who comes, when all others have been sent away
		var others sync.WaitGroup
		if refuses {
			others.Add(atOnce - 1)
		}
		flowtest.Concurrently(atOnce, func(int) {
			err := o.Redeem(ctx, token, func(ctx context.Context, v flowhook.Token) error {
				if err := o.confirm(ctx, v); err != nil {
					return err
				}
				if confirmed.Add(1) == 1 && refuses {
					others.Wait()
					return flowtest.ErrRefused
				}
				return nil
			})
			if refuses && err == flowtest.ErrRefused {
				return
			}
			if refuses {
				others.Done()
			}
			if err == nil {
				redeemed.Add(1)
			} else if !errors.Is(err, flowhook.ErrBadToken) {
				t.Error(err)
			}
		})
		if refuses {
			require.Zero(t, redeemed.Load())
			_, known := o.store.User(ctx, id)
			require.False(t, known)
			require.NoError(t, o.Redeem(ctx, token, o.confirm), "the rejected token must still be valid")
			redeemed.Add(1)
			refusals++
		}
		u, _ := o.store.User(ctx, id)
		require.EqualValues(t, 1, redeemed.Load())
		require.Equal(t, flowtest.User{ID: id, Email: id + "@example.org", Verified: true}, u)
		require.ErrorIs(t, o.Redeem(ctx, token, o.confirm), flowhook.ErrBadToken)
		successes++
	}
	require.Equal(t, tokens, successes)
	t.Logf("%d tokens, %d redeemers each: exactly %d successes, %d of them on the second try (seed %d)", tokens,
		atOnce, successes, refusals, seed)
}

// TestRaces_LoginsAndRedeemers lets logins that send an email, redeemers, and logins that redeem
// compete for one identity and one token.
func TestRaces_LoginsAndRedeemers(t *testing.T) {
	chance, seed := newSeed()
	o, ctx := newRedeemTest(t), testContext(t)
	_, err := o.login(ctx, identityID, nil)
	require.NoError(t, err)
	token := o.tokens()[0]
	rounds := testkit.Times(t, 1000)
	const each = 5
	for range rounds {
		var redeemed, signedIn atomic.Int32
		var issued [3 * each]*flowhook.Session
		turns := chance.Perm(3 * each)
		redeem := func(ctx context.Context) error { return o.Redeem(ctx, token, o.confirm) }
		flowtest.Concurrently(3*each, func(i int) {
			var err error
			switch kind := turns[i] / each; kind {
			case 0:
				issued[i], err = o.login(ctx, identityID, nil)
			case 1:
				issued[i], err = o.login(ctx, identityID, redeem)
			default:
				err = redeem(ctx)
			}
			switch {
			case err != nil && (turns[i] < each || !errors.Is(err, flowhook.ErrBadToken)):
				t.Error(err)
			case err != nil:
				if issued[i] != nil {
					t.Error("a failed login left a session in its exchange")
				}
			default:
				if turns[i] >= each {
					redeemed.Add(1)
				}
				if issued[i] != nil {
					signedIn.Add(1)
				}
			}
		})
		require.EqualValues(t, 1, redeemed.Load())
		is, err := o.store.contents(flowtest.NewClock().Now())
		require.NoError(t, err)
		require.Len(t, is.sessions, 1)
		survivor := ""
		for _, s := range issued {
			if s != nil && is.sessions[s.ID] == *s {
				survivor = s.ID
			}
		}
		require.NotEmpty(t, survivor, "the surviving session was not issued by a successful login")
		mailed := o.tokens()
		require.Len(t, mailed, int(signedIn.Load()))
		require.Len(t, is.tokens, len(mailed))
		token = mailed[chance.IntN(len(mailed))]
		o.store.forget(survivor)
	}
	t.Logf("logins, redeemers and logins that redeem, %d rounds for one identity: no deadlock (seed %d)", rounds, seed)
}
