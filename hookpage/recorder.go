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
// A Recorder tells entries apart by point, name and position. After a Reload, an entry at an
// unchanged position continues its record. Records of removed entries stay in memory.
//
// A Recorder is safe for concurrent use. Pipelines that share it share the record of an equal
// entry.
type Recorder struct {
	now func() time.Time

	mu      sync.Mutex
	records map[entry]*record
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{now: time.Now, records: map[entry]*record{}}
}

// Wrap returns a hook that runs next and records the run. It is for Options.Wrap. Wrapping alone
// records nothing, so Check and a rejected Reload leave no trace. To use a second wrapper, call one
// from the other.
func (r *Recorder) Wrap(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		rec := r.record(entry{p, name, x.Position()})
		began, returned := r.now(), false
		defer func() {
			if !returned { // a panic or a Goexit, which continues
				rec.end(r.now(), began, "panic")
			}
		}()
		err := next.Run(ctx, x)
		returned = true
		outcome := outcomeOf(err)
		if outcome == passed && x.Answered() {
			outcome = answered
		}
		rec.end(r.now(), began, outcome)
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

// record returns the record of an entry.
func (r *Recorder) record(e entry) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[e]
	if rec == nil {
		rec = &record{}
		r.records[e] = rec
	}
	return rec
}

// stats returns the figures of a hook.
func (r *Recorder) stats(h flowhook.HookInfo) stats {
	r.mu.Lock()
	rec := r.records[entry{h.Point, h.Name, h.Position}]
	r.mu.Unlock()
	if rec == nil { // the hook has not run yet
		return stats{}
	}
	return rec.stats()
}

// samples is the number of durations that a record keeps.
const samples = 256

// A record has the runs of one entry.
type record struct {
	mu    sync.Mutex
	total stats
	took  [samples]time.Duration // of the last runs, as a ring
}

// stats are the figures of one hook. The percentiles are of the last 256 runs.
type stats struct {
	Runs, Answered, Refused, Failed uint64
	P50, P95                        time.Duration
	LastFailure                     time.Time
	Kind                            string // of the last failure: error, panic, timeout or canceled
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

func (r *record) stats() stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.total
	if n := int(min(s.Runs, samples)); n > 0 {
		sorted := slices.Sorted(slices.Values(r.took[:n]))
		s.P50, s.P95 = sorted[(n-1)*50/100], sorted[(n-1)*95/100]
	}
	return s
}
