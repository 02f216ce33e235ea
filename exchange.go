package flowhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/flowhook/flowhook/internal/stage"
)

// run is the state of the run that an exchange is in. It lives in the exchange, so that a run need not allocate it.
type run struct {
	busy      bool   // the exchange is in a run
	holds     bool   // Complete is not done: the guard stays shut between its runs
	chain     *chain // the one that is running; nil outside a run
	hook      *hook
	later     []later
	aborted   bool  // a hook has panicked with http.ErrAbortHandler
	succeeded bool  // nothing is to be restored
	revoked   *hook // it ended every session of the identity, because the exchange had none

	stage    *stage.Stage
	first    stage.Stage // of the first run; a later run has its own, so that a writer kept from this one is dead
	request  *http.Request
	returnTo string      // the URL that the request names, where a redirect may go there; checked
	header   http.Header // of the real writer; nil where save cannot have changed it
	was      snapshot

	tx atomic.Bool // in a transaction: calls of Sessions must use its context; other goroutines read it
}

// later is what waits for the commit.
type later struct {
	chain *chain
	hook  *hook // nil: save
	fn    func(ctx context.Context) error
}

// marks are what has happened in the exchange so far.
type marks struct {
	answered bool
	issuedTo string   // the identity that a session was issued to
	ran      []*chain // of Before and BeforePersist
}

// snapshot is an exchange as it was when the run began.
type snapshot struct {
	identity  *Identity
	content   Identity
	addresses []Address // deep: a hook may write into the slice
	room      [4]Address
	session   *Session
	granted   Session
	err       error
	marks     marks
}

// enter returns the exchange in ctx and the chain of a point, or why the chain cannot run now.
func (p *Pipeline) enter(ctx context.Context, flow Flow, phase Phase, strategy Strategy) (x *Exchange, c *chain, err error) {
	x, ok := FromContext(ctx)
	if ok {
		if err := p.own(x); err != nil {
			return nil, nil, err
		}
	}
	now := p.plan(x)
	all := now.find(flow, strategy)
	c = all.at(phase)
	if c == nil || all.partial && phase != Before {
		return nil, nil, now.unknown(Point{flow, phase, strategy})
	}
	if !ok {
		return nil, nil, fmt.Errorf("%w; wrap the route in Middleware, or use NewContext", ErrNoExchange)
	}
	switch {
	case x.run.busy:
		return nil, nil, fmt.Errorf("%w: %s", ErrNested, c.point)
	case stage.Closed(x.Writer):
		return nil, nil, fmt.Errorf("%w: its Writer is that of a run that has ended", ErrNoExchange)
	case x.marks.answered:
		return nil, nil, fmt.Errorf("%w: %s", ErrAnswered, c.point)
	}
	if all.asks && x.Request != nil {
		// At Failed, the redirect goes where the file says: a failed attempt must not end here.
		if x.run.returnTo, err = now.returns.named(x.Request); err != nil && phase != Failed {
			return nil, nil, fmt.Errorf("%w: %s", err, c.point)
		}
	}
	return x, c, nil
}

// header returns a copy of the writer's header, or nil if there is no writer.
func (x *Exchange) header() http.Header {
	if x.Writer == nil {
		return nil
	}
	return x.Writer.Header().Clone()
}

// begin takes the snapshot and sets the stage. header, if not nil, is a copy of the real one, and what end makes of it if
// the run fails. The caller must end.
func (x *Exchange) begin(header http.Header) {
	r := &x.run
	r.busy, r.aborted, r.succeeded, r.revoked, r.request, r.header = true, false, false, nil, x.Request, header
	x.guard.Shut()

	w := &r.was
	w.identity, w.session, w.err, w.marks = x.Identity, x.Session, x.Err, x.marks
	if x.Identity != nil {
		w.content = *x.Identity
		w.addresses = append(w.room[:0], x.Identity.Addresses...)
		x.clip()
	}
	if x.Session != nil {
		w.granted = *x.Session
	}

	if r.stage == nil {
		r.stage = &r.first
	} else {
		r.stage = new(stage.Stage)
	}
	stage.Begin(r.stage, x.Writer, header)
	x.Writer = r.stage
}

// end takes the stage away and, unless the run succeeded, makes the exchange what it was. It is
// deferred, so that it also runs after a panic or a Goexit.
func (x *Exchange) end() {
	r := &x.run
	if !r.succeeded {
		stage.Close(r.stage)
		x.restore()
		x.guard.Restore()
		if r.header != nil {
			stage.Restore(stage.Real(r.stage).Header(), r.header)
		}
	}
	x.Writer, x.Request = stage.Real(r.stage), r.request
	if !r.holds {
		x.guard.Open()
	}
	r.busy, r.chain, r.hook, r.later = false, nil, nil, nil
	r.tx.Store(false)
}

// clip keeps a hook's append to the addresses from reaching the host's array.
func (x *Exchange) clip() {
	if x.Identity != nil {
		x.Identity.Addresses = slices.Clip(x.Identity.Addresses)
	}
}

func (x *Exchange) restore() {
	w := &x.run.was
	x.Identity, x.Session, x.Err, x.marks = w.identity, w.session, w.err, w.marks
	if x.Identity != nil {
		*x.Identity = w.content
		copy(x.Identity.Addresses, w.addresses)
	}
	if x.Session != nil {
		*x.Session = w.granted
	}
}

// failed is called with what made a run fail, when all is rolled back. Where that was the wish to abort the connection,
// the wish is passed on to the server.
func (x *Exchange) failed(err error) error {
	if x.run.aborted {
		panic(http.ErrAbortHandler)
	}
	return err
}

// caused makes an error of the hook that is running, or of save.
func (x *Exchange) caused(err error) error {
	h := x.run.hook
	if h == nil {
		return fmt.Errorf("flowhook: save: %w", err)
	}
	h.counts.fail()
	return &HookError{Point: x.Point(), Name: h.name, Position: h.pos, Err: err}
}

// save runs the host's save.
func (x *Exchange) save(ctx context.Context, after *chain, save func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil || save == nil {
		return err
	}
	x.run.chain, x.run.hook = after, nil
	if err := save(ctx); err != nil {
		return err
	}
	x.clip() // save may have set the identity
	if x.untouched() {
		return nil
	}
	if _, err := x.answer(); err != nil {
		return x.caused(err)
	}
	return nil
}

func (x *Exchange) identityID() string {
	if x.Identity == nil {
		return ""
	}
	return x.Identity.ID
}

type transactionKey struct{}

// outside reports whether the exchange is in a transaction and ctx is not.
func (x *Exchange) outside(ctx context.Context) bool {
	return x.run.tx.Load() && ctx.Value(transactionKey{}) != any(x)
}

// inside reports whether a transaction with ctx would join one of another exchange, or of Redeem.
// What is left for after the commit would then be done before it.
func (p *Pipeline) inside(ctx context.Context, x *Exchange) bool {
	return p.store != nil && x.within(ctx)
}

// within reports whether ctx is in a transaction of another exchange, or of Redeem.
func (x *Exchange) within(ctx context.Context) bool {
	holder := ctx.Value(transactionKey{})
	return holder != nil && holder != any(x)
}
