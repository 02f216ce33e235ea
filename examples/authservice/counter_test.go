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

// fails makes a try that fails, and says whether it was let through.
func (t *tallies) fails(now time.Time, keys ...key) bool {
	on, no := t.begin(keys, now)
	if no == nil {
		t.over(on, true, now)
	}
	return no == nil
}

func TestTallies(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	pair := testKey(byPair, "a", 2, time.Minute)

	t.Run("so many at once, then one more each time", func(t *testing.T) {
		all := newTallies()
		require.True(t, all.fails(now, pair))
		require.True(t, all.fails(now, pair))
		_, no := all.begin([]key{pair}, now)
		require.Equal(t, byPair, no.by)
		require.InDelta(t, time.Minute, no.wait, float64(time.Millisecond))
		require.False(t, all.fails(now.Add(59*time.Second), pair))
		require.True(t, all.fails(now.Add(60*time.Second), pair))
		require.False(t, all.fails(now.Add(60*time.Second), pair), "a refused try has not put it off, and gives no second one")
		require.True(t, all.fails(now.Add(time.Hour), pair))
		require.True(t, all.fails(now.Add(time.Hour), pair))
		require.False(t, all.fails(now.Add(time.Hour), pair), "an hour without tries leaves no more than two")
	})
	t.Run("after each time there is one more, be it ever so odd", func(t *testing.T) {
		for every := time.Second; every < 2*time.Minute; every += time.Second {
			all := newTallies()
			require.True(t, all.fails(now, testKey(byPair, "a", 1, every)))
			require.False(t, all.fails(now.Add(every-time.Millisecond), testKey(byPair, "a", 1, every)), every)
			require.True(t, all.fails(now.Add(every), testKey(byPair, "a", 1, every)), every)
			require.False(t, all.fails(now.Add(every), testKey(byPair, "a", 1, every)), every)
		}
	})
	t.Run("what did not fail counts while it is under way", func(t *testing.T) {
		all := newTallies()
		first, no := all.begin([]key{pair}, now)
		require.Nil(t, no)
		second, no := all.begin([]key{pair}, now)
		require.Nil(t, no)
		require.False(t, all.fails(now, pair))
		all.over(first, false, now)
		all.over(second, false, now)
		require.True(t, all.fails(now, pair))
		require.True(t, all.fails(now, pair))
		require.False(t, all.fails(now, pair))
	})
	t.Run("a refused try counts nowhere", func(t *testing.T) {
		all := newTallies()
		client, account := testKey(byClient, "c", 1, time.Hour), testKey(byAccount, "x", 1, time.Hour)
		require.True(t, all.fails(now, client))
		for range 10 {
			require.False(t, all.fails(now, client, account))
		}
		require.Zero(t, all.kept[byAccount].Len())
		require.True(t, all.fails(now, account))
		_, no := all.begin([]key{pair, account}, now)
		require.Equal(t, byAccount, no.by)
		require.True(t, all.fails(now, pair), "it was not under way there")
		require.True(t, all.fails(now, pair))
	})
	t.Run("another limit is taken", func(t *testing.T) {
		all := newTallies()
		require.True(t, all.fails(now, testKey(byPair, "a", 5, time.Hour)))
		require.True(t, all.fails(now, testKey(byPair, "a", 2, time.Minute)), "of the four that are left, two")
		require.True(t, all.fails(now, testKey(byPair, "a", 2, time.Minute)))
		require.False(t, all.fails(now, testKey(byPair, "a", 2, time.Minute)))
		require.True(t, all.fails(now.Add(time.Minute), testKey(byPair, "a", 2, time.Minute)))
	})
	t.Run("forgotten", func(t *testing.T) {
		all := newTallies()
		all.fails(now, pair)
		all.fails(now, pair)
		on, _ := all.begin([]key{pair}, now.Add(time.Minute))
		all.forget(on[0])
		all.over(on, false, now.Add(time.Minute))
		require.True(t, all.fails(now.Add(time.Minute), pair))
		require.True(t, all.fails(now.Add(time.Minute), pair))
		require.False(t, all.fails(now.Add(time.Minute), pair))
	})
	t.Run("told once, until a try is let through", func(t *testing.T) {
		all := newTallies()
		all.fails(now, pair)
		all.fails(now, pair)
		told := func(now time.Time) bool {
			_, no := all.begin([]key{pair}, now)
			return no.tell
		}
		require.True(t, told(now))
		require.False(t, told(now))
		require.True(t, all.fails(now.Add(time.Minute), pair))
		require.True(t, told(now.Add(time.Minute)))
	})
	t.Run("bounded, each kind for itself", func(t *testing.T) {
		all := newTallies()
		require.True(t, all.fails(now, testKey(byAccount, "x", 1, time.Hour)))
		for i := range remembered + 10 {
			require.True(t, all.fails(now, testKey(byPair, strconv.Itoa(i), 1, time.Hour)))
		}
		require.Equal(t, remembered, all.kept[byPair].Len())
		require.False(t, all.fails(now, testKey(byPair, "11", 1, time.Hour)))
		require.True(t, all.fails(now, testKey(byPair, "9", 1, time.Hour)), "the oldest is forgotten")
		require.False(t, all.fails(now, testKey(byAccount, "x", 1, time.Hour)))
	})
}
