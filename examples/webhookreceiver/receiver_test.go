package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooktest"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// A secret that everybody can read.
const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// handled are the messages that a receiver has handled, by their ID.
type handled struct {
	mu   sync.Mutex
	all  map[string][]message
	fail error
}

func (h *handled) handle(id string, m message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return h.fail
	}
	h.all[id] = append(h.all[id], m)
	return nil
}

// take returns the messages since the last take.
func (h *handled) take() map[string][]message {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.all
	h.all = map[string][]message{}
	return all
}

// start starts a receiver.
func start(t *testing.T) (*httptest.Server, *handled) {
	h := &handled{all: map[string][]message{}}
	rc, err := newReceiver(secret, h.handle)
	require.NoError(t, err)
	srv := httptest.NewServer(rc)
	t.Cleanup(srv.Close)
	return srv, h
}

// TestAnswers asserts what a gate makes of each answer.
func TestAnswers(t *testing.T) {
	srv, h := start(t)
	applied := ""
	hooks, err := webhook.New(webhook.Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Insecure: true,
		Apply: func(_ context.Context, _ *flowhook.Exchange, identity json.RawMessage) error {
			applied = string(identity)
			return nil
		},
	})
	require.NoError(t, err)
	for path, c := range map[string]struct {
		err     error
		refused *flowhook.Refusal
	}{
		"/allow":    {nil, nil},
		"/identity": {nil, nil},
		"/refuse": {nil, &flowhook.Refusal{Status: 403, Code: "blocked_country",
			Text: "We do not serve your country.", Field: "email"}},
		"/messages": {nil, &flowhook.Refusal{Status: 400, Code: "1234",
			Text: "This address is taken.", Field: "traits.email"}},
		"/unavailable": {webhook.ErrUnavailable, nil},
		"/redirect":    {webhook.ErrRejected, nil},
		"/late":        {context.DeadlineExceeded, nil},
		"/huge":        {webhook.ErrRejected, nil},
		"/unknown":     {webhook.ErrRejected, nil},
	} {
		t.Run(path, func(t *testing.T) {
			text := fmt.Sprintf(`selfservice: {flows: {login: {after: {hooks: [{hook: web_hook, timeout: 1s,
				config: {url: %q, secrets: [%q], response: {parse: true}}}]}}}}`, srv.URL+path, secret)
			cfg, err := flowhook.ParseConfig([]byte(text))
			require.NoError(t, err)
			rig := hooktest.NewWith(t, cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory}})
			x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
			got := rig.Complete(flowhook.Login, flowhook.Password, x, nil)
			switch {
			case c.refused != nil:
				require.NotNil(t, got.Refusal, "%v", got.Err)
				c.refused.Err = got.Refusal.Err
				require.Equal(t, c.refused, got.Refusal)
			case c.err != nil:
				require.ErrorIs(t, got.Err, c.err)
			default:
				require.NoError(t, got.Err)
			}
			require.Equal(t, path == "/identity", applied != "")
			applied = ""
			all := h.take()
			require.Len(t, all, 1)
			for _, list := range all {
				require.Equal(t, []message{{"login", "before_persist", struct{ ID string }{"alice"}}}, list, "once")
			}
		})
	}
}

// send sends a request that is signed with a secret at a time.
func send(t *testing.T, url, id, secret string, at time.Time, body string) (status int) {
	signer, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	signature, err := signer.Sign(id, at, []byte(body))
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// TestSignature rejects what is not signed with the secret, now.
func TestSignature(t *testing.T) {
	srv, h := start(t)
	now := time.Now()
	other := "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="
	require.Equal(t, 401, send(t, srv.URL+"/allow", "msg_1", other, now, "{}"))
	require.Equal(t, 401, send(t, srv.URL+"/allow", "msg_1", secret, now.Add(-time.Hour), "{}"))
	require.Equal(t, 401, send(t, srv.URL+"/allow", "msg_1", secret, now.Add(time.Hour), "{}"))
	res, err := http.Post(srv.URL+"/allow", "application/json", bytes.NewReader([]byte("{}")))
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, 401, res.StatusCode)
	require.Empty(t, h.take())
	require.Equal(t, 204, send(t, srv.URL+"/allow", "msg_1", secret, now, "{}"))
	require.Len(t, h.take(), 1)
}

// TestOnce handles a message once, unless that fails.
func TestOnce(t *testing.T) {
	srv, h := start(t)
	h.fail = errors.New("the database is down")
	require.Equal(t, 503, send(t, srv.URL+"/allow", "msg_1", secret, time.Now(), "{}"))
	h.fail = nil
	for range 3 {
		require.Equal(t, 403, send(t, srv.URL+"/refuse", "msg_1", secret, time.Now(), "{}"), "the same answer")
	}
	require.Len(t, h.take()["msg_1"], 1)
	require.Equal(t, 400, send(t, srv.URL+"/allow", "msg_2", secret, time.Now(), "no JSON"))
	require.Equal(t, 400, send(t, srv.URL+"/allow", "msg_2", secret, time.Now(), "no JSON"))
	require.Equal(t, 400, send(t, srv.URL+"/allow", "msg_3", secret, time.Now(), strings.Repeat("x", 2<<20)))
}

// TestOnce_Busy asserts that nobody promises what is still being done.
func TestOnce_Busy(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	rc, err := newReceiver(secret, func(string, message) error {
		close(begun)
		<-end
		return nil
	})
	require.NoError(t, err)
	srv := httptest.NewServer(rc)
	defer srv.Close()
	first := make(chan int)
	go func() { first <- send(t, srv.URL+"/allow", "msg_1", secret, time.Now(), "{}") }()
	<-begun
	require.Equal(t, 503, send(t, srv.URL+"/allow", "msg_1", secret, time.Now(), "{}"))
	close(end)
	require.Equal(t, 204, <-first)
	require.Equal(t, 204, send(t, srv.URL+"/allow", "msg_1", secret, time.Now(), "{}"))
}

func TestSeen(t *testing.T) {
	s := newSeen(2)
	handle := func(id string, succeeded bool) {
		require.Equal(t, isNew, s.claim(id))
		require.Equal(t, isBusy, s.claim(id))
		s.finish(id, succeeded)
	}
	handle("a", false)
	handle("a", true)
	require.Equal(t, isDone, s.claim("a"))
	handle("b", true)
	handle("c", true)
	require.Equal(t, isDone, s.claim("b"))
	require.Equal(t, isDone, s.claim("c"))
	handle("a", true) // the ring has forgotten it
	require.Len(t, s.states, 2)
}

func TestNewReceiver_Errors(t *testing.T) {
	for _, secret := range []string{"", "whsec_!"} {
		_, err := newReceiver(secret, nil)
		require.ErrorContains(t, err, "WEBHOOK_SECRET")
	}
}
