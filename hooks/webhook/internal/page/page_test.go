package page

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/store/memstore"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func file(t *testing.T, url, keys string) *flowhook.Config {
	cfg, err := flowhook.ParseConfig([]byte(`selfservice: {flows: {login: {after: {hooks: [{hook: web_hook,
		config: {id: page, url: "` + url + `", secrets: ["` + secret + `"], ` + keys + `}}]}}}}`))
	require.NoError(t, err)
	return cfg
}

func TestNewPipeline(t *testing.T) {
	_, err := newPipeline(file(t, "https://hooks.example.com/", "mode: gate"), memstore.New())
	require.NoError(t, err)
	_, err = newPipeline(file(t, "https://127.0.0.1/", "mode: gate"), memstore.New())
	require.ErrorContains(t, err, "private")
}

// TestPage runs the functions of the page together: a gate whose answer is applied, and a
// notification that is queued, delivered and received.
func TestPage(t *testing.T) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	var bodies []string
	var fail error
	srv := httptest.NewServer(receive(verifier, func(id string, body []byte) error {
		bodies = append(bodies, id+" "+string(body))
		return fail
	}))
	defer srv.Close()
	opts := development()
	opts.Describe, opts.Apply = describe, apply
	var rows [][]byte
	opts.Outbox = func(_ context.Context, d webhook.Delivery) error {
		row, err := json.Marshal(d)
		rows = append(rows, row)
		return err
	}
	hooks, err := webhook.New(opts)
	require.NoError(t, err)
	p, err := flowhook.New(file(t, srv.URL, "mode: notify"),
		flowhook.Options{Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory}})
	require.NoError(t, err)
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{
		{Via: "email", Value: "alice@example.org"}}}}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Empty(t, bodies)

	fail = errors.New("the database is down")
	again, after, err := deliver(t.Context(), hooks, rows[0])
	require.True(t, again)
	require.Zero(t, after)
	require.Error(t, err)
	fail = nil
	again, _, err = deliver(t.Context(), hooks, rows[0])
	require.False(t, again)
	require.NoError(t, err)
	require.Len(t, bodies, 2)
	require.Equal(t, bodies[0], bodies[1])
	require.Contains(t, bodies[0], `"identity":{"id":"alice","traits":{"email":"alice@example.org"}}`)
	_, _, err = deliver(t.Context(), hooks, []byte("no JSON"))
	require.Error(t, err)

	res, err := http.Post(srv.URL, "application/json", nil)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
}

// TestOnError answers for a gate whose receiver is down, at before and after Complete.
func TestOnError(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	hooks, err := webhook.New(development())
	require.NoError(t, err)
	hook := `{hooks: [{hook: web_hook, config: {url: "` + down.URL + `", attempts: 1, mode: gate}}]}`
	cfg, err := flowhook.ParseConfig([]byte(`selfservice: {flows: {login: {before: ` + hook + `},
		registration: {after: ` + hook + `}}}`))
	require.NoError(t, err)
	var p *flowhook.Pipeline
	answer := onError(func() *flowhook.Pipeline { return p })
	p, err = flowhook.New(cfg, flowhook.Options{OnError: answer, Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory}})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	p.Middleware(flowhook.Login)(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)

	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	for status, err := range map[int]error{503: err, 403: flowhook.Refuse(403, "blocked", "You are blocked.")} {
		w = httptest.NewRecorder()
		answer(w, httptest.NewRequest("POST", "/", nil), err)
		require.Equal(t, status, w.Code)
		require.Equal(t, status == 503, w.Header().Get("Retry-After") == "5")
	}
}

func TestApply(t *testing.T) {
	user := &User{Plan: "old"}
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Data: user}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, apply(ctx, x, json.RawMessage(`{"traits": {"email": "mallory@example.org"}}`)))
	require.Equal(t, "old", user.Plan)
	require.NoError(t, apply(ctx, x, json.RawMessage(`{"metadata_public": {"plan": "new"}}`)))
	require.Equal(t, "new", user.Plan)
	require.Error(t, apply(ctx, x, json.RawMessage(`1`)))
}
