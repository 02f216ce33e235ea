package ratelimit

import (
	"context"
	"errors"
	"fmt"

	"github.com/flowhook/flowhook"
)

// success is the hook of an entry at after.
type success struct{ limit *RateLimit }

// Describe implements [flowhook.Describer].
func (s *success) Describe() string { return "Gives the attempt back, because it has succeeded." }

// Findings implements [flowhook.Finder]. There are none, and no call in the transaction that could be
// slow.
func (s *success) Findings(flowhook.Point) []flowhook.Finding { return nil }

// Run gives the attempts of an exchange back, after the commit. Until then they are kept, because
// the host may call Complete again after a failure.
func (s *success) Run(_ context.Context, x *flowhook.Exchange) error {
	if !s.limit.taken.has(x) {
		return nil
	}
	x.AfterCommit(func(ctx context.Context) error { return s.limit.GiveBack(ctx, x) })
	return nil
}

// GiveBack gives back the attempts that the entries at before have taken for x. An entry at after
// does it for a flow that succeeds. Call it for a request that was not really an attempt, such as
// one that is refused because the service is busy. It does nothing if they are given back already.
// It takes at most Options.Timeout. If the limiter fails, it returns an error, and the attempt
// may count as failed.
func (l *RateLimit) GiveBack(ctx context.Context, x *flowhook.Exchange) error {
	buckets := l.taken.remove(x)
	if len(buckets) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	err := l.limiter.GiveBack(limited, buckets)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil {
		err = l.late(limited, err)
	}
	return fmt.Errorf("ratelimit: the limiter failed, so this attempt may count as failed: %w", err)
}

// late returns an error of the limiter, and says so if its time is over. limited has that time.
func (l *RateLimit) late(limited context.Context, err error) error {
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the limiter did not answer within %v: %w", l.timeout, err)
	}
	return err
}
