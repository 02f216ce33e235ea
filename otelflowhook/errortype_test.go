package otelflowhook_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/flowhook/flowhook"
)

// several is an error that cannot be compared.
type several []error

func (s several) Error() string { return "several" }

// worded has a method ErrorType.
type worded string

func (w worded) Error() string     { return "worded" }
func (w worded) ErrorType() string { return string(w) }

// The methods of hollow panic if it is nil.
type hollow struct{ err error }

func (h *hollow) Error() string { return h.err.Error() }
func (h *hollow) Unwrap() error { return h.err }

// absent wraps a nil error.
type absent struct{}

func (absent) Error() string { return "absent" }
func (absent) Unwrap() error { return nil }

func TestErrorType(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"errors.New", errRefused, "*errors.errorString"},
		{"pointer", &fs.PathError{Err: errRefused}, "*fs.PathError"},
		{"value", absent{}, "github.com/flowhook/flowhook/otelflowhook_test.absent"},
		{"not comparable", several{errRefused}, "github.com/flowhook/flowhook/otelflowhook_test.several"},
		{"wrapped by fmt", fmt.Errorf("a: %w", fmt.Errorf("b: %w", &fs.PathError{Err: errRefused})), "*fs.PathError"},
		{"two wrapped by fmt", fmt.Errorf("%w, %w", &fs.PathError{Err: errRefused}, errRefused), "*fs.PathError"},
		{"two nil errors wrapped by fmt", fmt.Errorf("%w, %w", error(nil), error(nil)), "*fmt.wrapErrors"},
		{"joined", errors.Join(nil, &fs.PathError{Err: errRefused}, errRefused), "*fs.PathError"},
		{"ErrorType", worded("quota"), "quota"},
		{"ErrorType, wrapped", fmt.Errorf("a: %w", &fs.PathError{Err: worded("quota")}), "quota"},
		{"ErrorType, joined with a timeout", errors.Join(context.DeadlineExceeded, worded("quota")), "quota"},
		{"ErrorType, empty", worded(""), "github.com/flowhook/flowhook/otelflowhook_test.worded"},
		{"deadline", fmt.Errorf("a: %w", context.DeadlineExceeded), "timeout"},
		{"cancellation", &fs.PathError{Err: context.Canceled}, "context_canceled"},
		{"no identity", fmt.Errorf("a: %w", flowhook.ErrNoIdentity), "flowhook.ErrNoIdentity"},
		{"not found", flowhook.ErrNotFound, "flowhook.ErrNotFound"},
		{"no session", flowhook.ErrNoSession, "flowhook.ErrNoSession"},
		{"used token", fmt.Errorf("a: %w", flowhook.ErrUsedToken), "flowhook.ErrUsedToken"},
		{"bad address", flowhook.ErrBadAddress, "flowhook.ErrBadAddress"},
		{"no previous identity", flowhook.ErrNoPrevious, "flowhook.ErrNoPrevious"},
		{"bad token", flowhook.ErrBadToken, "flowhook.ErrBadToken"},
		{"not configured", flowhook.ErrNotConfigured, "flowhook.ErrNotConfigured"},
		{"no exchange", flowhook.ErrNoExchange, "flowhook.ErrNoExchange"},
		{"unknown point", flowhook.ErrUnknownPoint, "flowhook.ErrUnknownPoint"},
		{"phase skipped", flowhook.ErrPhaseSkipped, "flowhook.ErrPhaseSkipped"},
		{"answered", flowhook.ErrAnswered, "flowhook.ErrAnswered"},
		{"nested", flowhook.ErrNested, "flowhook.ErrNested"},
		{"other pipeline", flowhook.ErrOtherPipeline, "flowhook.ErrOtherPipeline"},
		{"bad return URL", flowhook.ErrBadReturnURL, "flowhook.ErrBadReturnURL"},
		{"nil pointer", (*hollow)(nil), "_OTHER"},
		{"nil pointer, wrapped", fmt.Errorf("a%w", &hollow{(*hollow)(nil)}), "_OTHER"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			hook := r.wrap()(loginAfter, "gate", act(func(context.Context, *flowhook.Exchange) error {
				return row.err
			}))
			ctx, x := newExchange(t.Context())
			assert.NotPanics(t, func() { assert.True(t, hook.Run(ctx, x) != nil) })
			assert.Equal(t, row.want, attributes(r.span("hook gate").Attributes)["error.type"])
		})
	}
}
