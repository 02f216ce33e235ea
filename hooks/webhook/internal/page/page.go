// Package page has the code of docs/webhooks.md.
package page

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A User is the host's.
type User struct{ Plan string }

func newPipeline(cfg *flowhook.Config, store flowhook.Store) (*flowhook.Pipeline, error) {
	hooks, err := webhook.New(webhook.Options{})
	if err != nil {
		return nil, err
	}
	return flowhook.New(cfg, flowhook.Options{
		Store: store,
		Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory},
	})
}

func onError(pipeline func() *flowhook.Pipeline) func(w http.ResponseWriter, r *http.Request, err error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, webhook.ErrUnavailable) {
			pipeline().AnswerError(w, r, err)
			return
		}
		slog.ErrorContext(r.Context(), "a gate has no answer", "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "Please try again in a few seconds.", http.StatusServiceUnavailable)
	}
}

// apply lets the receiver change the plan of a new user, and nothing else.
func apply(ctx context.Context, x *flowhook.Exchange, identity json.RawMessage) error {
	var changed struct {
		MetadataPublic struct{ Plan string } `json:"metadata_public"`
	}
	if err := json.Unmarshal(identity, &changed); err != nil {
		return err
	}
	if user, ok := x.Identity.Data.(*User); ok && changed.MetadataPublic.Plan != "" {
		user.Plan = changed.MetadataPublic.Plan
	}
	return nil
}

// describe shows a user to receivers as Kratos does.
func describe(ctx context.Context, x *flowhook.Exchange) (any, error) {
	traits := map[string]string{}
	for _, a := range x.Identity.Addresses {
		traits[a.Via] = a.Value
	}
	return map[string]any{"id": x.Identity.ID, "traits": traits}, nil
}

func receive(verifier *standardwebhooks.Webhook, handle func(id string, body []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "bad body", http.StatusBadRequest)
			return
		}
		if err := verifier.Verify(body, r.Header); err != nil {
			http.Error(w, "bad signature", http.StatusUnauthorized)
			return
		}
		if err := handle(r.Header.Get("webhook-id"), body); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func development() webhook.Options {
	return webhook.Options{
		Insecure: true, // http, and every port
		Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	}
}

// deliver sends a queued delivery. It reports whether to try again, and after which time; 0 leaves
// that to the queue.
func deliver(ctx context.Context, hooks *webhook.Webhook, row []byte) (again bool, after time.Duration, err error) {
	var d webhook.Delivery
	if err := json.Unmarshal(row, &d); err != nil {
		return false, 0, err
	}
	err = hooks.Deliver(ctx, d)
	var retry *webhook.RetryError
	if errors.As(err, &retry) {
		return true, retry.After, err
	}
	return false, 0, err // nil, or webhook.ErrRejected: a dead letter
}
