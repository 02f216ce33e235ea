package acceptance_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A visitor is a client with a cookie jar. It returns redirects instead of following them.
type visitor struct {
	service *accountService
	client  *http.Client
	accept  string // the Accept header; may be empty
}

func (s *accountService) visitor(accept string) *visitor {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &visitor{s, &http.Client{Transport: s.server.Client().Transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, accept}
}

// post posts a form of name-value pairs.
func (v *visitor) post(path string, pairs ...string) flowtest.Answer {
	v.service.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.send(http.MethodPost, path, form.Encode())
}

func (v *visitor) send(method, path, body string) flowtest.Answer {
	t := v.service.t
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, v.service.server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if v.accept != "" {
		r.Header.Set("Accept", v.accept)
	}
	res, err := v.client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return flowtest.Answer{Response: res, Text: string(text)}
}

// whoami returns the identity that the client is signed in as, or "".
func (v *visitor) whoami() string {
	v.service.t.Helper()
	return v.send(http.MethodGet, "/whoami", "").Text
}
