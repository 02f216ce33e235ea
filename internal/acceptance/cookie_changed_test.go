package acceptance_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A mutation yields the values that differ from a cookie's value in one place.
type mutation func(value string, yield func(changed string))

// bytesAt yields the byte values for a position: all, or under the race detector one in 16,
// different ones for each position.
func bytesAt(position int, yield func(c byte)) {
	step := 1
	if raceOn {
		step = 16
	}
	for c := position % step; c < 256; c += step {
		yield(byte(c))
	}
}

var mutations = []struct {
	name string
	mutation
}{
	{"substitutions", func(v string, yield func(string)) {
		for i := range len(v) {
			b := []byte(v)
			bytesAt(i, func(c byte) {
				if c != v[i] {
					b[i] = c
					yield(string(b))
				}
			})
		}
	}},
	{"insertions", func(v string, yield func(string)) {
		for i := range len(v) + 1 {
			b := []byte(v[:i] + " " + v[i:])
			bytesAt(i, func(c byte) {
				b[i] = c
				yield(string(b))
			})
		}
	}},
	{"deletions", func(v string, yield func(string)) {
		for i := range len(v) {
			yield(v[:i] + v[i+1:])
		}
	}},
	{"truncations", func(v string, yield func(string)) {
		for i := range len(v) {
			yield(v[:i])
			yield(v[i:][1:])
		}
	}},
}

// Every change of one byte and every truncation of 100 cookies is anonymous, and the store is not
// asked. If Go's parser reads the same value as before, for example because a space was appended,
// the user stays signed in.
func TestCookies_ChangedAreAnonymous(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	counts := make([][2]int, len(mutations)) // anonymous, and the same value
	var mu sync.Mutex
	var wg sync.WaitGroup
	cookies := make(chan string)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := flowtest.NewRequest()
			raw := []string{""}
			r.Header["Cookie"] = raw
			mine := make([][2]int, len(mutations))
			for cookie := range cookies {
				value := strings.TrimPrefix(cookie, flowtest.CookieName+"=")
				for i, m := range mutations {
					m.mutation(value, func(changed string) {
						raw[0] = flowtest.CookieName + "=" + changed
						_, err := d.FromRequest(r)
						parsed := r.CookiesNamed(flowtest.CookieName)
						same := len(parsed) == 1 && parsed[0].Value == value && !parsed[0].Quoted
						switch {
						case same && err == nil:
							mine[i][1]++
						case !same && errors.Is(err, flowhook.ErrNoSession):
							mine[i][0]++
						default:
							t.Errorf("%s: %q of %q: %v", m.name, changed, value, err)
						}
					})
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range mine {
				counts[i][0] += mine[i][0]
				counts[i][1] += mine[i][1]
			}
		})
	}
	const genuine = 100
	asked := 0
	for range genuine {
		cookie, _ := d.SignIn("alice")
		cookies <- cookie
	}
	close(cookies)
	wg.Wait()
	for i, m := range mutations {
		asked += counts[i][1]
		t.Logf("%d %s of %d cookies are anonymous; %d are parsed as the same value and signed in", counts[i][0],
			m.name, genuine, counts[i][1])
	}
	finds := 0
	for _, call := range d.Store.Take() {
		if strings.HasPrefix(call, "FindSession ") {
			finds++
		}
	}
	require.Equal(t, asked, finds, "the store was asked about an ID that did not verify")
}

// The same changes do not end a session.
func TestCookies_ChangedEndNothing(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	cookie, _ := d.SignIn("alice")
	value := strings.TrimPrefix(cookie, flowtest.CookieName+"=")
	n, seen := 0, 0
	for _, m := range mutations {
		m.mutation(value, func(changed string) {
			seen++
			if seen%11 != 0 || strings.TrimRight(changed, "\t\n\r ;") == value {
				return
			}
			n++
			require.NoError(t, d.End(t.Context(), flowtest.NewVisitor("", flowtest.CookieName+"="+changed).Exchange))
			v := flowtest.NewVisitor("bob", flowtest.CookieName+"="+changed)
			_, err := d.Create(t.Context(), v.Exchange)
			require.NoError(t, err)
		})
	}
	for _, call := range d.Store.Take() {
		require.NotContains(t, call, "DeleteSession")
		require.NotContains(t, call, "ReplaceSession")
	}
	require.Equal(t, "alice", d.IdentityOf(cookie))
	t.Logf("%d changed cookies at sign-out and sign-in: no session was deleted", n)
}

// Some of the changes go over a connection as bytes, because Go's client would not send all of
// them.
func TestCookies_ChangedOverHTTP(t *testing.T) {
	h := flowtest.NewService(t, "", flowtest.WithUsers(flowtest.Alice))
	b := h.Browser()
	require.Equal(t, http.StatusOK, b.PostPath("/login/password", "user", "alice").StatusCode)
	value := b.Cookies()[flowtest.CookieName]
	c := &wire{h: h}
	defer c.close()
	status, body := c.whoami(flowtest.CookieName + "=" + value)
	require.Equal(t, []any{http.StatusOK, "alice"}, []any{status, body})

	refused, anonymous, seen := 0, 0, 0
	for _, m := range mutations {
		m.mutation(value, func(changed string) {
			seen++
			if seen%31 != 0 || strings.Trim(changed, "\t\n\r ;") == value {
				return
			}
			switch status, body := c.whoami(flowtest.CookieName + "=" + changed); {
			case status == http.StatusOK && body == "anonymous":
				anonymous++
			case status == http.StatusBadRequest: // by net/http: no header may contain this
				refused++
			default:
				t.Errorf("%s: %q: %d %s", m.name, changed, status, body)
			}
		})
	}
	require.NotZero(t, refused)
	t.Logf("%d changed cookies over HTTP are anonymous; net/http rejects %d", anonymous, refused)
}

// A wire is a connection that the test writes to directly.
type wire struct {
	h    *flowtest.Service
	conn net.Conn
	r    *bufio.Reader
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

func (w *wire) whoami(cookie string) (status int, body string) {
	t := w.h.T
	t.Helper()
	if w.conn == nil {
		conn, err := tls.Dial("tcp", w.h.Server.Listener.Addr().String(),
			w.h.Server.Client().Transport.(*http.Transport).TLSClientConfig)
		require.NoError(t, err)
		w.conn, w.r = conn, bufio.NewReader(conn)
	}
	_, err := fmt.Fprintf(w.conn, "GET /whoami HTTP/1.1\r\nHost: auth.example\r\nCookie: %s\r\n\r\n", cookie)
	require.NoError(t, err)
	res, err := http.ReadResponse(w.r, nil)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	if res.Close {
		w.close()
	}
	return res.StatusCode, string(b)
}
