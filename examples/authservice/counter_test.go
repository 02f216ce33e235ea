package main

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testKey(k kind, name string, tries int, every time.Duration) key {
	return key{k, sha256.Sum256([]byte(name)), limit{tries, every}}
}

// fails makes an attempt that fails, and reports whether it was allowed.
func (cs *counters) fails(now time.Time, keys ...key) bool {
	on, over := cs.begin(keys, now)
	if over == nil {
		cs.end(on, true, now)
	}
	return over == nil
}

func TestCounters(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	pair := testKey(byPair, "a", 2, time.Minute)

	t.Run("tries are allowed at once, then one per interval", func(t *testing.T) {
		all := newCounters()
		require.True(t, all.fails(now, pair))
		require.True(t, all.fails(now, pair))
		_, over := all.begin([]key{pair}, now)
		require.Equal(t, byPair, over.by)
		require.InDelta(t, time.Minute, over.wait, float64(time.Millisecond))
		require.False(t, all.fails(now.Add(59*time.Second), pair))
		require.True(t, all.fails(now.Add(60*time.Second), pair))
		require.False(t, all.fails(now.Add(60*time.Second), pair),
			"the refused attempt neither delays the next one nor allows a second one")
		require.True(t, all.fails(now.Add(time.Hour), pair))
		require.True(t, all.fails(now.Add(time.Hour), pair))
		require.False(t, all.fails(now.Add(time.Hour), pair), "an hour without attempts allows no more than two")
	})
	t.Run("one more is allowed after any interval", func(t *testing.T) {
		for every := time.Second; every < 2*time.Minute; every += time.Second {
			all := newCounters()
			require.True(t, all.fails(now, testKey(byPair, "a", 1, every)))
			require.False(t, all.fails(now.Add(every-time.Millisecond), testKey(byPair, "a", 1, every)), every)
			require.True(t, all.fails(now.Add(every), testKey(byPair, "a", 1, every)), every)
			require.False(t, all.fails(now.Add(every), testKey(byPair, "a", 1, every)), every)
		}
	})
	t.Run("running attempts count", func(t *testing.T) {
		all := newCounters()
		first, over := all.begin([]key{pair}, now)
		require.Nil(t, over)
		second, over := all.begin([]key{pair}, now)
		require.Nil(t, over)
		require.False(t, all.fails(now, pair))
		all.end(first, false, now)
		all.end(second, false, now)
		require.True(t, all.fails(now, pair))
		require.True(t, all.fails(now, pair))
		require.False(t, all.fails(now, pair))
	})
	t.Run("refused attempts do not count", func(t *testing.T) {
		all := newCounters()
		client, account := testKey(byClient, "c", 1, time.Hour), testKey(byAccount, "x", 1, time.Hour)
		require.True(t, all.fails(now, client))
		for range 10 {
			require.False(t, all.fails(now, client, account))
		}
		require.Zero(t, all.keys[byAccount].Len())
		require.True(t, all.fails(now, account))
		_, over := all.begin([]key{pair, account}, now)
		require.Equal(t, byAccount, over.by)
		require.True(t, all.fails(now, pair), "the refused attempt does not count here")
		require.True(t, all.fails(now, pair))
	})
	t.Run("limits can change", func(t *testing.T) {
		all := newCounters()
		require.True(t, all.fails(now, testKey(byPair, "a", 5, time.Hour)))
		require.True(t, all.fails(now, testKey(byPair, "a", 2, time.Minute)), "two of the four remaining ones")
		require.True(t, all.fails(now, testKey(byPair, "a", 2, time.Minute)))
		require.False(t, all.fails(now, testKey(byPair, "a", 2, time.Minute)))
		require.True(t, all.fails(now.Add(time.Minute), testKey(byPair, "a", 2, time.Minute)))
	})
	t.Run("reset", func(t *testing.T) {
		all := newCounters()
		all.fails(now, pair)
		all.fails(now, pair)
		on, _ := all.begin([]key{pair}, now.Add(time.Minute))
		all.reset(on[0])
		all.end(on, false, now.Add(time.Minute))
		require.True(t, all.fails(now.Add(time.Minute), pair))
		require.True(t, all.fails(now.Add(time.Minute), pair))
		require.False(t, all.fails(now.Add(time.Minute), pair))
	})
	t.Run("first refusal is reported", func(t *testing.T) {
		all := newCounters()
		all.fails(now, pair)
		all.fails(now, pair)
		first := func(now time.Time) bool {
			_, over := all.begin([]key{pair}, now)
			return over.first
		}
		require.True(t, first(now))
		require.False(t, first(now))
		require.True(t, all.fails(now.Add(time.Minute), pair))
		require.True(t, first(now.Add(time.Minute)))
	})
	t.Run("keys of each kind are bounded", func(t *testing.T) {
		all := newCounters()
		require.True(t, all.fails(now, testKey(byAccount, "x", 1, time.Hour)))
		for i := range maxKeys + 10 {
			require.True(t, all.fails(now, testKey(byPair, strconv.Itoa(i), 1, time.Hour)))
		}
		require.Equal(t, maxKeys, all.keys[byPair].Len())
		require.False(t, all.fails(now, testKey(byPair, "11", 1, time.Hour)))
		require.True(t, all.fails(now, testKey(byPair, "9", 1, time.Hour)), "the oldest key was dropped")
		require.False(t, all.fails(now, testKey(byAccount, "x", 1, time.Hour)))
	})
}
