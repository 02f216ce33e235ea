package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
)

// An Exceeded is the cause of a refusal: errors.As finds it in the error. Logs show it.
type Exceeded struct {
	Name string // of the entry: its config's name, or its flow
	By   string // the row: "client", "account" or "pair"
}

// Error says which row has no attempts left, and not whose.
func (e *Exceeded) Error() string { return fmt.Sprintf("no attempts left by %s at %q", e.By, e.Name) }

// attempt is the hook of an entry at before.
type attempt struct {
	limit  *RateLimit
	config config
}

// Describe implements [flowhook.Describer].
func (a *attempt) Describe() string { return a.config.describe() }

// Findings implements [flowhook.Finder].
func (a *attempt) Findings(flowhook.Point) []flowhook.Finding { return a.config.findings() }

// Run takes an attempt or refuses.
func (a *attempt) Run(ctx context.Context, x *flowhook.Exchange) error {
	if x.Request == nil || safe(x.Request.Method) {
		return nil
	}
	keys, err := a.limit.key(ctx, x)
	if err != nil {
		return err
	}
	buckets, rows := a.config.buckets(keys)
	if len(buckets) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, a.limit.timeout)
	defer cancel()
	wait, empty, err := a.limit.limiter.Take(limited, buckets)
	switch {
	case ctx.Err() != nil: // the request was canceled, whatever the limiter says
		return ctx.Err()
	case err != nil:
		return a.unavailable(ctx, x, a.limit.late(limited, err))
	case wait > 0:
		return &flowhook.Refusal{Status: http.StatusTooManyRequests, Code: "too_many_attempts", RetryAfter: wait,
			Text: "There were too many attempts. Please try again " + inWords(wait) + ".",
			Err:  &Exceeded{a.config.Name, rows[empty].By}}
	}
	a.limit.taken.put(x, a, buckets)
	return nil
}

// unavailable lets the request pass, or refuses it if the entry says so.
func (a *attempt) unavailable(ctx context.Context, x *flowhook.Exchange, err error) error {
	refuse := a.config.OnError == onErrorRefuse
	text := "ratelimit: the limiter failed, so the request passes" // it may have counted the attempt
	if refuse {
		text = "ratelimit: the limiter failed, so the request is refused"
	}
	a.limit.log.LogAttrs(ctx, slog.LevelError, text, slog.String("point", x.Point().String()),
		slog.String("at", x.Position().String()), slog.Bool("refused", refuse), slog.Any("error", err))
	if !refuse {
		return nil
	}
	return &flowhook.Refusal{Status: http.StatusTooManyRequests, Code: "rate_limit_unavailable",
		RetryAfter: 5 * time.Second, Text: "Please try again in a few seconds.", Err: err}
}

// safe reports whether a method is safe: RFC 9110, section 9.2.1.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// inWords returns when a wait is over, in words.
func inWords(wait time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if wait > unit.of {
			return fmt.Sprintf("in %.0f %ss", math.Ceil(float64(wait)/float64(unit.of)), unit.name)
		}
	}
	return "in a second"
}
