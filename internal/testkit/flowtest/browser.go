package flowtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// DiscardWriter discards a response.
type DiscardWriter struct{}

func (DiscardWriter) Header() http.Header { return http.Header{} }

func (DiscardWriter) Write(b []byte) (int, error) { return len(b), nil }

func (DiscardWriter) WriteHeader(int) {}

// NewRequest returns a POST request without a body.
func NewRequest() *http.Request {
	r, err := http.NewRequest(http.MethodPost, "https://auth.example/", nil)
	if err != nil {
		panic(err)
	}
	return r
}

// DateLine matches the Date header of a raw response.
var DateLine = regexp.MustCompile(`\r\nDate: [^\r]*\r\n`)

// RawRequest sends a request and reads until the server closes the connection.
func RawRequest(t *testing.T, addr, path, token string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: auth.example\r\nCookie: __Host-session=%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", path, token)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(answer)
}

// A Browser is a client with a cookie jar. It returns redirects instead of following them.
type Browser struct {
	*http.Client
	service *Service
}

// An Answer is a response with the text of its body.
type Answer struct {
	*http.Response
	Text string
}

// GetPath requests a path of the service.
func (b *Browser) GetPath(path string) Answer {
	b.service.T.Helper()
	res, err := b.Get(b.service.Server.URL + path)
	return b.read(res, err)
}

// PostPath posts a form of name-value pairs.
func (b *Browser) PostPath(path string, pairs ...string) Answer {
	b.service.T.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := b.PostForm(b.service.Server.URL+path, form)
	return b.read(res, err)
}

func (b *Browser) read(res *http.Response, err error) Answer {
	b.service.T.Helper()
	require.NoError(b.service.T, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(b.service.T, err)
	return Answer{res, string(body)}
}

// WhoAmI returns the identity that the browser is signed in as, or "anonymous".
func (b *Browser) WhoAmI() string { b.service.T.Helper(); return b.GetPath("/whoami").Text }

// Cookies returns the cookies in the jar by name.
func (b *Browser) Cookies() map[string]string {
	u, _ := url.Parse(b.service.Server.URL)
	m := map[string]string{}
	for _, c := range b.Jar.Cookies(u) {
		m[c.Name] = c.Value
	}
	return m
}
