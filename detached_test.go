package flowhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestComplete_exchange_without_writer_and_request(t *testing.T) {
	t.Run("saves_and_runs_hooks", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		done := false
		b.Add(flowtest.LoginBefore, "before")
		b.Add(flowtest.LoginGate, "gate")
		b.Add(flowtest.LoginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
			require.Nil(t, x.Request)
			require.Empty(t, x.Writer.Header())
			x.AfterCommit(func(context.Context) error { done = true; return nil })
			return nil
		})
		p, ctx := b.Pipeline(), b.Detach()
		handled, err := p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.NoError(t, err)
		require.False(t, handled)
		handled, err = p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error {
			b.Ran = append(b.Ran, "save")
			return nil
		})
		require.NoError(t, err)
		require.False(t, handled)
		require.Equal(t, []string{"before", "gate", "save", "after"}, b.Ran)
		require.Equal(t, []string{"begin alice", "commit"}, b.Store.Entries)
		require.True(t, done)
		require.Nil(t, b.Exchange.Writer)
		require.Nil(t, b.Exchange.Request)
	})

	for name, act := range map[string]flowtest.Act{
		"an_answer_is_an_error": flowtest.AnswerWith(http.StatusFound, ""),
		"a_body_is_an_error":    func(_ context.Context, x *flowhook.Exchange) error { _, err := x.Writer.Write(nil); return err },
		"a_header_is_an_error":  func(_ context.Context, x *flowhook.Exchange) error { x.Writer.Header().Set("A", "b"); return nil },
		"redirect_is_an_error":  flowhook.Redirect("/welcome").Run,
	} {
		for _, phase := range []flowhook.Phase{flowhook.BeforePersist, flowhook.After} {
			t.Run(name+"/"+string(phase), func(t *testing.T) {
				b := flowtest.NewRunTest(t)
				b.Add(flowtest.At(flowhook.Login, phase, flowhook.Password), "hook", act)
				b.Add(flowtest.LoginFailed, "failed")
				_, err := b.Pipeline().Complete(b.Detach(), flowhook.Login, flowhook.Password, nil)
				require.ErrorContains(t, err, "hook hook")
				require.ErrorContains(t, err, "the exchange has no Writer")
				require.Equal(t, []string{"hook", "failed"}, b.Ran)
				if phase == flowhook.After {
					require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
				}
				require.Nil(t, b.Exchange.Writer)
			})
		}
	}

	t.Run("session_is_an_error", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, sessionHookYAML)
		v := flowtest.NewVisitor("alice")
		v.Writer, v.Request = nil, nil
		err := d.CompleteLogin(v, nil)
		require.ErrorIs(t, err, flowhook.ErrNoExchange)
		require.ErrorContains(t, err, "hook session")
		require.ErrorContains(t, err, "flowhook: the exchange has no Writer, so no cookie can be sent")
		require.NotContains(t, err.Error(), "no exchange in the context")
		require.Empty(t, d.Store.Take())
	})

	t.Run("verify_sends_its_email", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: verify}]}}\n")
		v := flowtest.NewVisitor("alice")
		v.Writer, v.Request = nil, nil
		v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
		require.NoError(t, d.CompleteLogin(v, nil))
		require.Len(t, d.Mail.Take(), 1)
	})

	t.Run("a_hook_that_reads_the_request_is_an_error", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error { _ = x.Request.Header; return nil })
		_, err := b.Pipeline().Complete(b.Detach(), flowhook.Login, flowhook.Password, nil)
		require.ErrorContains(t, err, "hook hook")
		require.ErrorContains(t, err, "nil pointer dereference (the exchange has no Request)")
	})

	t.Run("a_panic_with_a_request_does_not_mention_it", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "hook", func(context.Context, *flowhook.Exchange) error { panic("oh no") })
		_, err := b.Complete(nil)
		require.ErrorContains(t, err, "oh no")
		require.NotContains(t, err.Error(), "has no Request")
	})

	t.Run("a_redirect_that_asks_the_request_goes_to_its_default", func(t *testing.T) {
		cfg, err := flowhook.ParseConfig([]byte("selfservice: {allowed_return_urls: [/app], login: {after: " +
			"[{hook: redirect, config: {to: /welcome, allow_user_defined_redirect: true}}]}}"))
		require.NoError(t, err)
		p, err := flowhook.New(cfg, flowhook.Options{})
		require.NoError(t, err)
		rec := httptest.NewRecorder()
		ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Writer: rec})
		handled, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, "/welcome", rec.Header().Get("Location"))
	})
}
