package sqltest

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// roundTrips are the most round trips of the calls on each system, without a statement for the
// email of a registration. A login and a registration have one INSERT of the host's, and a
// redemption one UPDATE.
var roundTrips = map[string]map[string]int{
	"sqlstore on PostgreSQL": {"login": 6, "login with an old cookie": 6, "registration": 6,
		"logout": 1, "logout in Complete": 4, "redeem": 5, "session read": 1, "DeleteSessions except one": 4},
	"sqlstore on MariaDB": {"login": 9, "login with an old cookie": 9, "registration": 9,
		"logout": 1, "logout in Complete": 5, "redeem": 8, "session read": 1, "DeleteSessions except one": 6},
	"pgxstore on PostgreSQL": {"login": 5, "login with an old cookie": 5, "registration": 5,
		"logout": 1, "logout in Complete": 3, "redeem": 4, "session read": 1, "DeleteSessions except one": 3},
}

func TestRoundTrips(t *testing.T) {
	eachWire(t, func(t *testing.T, s system) {
		want, source := roundTrips[s.name], s.newSource(t)
		require.NotEmpty(t, want)
		for _, name := range slices.Sorted(maps.Keys(want)) {
			t.Run(name, func(t *testing.T) {
				i := slices.IndexFunc(calls, func(c call) bool { return c.name == name })
				require.GreaterOrEqual(t, i, 0, "there is no such call")
				together(func(l *lane) { l.requireRoundTrips(want[name]) }, newLane(t, s, calls[i], source, false))
			})
		}
	})
}

// requireRoundTrips asserts that a call on a connection that has served it before takes at most n
// round trips.
func (l *lane) requireRoundTrips(n int) {
	l.Helper()
	const times = 3
	l.messages()
	before := l.proxy.RoundTrips()
	for range times {
		l.requireServes("counting")
	}
	trips := l.proxy.RoundTrips() - before
	l.Logf("round trips of %s, %s: %.3g", l.call.name, l.system.name, float64(trips)/times)
	require.Positive(l, trips)
	require.LessOrEqual(l, trips, n*times, "round trips of %d calls", times)
}
