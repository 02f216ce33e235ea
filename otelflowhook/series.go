package otelflowhook

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/flowhook/flowhook"
)

// A series is what the runs of one hook at one point have in common, made once, in the form that OpenTelemetry takes.
type series struct {
	common   []attribute.KeyValue
	start    []trace.SpanStartOption
	passed   outcome
	answered outcome
}

// An outcome is what is added when a run ends.
type outcome struct {
	attributes []attribute.KeyValue  // of the span, beside the common ones
	record     []metric.RecordOption // with all attributes
}

func newSeries(p flowhook.Point, hook string) *series {
	common := []attribute.KeyValue{
		attribute.String("flowhook.flow", string(p.Flow)),
		attribute.String("flowhook.phase", string(p.Phase)),
		attribute.String("flowhook.hook", hook),
	}
	if p.Strategy != flowhook.FlowWide {
		common = append(common, attribute.String("flowhook.strategy", string(p.Strategy)))
	}
	s := &series{common: common, start: []trace.SpanStartOption{trace.WithAttributes(common...)}}
	s.passed = s.outcome("passed")
	s.answered = s.outcome("answered")
	return s
}

// outcome makes an outcome, with what else is known of it.
func (s *series) outcome(word string, more ...attribute.KeyValue) outcome {
	added := append([]attribute.KeyValue{attribute.String("flowhook.outcome", word)}, more...)
	set := attribute.NewSet(slices.Concat(s.common, added)...)
	return outcome{attributes: added, record: []metric.RecordOption{metric.WithAttributeSet(set)}}
}
