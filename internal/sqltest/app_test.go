package sqltest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// An app is a service with a table of its own, the one of hostTable's columns, on a store.
type app struct {
	pool
	store    store
	pipeline *flowhook.Pipeline
}

// appTable is the table of an app.
const appTable = "CREATE TABLE host (id varchar(64) PRIMARY KEY, v integer NOT NULL)"

// newApp returns an app. Its emails are rows of the host's if outbox is set, and nothing otherwise.
func newApp(t testing.TB, p pool, answerTimeout time.Duration, outbox bool) *app {
	t.Helper()
	s, err := p.store(answerTimeout)
	require.NoError(t, err)
	a := &app{pool: p, store: s}
	var cfg flowhook.Config
	for flow, hooks := range map[flowhook.Flow][]string{
		flowhook.Login:        {"revoke_active_sessions", "session"},
		flowhook.Registration: {"session", "verify"},
	} {
		for _, name := range hooks {
			cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.After, Strategy: flowhook.Password}, name, nil)
		}
	}
	var courier flowhook.Courier = noCourier{}
	if outbox {
		courier = appCourier{a}
	}
	a.pipeline, err = flowhook.New(&cfg, flowhook.Options{
		Store:           a.store,
		Courier:         courier,
		Outbox:          outbox,
		Secrets:         []string{"a-secret-for-the-tests"},
		VerificationURL: "https://auth.example/verify",
		Logger:          slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return a
}

type noCourier struct{}

func (noCourier) Send(context.Context, flowhook.Message) error { return nil }

// An appCourier stores emails in the transaction.
type appCourier struct{ app *app }

func (c appCourier) Send(ctx context.Context, m flowhook.Message) error {
	return c.app.insert(ctx, m.To)
}

// insert inserts a row of the host's.
func (a *app) insert(ctx context.Context, id string) error {
	return a.exec(ctx, "INSERT INTO host (id, v) VALUES (?, 0)", id)
}

// exchange returns the exchange of a request with cookies.
func exchange(ctx context.Context, identity *flowhook.Identity, cookies []*http.Cookie) *flowhook.Exchange {
	r := httptest.NewRequestWithContext(ctx, "POST", "https://auth.example/", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: r, Identity: identity}
}

// complete completes a flow of the exchange.
func (a *app) complete(
	ctx context.Context, flow flowhook.Flow, x *flowhook.Exchange, save func(ctx context.Context) error,
) error {
	_, err := a.pipeline.Complete(flowhook.NewContext(ctx, x), flow, flowhook.Password, save)
	return err
}

// signedIn issues a session and returns its cookies.
func (a *app) signedIn(t testing.TB, identityID string) (*flowhook.Session, []*http.Cookie) {
	t.Helper()
	ctx := testContext(t)
	x := exchange(ctx, &flowhook.Identity{ID: identityID}, nil)
	require.NoError(t, a.pipeline.Sessions().Issue(ctx, x))
	return x.Session, x.Writer.(*httptest.ResponseRecorder).Result().Cookies()
}
