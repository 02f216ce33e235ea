package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A quotingError says more than it should.
type quotingError struct {
	text string
	err  error
}

func (q quotingError) Error() string { return "cannot: " + q.text }
func (q quotingError) Unwrap() error { return q.err }

var errCourier = errors.New("the relay is away")

// A quotingCourier fails, and quotes everything it was given.
type quotingCourier struct {
	fail func(m flowhook.Message) error
	sent []flowhook.Message
}

func (c *quotingCourier) Send(_ context.Context, m flowhook.Message) error {
	c.sent = append(c.sent, m)
	if c.fail == nil {
		return nil
	}
	return c.fail(m)
}

func quote(m flowhook.Message) quotingError { return quotingError{fmt.Sprintf("%+v", m), errCourier} }

const allHooksYAML = `
selfservice:
  login: {after: [{hook: revoke_active_sessions}, {hook: session}, {hook: verify}, {hook: host}]}
  registration: {after: [{hook: session}, {hook: verify}]}
secrets: {session: [` + flowtest.Canary + `-newer-secret, ` + flowtest.Canary + `-older-secret]}
`

// A secrecyTest is a pipeline with all hooks, an exchange full of secrets, and a log.
type secrecyTest struct {
	*flowtest.SessionTest
	flowtest.Visitor
	courier *quotingCourier
	host    flowtest.Act // what the host's own hook does
	planted []string     // what was made up while it ran, and must not be seen either
}

func newSecrecyTest(t *testing.T, log *slog.Logger, change ...func(s *secrecyTest)) *secrecyTest {
	s := &secrecyTest{courier: &quotingCourier{}}
	s.SessionTest = flowtest.NewSessionTest(t, allHooksYAML, func(d *flowtest.SessionTest) {
		s.SessionTest = d
		d.Options.Logger, d.Options.Courier = log, s.courier
		d.Options.Hooks = map[string]flowhook.HookFactory{"host": func(flowhook.Point,
			func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
				if s.host == nil {
					return nil
				}
				return s.host(ctx, x)
			}), nil
		}}
		for _, c := range change {
			c(s)
		}
	})
	cookie, session := s.SignIn("alice")
	s.Visitor = flowtest.NewVisitor("alice", cookie, "theme="+flowtest.Canary)
	s.Session = &session
	s.Identity.Addresses = []flowhook.Address{{Via: "email", Value: flowtest.Canary + "@example.org"}}
	s.Identity.Data = flowtest.Canary
	s.Request.Header.Set("Authorization", "Bearer "+flowtest.Canary)
	s.planted = append(s.planted, session.ID, strings.TrimPrefix(cookie, flowtest.CookieName+"="))
	return s
}

// secrets returns the planted secrets, and the sessions, cookies and links that came of them.
func (s *secrecyTest) secrets() []string {
	all := s.planted
	for _, c := range s.Recorder.Result().Cookies() {
		all = append(all, c.Value)
	}
	for _, m := range s.courier.sent {
		_, token, _ := strings.Cut(m.Link, "token=")
		all = append(all, token, token[:16])
	}
	return append(all, s.Store.Created()...)
}

func (s *secrecyTest) login(save func(context.Context) error) error {
	return s.CompleteLogin(s.Visitor, save)
}

// forEachLogger runs act once with each kind of log, and checks the log and all errors.
func forEachLogger(t *testing.T, name string, act func(t *testing.T, s *secrecyTest) []error,
	change ...func(s *secrecyTest)) {
	for _, kind := range []string{"text", "JSON"} {
		t.Run(name+", logged as "+kind, func(t *testing.T) {
			book, loggers := newLogs()
			s := newSecrecyTest(t, loggers[kind], change...)
			errs := act(t, s)
			for _, err := range errs {
				requireSilentError(t, err, s.secrets()...)
				loggers[kind].Error("the flow failed", "error", err)
			}
			flowtest.RequireSilent(t, book.String(), s.secrets()...)
		})
	}
}

func TestSecrecy_StoreErrors(t *testing.T) {
	errStore := errors.New("the database is away")
	for _, method := range []string{"Transaction", "CreateSession", "ReplaceSession", "DeleteSession",
		"DeleteSessions", "FindSession", "CreateToken", "ConsumeToken"} {
		forEachLogger(t, method, func(t *testing.T, s *secrecyTest) []error {
			s.Store.Fail[method] = errStore
			token := strings.Repeat("A", 43)
			s.planted = append(s.planted, token)
			_, genuine, _ := strings.Cut(s.Request.Header.Get("Cookie"), "=")
			genuine, _, _ = strings.Cut(genuine, ";")
			_, first := s.Create(t.Context(), flowtest.NewVisitor("alice").Exchange)
			_, create := s.Create(t.Context(), s.Exchange)
			_, find := s.FromRequest(s.Request)
			_, fromToken := s.FromToken(t.Context(), genuine)
			errs := []error{first, create, find, fromToken, s.login(nil), s.Issue(t.Context(), s.Exchange),
				s.End(t.Context(), s.Exchange),
				s.Pipeline.Redeem(t.Context(), token,
					func(context.Context, flowhook.Token) error { return nil })}
			failed := 0
			for _, err := range errs {
				if errors.Is(err, errStore) {
					failed++
				}
			}
			require.NotZero(t, failed, "%s was not called", method)
			return errs
		})
	}
}

func TestSecrecy_CourierErrors(t *testing.T) {
	for _, row := range []struct {
		name    string
		fail    func(m flowhook.Message) error
		reached bool
	}{
		{"returns", func(m flowhook.Message) error { return quote(m) }, true},
		{"wraps", func(m flowhook.Message) error { return fmt.Errorf("sending %+v: %w", m, errCourier) }, true},
		{"joins", func(m flowhook.Message) error { return errors.Join(quote(m), errors.New(m.To)) }, true},
		{"panics with an error", func(m flowhook.Message) error { panic(quote(m)) }, true},
		{"panics with a text", func(m flowhook.Message) error { panic("cannot send to " + m.To + m.Link) }, false},
		{"panics with the message", func(m flowhook.Message) error { panic(m) }, false},
		{"panics with a pointer to it", func(m flowhook.Message) error { panic(&m) }, false},
	} {
		inside := func(t *testing.T, s *secrecyTest) []error {
			err := s.login(nil)
			require.Len(t, s.courier.sent, 1)
			var hookError *flowhook.HookError
			require.ErrorAs(t, err, &hookError)
			require.Equal(t, "verify", hookError.Name)
			require.Equal(t, row.reached, errors.Is(err, errCourier))
			// The text below ours is the courier's own.
			flowtest.RequireSilent(t, fmt.Sprintf("%v %+v %s %q", err, err, err, err), s.secrets()...)
			flowtest.RequireSilent(t, fmt.Sprintf("%v %+v %s %q", hookError.Err, hookError.Err, hookError.Err,
				hookError.Err), s.secrets()...)
			s.Options.Logger.Error("the flow failed", "error", err)
			return nil
		}
		forEachLogger(t, row.name+", in the transaction", inside,
			func(s *secrecyTest) { s.Options.Outbox, s.courier.fail = true, row.fail })
		after := func(t *testing.T, s *secrecyTest) []error {
			require.NoError(t, s.login(nil))
			require.Len(t, s.courier.sent, 1)
			return nil
		}
		forEachLogger(t, row.name+", after the commit", after, func(s *secrecyTest) { s.courier.fail = row.fail })
	}
	forEachLogger(t, "ends its goroutine, after the commit",
		func(t *testing.T, s *secrecyTest) []error { return []error{s.login(nil)} },
		func(s *secrecyTest) { s.courier.fail = func(flowhook.Message) error { runtime.Goexit(); return nil } })
}

func TestSecrecy_BadTokensAndCookies(t *testing.T) {
	forEachLogger(t, "tokens", func(t *testing.T, s *secrecyTest) (errs []error) {
		require.NoError(t, s.login(nil))
		_, used, _ := strings.Cut(s.courier.sent[0].Link, "token=")
		confirm := func(context.Context, flowhook.Token) error { return nil }
		require.NoError(t, s.Pipeline.Redeem(t.Context(), used, confirm))
		for _, token := range []string{used, used[1:] + "A", "", flowtest.Canary,
			strings.Repeat(flowtest.Canary, 1000), flowtest.Canary + strings.Repeat("x", 43-len(flowtest.Canary)),
			flowtest.Canary + "\r\n"} {
			s.planted = append(s.planted, token)
			err := s.Pipeline.Redeem(t.Context(), token, confirm)
			require.ErrorIs(t, err, flowhook.ErrBadToken)
			_, fromToken := s.FromToken(t.Context(), token)
			_, fromRequest := s.FromRequest(flowtest.NewVisitor("", flowtest.CookieName+"="+token).Request)
			errs = append(errs, err, fromToken, fromRequest,
				s.End(t.Context(), flowtest.NewVisitor("", flowtest.CookieName+"="+token).Exchange))
		}
		return errs
	})
	forEachLogger(t, "addresses", func(t *testing.T, s *secrecyTest) (errs []error) {
		for _, value := range []string{flowtest.Canary, flowtest.Canary + "@x.example\r\nBcc: " + flowtest.Canary +
			"@y.example", "<" + flowtest.Canary + "@x.example>", flowtest.Canary + "@" + strings.Repeat("x", 300)} {
			s.Identity.Addresses[0].Value = value
			err := s.login(nil)
			require.ErrorContains(t, err, "address 1 of the identity")
			errs = append(errs, err)
		}
		return errs
	})
}

// Errors about the host's code contain nothing of the exchange.
func TestSecrecy_RunErrors(t *testing.T) {
	ctx := func(s *secrecyTest) context.Context { return flowhook.NewContext(t.Context(), s.Exchange) }
	answer := flowtest.AnswerWith(http.StatusOK, flowtest.Canary)
	for _, row := range []struct {
		name string
		host flowtest.Act
	}{
		{"error", flowtest.Refuse},
		{"panic", func(_ context.Context, x *flowhook.Exchange) error { return panicsBelow(flowtest.Canary, x) }},
		{"nil pointer", func(context.Context, *flowhook.Exchange) error { var x *flowhook.Exchange; x.Err = nil; return nil }},
		{"answer of 403", flowtest.AnswerWith(http.StatusForbidden, flowtest.Canary)},
		{"two answers", func(ctx context.Context, x *flowhook.Exchange) error {
			answer(ctx, x)
			return answer(ctx,
				x)
		}},
		{"invalid status", flowtest.AnswerWith(1000, flowtest.Canary)},
		{"body too big", flowtest.AnswerWith(http.StatusOK, strings.Repeat(flowtest.Canary, 1<<18))},
		{"another writer", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer = httptest.NewRecorder()
			return nil
		}},
		{"nobody", func(_ context.Context, x *flowhook.Exchange) error { x.Identity = nil; return flowhook.ErrNoIdentity }},
	} {
		forEachLogger(t, row.name, func(t *testing.T, s *secrecyTest) []error {
			s.host = row.host
			err := s.login(nil)
			require.Error(t, err)
			return []error{err}
		})
	}
	forEachLogger(t, "after the commit", func(t *testing.T, s *secrecyTest) []error {
		s.host = func(_ context.Context, x *flowhook.Exchange) error {
			x.AfterCommit(func(context.Context) error { return flowtest.ErrRefused })
			x.AfterCommit(func(context.Context) error { return panicsBelow(flowtest.Canary, x) })
			return nil
		}
		return []error{s.login(nil)}
	})
	forEachLogger(t, "misuse", func(t *testing.T, s *secrecyTest) (errs []error) {
		_, unknown := s.Pipeline.Run(ctx(s), "nowhere", flowhook.After, flowhook.Password)
		_, bare := s.Pipeline.Run(t.Context(), flowhook.Login, flowhook.After, flowhook.Password)
		outside := s.login(func(context.Context) error { return s.Issue(t.Context(), s.Exchange) })
		answered := s.login(func(ctx context.Context) error { return answer(ctx, s.Exchange) })
		s.host = func(ctx context.Context, _ *flowhook.Exchange) error {
			_, err := s.Pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
			return err
		}
		nested := s.login(nil)
		for _, err := range []error{unknown, bare, outside, answered, nested} {
			require.Error(t, err)
			errs = append(errs, err)
		}
		return errs
	})
	forEachLogger(t, "before hook, by Middleware's default", func(t *testing.T, s *secrecyTest) []error {
		cfg := &flowhook.Config{}
		cfg.Add(flowtest.LoginBefore, "gate", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
			return panicsBelow(flowtest.Canary, x)
		}))
		s.Options.Secrets = []string{flowtest.Canary + "-long-enough"}
		p, err := flowhook.New(cfg, s.Options)
		require.NoError(t, err)
		s.Request.URL.RawQuery = "token=" + flowtest.Canary
		p.Middleware(flowhook.Login)(http.NotFoundHandler()).ServeHTTP(s.Recorder, s.Request)
		require.Equal(t, http.StatusInternalServerError, s.Recorder.Code)
		flowtest.RequireSilent(t, s.Recorder.Body.String(), s.planted...)
		require.NotContains(t, fmt.Sprint(s.Recorder.Header()), flowtest.Canary)
		return nil
	})
}

// panicsBelow panics with secrets as arguments on the stack.
//
//go:noinline
func panicsBelow(secret string, x *flowhook.Exchange) error {
	if len(secret) > 0 && x.Identity != nil || x.Request != nil {
		panic("the host's bug")
	}
	return nil
}
