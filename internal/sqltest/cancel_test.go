package sqltest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
)

// A client that goes away takes back nothing by halves: whenever its context ends, all is there, or nothing.
func TestCancelledAtAnyMoment(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		db.SetMaxOpenConns(4)
		n := testkit.Times(t, 3000)
		committed, behindCommit := 0, 0
		for i := range n {
			ctx, cancel := context.WithCancel(testContext(t))
			switch i % 3 {
			case 1: // at about the time of the commit
				time.AfterFunc(time.Duration(i%300)*40*time.Microsecond, cancel)
			case 2: // as the commit begins
				defer cancel()
			}
			v, w := newSession("a"), newSession("a")
			err := s.Transaction(ctx, "a", func(ctx context.Context) error {
				if err := s.CreateSession(ctx, v); err != nil {
					return err
				}
				if err := s.CreateSession(ctx, w); err != nil {
					return err
				}
				switch i % 3 {
				case 0:
					cancel()
				case 2:
					go cancel()
				}
				return nil
			})
			_, first := s.FindSession(testContext(t), v.ID)
			_, second := s.FindSession(testContext(t), w.ID)
			require.Equal(t, first, second, "one of the two is there")
			if i%3 == 0 {
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, first, flowhook.ErrNotFound, "the context had ended before the commit")
			}
			if err == nil {
				require.NoError(t, first)
				committed++
			} else if first == nil {
				behindCommit++ // the commit took effect, and its answer was not waited for
			}
			cancel()
		}
		require.Zero(t, db.Stats().InUse, "a connection was not given back")
		require.NotZero(t, committed)
		t.Logf("%s: %d transactions cancelled before, at and after the commit: all or nothing each time (%d committed; %d of them said so by an error)", d.name, n, committed+behindCommit, behindCommit)
	})
}

// foreign is a context that package context does not know as its own: what waits for its end hears of it later.
type foreign struct{ context.Context }

func (f foreign) Value(any) any { return nil }

// A context that has ended keeps from committing, though what waits for its end has not been called yet.
func TestEndedForeignContextDoesNotCommit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, _ := d.store(t)
		for range 50 {
			v := newSession("a")
			ctx, cancel := context.WithCancel(testContext(t))
			require.ErrorIs(t, s.Transaction(foreign{ctx}, "a", func(ctx context.Context) error {
				defer cancel()
				return s.CreateSession(ctx, v)
			}), context.Canceled)
			requireNone(t, s, v.ID)
		}
	})
}
