package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
)

// A receiver is a server that receives webhooks and whose answers a test sets.
type receiver struct {
	url    string
	answer func(w http.ResponseWriter, id string) // nil: 204

	mu     sync.Mutex
	ids    []string // webhook-id of each request
	bodies []string
}

func newReceiver(t *testing.T, r *receiver) *receiver {
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	id := req.Header.Get("webhook-id")
	r.mu.Lock()
	r.ids, r.bodies = append(r.ids, id), append(r.bodies, string(body))
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(w, id)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) received() (ids, bodies []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...), append([]string(nil), r.bodies...)
}

// deliverTo returns a Deliver that reports the answers of the receiver at url as a webhook.Webhook
// does.
func deliverTo(url string) func(ctx context.Context, d webhook.Delivery) error {
	return func(ctx context.Context, d webhook.Delivery) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.Body))
		if err != nil {
			return err
		}
		r.Header.Set("webhook-id", d.ID)
		r.Header.Set("Content-Type", d.ContentType)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return &webhook.RetryError{Err: err}
		}
		defer res.Body.Close()
		switch {
		case res.StatusCode < 300:
			return nil
		case res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests:
			return fmt.Errorf("%w: the receiver answered %d", webhook.ErrRejected, res.StatusCode)
		}
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return &webhook.RetryError{After: time.Duration(seconds) * time.Second,
			Err: fmt.Errorf("the receiver answered %d", res.StatusCode)}
	}
}
