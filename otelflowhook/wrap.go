package otelflowhook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/flowhook/flowhook"
)

const scope = "github.com/flowhook/flowhook/otelflowhook"

// Options configure [Wrap]. The zero value is ready to use.
type Options struct {
	TracerProvider trace.TracerProvider // nil means the global one
	MeterProvider  metric.MeterProvider // nil means the global one

	// Next is a wrapper of your own; nil means none. It wraps the hook first, so its work is part
	// of the span and of the duration. If it returns no hook, flowhook.New returns an error.
	Next func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook
}

// Wrap returns the function for flowhook's Options.Wrap. One function serves any number of
// pipelines. Wrap, the function and the hooks that it returns are safe for concurrent use.
//
// Wrap returns an error if the MeterProvider cannot create the histogram, for example because a
// View does not fit. Even then the function is not nil. You may log the error and continue with the
// spans and whatever the provider still records.
func Wrap(o Options) (func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook, error) {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	tracer := o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	duration, err := o.MeterProvider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)).Float64Histogram(
		"flowhook.hook.duration", metric.WithUnit("s"), metric.WithDescription("Duration of the runs of a hook."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		err = fmt.Errorf("otelflowhook: %w", err)
	}
	if duration == nil {
		duration = noop.Float64Histogram{}
	}
	return func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		if o.Next != nil {
			next = o.Next(p, name, next)
		}
		if f, ok := next.(flowhook.HookFunc); next == nil || ok && f == nil {
			return nil
		}
		return &hook{next: next, point: p, name: name, span: "hook " + name, tracer: tracer, duration: duration,
			series: map[flowhook.Strategy]*series{p.Strategy: newSeries(p, name)}}
	}, err
}

// A hook is a configured hook that records its runs.
type hook struct {
	next     flowhook.Hook
	point    flowhook.Point // where it is configured
	name     string
	span     string
	tracer   trace.Tracer
	duration metric.Float64Histogram

	mu     sync.RWMutex
	series map[flowhook.Strategy]*series // the strategies of the runs so far
}

// Run runs the hook within a span.
func (h *hook) Run(ctx context.Context, x *flowhook.Exchange) error {
	s := h.at(x.Point().Strategy)
	ctx, span := h.tracer.Start(ctx, h.span, s.start...)
	began, returned := time.Now(), false
	defer func() {
		if returned {
			return
		}
		v := recover() // nil after a Goexit, which continues by itself
		h.fail(ctx, span, s, began, abortType(v))
		if v != nil {
			panic(v)
		}
	}()
	err := h.next.Run(ctx, x)
	returned = true
	switch {
	case refuses(err):
		h.end(ctx, span, began, s.refused)
	case err != nil:
		h.fail(ctx, span, s, began, errorType(err))
	case x.Answered():
		h.end(ctx, span, began, s.answered)
	default:
		h.end(ctx, span, began, s.passed)
	}
	return err
}

// at returns the series of a strategy. It creates the series if necessary.
func (h *hook) at(strategy flowhook.Strategy) *series {
	if h.point.Strategy != flowhook.FlowWide { // the hook runs for this strategy only
		strategy = h.point.Strategy
	}
	h.mu.RLock()
	s := h.series[strategy]
	h.mu.RUnlock()
	if s != nil {
		return s
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.series[strategy] == nil {
		p := h.point
		p.Strategy = strategy
		h.series[strategy] = newSeries(p, h.name)
	}
	return h.series[strategy]
}

// end ends a run. A deferred span.End would record the text of a panic in the span.
func (h *hook) end(ctx context.Context, span trace.Span, began time.Time, o outcome) {
	h.duration.Record(ctx, time.Since(began).Seconds(), o.record...)
	span.SetAttributes(o.attributes...)
	span.End()
}

// fail ends a run that failed.
func (h *hook) fail(ctx context.Context, span trace.Span, s *series, began time.Time, kind attribute.KeyValue) {
	span.SetStatus(codes.Error, "") // a description may contain personal data
	h.end(ctx, span, began, s.outcome("failed", kind))
}
