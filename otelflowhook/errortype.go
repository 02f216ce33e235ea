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

// known are the errors whose Go type does not identify them.
var known = []struct {
	err  error
	word string
}{
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "context_canceled"},
	{flowhook.ErrUsedToken, "flowhook.ErrUsedToken"}, // before the two that it also is
	{flowhook.ErrNotFound, "flowhook.ErrNotFound"},
	{flowhook.ErrNoSession, "flowhook.ErrNoSession"},
	{flowhook.ErrBadToken, "flowhook.ErrBadToken"},
	{flowhook.ErrBadAddress, "flowhook.ErrBadAddress"},
	{flowhook.ErrBadReturnURL, "flowhook.ErrBadReturnURL"},
	{flowhook.ErrNotConfigured, "flowhook.ErrNotConfigured"},
	{flowhook.ErrNoExchange, "flowhook.ErrNoExchange"},
	{flowhook.ErrNoIdentity, "flowhook.ErrNoIdentity"},
	{flowhook.ErrNoPrevious, "flowhook.ErrNoPrevious"},
	{flowhook.ErrUnknownPoint, "flowhook.ErrUnknownPoint"},
	{flowhook.ErrPhaseSkipped, "flowhook.ErrPhaseSkipped"},
	{flowhook.ErrAnswered, "flowhook.ErrAnswered"},
	{flowhook.ErrNested, "flowhook.ErrNested"},
	{flowhook.ErrOtherPipeline, "flowhook.ErrOtherPipeline"},
}

// refuses reports whether an error of a hook is a Refusal. The methods of an error may panic: see
// errorType.
func refuses(err error) (yes bool) {
	defer func() {
		if recover() != nil {
			yes = false
		}
	}()
	if err == nil {
		return false // without an allocation
	}
	var r *flowhook.Refusal
	return errors.As(err, &r)
}

// errorType returns the error.type of an error of a hook. The methods of an error may panic, such
// as those of a nil pointer. The hook must not panic because of that.
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

// innermost removes the wrappers of fmt and errors. Of several wrapped errors, it follows the
// first.
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

// abortType returns the error.type of a hook that did not return. v is the result of recover.
func abortType(v any) attribute.KeyValue {
	switch v {
	case nil:
		return semconv.ErrorTypeKey.String("runtime.Goexit")
	case http.ErrAbortHandler:
		return semconv.ErrorTypeKey.String("http.ErrAbortHandler")
	}
	return semconv.ErrorTypeKey.String("panic")
}
