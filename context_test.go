package flowhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func TestMustFromContext(t *testing.T) {
	const forgotten = "flowhook: no exchange in the context; wrap the route in Middleware"

	t.Run("panics without an exchange", func(t *testing.T) {
		require.PanicsWithValue(t, forgotten, func() { flowhook.MustFromContext(t.Context()) })
	})

	t.Run("panics with a nil exchange", func(t *testing.T) {
		ctx := flowhook.NewContext(t.Context(), nil)
		require.PanicsWithValue(t, forgotten, func() { flowhook.MustFromContext(ctx) })
	})

	t.Run("returns the exchange of NewContext", func(t *testing.T) {
		x := &flowhook.Exchange{}
		require.Same(t, x, flowhook.MustFromContext(flowhook.NewContext(t.Context(), x)))
	})

	t.Run("returns the exchange of Middleware", func(t *testing.T) {
		pipeline, err := flowhook.New(nil, flowhook.Options{})
		require.NoError(t, err)
		var want, got *flowhook.Exchange
		handler := pipeline.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			want, _ = flowhook.FromContext(r.Context())
			got = flowhook.MustFromContext(r.Context())
		}))
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/login", nil))
		require.NotNil(t, got)
		require.Same(t, want, got)
	})
}
