package ratelimit

import (
	"context"
	"fmt"

	"github.com/flowhook/flowhook"
)

// success is the hook of an entry at after.
type success struct{ limit *RateLimit }

// Describe implements [flowhook.Describer].
func (s *success) Describe() string { return "Gives the attempt back, because it has succeeded." }

// Run gives the attempts of an exchange back, after the commit. Until then they are kept, because
// the host may call Complete again after a failure.
func (s *success) Run(_ context.Context, x *flowhook.Exchange) error {
	if !s.limit.taken.has(x) {
		return nil
	}
	x.AfterCommit(func(ctx context.Context) error {
		buckets := s.limit.taken.remove(x)
		if len(buckets) == 0 { // another entry at after has given them back
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, s.limit.timeout)
		defer cancel()
		if err := s.limit.limiter.GiveBack(ctx, buckets); err != nil {
			return fmt.Errorf("ratelimit: the limiter failed, so this attempt counts as failed: %w", err)
		}
		return nil
	})
	return nil
}
