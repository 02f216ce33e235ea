package otelflowhook

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/flowhook/flowhook"
)

// known are the errors whose Go type says nothing.
var known = []struct {
	err  error
	word string
}{
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "context_canceled"},
	{flowhook.ErrNotFound, "flowhook.ErrNotFound"},
	{flowhook.ErrNoSession, "flowhook.ErrNoSession"},
	{flowhook.ErrBadToken, "flowhook.ErrBadToken"},
	{flowhook.ErrBadReturnURL, "flowhook.ErrBadReturnURL"},
	{flowhook.ErrNotConfigured, "flowhook.ErrNotConfigured"},
	{flowhook.ErrNoExchange, "flowhook.ErrNoExchange"},
	{flowhook.ErrNoIdentity, "flowhook.ErrNoIdentity"},
	{flowhook.ErrUnknownPoint, "flowhook.ErrUnknownPoint"},
	{flowhook.ErrPhaseSkipped, "flowhook.ErrPhaseSkipped"},
	{flowhook.ErrAnswered, "flowhook.ErrAnswered"},
	{flowhook.ErrNested, "flowhook.ErrNested"},
	{flowhook.ErrOtherPipeline, "flowhook.ErrOtherPipeline"},
}

// errorType says in one of few words what kind of error a hook returned. An error of the host's may not stand being looked
// at, such as a nil pointer in an error: the hook must not panic for it.
func errorType(err error) (kind attribute.KeyValue) {
	defer func() {
		if recover() != nil {
			kind = semconv.ErrorTypeOther
		}
	}()
	if own := (interface{ ErrorType() string })(nil); errors.As(err, &own) {
		return semconv.ErrorType(err)
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return semconv.ErrorTypeKey.String(k.word)
		}
	}
	return semconv.ErrorType(innermost(err))
}

// innermost looks below the wrappers of fmt and errors; of several errors, at the first.
func innermost(err error) error {
	for {
		t := reflect.TypeOf(err)
		if t.Kind() != reflect.Pointer || t.Elem().PkgPath() != "fmt" && t.Elem().PkgPath() != "errors" {
			return err
		}
		next := errors.Unwrap(err)
		if several, ok := err.(interface{ Unwrap() []error }); ok && len(several.Unwrap()) > 0 {
			next = several.Unwrap()[0]
		}
		if next == nil {
			return err
		}
		err = next
	}
}

// thrown says how a hook ended that did not return; v is what recover gave.
func thrown(v any) attribute.KeyValue {
	switch v {
	case nil:
		return semconv.ErrorTypeKey.String("runtime.Goexit")
	case http.ErrAbortHandler:
		return semconv.ErrorTypeKey.String("http.ErrAbortHandler")
	}
	return semconv.ErrorTypeKey.String("panic")
}
