package ratelimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/flowhook/flowhook/store/memstore"
)

// A service has one password for all accounts, and a pipeline with the rate limit.
type service struct {
	*testing.T
	*httptest.Server
	pipeline *flowhook.Pipeline
	clock    *hooktest.Clock
	memory   *ratelimit.Memory
	log      *strings.Builder
	save     func() // in the transaction
}

// keysOf reads the keys from the request. A device names the account that knows it.
func keysOf(_ context.Context, x *flowhook.Exchange) (ratelimit.Keys, error) {
	if x.Request.PostFormValue("email") == "broken" {
		return ratelimit.Keys{}, errors.New("the database is down")
	}
	k := ratelimit.Keys{Client: x.Request.Header.Get("Client"), Account: x.Request.PostFormValue("email")}
	if device := x.Request.Header.Get("Device"); strings.HasSuffix(device, "of "+k.Account) {
		k.Device = device
	}
	return k, nil
}

// start serves the flows login and recovery with a config. change may modify the options; it may be
// nil.
func start(t *testing.T, text string, change func(o *ratelimit.Options)) *service {
	t.Helper()
	s := &service{T: t, clock: &hooktest.Clock{}, log: &strings.Builder{}, save: func() {}}
	s.memory = &ratelimit.Memory{Now: s.clock.Now}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	options := ratelimit.Options{Limiter: s.memory, Key: keysOf, Logger: log}
	if change != nil {
		change(&options)
	}
	limit, err := ratelimit.New(options)
	require.NoError(t, err)
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	s.pipeline, err = flowhook.New(cfg, flowhook.Options{Store: memstore.New(), Logger: log, Now: s.clock.Now,
		Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory}})
	require.NoError(t, err)
	s.log.Reset()
	mux := http.NewServeMux()
	for _, flow := range []flowhook.Flow{flowhook.Login, flowhook.Recovery} {
		mux.Handle("/"+string(flow), s.pipeline.Middleware(flow)(s.handler(flow)))
	}
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *service) handler(flow flowhook.Flow) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		password := r.PostFormValue("password")
		if r.Method == http.MethodPost && password != "right" && password != "rollback" {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		x := flowhook.MustFromContext(r.Context())
		x.Identity = &flowhook.Identity{ID: "id"}
		_, err := s.pipeline.Complete(r.Context(), flow, flowhook.Password, func(context.Context) error {
			s.save()
			if password == "rollback" {
				return flowhook.Refuse(http.StatusConflict, "rollback", "")
			}
			return nil
		})
		if err != nil {
			s.pipeline.AnswerError(w, r, err)
		}
	}
}

// A form is a request to a service.
type form struct{ path, email, password, client, device, accept string }

// post sends a form. Its defaults are a login of alice with the right password.
func (s *service) post(f form) (*http.Response, string) {
	s.Helper()
	or := func(value, fallback string) string {
		if value == "" {
			return fallback
		}
		return value
	}
	values := url.Values{"email": {or(f.email, "alice")}, "password": {or(f.password, "right")}}
	r, err := http.NewRequest(http.MethodPost, s.URL+or(f.path, "/login"), strings.NewReader(values.Encode()))
	require.NoError(s, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Client", or(f.client, "192.0.2.1"))
	r.Header.Set("Device", f.device)
	r.Header.Set("Accept", f.accept)
	res, err := s.Client().Do(r)
	require.NoError(s, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(s, err)
	require.NoError(s, res.Body.Close())
	return res, string(body)
}

// requireStatus sends a form n times and requires a status each time.
func (s *service) requireStatus(status, n int, f form) {
	s.Helper()
	for i := range n {
		res, body := s.post(f)
		require.Equal(s, status, res.StatusCode, "request %d: %s", i, body)
	}
}

// problem decodes an application/problem+json answer.
func (s *service) problem(res *http.Response, body string) (p map[string]any) {
	s.Helper()
	require.Equal(s, "application/problem+json", res.Header.Get("Content-Type"))
	require.NoError(s, json.Unmarshal([]byte(body), &p))
	require.EqualValues(s, res.StatusCode, p["status"])
	return p
}
