package otelflowhook

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/flowhook/flowhook"
)

// A series is what the runs of one hook at one point have in common. It is computed once, in the
// form that OpenTelemetry takes.
type series struct {
	common   []attribute.KeyValue
	start    []trace.SpanStartOption
	passed   outcome
	answered outcome
	refused  outcome
}

// An outcome has the attributes that are known only when a run ends.
type outcome struct {
	attributes []attribute.KeyValue  // for the span, without the common ones
	record     []metric.RecordOption // for the histogram, with the common attributes
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
	s.refused = s.outcome("refused")
	return s
}

// outcome returns an outcome with more attributes.
func (s *series) outcome(word string, more ...attribute.KeyValue) outcome {
	added := append([]attribute.KeyValue{attribute.String("flowhook.outcome", word)}, more...)
	set := attribute.NewSet(slices.Concat(s.common, added)...)
	return outcome{attributes: added, record: []metric.RecordOption{metric.WithAttributeSet(set)}}
}
