package hookpage

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
)

// A Recorder records what hooks do, for the page: how often they run, answer and fail, how long they
// take, and when and how they last failed. Pass its Wrap to flowhook as Options.Wrap, and the Recorder
// to [Handler]. [NewRecorder] makes it. It is safe for concurrent use, also by several pipelines.
//
// A Recorder tells entries apart by point, name and position. After a Reload, an entry that is where
// it was continues its record.
type Recorder struct {
	now func() time.Time

	mu      sync.Mutex
	records map[entry]*record
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{now: time.Now, records: map[entry]*record{}}
}

// Wrap wraps a hook, as Options.Wrap does, and records its runs. It records nothing before the hook
// runs, so wraps for Check or a rejected Reload leave no trace. To use another wrap as well, call one
// in the other.
func (r *Recorder) Wrap(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		rec := r.record(entry{p, name, x.Position()})
		began, returned := r.now(), false
		defer func() {
			if !returned { // a panic or a Goexit, which goes on
				rec.end(r.now(), began, false, "panic")
			}
		}()
		err := next.Run(ctx, x)
		returned = true
		rec.end(r.now(), began, x.Answered(), failure(err))
		return err
	})
}

// failure returns the kind of an error in one word, and "" for nil. It does not return the error's
// text, which may name a user.
func failure(err error) (kind string) {
	defer func() {
		if recover() != nil { // an error that cannot be inspected
			kind = "error"
		}
	}()
	switch {
	case err == nil:
		return ""
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

// stats returns what is recorded of a hook.
func (r *Recorder) stats(h flowhook.HookInfo) stats {
	r.mu.Lock()
	rec := r.records[entry{h.Point, h.Name, h.Position}]
	r.mu.Unlock()
	if rec == nil { // it has not run
		return stats{}
	}
	return rec.stats()
}

// samples is the number of durations that a record keeps.
const samples = 256

// A record is what one hook did.
type record struct {
	mu    sync.Mutex
	total stats
	took  [samples]time.Duration // of the last runs, as a ring
}

// stats are the figures of one hook. Durations are those of the last 256 runs.
type stats struct {
	Runs, Answered, Failed uint64
	P50, P95               time.Duration
	LastFailure            time.Time
	Kind                   string // of the last failure: error, panic, timeout or canceled
}

func (r *record) end(now, began time.Time, answered bool, failure string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took[r.total.Runs%samples] = now.Sub(began)
	r.total.Runs++
	switch {
	case failure != "":
		r.total.Failed++
		r.total.LastFailure, r.total.Kind = now, failure
	case answered:
		r.total.Answered++
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
