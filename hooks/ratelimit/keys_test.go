package ratelimit_test

import (
	"context"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
)

// bucketsOf returns a function that returns the buckets of keys, in the order of the rows of basic.
func bucketsOf(t testing.TB) func(k ratelimit.Keys) []ratelimit.Bucket {
	t.Helper()
	r, keys := &recorder{}, ratelimit.Keys{}
	limit, err := ratelimit.New(ratelimit.Options{Limiter: r,
		Key: func(context.Context, *flowhook.Exchange) (ratelimit.Keys, error) { return keys, nil }})
	require.NoError(t, err)
	cfg, err := flowhook.ParseConfig([]byte(basic))
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory}})
	require.NoError(t, err)
	return func(k ratelimit.Keys) []ratelimit.Bucket {
		keys, r.taken = k, nil
		x := &flowhook.Exchange{Request: httptest.NewRequest("POST", "/", nil)}
		_, err := p.Run(flowhook.NewContext(context.Background(), x), flowhook.Login, flowhook.Before, flowhook.FlowWide)
		if err != nil {
			panic(err)
		}
		if r.taken == nil {
			return nil
		}
		return r.taken[0]
	}
}

// Rows count only what they have keys for.
func TestKeys_Empty(t *testing.T) {
	buckets := bucketsOf(t)
	for k, want := range map[ratelimit.Keys]int{
		{}:                                       0,
		{Device: "d"}:                            0,
		{Client: "c"}:                            1,
		{Client: "c", Device: "d"}:               1,
		{Account: "a"}:                           1,
		{Client: "c", Account: "a"}:              3,
		{Account: "a", Device: "d"}:              3,
		{Client: "c", Account: "a", Device: "d"}: 3,
	} {
		require.Len(t, buckets(k), want, "%+v", k)
	}
	require.Equal(t, buckets(ratelimit.Keys{Client: "c"}), buckets(ratelimit.Keys{Client: "c", Device: "d"}),
		"a device without an account is ignored")
	require.Equal(t, buckets(ratelimit.Keys{Account: "a", Device: "d"}),
		buckets(ratelimit.Keys{Client: "c", Account: "a", Device: "d"}), "a device counts wherever it is")
}

// FuzzKeys checks that two requests share a bucket only if the row counts the same thing for both,
// and that the keys of buckets are short, whatever the request contains.
func FuzzKeys(f *testing.F) {
	f.Add("c", "a", "d", "c", "a", "d")
	f.Add("192.0.2.1", "alice", "", "192.0.2.1", "alice", "x")
	f.Add("ca", "", "", "c", "a", "")
	f.Add("c", "ab", "", "ca", "b", "")
	f.Add("c", "device", "a", "c", "d", "evicea")
	f.Add("\x00\x01", "a\x00", "\xff", "\x00", "\x01a\x00", "\xff")
	f.Add("device", "a", "", "", "a", "device")
	buckets, format := bucketsOf(f), regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	f.Fuzz(func(t *testing.T, client1, account1, device1, client2, account2, device2 string) {
		one, two := ratelimit.Keys{Client: client1, Account: account1, Device: device1},
			ratelimit.Keys{Client: client2, Account: account2, Device: device2}
		a, b := buckets(one), buckets(two)
		seen := map[string]bool{}
		for i, bucket := range a {
			require.Regexp(t, format, bucket.Key)
			require.False(t, seen[bucket.Key], "two rows share a bucket")
			seen[bucket.Key] = true
			for j, other := range b {
				same := bucket.Tries == other.Tries && counted(one, bucket.Tries) == counted(two, other.Tries)
				require.Equal(t, same, bucket.Key == other.Key, "rows %d and %d of %q and %q", i, j, one, two)
			}
		}
		require.Equal(t, a, buckets(one), "the keys must not change")
	})
}

// counted returns what the row of basic with these tries counts.
func counted(k ratelimit.Keys, tries int) [3]string {
	switch {
	case k.Account != "" && k.Device != "":
		return [3]string{"device", k.Device, k.Account}
	case tries == 5:
		return [3]string{"pair", k.Client, k.Account}
	case tries == 8:
		return [3]string{"account", k.Account}
	}
	return [3]string{"client", k.Client}
}
