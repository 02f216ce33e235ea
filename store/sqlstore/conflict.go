package sqlstore

import (
	"reflect"

	"github.com/flowhook/flowhook/store/internal/relational"
)

// ErrConflict means that two transactions conflicted: there was a deadlock, or a lock was not
// available in time. Nothing was saved. Retry the whole Complete, Redeem or Transaction.
var ErrConflict = relational.ErrConflict

// IsConflict reports whether err is [ErrConflict] or an error of a driver with the same meaning,
// which a statement of the host's may return. It returns false for an error that panics when it is
// inspected.
func IsConflict(err error) bool { return relational.IsConflict(err, failure) }

// failure returns the meaning of one error of any of the databases. It recognizes the errors of a
// driver without importing its package.
func failure(err error) relational.Failure {
	for _, d := range dialects {
		if f := d.failure(err); f != relational.Unknown {
			return f
		}
	}
	return relational.Unknown
}

// field returns a field of the struct that err is or points to, or the zero Value if there is none.
// For a promoted field it returns the embedded struct, which is not a number. An error that wraps
// others has no fields here: it is not a driver's, and its Number may mean anything.
func field(err error, name string) reflect.Value {
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		return reflect.Value{}
	}
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	f, ok := v.Type().FieldByName(name)
	if !ok {
		return reflect.Value{}
	}
	return v.Field(f.Index[0])
}
