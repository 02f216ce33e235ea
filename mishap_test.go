package flowhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A hook leaves a goroutine behind that has the writer, and has not used it. It writes when a later run is at work.
func TestAWriterThatWasKeptUnusedIsOfNoUseInTheNextRuns(t *testing.T) {
	for _, where := range []string{"gate", "save", "after", "commit", "failed"} {
		t.Run(where, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			var kept http.ResponseWriter
			write := func(here string) flowtest.Act {
				return func(context.Context, *flowhook.Exchange) error {
					if here == where {
						kept.WriteHeader(http.StatusInternalServerError)
						kept.Header().Set("X-Stray", "1")
						_, err := kept.Write([]byte("stray"))
						require.Error(t, err)
					}
					return nil
				}
			}
			b.Add(flowtest.LoginBefore, "keeps", func(_ context.Context, x *flowhook.Exchange) error { kept = x.Writer; return nil })
			b.Add(flowtest.LoginGate, "gate", write("gate"))
			b.Add(flowtest.LoginAfter, "after", write("after"), func(_ context.Context, x *flowhook.Exchange) error {
				if where == "commit" {
					kept = x.Writer // of this very run
				}
				if where == "failed" {
					return flowtest.ErrRefused
				}
				return nil
			})
			b.Add(flowtest.LoginFailed, "failed", write("failed"))
			b.Options.Store = wrongStore(func(ctx context.Context, fn func(context.Context) error) error {
				if err := fn(ctx); err != nil {
					return err
				}
				return write("commit")(ctx, nil)
			})
			p := b.Pipeline()
			_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			require.NoError(t, err)
			saved := false
			handled, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
				saved = true
				return write("save")(ctx, nil)
			})
			require.False(t, handled)
			require.True(t, saved)
			require.Equal(t, where == "failed", err != nil, err)
			b.RequireUntouched()
		})
	}
}

// What a goroutine writes between its hook's return and the end of the chain counts as the hook's.
func TestASecondAnswerBeforeTheCommitRollsBack(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var kept http.ResponseWriter
	ctx := &endsAt{left: 2, do: func() { kept.WriteHeader(http.StatusTeapot) }} // asked before save, and behind the hook
	b.Add(flowtest.LoginAfter, "answers", func(_ context.Context, x *flowhook.Exchange) error { kept = x.Writer; return nil }, flowtest.AnswerWith(302, ""))
	b.Options.Store = wrongStore(func(c context.Context, fn func(context.Context) error) error {
		ctx.Context = c
		return fn(ctx)
	})
	handled, err := b.Pipeline().Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.False(t, handled)
	require.ErrorContains(t, err, "answered twice")
	require.Zero(t, ctx.left, "the moment never came")
	b.RequireUntouched()
}

// endsAt is a context that does something when it is asked for its error for the last time.
type endsAt struct {
	context.Context
	left int
	do   func()
}

func (c *endsAt) Err() error {
	if c.left--; c.left == 0 {
		c.do()
	}
	return nil
}

func TestNoRunInTheTransactionOfAnother(t *testing.T) {
	h := flowtest.NewService(t, "selfservice: {registration: {after: [{hook: verify}, {hook: session}]}, verification: {after: [{hook: session}]}}")
	other := func(ctx context.Context) (*flowhook.Exchange, error) {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(), Identity: flowtest.Bob.Identity()}
		_, err := h.Pipeline.Complete(flowhook.NewContext(ctx, x), flowhook.Registration, flowhook.Password, nil)
		require.Equal(t, err == nil, x.Session != nil)
		return x, err
	}
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(), Identity: flowtest.Alice.Identity()}
	_, err := h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		y, err := other(ctx)
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Error(t, h.Pipeline.Sessions().Issue(ctx, y), "its cookie would leave before the commit")
		return flowtest.ErrRefused
	})
	require.Equal(t, flowtest.ErrRefused, err)
	require.Empty(t, h.Mail.Take())

	_, err = other(t.Context())
	require.NoError(t, err)
	token := flowtest.LinkToken.FindStringSubmatch(h.Mail.Take()[0].Link)[1]
	err = h.Pipeline.Redeem(t.Context(), token, func(ctx context.Context, v flowhook.VerificationToken) error {
		y, err := other(ctx)
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Error(t, h.Pipeline.Sessions().Issue(ctx, y))
		return err
	})
	require.ErrorIs(t, err, flowhook.ErrNested)
	require.Empty(t, h.Mail.Take())
}

// list is an error that cannot be compared, as validation libraries have.
type list []string

func (l list) Error() string { return strings.Join(l, ", ") }

func TestErrorsThatDoNotStandBeingLookedAt(t *testing.T) {
	nothing := func() error { var e *url.Error; return e }
	for name, cause := range map[string]error{"not comparable": list{"name", "address"}, "a nil pointer": nothing(), "wrapped": fmt.Errorf("save: %w", list{"x"})} {
		for _, hook := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, of a hook: %t", name, hook), func(t *testing.T) {
				b := flowtest.NewRunTest(t)
				give := func(context.Context, *flowhook.Exchange) error { return cause }
				var save func(context.Context) error
				if hook {
					b.Add(flowtest.LoginAfter, "after", give)
				} else {
					save = func(ctx context.Context) error { return give(ctx, nil) }
				}
				failed := false
				b.Add(flowtest.LoginFailed, "failed", func(context.Context, *flowhook.Exchange) error { failed = true; return nil })
				handled, err := b.Complete(save)
				require.False(t, handled)
				require.Error(t, err)
				require.True(t, failed)
				require.Empty(t, b.Log.String(), "a false alarm")
				b.RequireUntouched()
			})
		}
	}
	t.Run("of a factory", func(t *testing.T) {
		cfg := new(flowhook.Config)
		cfg.Add(flowtest.LoginAfter, "odd", nil)
		_, err := flowhook.New(cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{
			"odd": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return nil, nothing() }}})
		require.ErrorContains(t, err, "mishap_test.go")
	})
}

func TestTheWriterOfARunThatHasEndedIsRefused(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginBefore, "keeps", func(_ context.Context, x *flowhook.Exchange) error {
		x.AfterCommit(func(context.Context) error { return nil })
		return nil
	})
	var kept http.ResponseWriter
	b.Add(flowtest.LoginBefore, "keeps too", func(_ context.Context, x *flowhook.Exchange) error { kept = x.Writer; return nil })
	p := b.Pipeline()
	_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	b.Exchange.Writer = kept
	_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrNoExchange)
}

func TestAnErrorAfterTheCommitNamesThePointOfItsHook(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginGate, "gate", func(_ context.Context, x *flowhook.Exchange) error {
		x.AfterCommit(func(context.Context) error { return flowtest.ErrRefused })
		return nil
	})
	_, err := b.Complete(nil)
	require.NoError(t, err)
	require.Contains(t, b.Log.String(), "login/before_persist/password: hook gate")
}

// brokenPipe is a writer that panics when the answer leaves.
type brokenPipe struct{ http.ResponseWriter }

func (brokenPipe) WriteHeader(int) { panic("broken pipe") }

func TestAnAnswerThatPanickedOnItsWayWasAnAnswer(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Exchange.Writer = brokenPipe{b.Recorder}
	b.Add(flowtest.LoginAfter, "answers", flowtest.AnswerWith(302, ""))
	p := b.Pipeline()
	require.PanicsWithValue(t, "broken pipe", func() { p.Complete(b.Context, flowhook.Login, flowhook.Password, nil) })
	_, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.ErrorIs(t, err, flowhook.ErrAnswered)
	require.Equal(t, []string{"answers"}, b.Ran)
}

func TestEveryHookBehindARedirectIsWarnedOf(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Config.Add(flowtest.LoginAfter, "redirect", flowhook.Redirect("/"))
	for _, name := range []string{"one", "two", "three"} {
		b.Add(flowtest.LoginAfter, name)
	}
	b.Options.Logger = slog.New(slog.NewTextHandler(b.Log, nil))
	b.Pipeline()
	for _, name := range []string{"one", "two", "three"} {
		require.Equal(t, 1, strings.Count(b.Log.String(), `hook \"`+name+`\" never runs`), b.Log.String())
	}
}

// A browser that somebody else is signed in with: their session is ended, and is not one that could be spared.
func TestRevokeAtAnAccountSwitch(t *testing.T) {
	h := flowtest.NewService(t, "selfservice: {login: {after: [{hook: revoke_active_sessions}, {hook: session}]}}", flowtest.WithUsers(flowtest.Alice, flowtest.Bob))
	shared, phone := h.Browser(), h.Browser()
	shared.PostPath("/login/password", "user", "bob")
	phone.PostPath("/login/password", "user", "alice")
	bobs, err := h.Pipeline.Sessions().FromRequest(withCookies(shared))
	require.NoError(t, err)

	r := withCookies(shared)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: r, Identity: flowtest.Alice.Identity(), Session: bobs}
	_, err = h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, "alice", x.Session.IdentityID)
	require.Equal(t, "anonymous", phone.WhoAmI())
	require.Equal(t, "anonymous", shared.WhoAmI(), "the other user's session lives on")
}

// Complete in the transaction of another exchange is refused before any hook runs.
func TestComplete_in_the_transaction_of_another(t *testing.T) {
	b, inner := flowtest.NewRunTest(t), flowtest.NewRunTest(t)
	b.Add(flowtest.LoginGate, "gate")
	b.Add(flowtest.LoginFailed, "failed")
	p := b.Pipeline()
	_, err := p.Complete(b.Context, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		b.Ran = nil
		_, err := p.Complete(flowhook.NewContext(ctx, inner.Exchange), flowhook.Login, flowhook.Password, nil)
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Empty(t, b.Ran)
		return nil
	})
	require.NoError(t, err)
}

// withCookies is a request with a browser's cookies.
func withCookies(b *flowtest.Browser) *http.Request {
	r := flowtest.NewRequest()
	for name, value := range b.Cookies() {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func TestMiddlewareGivesTheOuterWriterBack(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	outer, inner := httptest.NewRecorder(), httptest.NewRecorder()
	behind := func(w http.ResponseWriter) http.ResponseWriter {
		return w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
	}
	p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, _ := flowhook.FromContext(r.Context())
		p.Middleware(flowhook.Registration)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, _ := flowhook.FromContext(r.Context())
			require.Same(t, x, got)
			require.Same(t, w, x.Writer)
			require.Same(t, inner, behind(w))
		})).ServeHTTP(inner, r)
		require.Same(t, w, x.Writer)
		require.Same(t, outer, behind(w))
		require.Same(t, r, x.Request)
		p.Middleware(flowhook.Registration)(http.HandlerFunc(func(again http.ResponseWriter, _ *http.Request) {
			require.Same(t, w, again, "it is guarded once")
		})).ServeHTTP(w, r)
	})).ServeHTTP(outer, flowtest.NewRequest())
}

func TestABeforeHookThatFailsIsAnsweredByOnError(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginBefore, "before", flowtest.Refuse)
	reached := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	b.Pipeline().Middleware(flowhook.Login)(reached).ServeHTTP(b.Recorder, flowtest.NewRequest())
	require.Equal(t, http.StatusInternalServerError, b.Recorder.Code)
	require.Contains(t, b.Log.String(), "refused")

	var got error
	b.Options.OnError = func(w http.ResponseWriter, _ *http.Request, err error) {
		got = err
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	rec := httptest.NewRecorder()
	b.Built = nil
	b.Pipeline().Middleware(flowhook.Login)(reached).ServeHTTP(rec, flowtest.NewRequest())
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.True(t, errors.Is(got, flowtest.ErrRefused))
}

// The second lock is waited for between save and the hooks: time for a goroutine that save has left behind.
func TestAnAnswerBehindSaveRollsBack(t *testing.T) {
	b := flowtest.NewRunTest(t)
	who := b.Exchange.Identity
	b.Exchange.Identity = nil
	var kept http.ResponseWriter
	calls := 0
	b.Options.Store = wrongStore(func(ctx context.Context, fn func(context.Context) error) error {
		if calls++; calls == 2 {
			kept.WriteHeader(http.StatusOK)
		}
		return fn(ctx)
	})
	handled, err := b.Complete(func(context.Context) error {
		kept, b.Exchange.Identity = b.Exchange.Writer, who
		return nil
	})
	require.False(t, handled)
	require.ErrorContains(t, err, "save: it has answered")
	require.Equal(t, 2, calls)
	require.Nil(t, b.Exchange.Identity)
	require.False(t, b.Recorder.Flushed)
	require.Equal(t, http.Header{"X-Host": {"kept"}}, b.Recorder.Header())
}
