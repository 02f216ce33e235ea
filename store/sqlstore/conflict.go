package sqlstore

import (
	"errors"
	"reflect"
)

// ErrConflict means that two transactions conflicted: there was a deadlock, or a lock was not
// available in time. Nothing was saved. Retry the whole Complete, Redeem or Transaction.
var ErrConflict = errors.New("sqlstore: conflict with another transaction")

// IsConflict reports whether err is [ErrConflict] or an error of a driver with the same meaning,
// which a statement of the host's may return. It returns false for an error that panics when it is
// inspected.
func IsConflict(err error) (conflict bool) {
	defer func() {
		if recover() != nil {
			conflict = false
		}
	}()
	return errors.Is(err, ErrConflict) || failureOf(err) == conflictFailure
}

// A failure is what a database's error means to the store.
type failure int

const (
	unknownFailure failure = iota // not from a database
	otherFailure
	conflictFailure
	duplicateFailure // a row with this key exists
)

// failureOf returns the meaning of the first error in err's tree that comes from a database. It
// recognizes the errors of a driver without importing its package.
func failureOf(err error) failure {
	if err == nil {
		return unknownFailure
	}
	for _, d := range dialects {
		if f := d.failure(err); f != unknownFailure {
			return f
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return failureOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if f := failureOf(err); f != unknownFailure {
				return f
			}
		}
	}
	return unknownFailure
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
