package otelflowhook_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/otelflowhook"
)

// A run allocates no more than OpenTelemetry itself does, without counting the SDK.
func TestHook_Allocations(t *testing.T) {
	tracers := tracenoop.NewTracerProvider()
	wrap, err := otelflowhook.Wrap(otelflowhook.Options{
		TracerProvider: tracers, MeterProvider: metricnoop.NewMeterProvider(),
	})
	require.NoError(t, err)
	var cfg flowhook.Config
	cfg.Add(loginWide, "gate", act(nothing))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Wrap: wrap})
	require.NoError(t, err)
	_, x := newExchange(t.Context())
	bare, err := flowhook.New(&cfg, flowhook.Options{})
	require.NoError(t, err)
	tracer := tracers.Tracer("test")
	var ctx context.Context
	request := func() { ctx = again(t.Context(), x) }
	run := func(p *flowhook.Pipeline) func() {
		return func() {
			request()
			if _, err := p.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password); err != nil {
				t.Fatal(err)
			}
		}
	}
	host := testing.AllocsPerRun(100, request)
	otels := testing.AllocsPerRun(100, func() { request(); tracer.Start(ctx, "hook gate") })
	require.Greater(t, otels, host)
	require.Equal(t, testing.AllocsPerRun(100, run(bare))+otels-host, testing.AllocsPerRun(100, run(pipeline)))
}

// again returns a context with a new exchange like x, as each request has its own.
func again(ctx context.Context, x *flowhook.Exchange) context.Context {
	return flowhook.NewContext(ctx, &flowhook.Exchange{Writer: x.Writer, Request: x.Request, Identity: x.Identity})
}

// BenchmarkHook runs a pipeline with one flow-wide hook that does nothing.
func BenchmarkHook(b *testing.B) {
	meters := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
	for _, row := range []struct {
		name string
		o    *otelflowhook.Options
	}{
		{"bare", nil},
		{"noop", &otelflowhook.Options{MeterProvider: metricnoop.NewMeterProvider(),
			TracerProvider: tracenoop.NewTracerProvider()}},
		{"sdk, span dropped", &otelflowhook.Options{MeterProvider: meters,
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))}},
		{"sdk, span sampled", &otelflowhook.Options{MeterProvider: meters,
			TracerProvider: sdktrace.NewTracerProvider()}},
	} {
		b.Run(row.name, func(b *testing.B) {
			opts := flowhook.Options{}
			if row.o != nil {
				wrap, err := otelflowhook.Wrap(*row.o)
				if err != nil {
					b.Fatal(err)
				}
				opts.Wrap = wrap
			}
			var cfg flowhook.Config
			cfg.Add(loginWide, "gate", act(nothing))
			pipeline, err := flowhook.New(&cfg, opts)
			if err != nil {
				b.Fatal(err)
			}
			_, x := newExchange(context.Background())
			b.ReportAllocs()
			for b.Loop() {
				ctx := again(context.Background(), x)
				if _, err := pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
