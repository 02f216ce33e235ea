package sqltest

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/stretchr/testify/require"
)

// An answer is the response that a client got.
type answer struct {
	status   int
	body     string
	header   http.Header
	sessions []string // the values of the session cookie
}

// request sends a request as a browser does.
func (h *host) request() answer {
	h.t.Helper()
	form := url.Values{"email": {"alice@example.org"}, "token": {redeemed}}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url, strings.NewReader(form.Encode()))
	require.NoError(h.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", "__Host-session="+h.token)
	res, err := h.client.Do(r)
	require.NoError(h.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body) // fails if the answer is incomplete
	require.NoError(h.t, err)
	a := answer{status: res.StatusCode, body: string(body), header: res.Header}
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			a.sessions = append(a.sessions, c.Value)
		}
	}
	return a
}
