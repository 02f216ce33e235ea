package ratelimit_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
)

// fragile is a limiter that can be stopped.
type fragile struct {
	ratelimit.Limiter
	down atomic.Bool
}

var errDown = errors.New("the limiter is down")

func (f *fragile) Take(ctx context.Context, b []ratelimit.Bucket) (time.Duration, int, error) {
	if f.down.Load() {
		return time.Hour, 0, errDown
	}
	return f.Limiter.Take(ctx, b)
}

func (f *fragile) GiveBack(ctx context.Context, b []ratelimit.Bucket) error {
	if f.down.Load() {
		return errDown
	}
	return f.Limiter.GiveBack(ctx, b)
}

func startFragile(t *testing.T, text string) (*service, *fragile) {
	f := &fragile{}
	s := start(t, text, func(o *ratelimit.Options) { f.Limiter, o.Limiter = o.Limiter, f })
	return s, f
}

func TestRateLimit_LimiterDown(t *testing.T) {
	s, f := startFragile(t, basic)
	s.requireStatus(401, 4, form{password: "wrong"})
	f.down.Store(true)
	s.requireStatus(401, 10, form{password: "wrong"})
	s.requireStatus(200, 10, form{})
	require.Equal(t, 20, strings.Count(s.log.String(), "level=ERROR"))
	require.Regexp(t, `msg="ratelimit: the limiter failed, so the request passes" `+
		`point=login/before at=\d+:\d+ refused=false error="the limiter is down"`, s.log.String())
	f.down.Store(false)
	s.requireStatus(401, 1, form{password: "wrong"})
	s.requireStatus(429, 1, form{})
}

// If the limiter fails after the commit, the attempt counts, and the user is signed in.
func TestRateLimit_LimiterDownAfter(t *testing.T) {
	s, f := startFragile(t, basic)
	s.requireStatus(401, 4, form{password: "wrong"})
	s.save = func() { f.down.Store(true) }
	s.requireStatus(200, 1, form{})
	require.Contains(t, s.log.String(), "this attempt may count as failed: the limiter is down")
	require.Contains(t, s.log.String(), "login/after/password: hook rate_limit")
	f.down.Store(false)
	s.requireStatus(429, 1, form{})
}

func TestRateLimit_OnErrorRefuse(t *testing.T) {
	s, f := startFragile(t, strings.Replace(basic, "limits:", "on_error: refuse\n              limits:", 1))
	f.down.Store(true)
	for _, accept := range []string{"", "text/html,application/xhtml+xml", "*/*"} {
		res, body := s.post(form{accept: accept})
		require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
		require.Equal(t, "5", res.Header.Get("Retry-After"))
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		require.Equal(t, "Please try again in a few seconds.\n", body)
	}
	res, body := s.post(form{accept: "application/json"})
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	require.Equal(t, "rate_limit_unavailable", s.problem(res, body)["code"])
	require.Equal(t, 4, strings.Count(s.log.String(), "refused=true error=\"the limiter is down\""))
	require.Equal(t, 4, strings.Count(s.log.String(), "the limiter failed, so the request is refused"))
	f.down.Store(false)
	s.requireStatus(200, 1, form{})
}

// stuck is a limiter that answers when ctx ends.
type stuck struct{ givesBackOnly bool }

func (s stuck) Take(ctx context.Context, _ []ratelimit.Bucket) (time.Duration, int, error) {
	if s.givesBackOnly {
		return 0, 0, nil
	}
	<-ctx.Done()
	return 0, 0, ctx.Err()
}

func (stuck) GiveBack(ctx context.Context, _ []ratelimit.Bucket) error {
	<-ctx.Done()
	return ctx.Err()
}

// A request waits for the limiter for at most the timeout, before and after the flow.
func TestRateLimit_Timeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 250 * time.Millisecond, time.Second: time.Second} {
		for _, l := range []stuck{{false}, {true}} {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				logger := slog.New(slog.NewTextHandler(&log, nil))
				limit, err := ratelimit.New(ratelimit.Options{Key: keysOf, Timeout: timeout, Limiter: l, Logger: logger})
				require.NoError(t, err)
				p := pipelineWith(t, basic, limit)
				x, ctx := exchange(t, "alice")
				began := time.Now()
				_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
				require.NoError(t, err)
				x.Identity = &flowhook.Identity{ID: "id"}
				_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
				require.NoError(t, err)
				require.Equal(t, want, time.Since(began))
				late := "the limiter did not answer within " + want.String()
				if !l.givesBackOnly {
					require.Contains(t, log.String(), late)
					return
				}
				x, ctx = exchange(t, "alice")
				_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
				require.NoError(t, err)
				require.ErrorContains(t, limit.GiveBack(ctx, x), "may count as failed: "+late)
			})
		}
	}
}

// A request that was canceled fails, and does not pass because the limiter was too slow for it.
func TestRateLimit_Canceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		limit, err := ratelimit.New(ratelimit.Options{Key: keysOf, Limiter: stuck{},
			Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		p := pipelineWith(t, basic, limit)
		_, ctx := exchange(t, "alice")
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, log.String(), "the limiter has not failed")
	})
}

func TestRateLimit_KeyFails(t *testing.T) {
	s := start(t, basic, nil)
	s.requireStatus(500, 1, form{email: "broken"})
	require.Contains(t, s.log.String(), "the database is down")

	s = start(t, basic, func(o *ratelimit.Options) {
		o.Key = func(context.Context, *flowhook.Exchange) (ratelimit.Keys, error) {
			return ratelimit.Keys{}, flowhook.Refuse(http.StatusBadRequest, "no_email", "")
		}
	})
	s.requireStatus(400, 1, form{})
}

func TestNew_Errors(t *testing.T) {
	_, err := ratelimit.New(ratelimit.Options{})
	require.EqualError(t, err, "ratelimit: no Options.Key; write a function that returns the client and the account")
	_, err = ratelimit.New(ratelimit.Options{Key: keysOf, Timeout: -1})
	require.EqualError(t, err, `ratelimit: Options.Timeout is "-1ns"; it must be positive`)
}

// exchange returns an exchange with a login of an account, and its context.
func exchange(t *testing.T, account string) (*flowhook.Exchange, context.Context) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader("email="+account))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Client", "192.0.2.1")
	x := &flowhook.Exchange{Writer: httptest.NewRecorder()}
	ctx := flowhook.NewContext(t.Context(), x)
	x.Request = r.WithContext(ctx)
	return x, ctx
}
