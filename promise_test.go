package flowhook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// waiting is memstore with the identities that its transactions wait for.
type waiting struct {
	*memstore.Store
	waits []string
}

func (n *waiting) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	n.waits = append(n.waits, id)
	return n.Store.Transaction(ctx, id, fn)
}

func TestWhatTransactionsAreSerialisedBy(t *testing.T) {
	store, mail := &waiting{Store: memstore.New()}, &flowtest.Mailbox{}
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {registration: {after: [{hook: verify}]}}" + flowtest.SecretYAML))
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Store: store, Courier: mail, VerificationURL: "https://auth.example/verify"})
	require.NoError(t, err)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(), Identity: flowtest.Alice.Identity()}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"alice"}, store.waits)

	store.waits = nil
	token := flowtest.LinkToken.FindStringSubmatch(mail.Take()[0].Link)[1]
	require.NoError(t, p.Redeem(t.Context(), token, func(context.Context, flowhook.VerificationToken) error { return nil }))
	require.Equal(t, []string{"", "alice"}, store.waits, "whose it is, the token says")

	store.waits = nil
	require.NoError(t, p.Sessions().Issue(t.Context(), x))
	require.Empty(t, store.waits, "one call needs no transaction")
	require.NoError(t, p.Sessions().Issue(t.Context(), x))
	require.Equal(t, []string{"alice"}, store.waits, "the old session ends with the new one's beginning")
}

// forgetful is a store whose transactions do nothing, and say that all is well.
type forgetful struct{ *memstore.Store }

func (forgetful) Transaction(context.Context, string, func(context.Context) error) error { return nil }

func TestRedeemDoesNotTrustAStoreThatDidNothing(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{Store: forgetful{memstore.New()}})
	require.NoError(t, err)
	err = p.Redeem(t.Context(), "0123456789012345678901234567890123456789012", func(context.Context, flowhook.VerificationToken) error { return nil })
	require.ErrorContains(t, err, "did not run")
}

func TestRedirectsAloneOpenNoTransaction(t *testing.T) {
	h := flowtest.NewService(t, flowtest.Document(t, "03-login-after-redirect.yml"), flowtest.WithStoreDown)
	rec := httptest.NewRecorder()
	x := &flowhook.Exchange{Writer: rec, Request: flowtest.NewRequest(), Identity: flowtest.Alice.Identity()}
	handled, err := h.Pipeline.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, "https://url-to-redirect/to", rec.Header().Get("Location"))
}

func TestAnExchangeThatAFailedHookAnsweredIsAnswered(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
	b.Add(flowtest.LoginFailed, "failed", flowtest.AnswerWith(http.StatusTooManyRequests, "slow down"))
	p := b.Pipeline()
	handled, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.True(t, handled)
	_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrAnswered)
}

// A hook that calls a wrapped handler with its own request runs inside its run.
func TestMiddlewareInsideARunIsNested(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var p *flowhook.Pipeline
	var got error
	b.Options.OnError = func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }
	b.Add(flowtest.At(flowhook.Settings, flowhook.Before, flowhook.FlowWide), "other", flowtest.Refuse)
	b.Add(flowtest.LoginAfter, "hook", func(ctx context.Context, x *flowhook.Exchange) error {
		staged := x.Writer
		p.Middleware(flowhook.Settings)(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), flowtest.NewRequest().WithContext(ctx))
		require.Same(t, staged, x.Writer)
		return nil
	})
	p = b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.ErrorIs(t, got, flowhook.ErrNested)
}

// breaking is the host's store, of which one call goes wrong.
type breaking struct {
	*flowtest.UserStore
	consume func(v flowhook.VerificationToken, err error) (flowhook.VerificationToken, error)
	commit  error
}

func (s *breaking) ConsumeVerification(ctx context.Context, hash []byte, now time.Time) (flowhook.VerificationToken, error) {
	if s.consume == nil {
		return s.UserStore.ConsumeVerification(ctx, hash, now)
	}
	return s.consume(s.UserStore.ConsumeVerification(ctx, hash, now))
}

func (s *breaking) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	return s.UserStore.Transaction(ctx, id, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return s.commit
	})
}

func TestRedeemIsAllOrNothing(t *testing.T) {
	type scene struct {
		store  *breaking
		cancel context.CancelFunc
	}
	for _, row := range []struct {
		name    string
		fail    func(s scene)        // the store
		confirm func(s scene) error  // the host, after it has marked the address
		returns func(err error) bool // nil: it does not return
	}{
		{"the token is marked, and the store reports an error", func(s scene) {
			s.store.consume = func(v flowhook.VerificationToken, _ error) (flowhook.VerificationToken, error) {
				return v, flowtest.ErrStoreDown
			}
		}, nil, func(err error) bool { return errors.Is(err, flowtest.ErrStoreDown) }},
		{"the commit fails", func(s scene) { s.store.commit = flowtest.ErrStoreDown }, nil, func(err error) bool { return errors.Is(err, flowtest.ErrStoreDown) }},
		{"confirm fails", nil, func(scene) error { return flowtest.ErrRefused }, func(err error) bool { return err == flowtest.ErrRefused }},
		{"confirm finds another address", nil, func(scene) error { return flowhook.ErrBadToken }, func(err error) bool { return err == flowhook.ErrBadToken }},
		{"the request ends in confirm", nil, func(s scene) error { s.cancel(); return nil }, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"confirm panics", nil, func(scene) error { panic("the host's") }, nil},
		{"confirm ends its goroutine", nil, func(scene) error { runtime.Goexit(); return nil }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s scene
			h := flowtest.NewService(t, flowtest.VerifyYAML, func(h *flowtest.Service, o *flowhook.Options) {
				s.store = &breaking{UserStore: h.Store}
				o.Store = s.store
			})
			h.Browser().PostPath("/registration/password", "user", "carol")
			token := flowtest.LinkToken.FindStringSubmatch(h.Mail.Take()[0].Link)[1]
			redeem := func(ctx context.Context, then func(s scene) error) error {
				return h.Pipeline.Redeem(ctx, token, func(ctx context.Context, v flowhook.VerificationToken) error {
					u, _ := h.Store.User(ctx, v.IdentityID)
					u.Verified = true
					if err := h.Store.SaveUser(ctx, u); err != nil || then == nil {
						return err
					}
					return then(s)
				})
			}
			if row.fail != nil {
				row.fail(s)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.cancel = cancel
			var err error
			returned, done := false, make(chan struct{})
			go func() {
				defer close(done)
				defer func() { recover() }()
				err = redeem(ctx, row.confirm)
				returned = true
			}()
			<-done
			require.Equal(t, row.returns != nil, returned)
			require.True(t, row.returns == nil || row.returns(err), err)
			u, _ := h.Store.User(t.Context(), "carol")
			require.False(t, u.Verified)

			s.store.consume, s.store.commit = nil, nil
			require.NoError(t, redeem(t.Context(), nil), "trying again")
			u, _ = h.Store.User(t.Context(), "carol")
			require.True(t, u.Verified)
			require.ErrorIs(t, redeem(t.Context(), nil), flowhook.ErrBadToken, "and once more")
		})
	}
}
