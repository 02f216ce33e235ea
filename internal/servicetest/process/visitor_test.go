package process_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	sessionCookie = "__Host-session"
	deviceCookie  = "__Host-device"
)

// requestTime is the service's limit for a request.
const requestTime = 10 * time.Second

// A checkedClient sends requests to a deployment and checks every answer. It knows when an answer
// may be missing or a 503.
type checkedClient struct {
	t      testing.TB
	client *http.Client
	// mayBreak allows requests to a stopped process to have no answer.
	mayBreak bool
	// patience is how long a request must take for a 503 to count as overload. With 0, overload is
	// not allowed.
	patience time.Duration

	mu       sync.Mutex
	outages  []window // when the database was down
	statuses map[int]int
	answered map[string]int // by the URL of the process
	broken   int
	faults   int
}

// A window is a time in which a 503 is allowed. A zero to means that it has not ended.
type window struct{ from, to time.Time }

func newCheckedClient(t testing.TB) *checkedClient {
	p := &checkedClient{t: t, statuses: map[int]int{}, answered: map[string]int{}, client: &http.Client{
		Timeout:       60 * time.Second, // longer than any limit of the service
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, ExpectContinueTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// fault reports an error. The test goes on, but only the first 20 errors are reported.
func (p *checkedClient) fault(format string, args ...any) {
	p.mu.Lock()
	p.faults++
	n := p.faults
	p.mu.Unlock()
	if n <= 20 {
		p.t.Errorf(format, args...)
	}
}

// A visitor is a browser, represented by its cookies. Like Chromium, it sends Secure cookies to
// 127.0.0.1.
type visitor map[string]string

// An answer is a response.
type answer struct {
	status   int // 0 if there was no answer
	location string
	body     string
	set      visitor // the cookies that it sets
	at       time.Time
}

// is reports whether the answer redirects to location, with which the service confirms success.
func (a answer) is(location string) bool { return a.redirect() && a.location == location }

// redirect reports whether the answer is a redirect: 303 by a handler or 302 by the redirect hook.
func (a answer) redirect() bool {
	return a.status == http.StatusSeeOther || a.status == http.StatusFound
}

// unknown reports whether the answer leaves open whether anything was changed.
func (a answer) unknown() bool { return a.status == 0 || a.status == http.StatusServiceUnavailable }

// ask sends a request with a form to a copy and checks the answer.
func (p *checkedClient) ask(r *replica, v visitor, method, path string, values ...string) answer {
	base := r.address()
	if base == "" {
		return answer{}
	}
	request, err := http.NewRequest(method, base+path, strings.NewReader(encode(values)))
	if err != nil {
		p.fault("%v", err)
		return answer{}
	}
	return p.send(r, base, v, request)
}

// encode encodes names and values as a form.
func encode(values []string) string {
	form := url.Values{}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return form.Encode()
}

// send is ask for an existing request. base is the URL of the process.
func (p *checkedClient) send(r *replica, base string, v visitor, request *http.Request) answer {
	method, path := request.Method, request.URL.Path
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	request.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	for name, value := range v {
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	began := time.Now()
	response, err := p.client.Do(request)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err != nil {
		p.mu.Lock()
		p.broken++
		p.mu.Unlock()
		if !p.mayBreak || r.address() == base {
			p.fault("%s %s of %s was not answered: %v", method, path, r.name, err)
		}
		return answer{}
	}
	a := answer{status: response.StatusCode, location: response.Header.Get("Location"), body: string(body),
		set: visitor{}, at: time.Now()}
	for _, c := range response.Cookies() {
		a.set[c.Name] = c.Value
	}
	p.mu.Lock()
	p.statuses[a.status]++
	p.answered[base]++
	p.mu.Unlock()
	if err := p.check(response, a, began); err != nil {
		p.fault("%s %s of %s: %v\n%s", method, path, r.name, err, a.body)
	}
	return a
}

// check checks what must hold for any answer.
func (p *checkedClient) check(response *http.Response, a answer, began time.Time) error {
	kind := response.Header.Get("Content-Type")
	switch {
	case a.status == http.StatusServiceUnavailable && !p.mayBeUnavailable(began, a.at):
		return fmt.Errorf("503 although the database was up")
	case a.status >= 500 && a.status != http.StatusServiceUnavailable:
		return fmt.Errorf("status %d", a.status)
	case a.status >= 400 && len(a.set) > 0:
		return fmt.Errorf("a %d that sets %d cookies", a.status, len(a.set))
	case a.status >= 400 && response.Header.Get("Content-Length") != strconv.Itoa(len(a.body)):
		return fmt.Errorf("a %d of %d bytes with the Content-Length %q", a.status, len(a.body),
			response.Header.Get("Content-Length"))
	case a.redirect() && a.location == "":
		return fmt.Errorf("a redirect without a Location")
	case a.redirect() && a.body == "":
		return nil
	case strings.HasPrefix(kind, "text/css"), strings.HasPrefix(kind, "text/plain"):
		return nil
	case kind != "text/html; charset=utf-8":
		return fmt.Errorf("a %d of type %q", a.status, kind)
	case !a.redirect() && (!strings.HasPrefix(a.body, "<!DOCTYPE html>") ||
		!strings.HasSuffix(a.body, "</body>\n</html>\n")):
		return fmt.Errorf("a %d with an incomplete page", a.status)
	}
	return nil
}

// databaseDown begins a time in which the database is down. back ends it.
func (p *checkedClient) databaseDown() (back func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := len(p.outages)
	p.outages = append(p.outages, window{from: time.Now()})
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.outages[i].to = time.Now()
	}
}

// mayBeUnavailable reports whether a 503 was allowed for a request.
func (p *checkedClient) mayBeUnavailable(began, ended time.Time) bool {
	if p.patience > 0 && ended.Sub(began) >= p.patience {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.outages {
		if ended.After(w.from) && (w.to.IsZero() || began.Before(w.to)) {
			return true
		}
	}
	return false
}

// some returns a random copy that listens, and waits for one if there is none.
func some(ctx context.Context, chance *rand.Rand, d *deployment) *replica {
	for {
		if live := d.live(); len(live) > 0 {
			return live[chance.IntN(len(live))]
		}
		if ctx.Err() != nil {
			return d.copies[0]
		}
		pause(ctx, 10*time.Millisecond)
	}
}
