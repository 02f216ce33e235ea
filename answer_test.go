package flowhook_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestStatusesWithoutABody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginAfter, "hook", func(_ context.Context, x *flowhook.Exchange) error {
			x.Writer.WriteHeader(status)
			_, err := x.Writer.Write([]byte("body"))
			require.ErrorIs(t, err, http.ErrBodyNotAllowed)
			return nil
		})
		handled, err := b.Run(flowhook.After)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, status, b.Recorder.Code)
		require.Empty(t, b.Recorder.Body.String())
	}
}

func TestTheLastStatusThatThereIsCanBeGiven(t *testing.T) {
	b := flowtest.NewRunTest(t)
	b.Add(flowtest.LoginGate, "hook", flowtest.AnswerWith(999, "odd"))
	handled, err := b.Complete(nil)
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, 999, b.Recorder.Code)
}

func TestWhatIsReplacedIsNoticedWhereNothingIsWritten(t *testing.T) {
	for name, replace := range map[string]flowtest.Act{
		"the writer":  func(_ context.Context, x *flowhook.Exchange) error { x.Writer = httptest.NewRecorder(); return nil },
		"the request": func(_ context.Context, x *flowhook.Exchange) error { x.Request = flowtest.NewRequest(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			b.Add(flowtest.LoginAfter, "hook", replace)
			handled, err := b.Run(flowhook.After)
			require.False(t, handled)
			require.ErrorContains(t, err, "replaced the exchange")
			b.RequireUntouched()

			b = flowtest.NewRunTest(t)
			handled, err = b.Complete(func(ctx context.Context) error { return replace(ctx, b.Exchange) })
			require.False(t, handled)
			require.ErrorContains(t, err, "flowhook: save: replaced")
			b.RequireUntouched()
		})
	}
}

// hungUp is a writer whose client is gone.
type hungUp struct{ *httptest.ResponseRecorder }

func (hungUp) Write([]byte) (int, error) { return 0, net.ErrClosed }

func TestAnAnswerThatDoesNotReachTheClientIsLogged(t *testing.T) {
	for _, gone := range []bool{true, false} {
		b := flowtest.NewRunTest(t)
		if gone {
			b.Exchange.Writer = hungUp{b.Recorder}
		}
		b.Add(flowtest.LoginAfter, "hook", flowtest.AnswerWith(http.StatusOK, "body"))
		handled, err := b.Run(flowhook.After)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, gone, strings.Contains(b.Log.String(), "the answer did not reach the client"))
	}
}
