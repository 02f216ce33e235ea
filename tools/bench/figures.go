package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// figures are the cost of one operation, as the median of its runs.
type figures struct {
	ns     float64
	bytes  int64
	allocs int64
}

const unknown = -1 // allocations that were not counted

func (f figures) allocations() string {
	if f.allocs == unknown {
		return ""
	}
	return fmt.Sprintf("%d B, %d", f.bytes, f.allocs)
}

// turns returns the measurement of two benchmarks.
func turns(ours, other func(b *testing.B)) measurement {
	return func(t testing.TB, rounds int) (figures, figures) {
		var left, right []figures
		for range rounds {
			left = append(left, once(t, ours))
			right = append(right, once(t, other))
		}
		return median(left), median(right)
	}
}

func once(t testing.TB, bench func(b *testing.B)) figures {
	r := testing.Benchmark(bench)
	if r.N == 0 {
		t.Fatal("a benchmark failed; go test -bench . says why")
	}
	return figures{float64(r.T.Nanoseconds()) / float64(r.N), r.AllocedBytesPerOp(), r.AllocsPerOp()}
}

func median(of []figures) figures {
	slices.SortFunc(of, func(a, b figures) int { return cmp.Compare(a.ns, b.ns) })
	return of[len(of)/2]
}

// callsPerRound is the number of single calls that count as one round.
const callsPerRound = 40

// A call does the work of one request and returns how long it took.
type call func(ctx context.Context) (took time.Duration, err error)

func timed(work func(ctx context.Context) error) call {
	return func(ctx context.Context) (took time.Duration, err error) {
		began := time.Now()
		err = work(ctx)
		return time.Since(began), err
	}
}

// calls measures single calls, which take turns, so that occasional work of the database, such as a
// checkpoint, affects few of them. A tenth as many calls warm up. The context can be canceled, as
// that of a request can.
func calls(t testing.TB, rounds int, ours, other call) (left, right figures) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	times := callsPerRound * rounds
	var took [2][]figures
	for i := range times + times/10 {
		for side, one := range []call{ours, other} {
			d, err := one(ctx)
			must(t, err)
			if i >= times/10 {
				took[side] = append(took[side], figures{ns: float64(d.Nanoseconds()), allocs: unknown})
			}
		}
	}
	return median(took[0]), median(took[1])
}

// aTurn is the number of rounds that a connection serves, so that most calls are not among its
// first, which are slow.
const aTurn = 3

// renewed measures as calls does, and takes the mean of the medians of three rounds each. It is for
// two sides with connections of their own. On PostgreSQL, each connection has a process of its own.
// The processor that runs the process makes a difference of up to 1.7 while the connection lives.
// So renew replaces the connections each time.
func renewed(t testing.TB, rounds int, renew func(), ours, other call) (left, right figures) {
	left.allocs, right.allocs = unknown, unknown
	calls(t, max(1, rounds/10), ours, other) // to warm up
	turns := max(1, rounds/aTurn)
	for range turns {
		renew()
		l, r := calls(t, aTurn, ours, other)
		left.ns += l.ns / float64(turns)
		right.ns += r.ns / float64(turns)
	}
	return left, right
}
