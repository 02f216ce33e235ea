package hooktest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/flowhook/flowhook"
)

// A Result is what came of a run.
type Result struct {
	Handled bool  // a hook has answered
	Err     error // why the run failed; http.ErrAbortHandler where a hook wished the connection to be aborted

	Status  int            // of the answer; 0: no hook has answered
	Header  http.Header    // of the response, as its client reads it; what hooks have set is in it also where none answered
	Body    string         // of the answer
	Cookies []*http.Cookie // of the response

	Ran      []string           // the hooks that ran, in order, by the names they have in the file
	Mails    []flowhook.Message // that the courier took; with Options.Outbox, also in what was then rolled back
	Sessions []flowhook.Session // of the exchange's identity, live, in the store, after the run: as Rig.Sessions
	SignedIn *flowhook.Session  // that the response's cookies stand for; nil: none, or one that is not good
	Log      string             // what the pipeline logged meanwhile; empty if Options.Logger was set
}

// Run runs the hooks of a point, as [flowhook.Pipeline.Run] does. Where the file has hooks at a phase that comes before it,
// run that first, on the same exchange: flowhook.ErrPhaseSkipped says so. All that hooks leave for after the commit is done
// when Run returns.
//
// Without x.Request, the request is a POST without a form; x.Writer is the rig's until the run ends, and then what it was. x
// may be nil, for nobody's. As under [flowhook.Pipeline.Middleware], the request's context carries the exchange. The run is
// on the goroutine of the caller, and a real server and client are around it: what the Result says of the response is what
// the client has read.
func (r *Rig) Run(p flowhook.Point, x *flowhook.Exchange) *Result {
	r.t.Helper()
	return r.run(x, func(ctx context.Context, _ *flowhook.Exchange) (handled bool, err error) {
		return r.Pipeline.Run(ctx, p.Flow, p.Phase, p.Strategy)
	})
}

// Complete goes through a flow as a handler under [flowhook.Pipeline.Middleware] does: it runs the hooks at Before; if none
// answers or fails, it does what [flowhook.Pipeline.Complete] does, with save, which may be nil. The rest is as with Run.
func (r *Rig) Complete(flow flowhook.Flow, strategy flowhook.Strategy, x *flowhook.Exchange, save func(ctx context.Context) error) *Result {
	r.t.Helper()
	return r.run(x, func(ctx context.Context, x *flowhook.Exchange) (handled bool, err error) {
		handled, err = r.Pipeline.Run(ctx, flow, flowhook.Before, flowhook.FlowWide)
		if handled || err != nil {
			return handled, err
		}
		noted := save
		if save != nil {
			noted = func(ctx context.Context) error {
				defer r.note(x) // if the attempt fails, the exchange will not have it
				return save(ctx)
			}
		}
		return r.Pipeline.Complete(ctx, flow, strategy, noted)
	})
}

func (r *Rig) run(x *flowhook.Exchange, run func(ctx context.Context, x *flowhook.Exchange) (handled bool, err error)) *Result {
	r.t.Helper()
	if x == nil {
		x = &flowhook.Exchange{}
	}
	if x.Request == nil {
		x.Request = httptest.NewRequest(http.MethodPost, "https://auth.example/", nil)
	}
	got, rec, logged := &Result{}, &record{}, r.log.len()
	ctx := context.WithValue(flowhook.NewContext(x.Request.Context(), x), recordKey{}, rec)
	x.Request = x.Request.WithContext(ctx)
	r.note(x)

	res, err := overWire(x.Request.Method, func(w http.ResponseWriter) (abort bool) {
		was := x.Writer
		x.Writer = w
		defer func() { x.Writer = was }()
		defer func() {
			if v := recover(); v == http.ErrAbortHandler {
				got.Err, abort = http.ErrAbortHandler, true
			} else if v != nil {
				panic(v)
			}
		}()
		got.Handled, got.Err = run(ctx, x)
		return false // where no hook has answered, the server does, and what hooks have set leaves
	})
	switch {
	case got.Err == http.ErrAbortHandler:
	case err != nil:
		r.t.Fatalf("hooktest: no response: %v", err)
	default:
		got.Header, got.Cookies = res.header, res.cookies
		if got.Handled {
			got.Status, got.Body = res.status, res.body
		}
	}
	got.Ran, got.Mails = rec.get()
	if x.Identity != nil {
		got.Sessions = r.Sessions(x.Identity.ID)
	}
	got.SignedIn = r.signedIn(got.Cookies)
	got.Log = r.log.from(logged)
	return got
}

// A response is what a client has read.
type response struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
	err     error
}

// overWire has a client ask a server, and gives what it reads. serve is called on this goroutine, since a test may end in
// it; it says whether the connection is to be aborted.
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
			defer func() { aborts <- abort }() // also where serve panics, or ends the goroutine
			abort = serve(w)
		}()
		res := <-read
		return res, res.err
	case res := <-read: // the request is none that can be sent
		return res, res.err
	}
}

func ask(srv *httptest.Server, method string) response {
	req, err := http.NewRequest(method, srv.URL, nil)
	if err != nil {
		return response{err: err}
	}
	res, err := srv.Client().Transport.RoundTrip(req) // a client would follow redirects
	if err != nil {
		return response{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, res.Cookies(), string(body), err}
}

type recordKey struct{}

// A record is what happens in one run. It is found by the run's context.
type record struct {
	mu    sync.Mutex
	ran   []string
	mails []flowhook.Message
}

// recordOf gives the record of a run; one that nobody reads, where the rig did not start it.
func recordOf(ctx context.Context) *record {
	if rec, ok := ctx.Value(recordKey{}).(*record); ok {
		return rec
	}
	return &record{}
}

func (r *record) hook(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ran = append(r.ran, name)
}

func (r *record) mail(m flowhook.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mails = append(r.mails, m)
}

func (r *record) get() (ran []string, mails []flowhook.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(ran, r.ran...), append(mails, r.mails...)
}
