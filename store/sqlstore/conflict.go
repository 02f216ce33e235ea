package sqlstore

import (
	"cmp"
	"errors"
	"reflect"
)

// ErrConflict says that two transactions were in each other's way, by a deadlock or because a lock could not be had.
// Nothing was saved. Trying the whole Complete, Redeem or Transaction again is right.
var ErrConflict = errors.New("sqlstore: conflict with another transaction")

// IsConflict reports whether err is [ErrConflict], or a driver's error that means the same, as a
// statement of the host's own returns it. An error that panics when it is inspected is no conflict.
func IsConflict(err error) (conflict bool) {
	defer func() {
		if recover() != nil {
			conflict = false
		}
	}()
	if errors.Is(err, ErrConflict) {
		return true
	}
	switch c := codeOf(err); {
	case c.state != "":
		return c.state == "40001" || c.state == "40P01" || c.state == "55P03"
	case c.number != 0:
		return c.number == 1213 || c.number == 1205 || c.number == 1020 // deadlock, lock wait timeout, changed since it was read
	default:
		return c.sqlite&0xff == 5 || c.sqlite&0xff == 6 // SQLITE_BUSY, SQLITE_LOCKED
	}
}

// isDuplicate knows a primary key that is there already.
func isDuplicate(err error) bool {
	c := codeOf(err)
	return c.state == "23505" || c.number == 1062 || c.sqlite == 1555 || c.sqlite == 2067
}

// A code is a database's own: one of the three, or none.
type code struct {
	state  string // PostgreSQL's SQLSTATE
	number uint64 // MariaDB's
	sqlite int64  // SQLite's, extended where the driver has that
}

// codeOf finds the code in an error without its driver's package: pgx and lib/pq have a method SQLState, go-sql-driver a
// field Number, modernc.org/sqlite a method Code, mattn/go-sqlite3 two fields.
func codeOf(err error) code {
	switch e := err.(type) {
	case nil:
		return code{}
	case interface{ SQLState() string }:
		return code{state: e.SQLState()}
	case interface{ Code() int }:
		return code{sqlite: int64(e.Code())}
	case interface{ Unwrap() error }:
		return codeOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if c := codeOf(err); c != (code{}) {
				return c
			}
		}
		return code{}
	}
	v := reflect.Indirect(reflect.ValueOf(err))
	if v.Kind() != reflect.Struct {
		return code{}
	}
	if f := field(v, "Number"); f.CanUint() {
		return code{number: f.Uint()}
	}
	extended, short := field(v, "ExtendedCode"), field(v, "Code") // a Code alone is anybody's: an SMTP server's, say
	if extended.CanInt() && short.CanInt() {
		return code{sqlite: cmp.Or(extended.Int(), short.Int())}
	}
	return code{}
}

// field gives a field of the struct itself, or the zero Value. For one that is promoted, it gives what is embedded, which is no number.
func field(v reflect.Value, name string) reflect.Value {
	if f, ok := v.Type().FieldByName(name); ok {
		return v.Field(f.Index[0])
	}
	return reflect.Value{}
}
