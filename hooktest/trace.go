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

type traceKey struct{}

// A trace is what happens in one call of the rig. The context carries it to hooks and the courier.
type trace struct {
	mu       sync.Mutex
	exchange *flowhook.Exchange // the first one
	hooks    []HookRun
	emails   []flowhook.Message
}

// traceFrom returns the trace that ctx carries. If the rig did not start the run, it returns a
// trace that nobody reads.
func traceFrom(ctx context.Context) *trace {
	if tr, ok := ctx.Value(traceKey{}).(*trace); ok {
		return tr
	}
	return &trace{}
}

func (tr *trace) addHook(h HookRun) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.hooks = append(tr.hooks, h)
}

func (tr *trace) addEmail(m flowhook.Message) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.emails = append(tr.emails, m)
}

// setExchange sets the exchange, unless there is one.
func (tr *trace) setExchange(x *flowhook.Exchange) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.exchange == nil {
		tr.exchange = x
	}
}

// copyTo copies the trace into got and returns the exchange. Without one, it returns an empty
// exchange.
func (tr *trace) copyTo(got *Result) *flowhook.Exchange {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	got.Hooks, got.Mails = slices.Clone(tr.hooks), slices.Clone(tr.emails)
	for _, h := range tr.hooks {
		got.Ran = append(got.Ran, h.Name)
	}
	if tr.exchange == nil { // a request was refused before the first hook
		return &flowhook.Exchange{}
	}
	return tr.exchange
}
