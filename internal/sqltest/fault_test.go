package sqltest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// TestFaults makes every store call and every driver operation of a host's request fail, one at a
// time and in every way. Each request must have all of its effects or none.
func TestFaults(t *testing.T) {
	all := plans[:3]
	switch percent := testkit.Percent(t); {
	case percent == 100:
		all = plans
	case percent >= 10:
		all = plans[:9] // one of every flow, and those that ignore errors
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
					return // because connecting is slow
				}
				t.Run("cold", func(t *testing.T) {
					h := newHost(t, d, source, clean, p)
					h.db.SetMaxIdleConns(-1) // every request opens a connection
					h.failOperations(operations)
				})
			})
		}
		for _, counts := range []map[ending]int{calls, operations} {
			require.NotZero(t, counts[rolledBack])
			require.NotZero(t, counts[absorbed])
			require.NotZero(t, counts[committed])
		}
		t.Logf("all or nothing on %s, each store call failing: %s, in %d chains", d.name, sum(calls), len(all))
		t.Logf("all or nothing on %s, each driver operation failing: %s, in %d chains",
			d.name, sum(operations), len(all))
	})
}

func sum(counts map[ending]int) string {
	n := counts[rolledBack] + counts[absorbed] + counts[committed]
	return fmt.Sprintf("%d injections (%d rolled back, %d absorbed, %d with an error after the commit)",
		n, counts[rolledBack], counts[absorbed], counts[committed])
}

// failCalls makes every call of the store fail, one per request.
func (h *host) failCalls(counts map[ending]int) {
	h.reset()
	h.requireSuccess("without a fault", h.request())
	for _, f := range storeFaults {
		for n := 1; ; n++ {
			h.reset()
			h.store.arm(n, f)
			a := h.request()
			fired := h.store.disarm()
			if fired == "" {
				h.requireSuccess("after the last call", a)
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

// failOperations makes every operation of the driver fail, one per request.
func (h *host) failOperations(counts map[ending]int) {
	h.reset()
	h.requireSuccess("without a fault", h.request())
	faults := driverFaults
	if h.swallows {
		// A host that ignores a failed statement loses only that statement. But if the statement
		// took the transaction with it, the store must notice.
		faults = []driverFault{conflicted, lostBefore, lostAfter, endBefore, endAfter}
	}
	for _, f := range faults {
		for n := 1; ; n++ {
			h.reset()
			h.driver.arm(n, f)
			a := h.request()
			fired := h.driver.disarm()
			if fired == "" {
				h.requireSuccess("after the last operation", a)
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

// again repeats the request without a fault. If its effects were committed, it resets the tables
// first.
func (h *host) again(name string, is ending) {
	if is != rolledBack {
		h.reset()
	}
	h.requireSuccess(name+", then again", h.request())
}
