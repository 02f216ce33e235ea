package flowhook_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// A courier that aborts the request inside the transaction does so as a handler would.
func TestVerify_outbox_courier_panics_with_ErrAbortHandler(t *testing.T) {
	saved := false
	d := newDesk(t, "selfservice: {login: {after: [{hook: verify}]}}\n", func(d *desk) {
		d.opts.Outbox = true
		d.opts.Courier = courierFunc(func(context.Context, flowhook.Message) error { panic(http.ErrAbortHandler) })
	})
	found := d.log.String() // by New
	v := visit("alice")
	v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		d.complete(v, func(context.Context) error { saved = true; return nil })
	})
	require.True(t, saved)
	require.Equal(t, found, d.log.String(), "it is not a panic to report")
	require.Same(t, v.rec, v.Writer, "the exchange is what it was")
}
