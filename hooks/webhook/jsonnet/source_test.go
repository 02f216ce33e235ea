package jsonnet_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func renders(t *testing.T, source, want string) {
	t.Helper()
	render, err := jsonnet.Body(source)
	require.NoError(t, err)
	got, err := render(nil)
	require.NoError(t, err)
	assert.Equal(t, want, string(got))
}

func TestBody_source(t *testing.T) {
	for _, test := range []struct{ source, want string }{
		{"", "jsonnet: line 1: "},
		{"{", "jsonnet: line 1: "},
		{"\n\n{", "jsonnet: line 3: "},
		{strings.Repeat(" ", 32<<10) + "1", "jsonnet: the snippet is larger than 32 KiB"},
		{"hook.jsonnet", "jsonnet: a path without a scheme; write file://PATH"},
		{"/etc/hook.jsonnet", "jsonnet: a path without a scheme; write file://PATH"},
		{"http://example.org/hook.jsonnet", "jsonnet: http: plain http is not allowed; use https"},
		{"ftp://canary-7391", "jsonnet: unknown scheme; use file, base64 or https"},
		{"base64://{}", "jsonnet: base64: not standard base64 with padding: illegal base64 data at input byte 0"},
		{"base64://MQ", "jsonnet: base64: not standard base64 with padding"},
		{"file://hook.jsonnet", "jsonnet: unknown scheme"}, // flowhook has read it before
		{"https://", "jsonnet: https: not a URL"},
		{"https://exa mple.org/canary-7391", "jsonnet: https: not a URL"},
	} {
		_, err := jsonnet.Body(test.source)
		require.ErrorContains(t, err, test.want, test.source)
		assert.NotContains(t, err.Error(), "7391")
	}
}

func TestBody_snippet(t *testing.T) {
	renders(t, "function(ctx) 'https://example.org'", "\"https://example.org\"\n")
	renders(t, "// file://hook.jsonnet\n1", "1\n")
}

func setTransport(t *testing.T, transport http.RoundTripper) {
	before := http.DefaultTransport
	http.DefaultTransport = transport
	t.Cleanup(func() { http.DefaultTransport = before })
}

func TestBody_https(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, "'"+user+password+r.URL.RawQuery+"'")
		case "/redirect":
			http.Redirect(w, r, "/ok?token=canary-7391", http.StatusFound)
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat(" ", 32<<10)+"1")
		case "/short":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "1")
		case "/wrong":
			_, _ = io.WriteString(w, "\n{")
		default:
			http.NotFound(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the first client does not know its certificate
	server.StartTLS()
	defer server.Close()
	_, err := jsonnet.Body(server.URL + "/ok")
	require.ErrorContains(t, err, "certificate", "the server's certificate is checked")

	setTransport(t, server.Client().Transport)
	renders(t, server.URL+"/ok", "\"\"\n")
	renders(t, strings.Replace(server.URL, "//", "//ada:pw@", 1)+"/ok?a=1", "\"adapwa=1\"\n")
	for path, want := range map[string]string{
		"/missing?canary-7391":  "answers with status 404 instead of 200",
		"/redirect?canary-7391": "answers with status 302 instead of 200",
		"/large?canary-7391":    "the snippet is larger than 32 KiB",
		"/short?canary-7391":    "read the snippet: unexpected EOF",
		"/wrong?canary-7391":    "line 2: Unexpected: end of file",
	} {
		_, err := jsonnet.Body(server.URL + path)
		require.ErrorContains(t, err, want, path)
		assert.Contains(t, err.Error(), "jsonnet: https: ")
		assert.NotContains(t, err.Error(), "7391")
	}
	server.Close()
	_, err = jsonnet.Body(strings.Replace(server.URL, "//", "//ada:canary-7391@", 1) + "/ok?canary-7391")
	require.ErrorContains(t, err, "jsonnet: https: fetch the snippet from ")
	assert.NotContains(t, err.Error(), "7391")
}

type transportFunc func(r *http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBody_https_has_a_time_limit(t *testing.T) {
	setTransport(t, transportFunc(func(r *http.Request) (*http.Response, error) {
		deadline, ok := r.Context().Deadline()
		assert.True(t, ok)
		assert.WithinDuration(t, time.Now(), deadline, 10*time.Second)
		return nil, io.EOF
	}))
	_, err := jsonnet.Body("https://example.org/hook.jsonnet")
	assert.ErrorContains(t, err, `fetch the snippet from "example.org": EOF`)
}
