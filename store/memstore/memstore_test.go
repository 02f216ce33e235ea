package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/flowhook/flowhook/store/storetest"
)

var start = time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (flowhook.Store, func() string) {
		s := memstore.New()
		t.Cleanup(func() {
			require.Zero(t, s.Locks(), "locks are left")
			_, _, _, claims := s.Size()
			require.Zero(t, claims, "claims are left")
		})
		var n atomic.Int64
		return s, func() string { return "user-" + strconv.FormatInt(n.Add(1), 10) }
	})
}

func session(id, identityID string, issued time.Time, lifespan time.Duration) flowhook.Session {
	return flowhook.Session{ID: id, IdentityID: identityID, AuthenticatedAt: issued, IssuedAt: issued, ExpiresAt: issued.Add(lifespan)}
}

func token(hash string, issued time.Time, lifespan time.Duration) flowhook.Token {
	return flowhook.Token{
		Hash: []byte(hash), Purpose: flowhook.PurposeVerification,
		IdentityID: "user", Address: flowhook.Address{Via: "email", Value: "user@example.org"},
		IssuedAt: issued, ExpiresAt: issued.Add(lifespan),
	}
}

func TestStore_DropsExpiredSessions(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	for i := range 100 {
		require.NoError(t, s.CreateSession(ctx, session(fmt.Sprint("a", i), fmt.Sprint("user", i), start, time.Duration(i+1)*time.Minute)))
	}
	sessions := func() int { n, _, _, _ := s.Size(); return n }
	require.Equal(t, 100, sessions())

	// A session that expires at this moment is not dropped: only the pipeline's clock decides.
	require.NoError(t, s.CreateSession(ctx, session("b", "user", start.Add(50*time.Minute), time.Hour)))
	require.Equal(t, 52, sessions())
	_, err := s.FindSession(ctx, "a48")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
	_, err = s.FindSession(ctx, "a49")
	require.NoError(t, err)

	// An older one drops nothing, and neither does one that is never committed.
	require.NoError(t, s.CreateSession(ctx, session("c", "user", start, time.Hour)))
	require.Error(t, s.Transaction(ctx, "", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, session("d", "user", start.Add(24*time.Hour), time.Hour)))
		return errors.New("no")
	}))
	require.Equal(t, 53, sessions())

	require.NoError(t, s.CreateSession(ctx, session("e", "user", start.Add(24*time.Hour), time.Hour)))
	require.Equal(t, 1, sessions())
	_, _, index, _ := s.Size()
	require.Equal(t, 2, index, "an identity and an expiry for the one that is left")
}

// Sessions that are deleted before they expire free their memory.
func TestStore_DeletedSessionsFreeMemory(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	for i := range 100 {
		require.NoError(t, s.CreateSession(ctx, session(fmt.Sprint(i), fmt.Sprint("user", i%10), start, time.Duration(i*37%100)*time.Minute)))
	}
	for i := range 5 {
		require.NoError(t, s.DeleteSessions(ctx, fmt.Sprint("user", i), ""))
	}
	for i := range 100 {
		require.NoError(t, s.DeleteSession(ctx, fmt.Sprint(i)))
	}
	sessions, _, index, claims := s.Size()
	require.Zero(t, sessions+index+claims)
	require.Zero(t, s.Kept())
}

// A token counts for its address for the interval, and no longer.
func TestStore_DropsExpiredTokens(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	tokens := func() int { _, n, _, _ := s.Size(); return n }
	create := func(hash string, issued time.Time) bool {
		created, err := s.CreateToken(ctx, token(hash, issued, time.Minute), issued.Add(-time.Hour))
		require.NoError(t, err)
		return created
	}
	require.True(t, create("a", start))
	_, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, []byte("a"), start)
	require.NoError(t, err)
	require.False(t, create("b", start.Add(59*time.Minute)), "it has expired, and still counts")
	require.True(t, create("c", start.Add(60*time.Minute)))
	require.Equal(t, 2, tokens())
	require.True(t, create("d", start.Add(3*time.Hour)))
	require.Equal(t, 1, tokens())
}

// One token is enough to refuse another, whether it is committed or not.
func TestCreateToken_SeveralCount(t *testing.T) {
	for name, run := range map[string]func(s *memstore.Store, create func(ctx context.Context) error) error{
		"committed": func(_ *memstore.Store, create func(ctx context.Context) error) error {
			return create(t.Context())
		},
		"in the transaction": func(s *memstore.Store, create func(ctx context.Context) error) error {
			return s.Transaction(t.Context(), "user", create)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := memstore.New()
			require.NoError(t, run(s, func(ctx context.Context) error {
				for _, hash := range []string{"a", "b"} {
					created, err := s.CreateToken(ctx, token(hash, start, time.Hour), start)
					require.NoError(t, err)
					require.True(t, created)
				}
				created, err := s.CreateToken(ctx, token("c", start, time.Hour), start.Add(-time.Minute))
				require.NoError(t, err)
				require.False(t, created)
				return nil
			}))
		})
	}
}

// A count of attempts is kept as long as the newest token, and without a token until another one is
// issued after the interval.
func TestStore_DropsAttempts(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	a := token("a", start, time.Minute)
	attempt := func(identityID string, now time.Time) int {
		n, err := s.CountAttempt(ctx, a.Purpose, identityID, a.Address, now)
		require.NoError(t, err)
		return n
	}
	create := func(hash string, issued time.Time) {
		created, err := s.CreateToken(ctx, token(hash, issued, time.Minute), issued.Add(-time.Hour))
		require.NoError(t, err)
		require.True(t, created)
	}
	create("a", start)
	require.Equal(t, 1, attempt("user", start))
	require.Equal(t, 1, attempt("nobody", start))
	require.Equal(t, 2, s.Counts())

	create("b", start.Add(time.Hour+30*time.Second)) // nobody's count has expired an hour ago
	require.Equal(t, 1, s.Counts())
	require.Equal(t, 1, attempt("user", start.Add(time.Hour+30*time.Second)), "the token is newer")
	require.Equal(t, 2, attempt("user", start.Add(2*time.Hour)), "no token is newer")
	create("c", start.Add(4*time.Hour))
	require.Zero(t, s.Counts())
}

// A count lasts as long as the tokens that it was about would have.
func TestStore_KeepsAttemptsOfDeletedToken(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	a := token("a", start, 3*time.Hour)
	create := func(v flowhook.Token) {
		created, err := s.CreateToken(ctx, v, v.IssuedAt)
		require.NoError(t, err)
		require.True(t, created)
	}
	attempt := func(now time.Time) int {
		n, err := s.CountAttempt(ctx, a.Purpose, a.IdentityID, a.Address, now)
		require.NoError(t, err)
		return n
	}
	create(a)
	require.Equal(t, 1, attempt(start))
	require.NoError(t, s.DeleteToken(ctx, a.Hash))
	require.Equal(t, 2, attempt(start.Add(time.Minute)))
	other := token("b", start.Add(time.Hour), time.Hour)
	other.IdentityID = "other"
	create(other) // drops what has expired by then
	require.Equal(t, 3, attempt(start.Add(time.Hour)))
}

func TestStore_ClockSetBackDropsNothing(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	require.NoError(t, s.CreateSession(ctx, session("ahead", "user", start.AddDate(1, 0, 0), time.Hour)))
	require.NoError(t, s.CreateSession(ctx, session("now", "user", start, time.Hour)))
	_, err := s.FindSession(ctx, "now")
	require.NoError(t, err)
}

func TestStore_TruncatesToMicroseconds(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	precise := start.Add(999 * time.Nanosecond)
	require.NoError(t, s.CreateSession(ctx, session("a", "user", precise, time.Hour)))
	found, err := s.FindSession(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, session("a", "user", start, time.Hour), found)

	created, err := s.CreateToken(ctx, token("a", precise, time.Hour), start)
	require.NoError(t, err)
	require.True(t, created)
	created, err = s.CreateToken(ctx, token("b", precise, time.Hour), precise)
	require.NoError(t, err)
	require.True(t, created, "a token that was issued at notSince was not issued after it")
	used, err := s.ConsumeToken(ctx, flowhook.PurposeVerification, []byte("a"), start)
	require.NoError(t, err)
	require.Equal(t, token("a", start, time.Hour), used)
	_, err = s.ConsumeToken(ctx, flowhook.PurposeVerification, []byte("b"), precise.Add(time.Hour))
	require.ErrorIs(t, err, flowhook.ErrNotFound)
}

func TestTransaction_TwoStoresDoNotMix(t *testing.T) {
	ctx, a, b := t.Context(), memstore.New(), memstore.New()
	err := a.Transaction(ctx, "user", func(ctx context.Context) error {
		require.NoError(t, b.CreateSession(ctx, session("b", "user", start, time.Hour)))
		require.NoError(t, b.Transaction(ctx, "user", func(ctx context.Context) error {
			require.NoError(t, a.CreateSession(ctx, session("a", "user", start, time.Hour)))
			return b.CreateSession(ctx, session("c", "user", start, time.Hour))
		}))
		return errors.New("no")
	})
	require.Error(t, err)
	_, err = a.FindSession(ctx, "a")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
	for _, id := range []string{"b", "c"} {
		_, err = b.FindSession(ctx, id)
		require.NoError(t, err)
	}
}

func TestTransaction_EndedContextIsError(t *testing.T) {
	s := memstore.New()
	var tx context.Context
	require.NoError(t, s.Transaction(t.Context(), "user", func(ctx context.Context) error { tx = ctx; return nil }))

	require.Error(t, s.CreateSession(tx, session("a", "user", start, time.Hour)))
	require.Error(t, s.DeleteSession(tx, "a"))
	require.Error(t, s.DeleteSessions(tx, "user", ""))
	_, err := s.FindSession(tx, "a")
	require.Error(t, err)
	require.NotErrorIs(t, err, flowhook.ErrNotFound)
	_, err = s.CreateToken(tx, token("a", start, time.Hour), start)
	require.Error(t, err)
	_, err = s.ConsumeToken(tx, flowhook.PurposeVerification, []byte("a"), start)
	require.Error(t, err)
	require.NotErrorIs(t, err, flowhook.ErrNotFound)
	for _, id := range []string{"", "user", "other"} {
		require.Error(t, s.Transaction(tx, id, func(context.Context) error { panic("fn must not run") }))
	}
	require.Zero(t, s.Locks())
	require.NoError(t, s.CreateSession(t.Context(), session("a", "user", start, time.Hour)), "the store is unusable")
}

// The Store interface allows both here; memstore commits nothing.
func TestTransaction_JoinedFailureFailsOutermost(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	no, later := errors.New("no"), errors.New("later")
	err := s.Transaction(ctx, "user", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, session("a", "user", start, time.Hour)))
		_ = s.Transaction(ctx, "", func(context.Context) error { return no })
		_ = s.Transaction(ctx, "", func(context.Context) error { return later })
		return nil
	})
	require.ErrorIs(t, err, no)
	require.NotErrorIs(t, err, later, "what failed first is why")
	_, err = s.FindSession(ctx, "a")
	require.ErrorIs(t, err, flowhook.ErrNotFound)

	err = s.Transaction(ctx, "user", func(ctx context.Context) error {
		func() {
			defer func() { _ = recover() }()
			_ = s.Transaction(ctx, "", func(context.Context) error { panic("no") })
		}()
		return nil
	})
	require.Error(t, err)
}

// The context of a joined call ends while its function runs.
func TestTransaction_JoinedContextEnds(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	var joined error
	require.ErrorIs(t, s.Transaction(ctx, "user", func(ctx context.Context) error {
		require.NoError(t, s.CreateSession(ctx, session("a", "user", start, time.Hour)))
		ending, cancel := context.WithCancel(ctx)
		joined = s.Transaction(ending, "", func(context.Context) error { cancel(); return nil })
		return nil
	}), context.Canceled)
	require.ErrorIs(t, joined, context.Canceled)
	_, err := s.FindSession(ctx, "a")
	require.ErrorIs(t, err, flowhook.ErrNotFound)
}

// An open transaction has created a session, which another one tries to delete.
func TestTransaction_KeepsIDWhileOpen(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	v := session("a", "user", start, time.Hour)
	require.NoError(t, s.Transaction(ctx, "user", func(tx context.Context) error {
		require.NoError(t, s.CreateSession(tx, v))
		require.NoError(t, s.Transaction(ctx, "other", func(tx context.Context) error { return s.DeleteSession(tx, "a") }))
		require.Error(t, s.CreateSession(ctx, v), "the ID was free")
		return nil
	}))
}

// What a joined call does later could not be undone after a commit.
func TestTransaction_RunningJoinPreventsCommit(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	joined, release, left := make(chan struct{}), make(chan struct{}), make(chan error)
	require.Error(t, s.Transaction(ctx, "", func(ctx context.Context) error {
		go func() {
			left <- s.Transaction(ctx, "user", func(ctx context.Context) error {
				close(joined)
				<-release
				return s.CreateSession(ctx, session("a", "user", start, time.Hour))
			})
		}()
		<-joined
		return nil
	}))
	close(release)
	require.Error(t, <-left)
	require.Zero(t, s.Locks())
}

func TestFindSession_Allocations(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	require.NoError(t, s.CreateSession(ctx, session("a", "user", start, time.Hour)))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := s.FindSession(ctx, "a"); err != nil {
			t.Error(err)
		}
	}))
}

// A session that replaces another one takes a copy of it and a row.
func TestReplaceSession_Allocations(t *testing.T) {
	ctx, s := t.Context(), memstore.New()
	ids := []string{"a", "b"}
	require.NoError(t, s.CreateSession(ctx, session(ids[0], "user", start, time.Hour)))
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if err := s.ReplaceSession(ctx, ids[:1], session(ids[1], "user", start, time.Hour)); err != nil {
			t.Error(err)
		}
		ids[0], ids[1] = ids[1], ids[0]
	}), 2.0)
	sessions, _, _, _ := s.Size()
	require.Equal(t, 1, sessions)
}

func BenchmarkFindSession(b *testing.B) {
	ctx, s := b.Context(), memstore.New()
	require.NoError(b, s.CreateSession(ctx, session("a", "user", start, time.Hour)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.FindSession(ctx, "a")
	}
}
