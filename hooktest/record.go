package hooktest

import (
	"context"
	"slices"
	"sync"

	"github.com/flowhook/flowhook"
)

// A HookRun is one run of a hook.
type HookRun struct {
	Point flowhook.Point // where the hook is configured; a flow-wide hook has no strategy
	Name  string         // as in the file
}

// String returns the point and the name, as in "login/after/password session".
func (h HookRun) String() string { return h.Point.String() + " " + h.Name }

type recordKey struct{}

// A record is what happens in one call of the rig. The context carries it to hooks and the courier.
type record struct {
	mu       sync.Mutex
	exchange *flowhook.Exchange // the first one
	hooks    []HookRun
	mails    []flowhook.Message
}

// recordOf returns the record that ctx carries. If the rig did not start the run, it returns a
// record that nobody reads.
func recordOf(ctx context.Context) *record {
	if rec, ok := ctx.Value(recordKey{}).(*record); ok {
		return rec
	}
	return &record{}
}

func (r *record) hook(h HookRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(r.hooks, h)
}

// concerns sets the exchange, unless there is one.
func (r *record) concerns(x *flowhook.Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exchange == nil {
		r.exchange = x
	}
}

func (r *record) mail(m flowhook.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mails = append(r.mails, m)
}

// fill copies the record into got and returns the exchange. Without one, it returns an empty
// exchange.
func (r *record) fill(got *Result) *flowhook.Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	got.Hooks, got.Mails = slices.Clone(r.hooks), slices.Clone(r.mails)
	for _, h := range r.hooks {
		got.Ran = append(got.Ran, h.Name)
	}
	if r.exchange == nil { // a request was refused before the first hook
		return &flowhook.Exchange{}
	}
	return r.exchange
}
