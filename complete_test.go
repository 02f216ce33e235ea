package flowhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	save := func(b *flowtest.RunTest) func(context.Context) error {
		return func(context.Context) error { b.Ran = append(b.Ran, "save"); return nil }
	}

	t.Run("gate runs before the transaction of save and after", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginGate, "gate", func(ctx context.Context, _ *flowhook.Exchange) error {
			require.Empty(t, b.Store.Entries)
			return nil
		})
		b.Add(flowtest.LoginAfter, "after", func(ctx context.Context, _ *flowhook.Exchange) error {
			require.NotNil(t, ctx.Value(flowtest.InTransactionKey{}))
			return nil
		})
		b.Add(flowtest.LoginFailed, "failed")
		handled, err := b.Complete(func(ctx context.Context) error {
			require.NotNil(t, ctx.Value(flowtest.InTransactionKey{}))
			b.Exchange.Writer.Header().Set("X-Save", "staged")
			require.Empty(t, b.Recorder.Header().Get("X-Save"))
			return save(b)(ctx)
		})
		require.NoError(t, err)
		require.False(t, handled)
		require.Equal(t, []string{"gate", "save", "after"}, b.Ran)
		require.Equal(t, []string{"begin alice", "commit"}, b.Store.Entries)
		require.Equal(t, "staged", b.Recorder.Header().Get("X-Save"))
	})

	t.Run("gate answers and nothing is saved", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginGate, "gate", flowtest.AnswerWith(http.StatusForbidden, "not you"))
		b.Add(flowtest.LoginAfter, "after")
		b.Add(flowtest.LoginFailed, "failed")
		handled, err := b.Complete(save(b))
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"gate"}, b.Ran)
		require.Empty(t, b.Store.Entries)
		require.Equal(t, http.StatusForbidden, b.Recorder.Code)
		require.Equal(t, "not you", b.Recorder.Body.String())
	})

	t.Run("save fails and its error is returned unchanged", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "after")
		handled, err := b.Complete(func(ctx context.Context) error {
			flowtest.Meddle(ctx, b.Exchange)
			b.Recorder.Header().Set("X-Host", "changed below the response")
			return flowtest.ErrRefused
		})
		require.False(t, handled)
		require.True(t, err == flowtest.ErrRefused)
		require.Empty(t, b.Ran)
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	})

	t.Run("save sets the identity, which is locked before the after hooks", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Exchange.Identity = nil
		b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error {
			require.Equal(t, []string{"begin ", "join carol"}, b.Store.Entries)
			return nil
		})
		_, err := b.Complete(func(context.Context) error { b.Exchange.Identity = &flowhook.Identity{ID: "carol"}; return nil })
		require.NoError(t, err)
		require.Equal(t, []string{"after"}, b.Ran)
		require.Equal(t, []string{"begin ", "join carol", "commit"}, b.Store.Entries)
	})

	t.Run("save answers", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		handled, err := b.Complete(func(context.Context) error {
			http.Redirect(b.Exchange.Writer, b.Exchange.Request, "/", http.StatusFound)
			return nil
		})
		require.False(t, handled)
		require.ErrorContains(t, err, "save: it has answered")
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		b.RequireUntouched()
	})

	t.Run("save panics", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginFailed, "failed")
		require.PanicsWithValue(t, "the host's", func() {
			b.Complete(func(ctx context.Context) error { flowtest.Meddle(ctx, b.Exchange); panic("the host's") })
		})
		require.Equal(t, []string{"begin alice", "rollback"}, b.Store.Entries)
		require.Empty(t, b.Ran)
		b.RequireUntouched()
	})

	t.Run("commit fails", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Store.CommitErr = flowtest.ErrRefused
		b.Add(flowtest.LoginAfter, "after", flowtest.Meddle, flowtest.AnswerWith(302, ""),
			func(_ context.Context, x *flowhook.Exchange) error {
				x.AfterCommit(func(context.Context) error { t.Error("not committed"); return nil })
				return nil
			})
		handled, err := b.Complete(nil)
		require.False(t, handled)
		require.ErrorIs(t, err, flowtest.ErrRefused)
		b.RequireUntouched()
	})

	t.Run("request has ended", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Cancel()
		_, err := b.Complete(save(b))
		require.Equal(t, context.Canceled, err)
		require.Empty(t, b.Ran)
	})

	t.Run("store is missing", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Options.Store = nil
		b.Add(flowtest.LoginAfter, "after")
		_, err := b.Complete(save(b))
		require.NoError(t, err)
		require.Equal(t, []string{"save", "after"}, b.Ran)
	})
}

// A transactionFunc is a store whose Transaction may break its contract.
type transactionFunc func(ctx context.Context, fn func(context.Context) error) error

func (s transactionFunc) Transaction(ctx context.Context, _ string, fn func(context.Context) error) error {
	return s(ctx, fn)
}

func TestComplete_StoreBreaksContract(t *testing.T) {
	for _, row := range []struct {
		name  string
		store transactionFunc
		fails bool // the hook
		says  string
	}{
		{"fn does not run", func(context.Context, func(context.Context) error) error { return nil }, false,
			"did not run"},
		{"fn runs twice", func(ctx context.Context, fn func(context.Context) error) error {
			fn(ctx)
			return fn(ctx)
		}, false, "twice"},
		{"error is lost", func(ctx context.Context, fn func(context.Context) error) error { fn(ctx); return nil },
			true, "refused"},
		{"error is replaced", func(ctx context.Context, fn func(context.Context) error) error {
			fn(ctx)
			return errors.New("no rollback today")
		}, true, "refused"},
		{"transaction cannot begin", func(context.Context, func(context.Context) error) error {
			return flowtest.ErrStoreDown
		}, false, "database is down"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Options.Store = row.store
			b.Add(flowtest.LoginAfter, "meddler", flowtest.Meddle)
			if row.fails {
				b.Add(flowtest.LoginAfter, "refuses", flowtest.Refuse)
			}
			handled, err := b.Run(flowhook.After)
			require.False(t, handled)
			require.ErrorContains(t, err, row.says)
			b.RequireUntouched()
		})
	}
}

func TestAfterCommit(t *testing.T) {
	t.Run("functions run after the commit and before the response", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		var done []string
		b.Add(flowtest.LoginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
			for _, name := range []string{"first", "second"} {
				x.AfterCommit(func(ctx context.Context) error {
					b.Cancel()
					require.Equal(t, []string{"begin alice", "commit"}, b.Store.Entries)
					require.False(t, b.Recorder.Flushed)
					require.Empty(t, b.Recorder.Header().Get("X-Hook"))
					require.NoError(t, ctx.Err())
					deadline, ok := ctx.Deadline()
					require.True(t, ok)
					require.WithinDuration(t, time.Now().Add(10*time.Second), deadline, time.Second)
					require.Nil(t, ctx.Value(flowtest.InTransactionKey{}))
					got, _ := flowhook.FromContext(ctx)
					require.Same(t, x, got)
					done = append(done, name)
					return nil
				})
			}
			return nil
		}, flowtest.AnswerWith(302, ""))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, []string{"first", "second"}, done)
		require.Equal(t, "was here", b.Recorder.Header().Get("X-Hook"))
	})

	t.Run("failures are logged and the other functions run", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		last := false
		b.Add(flowtest.LoginAfter, "mailer", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { return flowtest.ErrRefused })
			x.AfterCommit(func(context.Context) error { panic("in the post") })
			x.AfterCommit(func(context.Context) error { runtime.Goexit(); return nil })
			x.AfterCommit(func(context.Context) error { panic(http.ErrAbortHandler) })
			x.AfterCommit(func(context.Context) error {
				if _, err := x.Writer.Write([]byte("too late")); err != nil {
					x.Writer.WriteHeader(500)
					x.Writer.Header().Set("X-Late", "1")
					x.AfterCommit(func(context.Context) error { last = true; return nil })
				}
				return nil
			})
			return nil
		}, flowtest.AnswerWith(303, "body"))
		handled, err := b.Complete(nil)
		require.NoError(t, err)
		require.True(t, handled)
		require.True(t, last)
		require.Equal(t, 303, b.Recorder.Code)
		require.Equal(t, "body", b.Recorder.Body.String())
		require.Empty(t, b.Recorder.Header().Get("X-Late"))
		for _, says := range []string{"refused", "in the post", "ended its goroutine", "abort Handler", "mailer",
			"flowtest/run.go:"} {
			require.Contains(t, b.Log.String(), says)
		}
		require.Equal(t, 2, strings.Count(b.Log.String(), "a hook panicked"), "want a stack for each panic only")
		require.Contains(t, b.Log.String(), "complete_test.go:")
	})

	t.Run("functions of a gate and of save wait for the commit", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		leave := func(name string) flowtest.Act {
			return func(_ context.Context, x *flowhook.Exchange) error {
				x.AfterCommit(func(context.Context) error { b.Ran = append(b.Ran, "later: "+name); return nil })
				return nil
			}
		}
		b.Add(flowtest.LoginBefore, "before", leave("before"))
		b.Add(flowtest.LoginGate, "gate", leave("gate"))
		p := b.Pipeline()
		_, err := p.Run(b.Context, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.NoError(t, err)
		_, err = p.Complete(b.Context, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
			b.Ran = append(b.Ran, "save")
			return leave("save")(ctx, b.Exchange)
		})
		require.NoError(t, err)
		require.Equal(t, []string{"before", "later: before", "gate", "save", "later: gate", "later: save"}, b.Ran)
	})

	t.Run("functions of a failed run never run", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		fail := true
		count := 0
		b.Add(flowtest.LoginAfter, "mailer", func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { count++; return nil })
			if fail {
				return flowtest.ErrRefused
			}
			return nil
		})
		p := b.Pipeline()
		_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.Error(t, err)
		require.Zero(t, count)
		fail = false
		_, err = p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
		require.Equal(t, 1, count)
	})

	t.Run("call outside a run panics", func(t *testing.T) {
		require.Panics(t, func() { new(flowhook.Exchange).AfterCommit(func(context.Context) error { return nil }) })
	})
}

func TestComplete_WithoutWriterAndRequest(t *testing.T) {
	t.Run("save and hooks run", func(t *testing.T) {
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
		"answer_is_an_error": flowtest.AnswerWith(http.StatusFound, ""),
		"body_is_an_error": func(_ context.Context, x *flowhook.Exchange) error {
			_, err := x.Writer.Write(nil)
			return err
		},
		"header_is_an_error": func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.Header().Set("A", "b")
			return nil
		},
		"redirect_is_an_error": flowhook.Redirect("/welcome").Run,
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

	t.Run("session is an error", func(t *testing.T) {
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

	t.Run("verify sends its email", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: verify}]}}\n")
		v := flowtest.NewVisitor("alice")
		v.Writer, v.Request = nil, nil
		v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
		require.NoError(t, d.CompleteLogin(v, nil))
		require.Len(t, d.Mail.Take(), 1)
	})

	t.Run("hook that reads the request is an error", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
			_ = x.Request.Header
			return nil
		})
		_, err := b.Pipeline().Complete(b.Detach(), flowhook.Login, flowhook.Password, nil)
		require.ErrorContains(t, err, "hook hook")
		require.ErrorContains(t, err, "nil pointer dereference (the exchange has no Request)")
	})

	t.Run("panic with a request does not mention it", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "hook", func(context.Context, *flowhook.Exchange) error { panic("oh no") })
		_, err := b.Complete(nil)
		require.ErrorContains(t, err, "oh no")
		require.NotContains(t, err.Error(), "has no Request")
	})

	t.Run("redirect that follows return_to goes to its default", func(t *testing.T) {
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

func TestComplete_SaveSetsAddressesHookAppends(t *testing.T) {
	b := flowtest.NewRunTest(t)
	array := [2]flowhook.Address{{Value: "a@example.org"}, {Value: "the host's"}}
	b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
		x.Identity.Addresses = append(x.Identity.Addresses, flowhook.Address{Value: "added"})
		return flowtest.ErrRefused
	})
	_, err := b.Complete(func(context.Context) error {
		b.Exchange.Identity = &flowhook.Identity{ID: "alice", Addresses: array[:1]}
		return nil
	})
	require.ErrorIs(t, err, flowtest.ErrRefused)
	require.Equal(t, "the host's", array[1].Value)
}

// After save panics, a handler that recovers can use the exchange as before.
func TestComplete_SavePanics(t *testing.T) {
	d := flowtest.NewSessionTest(t, sessionHookYAML)
	cookie, _ := d.SignIn("alice")
	raw := loginOver(t, d.Pipeline, func(w http.ResponseWriter, r *http.Request) error {
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: "alice"}
		require.PanicsWithValue(t, "oh no", func() {
			d.Pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password,
				func(context.Context) error { panic("oh no") })
		})
		_, token, _ := strings.Cut(cookie, "=")
		found, err := d.FromToken(r.Context(), token)
		require.NoError(t, err)
		require.Equal(t, "alice", found.IdentityID)
		return d.Issue(r.Context(), x)
	})
	require.Contains(t, raw, "Set-Cookie: __Host-session=")
	require.Contains(t, raw, "\r\n\r\ndone")
}

// A goroutine's write between its hook's return and the end of the chain counts as the hook's.
func TestComplete_SecondAnswerRollsBack(t *testing.T) {
	b := flowtest.NewRunTest(t)
	var kept http.ResponseWriter
	ctx := &contextAtEnd{left: 2, do: func() { kept.WriteHeader(http.StatusTeapot) }} // called before save and after the hook
	b.Add(flowtest.LoginAfter, "answers", func(_ context.Context, x *flowhook.Exchange) error {
		kept = x.Writer
		return nil
	}, flowtest.AnswerWith(302, ""))
	b.Options.Store = transactionFunc(func(c context.Context, fn func(context.Context) error) error {
		ctx.Context = c
		return fn(ctx)
	})
	handled, err := b.Pipeline().Complete(b.Context, flowhook.Login, flowhook.Password, nil)
	require.False(t, handled)
	require.ErrorContains(t, err, "answered twice")
	require.Zero(t, ctx.left, "the context was not asked")
	b.RequireUntouched()
}

// A contextAtEnd is a context that calls a function when Err is called for the last time.
type contextAtEnd struct {
	context.Context
	left int
	do   func()
}

func (c *contextAtEnd) Err() error {
	if c.left--; c.left == 0 {
		c.do()
	}
	return nil
}

func TestComplete_InsideSaveOfAnotherExchange(t *testing.T) {
	h := flowtest.NewService(t, "selfservice: {registration: {after: [{hook: verify}, {hook: session}]}, verification: {after: [{hook: session}]}}")
	other := func(ctx context.Context) (*flowhook.Exchange, error) {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(),
			Identity: flowtest.Bob.Identity()}
		_, err := h.Pipeline.Complete(flowhook.NewContext(ctx, x), flowhook.Registration, flowhook.Password, nil)
		require.Equal(t, err == nil, x.Session != nil)
		return x, err
	}
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(),
		Identity: flowtest.Alice.Identity()}
	_, err := h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
		func(ctx context.Context) error {
			y, err := other(ctx)
			require.ErrorIs(t, err, flowhook.ErrNested)
			require.Error(t, h.Pipeline.Sessions().Issue(ctx, y), "the cookie would be sent before the commit")
			return flowtest.ErrRefused
		})
	require.Equal(t, flowtest.ErrRefused, err)
	require.Empty(t, h.Mail.Take())

	_, err = other(t.Context())
	require.NoError(t, err)
	token := flowtest.LinkToken.FindStringSubmatch(h.Mail.Take()[0].Link)[1]
	err = h.Pipeline.Redeem(t.Context(), token, func(ctx context.Context, v flowhook.Token) error {
		y, err := other(ctx)
		require.ErrorIs(t, err, flowhook.ErrNested)
		require.Error(t, h.Pipeline.Sessions().Issue(ctx, y))
		return err
	})
	require.ErrorIs(t, err, flowhook.ErrNested)
	require.Empty(t, h.Mail.Take())
}

// An errorList is an error that cannot be compared, like those of validation libraries.
type errorList []string

func (l errorList) Error() string { return strings.Join(l, ", ") }

func TestComplete_IncomparableErrors(t *testing.T) {
	nothing := func() error { var e *url.Error; return e }
	for name, cause := range map[string]error{"not comparable": errorList{"name", "address"},
		"nil pointer": nothing(), "wrapped": fmt.Errorf("save: %w", errorList{"x"})} {
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
				b.Add(flowtest.LoginFailed, "failed",
					func(context.Context, *flowhook.Exchange) error { failed = true; return nil })
				handled, err := b.Complete(save)
				require.False(t, handled)
				require.Error(t, err)
				require.True(t, failed)
				require.Empty(t, b.Log.String(), "a log line without a cause")
				b.RequireUntouched()
			})
		}
	}
	t.Run("error of a factory", func(t *testing.T) {
		cfg := new(flowhook.Config)
		cfg.Add(flowtest.LoginAfter, "odd", nil)
		_, err := flowhook.New(cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{
			"odd": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return nil, nothing() }}})
		require.ErrorContains(t, err, "complete_test.go")
	})
}

func TestAfterCommit_ErrorNamesPoint(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginGate, "gate", func(_ context.Context, x *flowhook.Exchange) error {
		x.AfterCommit(func(context.Context) error { return flowtest.ErrRefused })
		return nil
	})
	_, err := b.Complete(nil)
	require.NoError(t, err)
	require.Contains(t, b.Log.String(), "login/before_persist/password: hook gate")
}

// Complete in the transaction of another exchange is rejected before any hook runs.
func TestComplete_InTransactionOfAnotherExchange(t *testing.T) {
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

// Between save and the hooks, Complete waits for the second lock. A goroutine that save started may
// write then.
func TestComplete_AnswerAfterSaveRollsBack(t *testing.T) {
	b := flowtest.NewRunTest(t)
	who := b.Exchange.Identity
	b.Exchange.Identity = nil
	var kept http.ResponseWriter
	calls := 0
	b.Options.Store = transactionFunc(func(ctx context.Context, fn func(context.Context) error) error {
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

// A lockRecorder is a memstore that records which identities its transactions wait for.
type lockRecorder struct {
	*memstore.Store
	waits []string
}

func (n *lockRecorder) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	n.waits = append(n.waits, id)
	return n.Store.Transaction(ctx, id, fn)
}

func TestTransactions_SerializedByIdentity(t *testing.T) {
	store, mail := &lockRecorder{Store: memstore.New()}, &flowtest.Mailbox{}
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {registration: {after: [{hook: verify}]}}" +
		flowtest.SecretYAML))
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Store: store, Courier: mail,
		VerificationURL: "https://auth.example/verify"})
	require.NoError(t, err)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: flowtest.NewRequest(),
		Identity: flowtest.Alice.Identity()}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"alice"}, store.waits)

	store.waits = nil
	token := flowtest.LinkToken.FindStringSubmatch(mail.Take()[0].Link)[1]
	require.NoError(t, p.Redeem(t.Context(), token,
		func(context.Context, flowhook.Token) error { return nil }))
	require.Equal(t, []string{"", "alice"}, store.waits, "the token must name the identity to lock")

	store.waits = nil
	require.NoError(t, p.Sessions().Issue(t.Context(), x))
	require.NoError(t, p.Sessions().Issue(t.Context(), x))
	require.Empty(t, store.waits, "a single call needs no transaction")
}
