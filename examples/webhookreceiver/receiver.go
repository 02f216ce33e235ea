package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A message is the part of flowhook's own payload that this receiver uses.
type message struct {
	Flow     string
	Phase    string
	Identity struct{ ID string }
}

// A receiver verifies requests, handles each message once, and answers.
type receiver struct {
	verifier *standardwebhooks.Webhook
	handle   func(id string, m message) error
	seen     *seen
	mux      *http.ServeMux
}

// newReceiver returns a receiver for the secret that the entry of the file has.
func newReceiver(secret string, handle func(id string, m message) error) (*receiver, error) {
	if secret == "" {
		return nil, errors.New("WEBHOOK_SECRET is not set; run: export WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)")
	}
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, errors.New("WEBHOOK_SECRET is not base64")
	}
	return &receiver{verifier, handle, newSeen(10_000), answers()}, nil
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	// Verify the bytes that came, before anything reads them as JSON. Verify also checks the time.
	if err := rc.verifier.Verify(body, r.Header); err != nil {
		http.Error(w, "the signature is not valid", http.StatusUnauthorized)
		return
	}
	var m message
	if len(body) > 0 && json.Unmarshal(body, &m) != nil {
		http.Error(w, "the body is not JSON", http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	switch rc.seen.claim(id) {
	case isNew:
		err := rc.handle(id, m)
		if rc.seen.finish(id, err == nil); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
	case isBusy: // nobody knows yet how that ends
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	case isDone: // the answer is the same, and nothing happens twice
	}
	rc.mux.ServeHTTP(w, r)
}
