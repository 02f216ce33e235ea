package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

func TestRun_WholeStore(t *testing.T) {
	Run(t, func(t *testing.T) (flowhook.Store, func() string) { return memstore.New(), identities() })
}

// The wrapper that the broken stores are made of breaks nothing by itself.
func TestRun_UnbrokenWrapper(t *testing.T) {
	whole := brokenStore{breaks: func(*broken) {}}
	Run(t, func(t *testing.T) (flowhook.Store, func() string) { return whole.make(), identities() })
}

// A store is tested for the interfaces that it implements. The cases of the others neither run nor
// count as skipped.
func TestRun_PartialStore(t *testing.T) {
	for _, part := range []struct {
		name   string
		of     func(*memstore.Store) flowhook.Store
		has    []string
		hasNot []string
	}{
		{
			"transactions", func(s *memstore.Store) flowhook.Store { return struct{ flowhook.Store }{s} },
			[]string{"panic-goes-on"}, []string{"panic-rolls-back", "revoking-nothing-is-no-error"},
		},
		{
			"revoker", func(s *memstore.Store) flowhook.Store {
				return struct {
					flowhook.Store
					flowhook.SessionRevoker
				}{s, s}
			},
			[]string{"revoking-nothing-is-no-error"}, []string{"panic-rolls-back", "revoke-all"},
		},
		{
			"sessions", func(s *memstore.Store) flowhook.Store {
				return struct {
					flowhook.Store
					flowhook.SessionStore
				}{s, s}
			},
			[]string{"panic-rolls-back", "revoke-all"}, []string{"token-comes-back", "replaced-sessions-are-gone"},
		},
		{
			"replacer", func(s *memstore.Store) flowhook.Store {
				return struct {
					flowhook.Store
					flowhook.SessionStore
					flowhook.SessionReplacer
				}{s, s, s}
			},
			[]string{"revoke-all", "replaced-sessions-are-gone"}, []string{"token-comes-back"},
		},
		{
			"tokens", func(s *memstore.Store) flowhook.Store {
				return struct {
					flowhook.Store
					flowhook.TokenStore
				}{s, s}
			},
			[]string{"panic-rolls-back", "token-comes-back"}, []string{"revoke-all"},
		},
	} {
		t.Run(part.name, func(t *testing.T) {
			var names []string
			for _, c := range casesOf(part.of(memstore.New())) {
				names = append(names, c.name)
			}
			require.Subset(t, names, part.has)
			for _, name := range part.hasNot {
				require.NotContains(t, names, name)
			}
			Run(t, func(t *testing.T) (flowhook.Store, func() string) { return part.of(memstore.New()), identities() })
		})
	}
}

// Each store that is broken on purpose fails the cases that the table names for it.
func TestRun_BrokenStoresFail(t *testing.T) {
	cases := make(map[string]testCase)
	for _, c := range casesOf(memstore.New()) {
		cases[c.name] = c
	}
	for _, b := range brokenStores() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, b.caught)
			for _, name := range b.caught {
				c, ok := cases[name]
				require.True(t, ok, "no case %q", name)
				r := &recorder{}
				c.check(r, b.make(), identities(), 500*time.Millisecond)
				require.NotEmpty(t, r.errors(), "case %q has not caught it", name)
				require.Contains(t, r.errors()[0], c.explanation)
			}
		})
	}
}

// A case that no broken store fails might check nothing.
func TestRun_CasesCatchBrokenStores(t *testing.T) {
	caught := make(map[string]bool)
	for _, b := range brokenStores() {
		for _, name := range b.caught {
			caught[name] = true
		}
	}
	seen := make(map[string]bool)
	for _, c := range casesOf(memstore.New()) {
		require.False(t, seen[c.name], "two cases are named %q", c.name)
		seen[c.name] = true
		require.NotEmpty(t, c.explanation, c.name)
		require.True(t, caught[c.name], "no broken store is caught by %q", c.name)
	}
	t.Logf("%d cases pass on memstore, and each catches one of %d stores that are broken on purpose", len(seen), len(brokenStores()))
}

// A store that ignores its context fails its case, and does not hang the test.
func TestRun_StuckStoreFails(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	stuck := &broken{Store: memstore.New()}
	stuck.transaction = func(context.Context, string, func(context.Context) error) error { <-release; return nil }
	r := &recorder{}
	transactionCases[0].check(r, stuck, identities(), 20*time.Millisecond)
	require.Len(t, r.errors(), 1)
	require.Contains(t, r.errors()[0], "stuck")
}

// A store that panics fails its case, and does not end the test.
func TestRun_PanickingStoreFails(t *testing.T) {
	panics := &broken{Store: memstore.New()}
	panics.transaction = func(context.Context, string, func(context.Context) error) error { panic("the store's own") }
	r := &recorder{}
	transactionCases[0].check(r, panics, identities(), time.Second)
	require.Len(t, r.errors(), 1)
	require.Contains(t, r.errors()[0], "the store's own")
}

func identities() func() string {
	var n atomic.Int64
	return func() string { return "identity-" + strconv.FormatInt(n.Add(1), 10) }
}

// A recorder is a reporter that only remembers.
type recorder struct {
	mu  sync.Mutex
	all []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprintf(format, args...))
}

func (r *recorder) errors() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}
