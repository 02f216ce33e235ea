package jsonnet_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
		{"", "jsonnet: body: no scheme; write file://PATH, base64://TEXT or https://URL"},
		{"hook.jsonnet", "jsonnet: body: no scheme;"},
		{"/etc/hook.jsonnet", "jsonnet: body: no scheme;"},
		{"function(ctx) { password: 'canary-7391' }", "jsonnet: body: no scheme;"},
		{"http://example.org/hook.jsonnet", "jsonnet: http body: plain http is not allowed; use https"},
		{"ftp://canary-7391", "jsonnet: body: unknown scheme; use file, base64 or https"},
		{"base64://{}", "jsonnet: base64 body: not standard base64 with padding: illegal base64 data at input byte 0"},
		{"base64://MQ", "jsonnet: base64 body: not standard base64 with padding"},
		{"file://no/such.jsonnet", `jsonnet: file body "no/such.jsonnet": no such file or directory`},
		{"file://.", `jsonnet: file body ".": not a regular file`},
		{"file:///dev/zero", `jsonnet: file body "/dev/zero": not a regular file`},
		{"https://", "jsonnet: https body: not a URL"},
		{"https://exa mple.org/canary-7391", "jsonnet: https body: not a URL"},
	} {
		_, err := jsonnet.Body(test.source)
		require.ErrorContains(t, err, test.want, test.source)
		assert.NotContains(t, err.Error(), "7391")
	}
}

func TestBody_file(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("hook%20.jsonnet", []byte("1"), 0o600))
	renders(t, "file://hook%20.jsonnet", "1\n")
	renders(t, "file://./hook%20.jsonnet", "1\n")
	renders(t, "file://"+filepath.Join(dir, "hook%20.jsonnet"), "1\n")

	t.Run("read once", func(t *testing.T) {
		render, err := jsonnet.Body("file://hook%20.jsonnet")
		require.NoError(t, err)
		require.NoError(t, os.Remove("hook%20.jsonnet"))
		_, err = render(nil)
		assert.NoError(t, err)
	})
	t.Run("too large", func(t *testing.T) {
		require.NoError(t, os.WriteFile("large.jsonnet", []byte(strings.Repeat(" ", 32<<10)+"1"), 0o600))
		_, err := jsonnet.Body("file://large.jsonnet")
		assert.ErrorContains(t, err, `file body "large.jsonnet": the snippet is larger than 32 KiB`)
	})
	t.Run("line", func(t *testing.T) {
		require.NoError(t, os.WriteFile("wrong.jsonnet", []byte("\n\n{"), 0o600))
		_, err := jsonnet.Body("file://wrong.jsonnet")
		assert.ErrorContains(t, err, `jsonnet: file body "wrong.jsonnet": line 3: `)
	})
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
		assert.Contains(t, err.Error(), "jsonnet: https body: ")
		assert.NotContains(t, err.Error(), "7391")
	}
	server.Close()
	_, err = jsonnet.Body(strings.Replace(server.URL, "//", "//ada:canary-7391@", 1) + "/ok?canary-7391")
	require.ErrorContains(t, err, "jsonnet: https body: fetch the snippet from ")
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
