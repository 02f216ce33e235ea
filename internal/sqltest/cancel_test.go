package sqltest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
)

// Whenever the context of a transaction is canceled, all of it is committed or nothing.
func TestTransaction_CanceledAtAnyTime(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, db := d.store(t)
		db.SetMaxOpenConns(4)
		n := testkit.Times(t, 3000)
		returned, unknown := 0, 0 // committed, without and with an error
		for i := range n {
			ctx, cancel := context.WithCancel(testContext(t))
			switch i % 3 {
			case 1: // at about the time of the commit
				time.AfterFunc(time.Duration(i%300)*40*time.Microsecond, cancel)
			case 2: // when the commit begins
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
			require.Equal(t, first, second, "only one of the two sessions was stored")
			if i%3 == 0 {
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorIs(t, first, flowhook.ErrNotFound, "the context ended before the commit")
			}
			if err == nil {
				require.NoError(t, first)
				returned++
			} else if first == nil {
				unknown++ // the commit took effect, but the store did not wait for the answer
			}
			cancel()
		}
		require.Zero(t, db.Stats().InUse, "a connection was not returned to the pool")
		require.NotZero(t, returned)
		t.Logf("%s: %d transactions canceled before, at and after the commit: all or nothing each time "+
			"(%d committed, %d of them with an error)", d.name, n, returned+unknown, unknown)
	})
}

// A foreign context is not one of package context, which notices its end with a delay.
type foreign struct{ context.Context }

func (f foreign) Value(any) any { return nil }

// A transaction whose context has ended does not commit, even if the functions that wait for the
// end have not been called yet.
func TestTransaction_ForeignContextEnds(t *testing.T) {
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
