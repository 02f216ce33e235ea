package hookpage

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
)

// A Recorder records what hooks do, for the page: how often they run, answer and fail, how long
// they take, and when and how they last failed. Make it with [NewRecorder]. Pass its Wrap to
// flowhook as Options.Wrap, and the Recorder to [Handler].
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
				rec.end(r.now(), began, false, "panic")
			}
		}()
		err := next.Run(ctx, x)
		returned = true
		rec.end(r.now(), began, x.Answered(), failure(err))
		return err
	})
}

// failure returns the kind of an error in one word, and "" for nil. It never returns the error's
// text, which may name a user.
func failure(err error) (kind string) {
	defer func() {
		if recover() != nil { // the error panics when it is inspected
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
