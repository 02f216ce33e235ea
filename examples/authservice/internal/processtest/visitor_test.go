package processtest_test

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

// requestTime is what the service gives a request.
const requestTime = 15 * time.Second

// A public is what asks the deployment: it looks at each answer, and says where one may be missing or a 503.
type public struct {
	t      testing.TB
	client *http.Client
	// mayBreak is set where processes end: then a request to one that has ended may have no answer.
	mayBreak bool
	// patience is how long a request has to take for a 503 to say that there was too much to do; 0: that may not be.
	patience time.Duration

	mu       sync.Mutex
	away     []window // when the database was away
	statuses map[int]int
	answered map[string]int // by the process's URL
	broken   int
	faults   int
}

// A window is a time in which a 503 is the right answer. Without an end it goes on.
type window struct{ from, to time.Time }

func newPublic(t testing.TB) *public {
	p := &public{t: t, statuses: map[int]int{}, answered: map[string]int{}, client: &http.Client{
		Timeout:       60 * time.Second, // longer than the service takes for anything
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64, ExpectContinueTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// fault notes what may not be. The test goes on, to see what comes of it, but does not say the same for ever.
func (p *public) fault(format string, args ...any) {
	p.mu.Lock()
	p.faults++
	n := p.faults
	p.mu.Unlock()
	if n <= 20 {
		p.t.Errorf(format, args...)
	}
}

// A visitor is a browser: what it keeps are its cookies. It is Chromium in that it sends Secure ones to 127.0.0.1.
type visitor map[string]string

// An answer is what came back.
type answer struct {
	status   int // 0: nothing
	location string
	body     string
	set      visitor // the cookies that the answer sets
	at       time.Time
}

// is says whether the answer leads on to a page, which is how the service says that something is done.
func (a answer) is(location string) bool { return a.redirect() && a.location == location }

// redirect is 303 where a handler redirects, and 302 where the hook redirect does.
func (a answer) redirect() bool {
	return a.status == http.StatusSeeOther || a.status == http.StatusFound
}

// unknown says that the answer does not tell whether anything was done.
func (a answer) unknown() bool { return a.status == 0 || a.status == http.StatusServiceUnavailable }

// ask sends a request to one copy, as a form where there are values, and checks what is true of every answer.
func (p *public) ask(r *replica, v visitor, method, path string, values ...string) answer {
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

// encode makes a form of names and values.
func encode(values []string) string {
	form := url.Values{}
	for i := 0; i < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return form.Encode()
}

// send is ask with a request that is made already; base is where it goes.
func (p *public) send(r *replica, base string, v visitor, request *http.Request) answer {
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
	a := answer{status: response.StatusCode, location: response.Header.Get("Location"), body: string(body), set: visitor{}, at: time.Now()}
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

// check says what is wrong with an answer, whatever was asked.
func (p *public) check(response *http.Response, a answer, began time.Time) error {
	kind := response.Header.Get("Content-Type")
	switch {
	case a.status == http.StatusServiceUnavailable && !p.mayBeAway(began, a.at):
		return fmt.Errorf("503 while the database was there")
	case a.status >= 500 && a.status != http.StatusServiceUnavailable:
		return fmt.Errorf("status %d", a.status)
	case a.status >= 400 && len(a.set) > 0:
		return fmt.Errorf("a %d sets %d cookies", a.status, len(a.set))
	case a.status >= 400 && response.Header.Get("Content-Length") != strconv.Itoa(len(a.body)):
		return fmt.Errorf("a %d of %d bytes has the Content-Length %q", a.status, len(a.body), response.Header.Get("Content-Length"))
	case a.redirect() && a.location == "":
		return fmt.Errorf("a redirect to nowhere")
	case a.redirect() && a.body == "":
		return nil
	case strings.HasPrefix(kind, "text/css"), strings.HasPrefix(kind, "text/plain"):
		return nil
	case kind != "text/html; charset=utf-8":
		return fmt.Errorf("a %d of type %q", a.status, kind)
	case !a.redirect() && (!strings.HasPrefix(a.body, "<!DOCTYPE html>") || !strings.HasSuffix(a.body, "</body>\n</html>\n")):
		return fmt.Errorf("a %d whose page is not whole", a.status)
	}
	return nil
}

// goesAway begins a time in which the database is away, and says how to end it.
func (p *public) goesAway() (back func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := len(p.away)
	p.away = append(p.away, window{from: time.Now()})
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.away[i].to = time.Now()
	}
}

func (p *public) mayBeAway(began, ended time.Time) bool {
	if p.patience > 0 && ended.Sub(began) >= p.patience {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.away {
		if ended.After(w.from) && (w.to.IsZero() || began.Before(w.to)) {
			return true
		}
	}
	return false
}

// some gives one of the copies that listen, and waits for one if need be.
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
