package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/otelflowhook"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	label "go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// metrics are the figures for Prometheus: of the requests, of the hooks, and of the process.
type metrics struct {
	registry *prometheus.Registry
	wrap     func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook
	requests metric.Float64Histogram
	meter    metric.Meter // of the service's own figures
}

// newMetrics returns metrics without figures.
func newMetrics() (*metrics, error) {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := exporter.New(exporter.WithRegisterer(m.registry), exporter.WithoutScopeInfo(),
		exporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	if m.wrap, err = otelflowhook.Wrap(otelflowhook.Options{MeterProvider: provider}); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m.meter = provider.Meter("authservice")
	m.requests, err = m.meter.Float64Histogram("http.server.request.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of HTTP requests."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return m, nil
}

// request counts a request. Clients choose the path and may choose any method, so neither is a
// label: the route and one of a few methods are. A request that a panic cut off has an error_type.
func (m *metrics) request(r *http.Request, route string, status int, took time.Duration, panicked bool) {
	method := r.Method
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, method) {
		method = "_OTHER"
	}
	if _, path, found := strings.Cut(route, " "); found {
		route = path
	}
	labels := []label.KeyValue{label.String("http.request.method", method), label.String("http.route", route),
		label.Int("http.response.status_code", status)}
	if panicked {
		labels = append(labels, label.String("error.type", "panic"))
	}
	m.requests.Record(context.WithoutCancel(r.Context()), took.Seconds(), metric.WithAttributes(labels...))
}

// watchQueue adds how many emails are in the queue, by River's state: retryable after a failed attempt,
// cancelled if the mail server refused the email for good, and discarded after the last attempt. Each
// scrape is one query.
func (s *service) watchQueue() error {
	count := func(ctx context.Context, o metric.Int64Observer) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := s.db.rows(ctx, func(scan scanFunc) error {
			var state string
			var n int64
			if err := scan(&state, &n); err != nil {
				return err
			}
			o.Observe(n, metric.WithAttributes(label.String("state", state)))
			return nil
		}, "SELECT CAST(state AS TEXT), count(*) FROM river_job WHERE state <> 'completed' GROUP BY state")
		if err != nil { // the other figures are fine
			s.log.WarnContext(ctx, "counting the emails in the queue failed", "error", err)
		}
		return nil
	}
	_, err := s.metrics.meter.Int64ObservableGauge("authservice.queue.emails",
		metric.WithDescription("Emails in the queue."), metric.WithInt64Callback(count))
	return err
}

// watchConfig adds whether the last reload of auth.yml succeeded, and when the running one was loaded,
// under names like those of Prometheus itself.
func (s *service) watchConfig() error {
	_, failed := s.metrics.meter.Int64ObservableGauge("authservice.config.last_reload_successful",
		metric.WithDescription("Whether the last reload of AUTH_CONFIG succeeded."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if _, err := s.pipeline.LastReload(); err != nil {
				o.Observe(0)
			} else {
				o.Observe(1)
			}
			return nil
		}))
	_, err := s.metrics.meter.Float64ObservableGauge("authservice.config.last_reload_success_timestamp",
		metric.WithUnit("s"), metric.WithDescription("When the running AUTH_CONFIG was loaded."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(float64(s.pipeline.Plan().Loaded().UnixMilli()) / 1000)
			return nil
		}))
	return errors.Join(failed, err)
}

// adminHandler returns what ADMIN_LISTEN serves.
func (s *service) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError),
	}))
	s.addHealth(mux)
	return mux
}
