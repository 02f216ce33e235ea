package hookpage

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
)

// A Recorder records what hooks do, for the page: how often they run, answer, refuse and fail, how
// long they take, and when and how they last failed. Make it with [NewRecorder]. Pass its Wrap to
// flowhook as Options.Wrap, and the Recorder to [Handler].
//
// A hook that returns a [flowhook.Refusal] has refused, even if it has also answered or its time is
// up. A Refusal is not a failure, unless its status is impossible.
//
// A Recorder tells entries apart by point, name and position, and the runs of an entry by strategy.
// After a Reload, an entry at an unchanged position continues its record. Records of removed entries
// stay in memory, and the page still shows which hook refused or failed last.
//
// A Recorder is safe for concurrent use. Pipelines that share it share the record of an equal
// entry.
type Recorder struct {
	now func() time.Time

	mu      sync.Mutex
	records map[entry]map[flowhook.Strategy]*record
	refusal *event // the last one; nil: none
	failure *event
}

// An event is a refusal or a failure of a hook, which a later Reload may have moved or removed.
type event struct {
	entry
	by   flowhook.Strategy
	at   time.Time
	kind string // refused, or the kind of a failure
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{now: time.Now, records: map[entry]map[flowhook.Strategy]*record{}}
}

// Wrap returns a hook that runs next and records the run. It is for Options.Wrap. Wrapping alone
// records nothing, so Check and a rejected Reload leave no trace. To use a second wrapper, call one
// from the other.
func (r *Recorder) Wrap(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		e, by := entry{p, name, x.Position()}, x.Point().Strategy
		rec := r.record(e, by)
		began, returned := r.now(), false
		end := func(outcome string) {
			now := r.now()
			rec.end(now, began, outcome)
			r.keep(event{e, by, now, outcome})
		}
		defer func() {
			if !returned { // a panic or a Goexit, which continues
				end("panic")
			}
		}()
		err := next.Run(ctx, x)
		returned = true
		outcome := outcomeOf(err)
		if outcome == passed && x.Answered() {
			outcome = answered
		}
		end(outcome)
		return err
	})
}

// These are the outcomes of a run. Any other outcome is the kind of a failure.
const (
	passed   = ""
	answered = "answered"
	refused  = "refused"
)

// outcomeOf returns the outcome of a run that returned err. It never returns the error's text,
// which may name a user.
func outcomeOf(err error) (outcome string) {
	defer func() {
		if recover() != nil { // the error panics when it is inspected
			outcome = "error"
		}
	}()
	if err == nil {
		return passed
	}
	var refusal *flowhook.Refusal
	switch {
	case errors.As(err, &refusal):
		return refused
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "error"
}

// An entry is one configured hook.
type entry struct {
	point    flowhook.Point
	name     string
	position flowhook.Position
}

// record returns the record of an entry's runs by a strategy.
func (r *Recorder) record(e entry, s flowhook.Strategy) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.records[e] == nil {
		r.records[e] = map[flowhook.Strategy]*record{}
	}
	rec := r.records[e][s]
	if rec == nil {
		rec = &record{}
		r.records[e][s] = rec
	}
	return rec
}

// keep keeps a run as the last refusal or the last failure, if it is one.
func (r *Recorder) keep(e event) {
	if e.kind == passed || e.kind == answered {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := &r.failure
	if e.kind == refused {
		last = &r.refusal
	}
	if *last == nil || !e.at.Before((*last).at) {
		*last = &e
	}
}

// last returns the last refusal and the last failure.
func (r *Recorder) last() (refusal, failure *event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refusal, r.failure
}

// stats returns the figures of a hook for its runs by the strategies that counts returns true for.
func (r *Recorder) stats(h flowhook.HookInfo, counts func(flowhook.Strategy) bool) stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all stats
	var took []time.Duration
	for s, rec := range r.records[entry{h.Point, h.Name, h.Position}] {
		if counts(s) {
			took = append(took, rec.addTo(&all)...)
		}
	}
	if n := len(took); n > 0 {
		slices.Sort(took)
		all.P50, all.P95 = took[(n-1)*50/100], took[(n-1)*95/100]
	}
	return all
}

// samples is the number of durations that a record keeps.
const samples = 256

// A record has the runs of one entry by one strategy.
type record struct {
	mu    sync.Mutex
	total stats
	took  [samples]time.Duration // of the last runs, as a ring
}

// stats are the figures of one hook. The percentiles are of the last 256 runs by each strategy.
type stats struct {
	Runs        uint64        `json:"runs"`
	Answered    uint64        `json:"answered"`
	Refused     uint64        `json:"refused"`
	Failed      uint64        `json:"failed"`
	P50         time.Duration `json:"p50_ns"`
	P95         time.Duration `json:"p95_ns"`
	LastFailure time.Time     `json:"last_failure,omitzero"`
	Kind        string        `json:"last_failure_kind"` // error, panic, timeout or canceled
}

func (r *record) end(now, began time.Time, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took[r.total.Runs%samples] = now.Sub(began)
	r.total.Runs++
	switch outcome {
	case passed:
	case answered:
		r.total.Answered++
	case refused:
		r.total.Refused++
	default:
		r.total.Failed++
		r.total.LastFailure, r.total.Kind = now, outcome
	}
}

// addTo adds the record to all, and returns the durations that it keeps.
func (r *record) addTo(all *stats) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	all.Runs += r.total.Runs
	all.Answered += r.total.Answered
	all.Refused += r.total.Refused
	all.Failed += r.total.Failed
	if r.total.LastFailure.After(all.LastFailure) {
		all.LastFailure, all.Kind = r.total.LastFailure, r.total.Kind
	}
	return slices.Clone(r.took[:min(r.total.Runs, samples)])
}
