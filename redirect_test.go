package flowhook_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// vectors reads a list in testdata.
func vectors(t testing.TB, name string) []string { return testkit.Vectors(t, "testdata/"+name) }

func TestRedirectVectorsAreMany(t *testing.T) {
	accepted, refused := vectors(t, "redirect/accepted.txt"), vectors(t, "redirect/refused.txt")
	require.GreaterOrEqual(t, len(accepted), 60)
	require.GreaterOrEqual(t, len(accepted)+len(refused), 280)
}

// The response is read from the socket: no client stands between the header and what is compared.
func TestRedirectSendsTheTargetAsConfigured(t *testing.T) {
	vectors := vectors(t, "redirect/accepted.txt")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, err := strconv.Atoi(r.URL.Query().Get("vector"))
		if err == nil {
			err = flowhook.Redirect(vectors[i]).Run(r.Context(), &flowhook.Exchange{Writer: w, Request: r})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer server.Close()

	const form = "return_to=https%3A%2F%2Fother.example&to=/elsewhere"
	for i, to := range vectors {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			t.Run(method+" "+to, func(t *testing.T) {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				require.NoError(t, err)
				defer conn.Close()
				fmt.Fprintf(conn, "%s /deep/below/?vector=%d&%s HTTP/1.1\r\nHost: other.example\r\nReferer: https://other.example/\r\n"+
					"X-Forwarded-Host: other.example\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
					method, i, form, len(form), form)
				var head []string
				lines := bufio.NewScanner(conn)
				for lines.Scan() && lines.Text() != "" {
					head = append(head, lines.Text())
				}
				require.NotEmpty(t, head)
				require.Equal(t, "HTTP/1.1 302 Found", head[0], head)
				require.Contains(t, head, "Location: "+to)
				require.False(t, lines.Scan(), "a body: %q", lines.Text())
			})
		}
	}
}

func TestRedirectRefuses(t *testing.T) {
	for _, to := range vectors(t, "redirect/refused.txt") {
		t.Run(strconv.Quote(to), func(t *testing.T) {
			w := httptest.NewRecorder()
			err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: w})
			require.ErrorContains(t, err, "the target must be an absolute http or https URL, or a path on the same site")
			require.Empty(t, w.Result().Header)
		})
	}
}

func TestRedirectSaysWhatIsWrong(t *testing.T) {
	const rule = "the target must be an absolute http or https URL, or a path on the same site such as /maintenance; "
	for to, want := range map[string]string{
		"":                         `"" is empty`,
		"//evil.example":           `"//evil.example" names another host without a scheme; put https: in front`,
		`/\evil.example`:           `"/\\evil.example" contains a backslash, which browsers treat as a slash`,
		"/a/%2E./b":                `"/a/%2E./b" contains a dot segment, which browsers resolve, so that the target leads elsewhere: "%2E."`,
		"/a b":                     `"/a b" contains a character that must be percent-encoded: " "`,
		"/a\r\nb":                  `"/a\r\nb" contains a control character: "\r"`,
		"/a%0ab":                   `"/a%0ab" contains an encoded control character: "%0a"`,
		"/100%":                    `"/100%" contains a % that does not begin an escape; write it as %25: "%"`,
		"/é":                       `"/é" is not ASCII; write a host in its xn-- form, and percent-encode the rest`,
		"maintenance":              `"maintenance" starts with neither a scheme nor a slash`,
		"javascript:alert(1)":      `"javascript:alert(1)" has another scheme: "javascript"`,
		"https:/example.com":       `"https:/example.com" has no host; write two slashes and a host after the scheme`,
		"https://example.com:/":    `"https://example.com:/" has a colon without a port; remove it`,
		"https://example.com:070/": `"https://example.com:070/" has a port that is not a number from 1 to 65535 without leading zeros: "070"`,
		"https://example.com:x/":   `"https://example.com:x/" is not a URL: "invalid port \":x\" after host"`,
		"https://0x7f.1/":          `"https://0x7f.1/" has a host that may be read as another IPv4 address; write four decimal numbers such as 127.0.0.1: "0x7f.1"`,
		"https://[::01]/":          `"https://[::01]/" has an IPv6 address that is not in its shortest form, is mapped, or has a zone: "::01"`,
		"https://evil[::1]/":       `"https://evil[::1]/" has a host with a [ that is not its first character: "evil[::1]"`,
		"/a?b=c d":                 `"/a?..." contains a character that must be percent-encoded: " "`,
		"/a#`":                     "\"/a#...\" contains a character that must be percent-encoded: \"`\"",
		"https://a+b/":             `"https://a+b/" has an invalid host; write labels of letters, digits, inner hyphens and underscores, separated by dots: "a+b"`,
		"https://u:p@example.com/": `this one (not shown, as it contains an @) contains user info, which browsers may send and readers may mistake for the host; remove it`,
	} {
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder()})
		require.EqualError(t, err, rule+want)
	}
}

func TestRedirectDoesNotShowAPassword(t *testing.T) {
	for _, to := range []string{
		"https://user:hunter2@example.com/", "https://user:hunter2/x@example.com/", "https://hunter2:x^y@example.com/",
		"https:\\\\user:hunter2@example.com/", "//user:hunter2@example.com/", "hunter2://user@example.com/",
		"https://user:x%zhunter2@example.com/", "user:hunter2@example.com", "https://user:1\thunter2@example.com/",
		"https://user:../hunter2/..@example.com/", "https://[hunter2@example.com/", "https://hunter2:@[::01]/",
	} {
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: httptest.NewRecorder()})
		require.Error(t, err, to)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "user:")
	}
}

// FuzzRedirect asks for what can be known of an accepted target without a parser of the WHATWG's kind; the nested module
// internal/whatwg has one.
func FuzzRedirect(f *testing.F) {
	for _, name := range []string{"accepted.txt", "refused.txt"} {
		for _, to := range vectors(f, "redirect/"+name) {
			f.Add(to)
		}
	}
	base, err := url.Parse("https://base.example/a/b?c#d")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, to string) {
		w := httptest.NewRecorder()
		err := flowhook.Redirect(to).Run(t.Context(), &flowhook.Exchange{Writer: w})
		if err != nil {
			require.Empty(t, w.Result().Header)
			require.False(t, strings.Contains(to, "@") && strings.Contains(err.Error(), strconv.Quote(to)), "shows what may be a password")
			return
		}
		require.Equal(t, http.StatusFound, w.Code)
		require.Equal(t, []string{to}, w.Result().Header["Location"])
		require.Zero(t, w.Body.Len())
		require.False(t, strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f }))

		to, _, _ = strings.Cut(to, "#") // net/url is stricter about escapes there than a browser
		require.NotContains(t, to[:strings.IndexAny(to+"?", "?")], `\`)
		u, err := url.Parse(to)
		require.NoError(t, err)
		require.Nil(t, u.User)
		require.Empty(t, u.Opaque)
		host, path := base.Host, to
		if to[0] != '/' {
			scheme, rest, found := strings.Cut(to, "://")
			require.True(t, found)
			require.Contains(t, []string{"http", "https"}, strings.ToLower(scheme))
			end := strings.IndexAny(rest+"/", "/?#")
			host, path = rest[:end], rest[end:]
			require.NotContains(t, host, "%")
		}
		require.Equal(t, "", strings.Trim(path[:min(1, len(path))], "/?#"))
		path = path[:strings.IndexAny(path+"?", "?#")]
		resolved := base.ResolveReference(u)
		require.Equal(t, host, resolved.Host)
		require.Equal(t, path, resolved.EscapedPath())
		again, err := url.Parse(resolved.String())
		require.NoError(t, err)
		require.Equal(t, host, again.Host)
		_, err = url.Parse("https://" + host)
		require.NoError(t, err)
	})
}

func ExampleRedirect() {
	w := httptest.NewRecorder()
	fmt.Println(flowhook.Redirect("/maintenance").Run(context.Background(), &flowhook.Exchange{Writer: w}), w.Code, w.Header()["Location"])

	fmt.Println(flowhook.Redirect("//other.example").Run(context.Background(), &flowhook.Exchange{Writer: w}))

	// Output:
	// <nil> 302 [/maintenance]
	// the target must be an absolute http or https URL, or a path on the same site such as /maintenance; "//other.example" names another host without a scheme; put https: in front
}
