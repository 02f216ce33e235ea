package outbox_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// TestCourier_NeedsOutbox checks that flowhook.New rejects the courier without Options.Outbox, with
// which every email would be lost after the commit.
func TestCourier_NeedsOutbox(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", "", func(*outbox.Options) {})
		_, err := flowhook.New(nil, flowhook.Options{Store: p.store, Courier: p.outbox.Courier()})
		require.ErrorContains(t, err, "set Options.Outbox")
		_, err = flowhook.New(nil, flowhook.Options{Store: p.store, Courier: p.outbox.Courier(), Outbox: true})
		require.NoError(t, err)
	})
}

// TestWebhooks_Hook checks the whole way: a web_hook entry, the queue, and the hook's own delivery.
// The receiver is down at first, so the queue tries again with the same ID and a signature of its
// own.
func TestWebhooks_Hook(t *testing.T) {
	verifier, err := standardwebhooks.NewWebhook(hookSecret)
	require.NoError(t, err)
	each(t, func(t *testing.T, d database) {
		ids := make(chan string, 2)
		var failed atomic.Bool
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = verifier.Verify(body, r.Header)
			}
			if err != nil || !strings.Contains(string(body), `"id":"ada"`) {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			if failed.CompareAndSwap(false, true) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			ids <- r.Header.Get("webhook-id")
		}))
		defer receiver.Close()

		var hooks *webhook.Webhook
		p := d.process(t, "smtp://127.0.0.1:1", "", func(o *outbox.Options) {
			o.Deliver = func(ctx context.Context, d webhook.Delivery) error { return hooks.Deliver(ctx, d) }
		}).migrate()
		hooks, err := webhook.New(webhook.Options{Outbox: p.outbox.Webhooks, Insecure: true,
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		require.NoError(t, err)
		config, err := flowhook.ParseConfig(fmt.Appendf(nil, `selfservice: {flows: {login: {after: {hooks: [
			{hook: web_hook, config: {id: crm, url: "%s", secrets: ["%s"], mode: notify}}]}}}}`, receiver.URL, hookSecret))
		require.NoError(t, err)
		pipeline, err := flowhook.New(config, flowhook.Options{Store: p.store,
			Logger: slog.New(slog.DiscardHandler),
			Hooks:  map[string]flowhook.HookFactory{"web_hook": hooks.Factory}})
		require.NoError(t, err)
		p.start()

		r := httptest.NewRequest("POST", "/login", nil)
		x := &flowhook.Exchange{Request: r, Writer: httptest.NewRecorder(), Identity: &flowhook.Identity{ID: "ada"}}
		_, err = pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		first := <-ids
		require.NotEmpty(t, first)
		require.Equal(t, first, <-ids, "the second attempt has the same ID")
		p.awaitCompleted()
	})
}

// TestWebhooks_NoAnswer checks that the log and the dead letters have the words of the hook for a
// receiver that does not answer, and not those of net/http.
func TestWebhooks_NoAnswer(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	var hooks *webhook.Webhook
	p := onSQLite(t).process(t, "smtp://127.0.0.1:1", "", func(o *outbox.Options) {
		o.Deliver = func(ctx context.Context, d webhook.Delivery) error { return hooks.Deliver(ctx, d) }
	}).migrate()
	hooks, err := webhook.New(webhook.Options{Outbox: p.outbox.Webhooks, Insecure: true,
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	config, err := flowhook.ParseConfig(fmt.Appendf(nil, `selfservice: {flows: {login: {after: {hooks: [
		{hook: web_hook, config: {id: crm, url: "%s/?key=canary", secrets: ["%s"], mode: notify}}]}}}}`,
		closed.URL, hookSecret))
	require.NoError(t, err)
	_, err = flowhook.New(config, flowhook.Options{Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory}})
	require.NoError(t, err)
	d := hook(1)
	d.Hook = "login/after crm"
	p.queue(d)
	p.start()
	p.awaitLog("a webhook could not be sent and will be retried")
	require.Contains(t, p.log.String(), `error="webhook: connection refused"`)
	eventually(t, "the error in the queue", func() bool { return strings.Contains(p.rows(), "webhook: connection refused") })
	p.requireNone("after the attempt", p.log.String(), p.rows())
}
