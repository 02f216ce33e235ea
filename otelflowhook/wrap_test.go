package otelflowhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/flowhook/flowhook"
)

const scope = "github.com/flowhook/flowhook/otelflowhook"

var errRefused = errors.New("refused")

func returns(err error) act { return func(context.Context, *flowhook.Exchange) error { return err } }

// ending returns how a function ends: "returned", "goexit" or the value of its panic.
func ending(f func()) (how any) {
	done := make(chan any)
	go func() {
		how := any("goexit")
		defer func() {
			if v := recover(); v != nil {
				how = v
			}
			done <- how
		}()
		f()
		how = "returned"
	}()
	return <-done
}

func TestHook_Outcome(t *testing.T) {
	for _, row := range []struct {
		name    string
		hook    act
		outcome string
		kind    string // the error.type
		how     any    // the ending of the pipeline's Run
		handled bool
		err     bool
	}{
		{"does nothing", nothing, "passed", "", "returned", false, false},
		{"sets a header", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.Header().Set("X-Hook", "was here")
			return nil
		}, "passed", "", "returned", false, false},
		{"redirects", flowhook.Redirect("/news").Run, "answered", "", "returned", true, false},
		{"refuses", returns(flowhook.Refuse(http.StatusForbidden, "not_invited", "You are not invited.")),
			"refused", "", "returned", false, true},
		{"refuses in a wrapped error", returns(fmt.Errorf("a: %w", errors.Join(errRefused, &flowhook.Refusal{}))),
			"refused", "", "returned", false, true},
		{"refuses because of a timeout", returns(&flowhook.Refusal{Status: 408, Err: context.DeadlineExceeded}),
			"refused", "", "returned", false, true},
		{"answers, then returns a Refusal", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(http.StatusOK)
			return flowhook.Refuse(http.StatusForbidden, "not_invited", "")
		}, "refused", "", "returned", false, true},
		{"refuses with status 200", returns(flowhook.Refuse(http.StatusOK, "", "")),
			"failed", "*errors.errorString", "returned", false, true},
		{"refuses with status 500", returns(&flowhook.Refusal{Status: 500, Err: context.Canceled}),
			"failed", "context_canceled", "returned", false, true},
		{"returns a nil Refusal", returns((*flowhook.Refusal)(nil)),
			"failed", "*errors.errorString", "returned", false, true},
		{"returns an error", returns(errRefused),
			"failed", "*errors.errorString", "returned", false, true},
		{"answers, then refuses", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(http.StatusOK)
			return errRefused
		}, "failed", "*errors.errorString", "returned", false, true},
		{"panics", func(context.Context, *flowhook.Exchange) error { panic("oh") },
			"failed", "panic", "returned", false, true},
		{"panics with an error that is not comparable", func(context.Context, *flowhook.Exchange) error {
			panic(several{errRefused})
		}, "failed", "panic", "returned", false, true},
		{"answers, then panics", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(http.StatusOK)
			panic("oh")
		}, "failed", "panic", "returned", false, true},
		{"aborts the connection", func(context.Context, *flowhook.Exchange) error { panic(http.ErrAbortHandler) },
			"failed", "http.ErrAbortHandler", http.ErrAbortHandler, false, false},
		{"ends its goroutine", func(context.Context, *flowhook.Exchange) error {
			runtime.Goexit()
			return nil
		}, "failed", "runtime.Goexit", "goexit", false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			pipeline := r.pipeline(loginAfter, "gate", row.hook)
			ctx, _ := newExchange(t.Context())
			var handled bool
			var err error
			assert.Equal(t, row.how, ending(func() {
				handled, err = pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
			}))
			assert.Equal(t, row.handled, handled)
			assert.Equal(t, row.err, err != nil)

			want := map[string]string{"flowhook.flow": "login", "flowhook.phase": "after",
				"flowhook.strategy": "password", "flowhook.hook": "gate", "flowhook.outcome": row.outcome}
			status := sdktrace.Status{Code: codes.Unset}
			if row.kind != "" {
				want["error.type"], status.Code = row.kind, codes.Error
			}
			require.Len(t, r.spans.GetSpans(), 1)
			span := r.span("hook gate")
			assert.Equal(t, want, attributes(span.Attributes))
			assert.Equal(t, status, span.Status, "no description")
			assert.Equal(t, trace.SpanKindInternal, span.SpanKind)
			assert.Empty(t, span.Events)
			assert.Equal(t, scope, span.InstrumentationScope.Name)
			assert.Equal(t, semconv.SchemaURL, span.InstrumentationScope.SchemaURL)

			durations := r.durations()
			require.Len(t, durations, 1)
			assert.Equal(t, want, attributes(durations[0].Attributes.ToSlice()))
			assert.Equal(t, uint64(1), durations[0].Count)
		})
	}
}

func TestHook_Duration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		pipeline := r.pipeline(loginAfter, "slow", act(func(context.Context, *flowhook.Exchange) error {
			time.Sleep(250 * time.Millisecond)
			return nil
		}))
		ctx, _ := newExchange(t.Context())
		_, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)

		durations := r.durations()
		require.Len(t, durations, 1)
		assert.InDelta(t, 0.25, durations[0].Sum, 1e-9)
		assert.Equal(t, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
			durations[0].Bounds)
		span := r.span("hook slow")
		assert.Equal(t, 250*time.Millisecond, span.EndTime.Sub(span.StartTime))
		assert.Equal(t, scope, r.metrics()[0].Scope.Name)
		assert.Equal(t, semconv.SchemaURL, r.metrics()[0].Scope.SchemaURL)
		assert.Equal(t, "s", r.metrics()[0].Metrics[0].Unit)
		require.Len(t, durations[0].Exemplars, 1, "the duration leads to the trace")
		id := span.SpanContext.SpanID()
		assert.Equal(t, id[:], durations[0].Exemplars[0].SpanID)
	})
}

func TestHook_PanicIsUnchanged(t *testing.T) {
	r := newRig(t)
	value := &struct{ text string }{"same pointer"}
	hook := r.wrap()(loginAfter, "gate", act(func(context.Context, *flowhook.Exchange) error { panic(value) }))
	ctx, x := newExchange(t.Context())
	assert.Same(t, value, ending(func() { _ = hook.Run(ctx, x) }))
}

func throwsDeepInside(context.Context, *flowhook.Exchange) error { panic("oh") }

func TestHook_PanicIsLoggedWithItsStack(t *testing.T) {
	r := newRig(t)
	var cfg flowhook.Config
	cfg.Add(loginAfter, "gate", act(throwsDeepInside))
	var log bytes.Buffer
	pipeline, err := flowhook.New(&cfg, flowhook.Options{
		Wrap: r.wrap(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	ctx, _ := newExchange(t.Context())
	_, err = pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.EqualError(t, errors.Unwrap(err), "panic: oh")
	assert.Contains(t, log.String(), "throwsDeepInside")
}

// Neither the text of a Refusal nor its cause is recorded, because both may contain personal data.
func TestHook_RefusalIsNotRecorded(t *testing.T) {
	r := newRig(t)
	refusal := &flowhook.Refusal{Code: canaryToken, Text: canaryAddress, Field: canaryPassword,
		Err: errors.New(canarySecret)}
	pipeline := r.pipeline(loginAfter, "gate", returns(refusal))
	ctx, _ := newExchange(t.Context())
	_, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.ErrorIs(t, err, refusal)
	text := r.text()
	assert.Contains(t, text, "refused")
	for _, canary := range []string{canaryToken, canaryAddress, canaryPassword, canarySecret} {
		assert.NotContains(t, text, canary)
	}
}

func TestHook_ErrorIsUnchanged(t *testing.T) {
	r := newRig(t)
	hook := r.wrap()(loginAfter, "gate", act(func(context.Context, *flowhook.Exchange) error { return errRefused }))
	ctx, x := newExchange(t.Context())
	assert.Same(t, errRefused, hook.Run(ctx, x))
}

// Outside a run of the pipeline, the attributes are those of the configured point.
func TestHook_OutsideRun(t *testing.T) {
	r := newRig(t)
	ctx, x := newExchange(t.Context())
	require.NoError(t, r.wrap()(loginAfter, "own", act(nothing)).Run(ctx, x))
	require.NoError(t, r.wrap()(loginWide, "wide", act(nothing)).Run(ctx, x))
	assert.Equal(t, map[string]string{"flowhook.flow": "login", "flowhook.phase": "after",
		"flowhook.strategy": "password", "flowhook.hook": "own", "flowhook.outcome": "passed"},
		attributes(r.span("hook own").Attributes))
	assert.Equal(t, map[string]string{"flowhook.flow": "login", "flowhook.phase": "after",
		"flowhook.hook": "wide", "flowhook.outcome": "passed"}, attributes(r.span("hook wide").Attributes))
}
