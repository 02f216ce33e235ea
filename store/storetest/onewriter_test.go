package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// A store with one open transaction at a time also keeps all promises. Many embedded databases are
// like that.
func TestRun_OneWriter(t *testing.T) {
	Run(t, func(t *testing.T) (flowhook.Store, func() string) {
		s := &oneWriter{memstore.New(), make(chan struct{}, 1)}
		next := identities()
		return s, func() string {
			_ = s.alone(context.Background(), func() error { return nil }) // so does creating an identity
			return next()
		}
	})
}

type oneWriter struct {
	*memstore.Store
	turn chan struct{}
}

// alone calls fn when no transaction is open but that of ctx.
func (s *oneWriter) alone(ctx context.Context, fn func() error) error {
	if inside(ctx) {
		return fn()
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return fn()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *oneWriter) Transaction(ctx context.Context, identityID string, fn func(context.Context) error) error {
	out := ctx
	return s.alone(ctx, func() error {
		return s.Store.Transaction(ctx, identityID, func(ctx context.Context) error {
			if !inside(ctx) {
				ctx = context.WithValue(ctx, outsideKey{}, out)
			}
			return fn(ctx)
		})
	})
}

func (s *oneWriter) CreateSession(ctx context.Context, v flowhook.Session) error {
	return s.alone(ctx, func() error { return s.Store.CreateSession(ctx, v) })
}

func (s *oneWriter) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	return s.alone(ctx, func() error { return s.Store.ReplaceSession(ctx, old, v) })
}

func (s *oneWriter) FindSession(ctx context.Context, id string) (v flowhook.Session, err error) {
	err = s.alone(ctx, func() error { v, err = s.Store.FindSession(ctx, id); return err })
	return v, err
}

func (s *oneWriter) DeleteSession(ctx context.Context, id string) error {
	return s.alone(ctx, func() error { return s.Store.DeleteSession(ctx, id) })
}

func (s *oneWriter) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	return s.alone(ctx, func() error { return s.Store.DeleteSessions(ctx, identityID, exceptID) })
}

func (s *oneWriter) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (created bool, err error) {
	err = s.alone(ctx, func() error { created, err = s.Store.CreateToken(ctx, v, notSince); return err })
	return created, err
}

func (s *oneWriter) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time) (v flowhook.Token, err error) {
	err = s.alone(ctx, func() error { v, err = s.Store.ConsumeToken(ctx, p, hash, now); return err })
	return v, err
}

func (s *oneWriter) CountAttempt(
	ctx context.Context, p flowhook.Purpose, identityID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	err = s.alone(ctx, func() error { n, err = s.Store.CountAttempt(ctx, p, identityID, a, now); return err })
	return n, err
}

func (s *oneWriter) DeleteToken(ctx context.Context, hash []byte) error {
	return s.alone(ctx, func() error { return s.Store.DeleteToken(ctx, hash) })
}
