package inbox_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/examples/dev/inbox"
	"github.com/stretchr/testify/require"
)

func openInbox(t *testing.T) *inbox.Inbox {
	in, err := inbox.Open(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { in.Close() })
	return in
}

// deliver sends a raw message.
func deliver(t *testing.T, in *inbox.Inbox, raw string) error {
	return smtp.SendMail(strings.TrimPrefix(in.URL(), "smtp://"), nil, "service@example.org",
		[]string{"alice@example.org"}, []byte(raw))
}

// browse serves the inbox under a prefix, as the service does.
func browse(t *testing.T, in *inbox.Inbox) func(path string) (*http.Response, string) {
	mux := http.NewServeMux()
	mux.Handle("GET /dev/mail/", http.StripPrefix("/dev/mail", in.Handler("/")))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return func(path string) (*http.Response, string) {
		response, err := srv.Client().Get(srv.URL + path)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response, string(body)
	}
}

func TestInbox(t *testing.T) {
	in := openInbox(t)
	get := browse(t, in)
	response, body := get("/dev/mail")
	require.Equal(t, "/dev/mail/", response.Request.URL.Path, "the mux adds the slash that the relative links need")
	require.Contains(t, body, "No email yet")
	require.Contains(t, body, `<a href="/">Back to the service</a>`)

	require.NoError(t, deliver(t, in, "Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\nMessage-ID: "+
		"<1@example.org>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/alternative; boundary=x\r\n\r\n"+
		"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"+
		"Open http://127.0.0.1:8080/verification?a=3D1&token=3Dab=\r\ncd now.\r\n"+
		"--x\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+aGk8L2I+\r\n--x--\r\n"))
	response, body = get("/dev/mail/")
	require.Equal(t, "text/html; charset=utf-8", response.Header.Get("Content-Type"))
	require.Contains(t, body, "Größe")
	require.Contains(t, body, "alice@example.org")
	href := regexp.MustCompile(`<li><a href="(\w+)"`).FindStringSubmatch(body)
	require.NotNil(t, href)
	base, _ := url.Parse("http://x/dev/mail/")
	link, err := base.Parse(href[1])
	require.NoError(t, err)
	response, body = get(link.Path)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Contains(t, body, `<a href="http://127.0.0.1:8080/verification?a=1&amp;token=abcd" rel="noreferrer">`)
	require.Contains(t, body, "Message-Id")
	require.Contains(t, body, "&lt;b&gt;hi&lt;/b&gt;")
	require.Contains(t, body, `<a href="./">`)

	e := in.Emails()[0]
	require.Equal(t, "1@example.org", e.MessageID())
	require.Equal(t, []string{"http://127.0.0.1:8080/verification?a=1&token=abcd"}, e.Links)
	require.Equal(t, "<b>hi</b>", e.HTML)

	for _, path := range []string{"/dev/mail/2", "/dev/mail/0", "/dev/mail/x", "/dev/mail/99999999999999999999"} {
		response, body = get(path)
		require.Equal(t, http.StatusNotFound, response.StatusCode, path)
		require.Contains(t, body, "Email not found")
	}
}

func TestInbox_Policy(t *testing.T) {
	in := openInbox(t)
	get := browse(t, in)
	require.NoError(t, deliver(t, in, "Subject: x\r\n\r\nx\r\n"))
	for _, path := range []string{"/dev/mail/", "/dev/mail/1", "/dev/mail/2"} {
		response, body := get(path)
		policy := response.Header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'")
		require.NotContains(t, policy, "unsafe")
		require.NotContains(t, policy, "script-src")
		require.Equal(t, "no-referrer", response.Header.Get("Referrer-Policy"))
		require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
		require.NotContains(t, body, "<script")
		require.NotContains(t, body, " style=")
	}
}

func TestInbox_HostileEmail(t *testing.T) {
	const evil = `<script>alert(1)</script><img src=x onerror=alert(2)>"' onmouseover='alert(3)` +
		`</style></title></pre><iframe src=//evil>`
	in := openInbox(t)
	get := browse(t, in)
	for _, raw := range []string{
		"Subject: " + evil + "\r\nX-Evil: " + evil + "\r\nFrom: " + evil + "\r\nMessage-ID: " + evil + "\r\n\r\n" +
			evil + "\r\n",
		"Subject: =?utf-8?q?" + strings.NewReplacer("<", "=3C", " ", "_", "\"", "=22").
			Replace(evil) + "?=\r\n\r\n" + evil,
		"Subject: x\r\nContent-Type: text/html\r\n\r\n" + evil + "<a href=\"https://evil.example/" + evil +
			"\">x</a><a href='javascript:alert(4)'>y</a>",
		"no header at all " + evil,
		"Subject: x\r\n\r\nhttps://evil.example/\"onclick=alert(5) javascript:alert(6) http://x/<script> " +
			"data:text/html,<script>",
	} {
		require.NoError(t, deliver(t, in, raw))
	}
	paths := []string{"/dev/mail/"}
	for _, e := range in.Emails() {
		paths = append(paths, fmt.Sprint("/dev/mail/", e.ID))
	}
	require.Len(t, paths, 6)
	for _, path := range paths {
		_, body := get(path)
		for _, never := range []string{"<script", "<img", "<iframe", "href=\"javascript", "href='javascript",
			"href=\"data:text", "\"onclick", "</style></title>"} {
			require.NotContains(t, body, never, path)
		}
		for _, href := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(body, -1) {
			require.Regexp(t, `^(/|\./|data:,|\d+|https?://[^<>"\s]+)$`, href[1])
		}
		require.Equal(t, 1, strings.Count(body, "</style>"))
		require.Equal(t, 1, strings.Count(body, "</title>"))
	}
}

func TestInbox_MalformedEmail(t *testing.T) {
	in := openInbox(t)
	get := browse(t, in)
	deep := "x\r\n"
	for i := range 50 {
		deep = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n%s\r\n--b%d--\r\n", i, i,
			deep, i)
	}
	hostile := []string{
		deep,
		"Subject: \xff\xfe\x00\r\n\r\n\xff\x00\xfe",
		"Content-Type: multipart/mixed\r\n\r\n--\r\n",
		"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
		"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=",
		"Content-Type: ;;;\r\nSubject: =?x?x?x?=\r\n\r\nx",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 5000),
	}
	for i, raw := range hostile {
		require.NoError(t, deliver(t, in, raw))
		response, _ := get(fmt.Sprint("/dev/mail/", i+1))
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	require.Len(t, in.Emails(), len(hostile))
}

func TestInbox_Bounded(t *testing.T) {
	in := openInbox(t)
	require.Error(t, deliver(t, in, "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 5000)),
		"360 KB")
	require.Empty(t, in.Emails())
	for i := range 205 {
		require.NoError(t, deliver(t, in, fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i+1)))
	}
	emails := in.Emails()
	require.Len(t, emails, 200)
	require.Equal(t, "205", emails[0].Subject)
	require.Equal(t, "6", emails[199].Subject)
	require.Equal(t, 205, emails[0].ID)
	require.Regexp(t, `^smtp://127\.0\.0\.1:\d+$`, in.URL())
	require.NoError(t, in.Close())
	require.Error(t, deliver(t, in, "Subject: x\r\n\r\nx\r\n"))
	require.Len(t, in.Emails(), 200)
}

// TestInbox_OtherMachine checks that the pages refuse requests that may come from elsewhere.
func TestInbox_OtherMachine(t *testing.T) {
	in := openInbox(t)
	require.NoError(t, deliver(t, in, "Subject: x\r\n\r\nsecret\r\n"))
	for _, c := range []struct {
		remote, host string
		status       int
	}{
		{"127.0.0.1:4711", "localhost:8080", 200},
		{"127.8.8.8:4711", "LOCALHOST", 200},
		{"[::1]:4711", "[::1]:8080", 200},
		{"[::ffff:127.0.0.1]:4711", "127.0.0.1", 200},
		{"127.0.0.1:4711", "accounts.example.org", 403}, // a proxy, or DNS rebinding
		{"127.0.0.1:4711", "localhost.example.org:8080", 403},
		{"127.0.0.1:4711", "127.0.0.1.example.org", 403},
		{"127.0.0.1:4711", "localhost@example.org", 403},
		{"127.0.0.1:4711", "", 403},
		{"192.0.2.1:4711", "localhost:8080", 403},
		{"[2001:db8::1]:4711", "[::1]:8080", 403},
		{"@", "localhost", 403}, // a Unix socket
	} {
		for _, path := range []string{"/", "/1", "/2"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			r.RemoteAddr, r.Host = c.remote, c.host
			w := httptest.NewRecorder()
			in.Handler("/").ServeHTTP(w, r)
			if c.status == 200 {
				require.NotEqual(t, 403, w.Code, c)
				continue
			}
			require.Equal(t, 403, w.Code, c)
			require.NotContains(t, w.Body.String(), "alice@example.org", c)
			require.NotContains(t, w.Body.String(), "secret", c)
		}
	}
}

// TestHandler_Forwarded checks that nobody reads the inbox through a proxy on this machine that does
// not pass the Host header on.
func TestHandler_Forwarded(t *testing.T) {
	in, err := inbox.Open(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { in.Close() })
	for name, status := range map[string]int{"X-Forwarded-For": 403, "X-Forwarded-Proto": 403, "Forwarded": 403, "Via": 403,
		"X-Real-IP": 403, "Accept": 200} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.RemoteAddr, r.Host = "127.0.0.1:4711", "127.0.0.1:8080"
		r.Header.Set(name, "192.0.2.1")
		w := httptest.NewRecorder()
		in.Handler("/").ServeHTTP(w, r)
		require.Equal(t, status, w.Code, name)
	}
}
