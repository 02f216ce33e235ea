package otelflowhook_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/otelflowhook"
)

var (
	loginAfter = flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}
	loginWide  = flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}
	quiet      = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// act is a hook that is a function.
type act = flowhook.HookFunc

func nothing(context.Context, *flowhook.Exchange) error { return nil }

// A rig is an SDK that keeps spans and metrics in memory.
type rig struct {
	t       *testing.T
	spans   *tracetest.InMemoryExporter
	tracers *sdktrace.TracerProvider
	reader  *metric.ManualReader
	options otelflowhook.Options
}

func newRig(t *testing.T, views ...metric.View) *rig {
	r := &rig{t: t, spans: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	r.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	r.options = otelflowhook.Options{TracerProvider: r.tracers,
		MeterProvider: metric.NewMeterProvider(metric.WithReader(r.reader), metric.WithView(views...))}
	return r
}

func (r *rig) wrap() func(flowhook.Point, string, flowhook.Hook) flowhook.Hook {
	r.t.Helper()
	wrap, err := otelflowhook.Wrap(r.options)
	require.NoError(r.t, err)
	return wrap
}

// pipeline returns a pipeline with one hook, at p.
func (r *rig) pipeline(p flowhook.Point, name string, hook flowhook.Hook) *flowhook.Pipeline {
	r.t.Helper()
	var cfg flowhook.Config
	cfg.Add(p, name, hook)
	pipeline, err := flowhook.New(&cfg, flowhook.Options{Wrap: r.wrap(), Logger: quiet})
	require.NoError(r.t, err)
	return pipeline
}

// metrics returns the metrics by scope.
func (r *rig) metrics() []metricdata.ScopeMetrics {
	r.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(r.t, r.reader.Collect(context.Background(), &all))
	return all.ScopeMetrics
}

// durations returns the series of the histogram, which must be the only instrument.
func (r *rig) durations() []metricdata.HistogramDataPoint[float64] {
	r.t.Helper()
	scopes := r.metrics()
	require.Len(r.t, scopes, 1)
	require.Len(r.t, scopes[0].Metrics, 1)
	require.Equal(r.t, "flowhook.hook.duration", scopes[0].Metrics[0].Name)
	histogram, ok := scopes[0].Metrics[0].Data.(metricdata.Histogram[float64])
	require.True(r.t, ok)
	return histogram.DataPoints
}

// span returns the span of this name. There must be exactly one.
func (r *rig) span(name string) tracetest.SpanStub {
	r.t.Helper()
	var found []tracetest.SpanStub
	for _, s := range r.spans.GetSpans() {
		if s.Name == name {
			found = append(found, s)
		}
	}
	require.Len(r.t, found, 1, name)
	return found[0]
}

// text returns everything that was recorded, as JSON.
func (r *rig) text() string {
	r.t.Helper()
	spans, err := json.Marshal(r.spans.GetSpans())
	require.NoError(r.t, err)
	metrics, err := json.Marshal(r.metrics())
	require.NoError(r.t, err)
	return string(spans) + string(metrics)
}

func attributes(kvs []attribute.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range kvs {
		m[string(kv.Key)] = kv.Value.AsString()
	}
	return m
}

// newExchange returns an exchange of a login, and a context with it.
func newExchange(ctx context.Context) (context.Context, *flowhook.Exchange) {
	address := flowhook.Address{Via: "email", Value: "alice@example.org"}
	x := &flowhook.Exchange{
		Writer:   httptest.NewRecorder(),
		Request:  httptest.NewRequest("POST", "/login", nil),
		Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{address}},
	}
	return flowhook.NewContext(ctx, x), x
}
