package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOIDC_ProviderHangs checks that requests do not wait for the provider longer than their own
// limit. They share one lookup, and a failed lookup is not retried at once.
func TestOIDC_ProviderHangs(t *testing.T) {
	var asked atomic.Int64
	arrived, answer := make(chan struct{}), make(chan struct{})
	var p *httptest.Server
	p = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			close(arrived)
			select {
			case <-answer:
			case <-r.Context().Done():
			}
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys"})
	}))
	t.Cleanup(p.Close)
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "db"), providerEnvironment("acme", p.URL)...)
	handler := s.server.Config.Handler
	click := func(ctx context.Context) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", s.server.URL+"/login/oidc/acme", nil))
		return w
	}
	away := func(w *httptest.ResponseRecorder) {
		t.Helper()
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "because it cannot be reached")
		require.True(t, strings.HasSuffix(w.Body.String(), "</html>\n"))
		require.Empty(t, w.Header().Values("Set-Cookie"))
	}

	const clicks = 8
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // instead of requestTime
	defer cancel()
	answers := make(chan *httptest.ResponseRecorder, clicks)
	for range clicks {
		go func() { answers <- click(ctx) }()
	}
	limit := time.After(8 * time.Second) // the provider's client gives up after 10
	for range clicks {
		select {
		case w := <-answers:
			away(w)
		case <-limit:
			require.FailNow(t, "the request waits for the provider beyond its own limit")
		}
	}
	require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	<-arrived
	require.EqualValues(t, 1, asked.Load())

	waiting := make(chan *httptest.ResponseRecorder, 1)
	go func() { waiting <- click(t.Context()) }()
	close(answer) // with a failure
	away(<-waiting)
	away(click(t.Context()))
	require.EqualValues(t, 1, asked.Load(), "the failure is cached")
	s.ahead.Add(int64(lookupInterval))
	for range 2 {
		w := click(t.Context())
		require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
		require.True(t, strings.HasPrefix(w.Header().Get("Location"), p.URL+"/authorize?"))
	}
	require.EqualValues(t, 2, asked.Load(), "the metadata is cached")
}
