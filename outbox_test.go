package flowhook_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A courier that aborts the request inside the transaction does so as a handler would.
func TestVerify_outbox_courier_panics_with_ErrAbortHandler(t *testing.T) {
	saved := false
	d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: verify}]}}\n", func(d *flowtest.SessionTest) {
		d.Options.Outbox = true
		d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { panic(http.ErrAbortHandler) })
	})
	found := d.Log.String() // by New
	v := flowtest.NewVisitor("alice")
	v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		d.CompleteLogin(v, func(context.Context) error { saved = true; return nil })
	})
	require.True(t, saved)
	require.Equal(t, found, d.Log.String(), "it is not a panic to report")
	require.Same(t, v.Recorder, v.Writer, "the exchange is what it was")
}
