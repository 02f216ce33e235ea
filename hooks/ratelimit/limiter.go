package ratelimit

import (
	"context"
	"time"
)

// A Limiter keeps the allowances. [Memory] is one; the package redislimit has another. To write one
// of your own, test it with the package limitertest. Its methods are called concurrently. ctx ends
// when [Options.Timeout] has passed, and they must return then.
type Limiter interface {
	// Take takes one attempt from each bucket, or none from any of them if one is empty. wait is 0
	// if it has taken them. Otherwise it is how long to wait until every bucket has an attempt, and
	// empty is the index of the bucket that takes longest. The buckets have different keys.
	Take(ctx context.Context, buckets []Bucket) (wait time.Duration, empty int, err error)

	// GiveBack gives one attempt back to each bucket. A bucket that is full stays as it is. Two
	// buckets may be the same.
	GiveBack(ctx context.Context, buckets []Bucket) error
}

// A Bucket is one allowance of attempts. It holds at most Tries, and gets one back each time Every
// has passed, until it is full. A bucket that a limiter does not know is full. A limiter may forget
// a bucket that is.
type Bucket struct {
	// Key identifies the bucket. The hook's keys are 43 letters, digits, "-" and "_".
	Key string

	// Tries is at least 1, and Every at least a millisecond. Tries times Every is at most 365 days.
	// They are not part of the bucket's identity: after a reload, they may differ from those of an
	// earlier call. A bucket that is full under the old ones then gets to the new Tries in time.
	Tries int
	Every time.Duration
}
