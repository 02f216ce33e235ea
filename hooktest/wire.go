package hooktest

import (
	"io"
	"net/http"
	"net/http/httptest"
)

// A response is what a client read.
type response struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
	err     error
}

// overWire sends a request to a server of its own, answers it with serve, and returns what the
// client read. serve runs on the caller's goroutine, because a test may end in it. It reports
// whether the server must abort the connection. overWire closes the server even if serve panics or
// ends the goroutine.
func overWire(method string, serve func(w http.ResponseWriter) (abort bool)) (response, error) {
	writers, aborts := make(chan http.ResponseWriter), make(chan bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writers <- w
		if <-aborts {
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	read := make(chan response, 1)
	go func() { read <- ask(srv, method) }()
	select {
	case w := <-writers:
		func() {
			abort := false
			defer func() { aborts <- abort }() // also if serve panics, or ends the goroutine
			abort = serve(w)
		}()
		res := <-read
		return res, res.err
	case res := <-read: // the request cannot be sent
		return res, res.err
	}
}

func ask(srv *httptest.Server, method string) response {
	req, err := http.NewRequest(method, srv.URL, nil)
	if err != nil {
		return response{err: err}
	}
	transport := srv.Client().Transport.(*http.Transport)
	transport.DisableCompression = true  // Body is what was sent
	res, err := transport.RoundTrip(req) // a client would follow redirects
	if err != nil {
		return response{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, res.Cookies(), string(body), err}
}
