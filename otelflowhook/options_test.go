package otelflowhook_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	metricapi "go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/otelflowhook"
)

func TestOptions_Next(t *testing.T) {
	r := newRig(t)
	r.options.Next = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		assert.Equal(t, loginAfter, p)
		return act(func(ctx context.Context, x *flowhook.Exchange) error {
			_, span := r.tracers.Tracer("test").Start(ctx, "around "+name)
			defer span.End()
			return next.Run(ctx, x)
		})
	}
	ran := false
	pipeline := r.pipeline(loginAfter, "gate", act(func(context.Context, *flowhook.Exchange) error {
		ran = true
		return nil
	}))
	ctx, _ := newExchange(t.Context())
	_, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	assert.True(t, ran)
	assert.Equal(t, r.span("hook gate").SpanContext.SpanID(), r.span("around gate").Parent.SpanID())
}

func TestOptions_NextReturnsNoHook(t *testing.T) {
	for name, none := range map[string]flowhook.Hook{"nil": nil, "nil HookFunc": flowhook.HookFunc(nil)} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.options.Next = func(flowhook.Point, string, flowhook.Hook) flowhook.Hook { return none }
			var cfg flowhook.Config
			cfg.Add(loginAfter, "gate", act(nothing))
			_, err := flowhook.New(&cfg, flowhook.Options{Wrap: r.wrap()})
			require.ErrorContains(t, err, `Options.Wrap made no hook of "gate"`)
		})
	}
}

func TestOptions_GlobalProviders(t *testing.T) {
	r := newRig(t)
	otel.SetTracerProvider(r.options.TracerProvider)
	otel.SetMeterProvider(r.options.MeterProvider)
	t.Cleanup(func() {
		otel.SetTracerProvider(tracenoop.NewTracerProvider())
		otel.SetMeterProvider(metricnoop.NewMeterProvider())
	})
	r.options = otelflowhook.Options{}
	pipeline := r.pipeline(loginAfter, "gate", act(nothing))
	ctx, _ := newExchange(t.Context())
	_, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	r.span("hook gate")
	assert.Len(t, r.durations(), 1)
}

// meterless is a provider whose meter cannot create the histogram.
type meterless struct{ metricnoop.MeterProvider }

type noMeter struct{ metricnoop.Meter }

var errNoMeter = errors.New("no instruments")

func (meterless) Meter(string, ...metricapi.MeterOption) metricapi.Meter { return noMeter{} }

func (noMeter) Float64Histogram(string, ...metricapi.Float64HistogramOption) (metricapi.Float64Histogram, error) {
	return nil, errNoMeter
}

func TestWrap_HistogramFails(t *testing.T) {
	misfit := func(metric.Instrument) (metric.Stream, bool) {
		return metric.Stream{Aggregation: metric.AggregationLastValue{}}, true
	}
	for name, meters := range map[string]metricapi.MeterProvider{
		"View does not fit": newRig(t, misfit).options.MeterProvider,
		"no instrument":     meterless{},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.options.MeterProvider = meters
			wrap, err := otelflowhook.Wrap(r.options)
			require.ErrorContains(t, err, "otelflowhook: ")
			if name == "no instrument" {
				require.ErrorIs(t, err, errNoMeter)
			}
			ctx, x := newExchange(t.Context())
			require.NoError(t, wrap(loginAfter, "gate", act(nothing)).Run(ctx, x))
			r.span("hook gate")
		})
	}
}
