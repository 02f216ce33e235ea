package flowtest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// A RunTest is an exchange and a pipeline whose hooks a test adds.
type RunTest struct {
	t        *testing.T
	Store    *TransactionLog
	Log      *LogBuffer
	Recorder *httptest.ResponseRecorder
	Exchange *flowhook.Exchange
	Context  context.Context
	Cancel   context.CancelFunc
	Ran      []string // what ran, in order
	Config   flowhook.Config
	Options  flowhook.Options
	Built    *flowhook.Pipeline // by the first call of pipeline
}

// NewRunTest returns a RunTest with an identity, a session and a header of the host.
func NewRunTest(t *testing.T) *RunTest {
	b := &RunTest{t: t, Store: &TransactionLog{}, Log: &LogBuffer{}, Recorder: httptest.NewRecorder()}
	b.Recorder.Header().Set("X-Host", "kept")
	b.Exchange = &flowhook.Exchange{Writer: b.Recorder, Request: NewRequest(),
		Session: &flowhook.Session{ID: "in-use", IdentityID: "alice"},
		Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{{Via: "email",
			Value: "a@example.org"}, {Via: "email", Value: "b@example.org"}}}}
	ctx, cancel := context.WithCancel(t.Context())
	b.Cancel = cancel
	b.Context = flowhook.NewContext(ctx, b.Exchange)
	b.Options = flowhook.Options{Store: b.Store, Logger: slog.New(slog.NewTextHandler(b.Log, nil))}
	return b
}

// An Act is what a hook does.
type Act = func(ctx context.Context, x *flowhook.Exchange) error

// Add adds a hook that records its name and does what acts do.
func (b *RunTest) Add(p flowhook.Point, name string, acts ...Act) {
	b.Config.Add(p, name, flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		b.Ran = append(b.Ran, name)
		for _, a := range acts {
			if err := a(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Pipeline returns the pipeline. The first call makes it.
func (b *RunTest) Pipeline() *flowhook.Pipeline {
	b.t.Helper()
	if b.Built == nil {
		p, err := flowhook.New(&b.Config, b.Options)
		require.NoError(b.t, err)
		b.Built = p
	}
	return b.Built
}

// Run runs a phase of a login by password.
func (b *RunTest) Run(phase flowhook.Phase) (bool, error) {
	b.t.Helper()
	return b.Pipeline().Run(b.Context, flowhook.Login, phase, flowhook.Password)
}

// Complete completes a login by password.
func (b *RunTest) Complete(save func(context.Context) error) (bool, error) {
	b.t.Helper()
	return b.Pipeline().Complete(b.Context, flowhook.Login, flowhook.Password, save)
}

// RequireUntouched asserts that a run has left no trace in the exchange and the response.
func (b *RunTest) RequireUntouched() {
	b.t.Helper()
	require.Same(b.t, b.Recorder, b.Exchange.Writer)
	require.Equal(b.t, http.Header{"X-Host": {"kept"}}, b.Recorder.Header())
	require.Empty(b.t, b.Recorder.Body.String())
	require.Equal(b.t, &flowhook.Identity{ID: "alice",
		Addresses: []flowhook.Address{{Via: "email", Value: "a@example.org"},
			{Via: "email", Value: "b@example.org"}}}, b.Exchange.Identity)
	require.Equal(b.t, &flowhook.Session{ID: "in-use", IdentityID: "alice"}, b.Exchange.Session)
	require.NoError(b.t, b.Exchange.Err)
	require.Equal(b.t, flowhook.Point{}, b.Exchange.Point())
}

// At returns a Point.
func At(flow flowhook.Flow, phase flowhook.Phase, strategy flowhook.Strategy) flowhook.Point {
	return flowhook.Point{Flow: flow, Phase: phase, Strategy: strategy}
}

var (
	LoginBefore     = At(flowhook.Login, flowhook.Before, flowhook.FlowWide)
	LoginGate       = At(flowhook.Login, flowhook.BeforePersist, flowhook.Password)
	LoginAfter      = At(flowhook.Login, flowhook.After, flowhook.Password)
	LoginWide       = At(flowhook.Login, flowhook.After, flowhook.FlowWide)
	LoginFailed     = At(flowhook.Login, flowhook.Failed, flowhook.Password)
	ErrRefused      = errors.New("refused")
	Refuse      Act = func(context.Context, *flowhook.Exchange) error { return ErrRefused }
)

// AnswerWith returns an Act that writes a response.
func AnswerWith(status int, body string) Act {
	return func(_ context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Set("X-Hook", "was here")
		x.Writer.WriteHeader(status)
		_, err := io.WriteString(x.Writer, body)
		return err
	}
}

// Meddle changes everything that a hook can reach.
func Meddle(_ context.Context, x *flowhook.Exchange) error {
	x.Writer.Header().Set("X-Host", "changed")
	x.Writer.Header().Add("Set-Cookie", "a=b")
	x.Identity.ID = "mallory"
	x.Identity.Addresses[0] = flowhook.Address{Value: "changed"}
	x.Identity.Addresses = append(x.Identity.Addresses, flowhook.Address{Value: "added"})
	x.Identity = &flowhook.Identity{ID: "eve"}
	x.Session.IdentityID = "mallory"
	x.Session = nil
	x.Err = errors.New("changed")
	return nil
}

// Detach returns a context with an exchange that has no client, such as one of a job or an import.
func (b *RunTest) Detach() context.Context {
	b.Exchange = &flowhook.Exchange{Identity: b.Exchange.Identity}
	return flowhook.NewContext(b.t.Context(), b.Exchange)
}

// AddYAML adds the hooks of a file. Each name in hooks is a hook that does what its Act does.
func (b *RunTest) AddYAML(text string, hooks map[string]Act) {
	b.t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(b.t, err)
	b.Config, b.Built = *cfg, nil
	b.Options.Hooks = map[string]flowhook.HookFactory{}
	for name, a := range hooks {
		b.Options.Hooks[name] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
				b.Ran = append(b.Ran, name)
				return a(ctx, x)
			}), nil
		}
	}
}
