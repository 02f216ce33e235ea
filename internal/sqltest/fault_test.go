package sqltest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// TestFaults has every call of the store and every operation of the driver go wrong, in every request of a host, one at
// a time and in every way.
func TestFaults(t *testing.T) {
	all := plans[:3]
	switch percent := testkit.Percent(t); {
	case percent == 100:
		all = plans
	case percent >= 10:
		all = plans[:9] // of every flow one, and those that swallow
	}
	each(t, func(t *testing.T, d database) {
		source := d.migrated(t)
		clean := d.connect(t, source)
		for _, statement := range hostTables {
			_, err := clean.ExecContext(context.Background(), statement)
			require.NoError(t, err)
		}
		calls, operations := map[ending]int{}, map[ending]int{}
		for n, p := range all {
			t.Run(p.String(), func(t *testing.T) {
				requireNoneLeft(t)
				t.Run("warm", func(t *testing.T) {
					h := newHost(t, d, source, clean, p)
					h.failCalls(calls)
					h.failOperations(operations)
				})
				if len(all) < len(plans) && n > 0 {
					return // connecting is slow
				}
				t.Run("cold", func(t *testing.T) {
					h := newHost(t, d, source, clean, p)
					h.db.SetMaxIdleConns(-1) // every connection is a new one
					h.failOperations(operations)
				})
			})
		}
		for _, counts := range []map[ending]int{calls, operations} {
			require.NotZero(t, counts[rolledBack])
			require.NotZero(t, counts[absorbed])
			require.NotZero(t, counts[stands])
		}
		t.Logf("all or nothing on %s, every store call going wrong: %s, in %d chains", d.name, sum(calls), len(all))
		t.Logf("all or nothing on %s, every driver operation going wrong: %s, in %d chains", d.name, sum(operations), len(all))
	})
}

func sum(counts map[ending]int) string {
	n := counts[rolledBack] + counts[absorbed] + counts[stands]
	return fmt.Sprintf("%d injections (%d rolled back, %d absorbed, %d with an error after the commit)", n, counts[rolledBack], counts[absorbed], counts[stands])
}

// requireNoneLeft asserts, when the test and all that it started have ended, that no goroutine is left.
func requireNoneLeft(t *testing.T) {
	n := runtime.NumGoroutine()
	t.Cleanup(func() {
		waitUntil(t, func() string {
			if runtime.NumGoroutine() <= n {
				return ""
			}
			var all bytes.Buffer
			pprof.Lookup("goroutine").WriteTo(&all, 1)
			return "goroutines are left:\n" + all.String()
		})
	})
}

// failCalls has every call of the store go wrong.
func (h *host) failCalls(counts map[ending]int) {
	h.reset()
	h.requireSuccess("nothing goes wrong", h.request())
	for _, f := range storeFaults {
		for n := 1; ; n++ {
			h.reset()
			h.store.arm(n, f)
			a := h.request()
			fired := h.store.disarm()
			if fired == "" {
				h.requireSuccess("nothing is left to go wrong", a)
				break
			}
			transaction := strings.HasSuffix(fired, "Transaction")
			if f == callCommit && !transaction {
				continue
			}
			name := fmt.Sprintf("call %d, %s, %s", n, fired, f)
			is := h.ended(name, a, fired == outermost && (f == callAfter || f == panicAfter))
			counts[is]++
			h.again(name, is)
		}
	}
}

// failOperations has every operation of the driver go wrong.
func (h *host) failOperations(counts map[ending]int) {
	h.reset()
	h.requireSuccess("nothing goes wrong", h.request())
	faults := driverFaults
	if h.swallows { // a statement that failed by itself is the host's own to miss; one that took the transaction with it is not
		faults = []driverFault{conflicted, lostBefore, lostAfter, endBefore, endAfter}
	}
	for _, f := range faults {
		for n := 1; ; n++ {
			h.reset()
			h.driver.arm(n, f)
			a := h.request()
			fired := h.driver.disarm()
			if fired == "" {
				h.requireSuccess("nothing is left to go wrong", a)
				break
			}
			name := fmt.Sprintf("operation %d, %s, %s", n, fired, f)
			is := h.ended(name, a, isCommit(fired) && (f == opAfter || f == lostAfter))
			counts[is]++
			if err := h.lastError(); err != nil {
				require.NotContains(h.t, err.Error(), "panic", name)
			}
			if is == rolledBack && f == conflicted && canConflict(fired) && !h.swallows {
				require.True(h.t, sqlstore.IsConflict(h.lastError()), "%s: %v", name, h.lastError())
			}
			h.again(name, is)
		}
	}
}

// again sends the same request, and nothing goes wrong. Where there was a success already, it starts from there anew.
func (h *host) again(name string, is ending) {
	if is != rolledBack {
		h.reset()
	}
	h.requireSuccess(name+", then again", h.request())
}
