package acceptance_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// TestRaces_WriteWhileRunEnds lets a hook's goroutine write at about the moment when the run ends.
// The result of the write must agree with what the client gets.
func TestRaces_WriteWhileRunEnds(t *testing.T) {
	delivered := 0
	var spin atomic.Int64
	rounds := testkit.Times(t, 20000)
	for i := range rounds {
		b := flowtest.NewRunTest(t)
		b.Options.Store = nil
		wrote := make(chan error, 1)
		b.Add(flowtest.LoginAfter, "starts a goroutine", func(_ context.Context, x *flowhook.Exchange) error {
			w, started := x.Writer, new(atomic.Bool)
			go func() {
				started.Store(true)
				for range i % 128 { // a little later each time
					spin.Add(1)
				}
				_, err := w.Write([]byte("late"))
				wrote <- err
			}()
			for !started.Load() { // not giving way, so that the two run side by side
			}
			return nil
		})
		handled, err := b.Pipeline().Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
		late := <-wrote
		require.Equal(t, late == nil, handled)
		if handled {
			delivered++
			require.Equal(t, "late", b.Recorder.Body.String())
		} else {
			require.Empty(t, b.Recorder.Body.String())
		}
	}
	t.Logf("of %d writes, %d were in time", rounds, delivered)
}
