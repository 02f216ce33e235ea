package flowhook

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/flowhook/flowhook/internal/stage"
)

// An Exchange is one HTTP request and response, with the identity and the session it concerns. The
// host sets the exported fields before it runs hooks. After a failed run they are what they were
// before it, including the content of Identity and Session.
//
// An Exchange serves one request, under the configuration that is current when it is first used. It
// belongs to the first pipeline that runs hooks or issues a session for it; another one returns
// [ErrOtherPipeline]. It is not safe for concurrent use.
//
// Writer and Request may be nil: for jobs, imports, and accounts that an administrator creates.
// Then a hook that answers, sets a header or needs the request is an error. So is the session hook.
type Exchange struct {
	// Writer is staged while hooks run: what a hook writes leaves when all of them have succeeded.
	Writer http.ResponseWriter

	// Request is the client's. Hooks may parse its form, but not replace it.
	Request *http.Request

	// Identity is nil until the host knows who the user is.
	Identity *Identity

	// Previous is Identity as it was before the handler changed it. Set it at settings, to a value
	// of its own. The hooks notify_previous_addresses and verify_new_address need it.
	Previous *Identity

	// Session is the session that the user has after the flow. At login and recovery, leave it nil
	// until the new session exists; in other flows, set it to the session in use. The hook
	// revoke_active_sessions deletes all sessions of the identity except this one.
	//
	// A host with sessions or bearer tokens of its own sets it in save or in Options.Issue, to an
	// ID that the store's DeleteSessions knows:
	//
	//	x.Session = &flowhook.Session{ID: id, IdentityID: user.ID}
	Session *Session

	// Err is why the flow failed. It is for hooks at Failed.
	Err error

	run run
}

// run is the state of an exchange: what has happened so far, and the current run. It is part of the
// exchange so that a run does not have to allocate it.
type run struct {
	plan  atomic.Pointer[Plan] // that serves the exchange, from its first use on
	guard *stage.Guard         // in front of the writers that Middleware hands out; nil without them

	// What has happened so far.
	passed   []*chain  // those of Before and BeforePersist that have run
	progress *progress // nil for none; never changed, but replaced
	answered bool
	owned    bool // by the plan's pipeline, because it has run hooks or issued a session

	// The current run.
	busy      bool // a run is going on
	holds     bool // Complete has not returned: the guard stays shut between its runs
	succeeded bool // the current run can no longer fail
	aborted   bool // a hook panicked with http.ErrAbortHandler
	chain     *chain
	hook      *hook       // nil in save and outside a run
	later     *later      // work that waits for the commit: the first of a list
	revoked   *hook       // the hook that ended every session of the identity
	tx        atomic.Bool // in a transaction; other goroutines read it

	// Each run has a stage of its own, so that a writer that a hook kept from an earlier run is
	// dead.
	stage   *stage.Stage
	first   stage.Stage // of the first run
	request *http.Request
}

// progress is what runs have done that a failed run undoes. Few requests have any.
type progress struct {
	issuedTo string // the identity that a session was issued to
	returnTo string // the URL that the request names, if a redirect of the current run may go there

	// For the rest of the flow.
	queued  []later // work for the transaction, before the chain at After
	change  *change // that waits until the new address is verified
	emailed bool    // a link or a code for verification
}

// progress returns the progress of an exchange.
func (x *Exchange) progress() progress {
	if x.run.progress == nil {
		return progress{}
	}
	return *x.run.progress
}

// endFlow forgets what was for the rest of the flow.
func (x *Exchange) endFlow() {
	if p := x.run.progress; p != nil {
		x.run.progress = &progress{issuedTo: p.issuedTo}
	}
}

// note changes the progress of an exchange.
func (x *Exchange) note(change func(p *progress)) {
	p := x.progress()
	change(&p)
	x.run.progress = &p
}

// A change is a change of an address.
type change struct {
	from *Address // nil if to is an additional one
	to   Address
	sent bool // the email to the new address
}

// later is work that waits for the transaction, or for its commit.
type later struct {
	chain *chain
	hook  *hook // nil for save
	fn    func(ctx context.Context) error
	next  *later
}

// A snapshot is an exchange as it was when the run began.
type snapshot struct {
	identity *Identity
	content  Identity // of identity; hooks get a copy of its addresses, because they may write into the slice
	previous *Identity
	session  *Session
	granted  Session // the content of session
	err      error
	progress *progress
	passed   int         // the number of chains that have run
	restores bool        // end restores the real header, which no guard does
	header   http.Header // a copy of the real header, if restores is set
}

// take copies what a run may change.
func (s *snapshot) take(x *Exchange) {
	s.identity, s.session, s.err = x.Identity, x.Session, x.Err
	s.previous, s.progress, s.passed = x.Previous, x.run.progress, len(x.run.passed)
	if x.Identity != nil {
		s.content = *x.Identity
		x.Identity.Addresses = slices.Clone(s.content.Addresses)
	}
	if x.Session != nil {
		s.granted = *x.Session
	}
}

// restore undoes what a run changed.
func (s *snapshot) restore(x *Exchange) {
	x.Identity, x.Session, x.Err = s.identity, s.session, s.err
	x.Previous, x.run.progress, x.run.passed = s.previous, s.progress, x.run.passed[:s.passed]
	x.run.answered = false
	if x.Identity != nil {
		*x.Identity = s.content
	}
	if x.Session != nil {
		*x.Session = s.granted
	}
}

// clip keeps a hook's append to the addresses from reaching the host's array.
func (x *Exchange) clip() {
	if x.Identity != nil {
		x.Identity.Addresses = slices.Clip(x.Identity.Addresses)
	}
}

func (x *Exchange) identityID() string {
	if x.Identity == nil {
		return ""
	}
	return x.Identity.ID
}

// Point returns the point that is running, or the zero Point outside a run. A flow-wide hook sees
// the strategy of the run.
func (x *Exchange) Point() Point {
	if x.run.chain == nil {
		return Point{}
	}
	return x.run.chain.point
}

// Position returns where the running hook is configured, or the zero Position outside a hook.
func (x *Exchange) Position() Position {
	if x.run.hook == nil {
		return Position{}
	}
	return x.run.hook.position()
}

// Answered reports whether a hook of the current run has answered. Outside a run, it reports
// whether the exchange was answered. It is for what wraps a hook, such as Options.Wrap.
func (x *Exchange) Answered() bool {
	if !x.run.busy {
		return x.run.answered
	}
	status, _ := stage.Result(x.run.stage)
	return status != 0
}

// AfterCommit calls fn after the commit (in a run without a transaction: when the run has
// succeeded) and before the response leaves. If the run fails, fn is not called. It is for what
// cannot be undone, such as sending email. ctx is not canceled with the request. It ends 10 seconds
// after the commit, for all functions of a run together. An error of fn is logged, because it is
// too late to undo anything; for the same reason, fn can neither write to x.Writer nor use the
// transaction. AfterCommit panics outside a run.
func (x *Exchange) AfterCommit(fn func(ctx context.Context) error) {
	if !x.run.busy {
		panic("flowhook: AfterCommit outside a run")
	}
	last := &x.run.later
	for *last != nil {
		last = &(*last).next
	}
	*last = &later{chain: x.run.chain, hook: x.run.hook, fn: fn}
}

// inTransaction calls fn in the transaction, after save and before the chain at After. It is for
// hooks at BeforePersist. If the handler does not use Complete, fn waits for Run at After.
func (x *Exchange) inTransaction(fn func(ctx context.Context) error) {
	work := later{chain: x.run.chain, hook: x.run.hook, fn: fn}
	x.note(func(p *progress) { p.queued = append(slices.Clip(p.queued), work) })
}

// queues reports whether work waits for the transaction of a run at a phase.
func (x *Exchange) queues(phase Phase) bool {
	return phase == After && x.run.progress != nil && len(x.run.progress.queued) > 0
}

type exchangeKey struct{}

// NewContext returns a context that carries x. [Pipeline.Middleware] does so for its handlers. If
// you call it yourself, give x.Request this context, too: x.Request.WithContext(ctx). Otherwise,
// reads of the session with that request's context do not know that the exchange is in a
// transaction.
func NewContext(ctx context.Context, x *Exchange) context.Context {
	return &exchangeContext{ctx, x}
}

// An exchangeContext is a context that carries an exchange. It is smaller than that of
// context.WithValue, and quicker to make.
type exchangeContext struct {
	context.Context
	exchange *Exchange
}

func (c *exchangeContext) Value(key any) any {
	if key == (exchangeKey{}) {
		return c.exchange
	}
	return c.Context.Value(key)
}

// String keeps the exchange out of a log that prints the context.
func (c *exchangeContext) String() string { return fmt.Sprint(c.Context, ".WithExchange") }

// FromContext returns the exchange that ctx carries, and reports whether there is one. A handler in
// [Pipeline.Middleware] calls [MustFromContext] instead.
func FromContext(ctx context.Context) (*Exchange, bool) {
	x, ok := ctx.Value(exchangeKey{}).(*Exchange)
	return x, ok && x != nil
}

// MustFromContext returns the exchange that ctx carries. It panics if there is none, because the
// route is not wrapped in [Pipeline.Middleware].
func MustFromContext(ctx context.Context) *Exchange {
	x, ok := FromContext(ctx)
	if !ok {
		panic("flowhook: no exchange in the context; wrap the route in Middleware")
	}
	return x
}
