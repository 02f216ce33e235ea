package flowhook_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func TestStatusesWithoutABody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		b := newBench(t)
		b.add(loginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(status)
			_, err := x.Writer.Write([]byte("body"))
			require.ErrorIs(t, err, http.ErrBodyNotAllowed)
			return nil
		})
		handled, err := b.run(flowhook.After)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, status, b.rec.Code)
		require.Empty(t, b.rec.Body.String())
	}
}

func TestTheLastStatusThatThereIsCanBeGiven(t *testing.T) {
	b := newBench(t)
	b.add(loginGate, "hook", answerWith(999, "odd"))
	handled, err := b.complete(nil)
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, 999, b.rec.Code)
}

func TestWhatIsReplacedIsNoticedWhereNothingIsWritten(t *testing.T) {
	for name, replace := range map[string]act{
		"the writer":  func(_ context.Context, x *flowhook.Exchange) error { x.Writer = httptest.NewRecorder(); return nil },
		"the request": func(_ context.Context, x *flowhook.Exchange) error { x.Request = newRequest(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.add(loginAfter, "hook", replace)
			handled, err := b.run(flowhook.After)
			require.False(t, handled)
			require.ErrorContains(t, err, "replaced the exchange")
			b.requireUntouched()

			b = newBench(t)
			handled, err = b.complete(func(ctx context.Context) error { return replace(ctx, b.x) })
			require.False(t, handled)
			require.ErrorContains(t, err, "flowhook: save: replaced")
			b.requireUntouched()
		})
	}
}

// hungUp is a writer whose client is gone.
type hungUp struct{ *httptest.ResponseRecorder }

func (hungUp) Write([]byte) (int, error) { return 0, net.ErrClosed }

func TestAnAnswerThatDoesNotReachTheClientIsLogged(t *testing.T) {
	for _, gone := range []bool{true, false} {
		b := newBench(t)
		if gone {
			b.x.Writer = hungUp{b.rec}
		}
		b.add(loginAfter, "hook", answerWith(http.StatusOK, "body"))
		handled, err := b.run(flowhook.After)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, gone, strings.Contains(b.log.String(), "the answer did not reach the client"))
	}
}
