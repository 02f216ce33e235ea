package flowhook_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A hostileError panics when errors.Is or errors.As inspects it, and when it is printed.
type hostileError struct{}

func (hostileError) Error() string                { panic("printed") }
func (hostileError) Is(error) bool                { panic("inspected") }
func (hostileError) As(any) bool                  { panic("inspected") }
func (hostileError) Unwrap() []error              { panic("unwrapped") }
func (hostileError) Timeout() bool                { panic("asked") }
func (hostileError) MarshalText() ([]byte, error) { panic("marshaled") }

// uninspectable are errors that the standard library's functions panic on.
func uninspectable() map[string]error {
	return map[string]error{"nil_url_error": (*url.Error)(nil), "hostile_error": hostileError{}}
}

func TestMiddleware_error_that_cannot_be_inspected(t *testing.T) {
	for name, bad := range uninspectable() {
		t.Run(name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginBefore, "culprit", func(context.Context, *flowhook.Exchange) error { return bad })
			srv := httptest.NewServer(b.Pipeline().Middleware(flowhook.Login)(http.NotFoundHandler()))
			defer srv.Close()
			res, err := http.Get(srv.URL)
			require.NoError(t, err, "the client gets an answer")
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusInternalServerError, res.StatusCode)
			require.Equal(t, "Internal Server Error\n", string(body))
			require.Contains(t, b.Log.String(), "hook culprit")
		})
	}
}

func TestComplete_error_that_cannot_be_inspected(t *testing.T) {
	for name, bad := range uninspectable() {
		for _, row := range []struct {
			where string
			want  []string
			set   func(b *flowtest.RunTest) (save func(context.Context) error)
		}{
			{"hook", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error { return bad })
				return nil
			}},
			{"gate", []string{"gate", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginGate, "gate", func(context.Context, *flowhook.Exchange) error { return bad })
				return nil
			}},
			{"save", []string{"failed"}, func(*flowtest.RunTest) func(context.Context) error {
				return func(context.Context) error { return bad }
			}},
			{"panic", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", func(context.Context, *flowhook.Exchange) error { panic(bad) })
				return nil
			}},
			{"commit", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Store.CommitErr = bad
				b.Add(flowtest.LoginAfter, "after")
				return nil
			}},
			{"after_commit", []string{"after"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", func(_ context.Context, x *flowhook.Exchange) error {
					x.AfterCommit(func(context.Context) error { return bad })
					return nil
				})
				return nil
			}},
			{"failed", []string{"after", "failed"}, func(b *flowtest.RunTest) func(context.Context) error {
				b.Add(flowtest.LoginAfter, "after", flowtest.Refuse)
				b.Add(flowtest.LoginFailed, "failed", func(context.Context, *flowhook.Exchange) error { return bad })
				return nil
			}},
		} {
			t.Run(name+"/"+row.where, func(t *testing.T) {
				b := flowtest.NewRunTest(t)
				save := row.set(b)
				if row.where != "failed" {
					b.Add(flowtest.LoginFailed, "failed")
				}
				_, err := b.Complete(save)
				require.Equal(t, row.where != "after_commit", err != nil)
				require.Equal(t, row.want, b.Ran)
				b.RequireUntouched()
			})
		}
	}
}

// badBody is the body of a request whose reader fails with err.
type badBody struct{ err error }

func (b badBody) Read([]byte) (int, error) { return 0, b.err }
func (badBody) Close() error               { return nil }

func TestReturnURL_body_error_that_cannot_be_inspected(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	for name, bad := range uninspectable() {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/login", badBody{bad})
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			_, err := p.ReturnURL(r, flowhook.Login, flowhook.FlowWide)
			require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
		})
	}
}

// A store whose errors cannot be inspected is in trouble; it does not take the request down.
func TestSessions_store_error_that_cannot_be_inspected(t *testing.T) {
	for name, bad := range uninspectable() {
		t.Run(name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, sessionHookYAML)
			cookie, _ := d.SignIn("alice")
			d.Store.Fail["FindSession"], d.Store.Fail["ConsumeVerification"] = bad, bad
			require.NotPanics(t, func() {
				_, err := d.FromRequest(flowtest.NewVisitor("", cookie).Request)
				require.NotNil(t, err)
				require.False(t, isNoSession(err))
			})
			require.NotPanics(t, func() {
				err := d.Pipeline.Redeem(t.Context(), "0123456789012345678901234567890123456789012", func(context.Context, flowhook.VerificationToken) error { return nil })
				require.NotNil(t, err)
			})
		})
	}
}

// isNoSession reports whether err is ErrNoSession itself; errors.Is could panic.
func isNoSession(err error) bool { return err == flowhook.ErrNoSession }
