package hooktest_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// A store that is down, once it is told to.
type down struct {
	*memstore.Store
	err error
}

func (d *down) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	if d.err != nil {
		return flowhook.Session{}, d.err
	}
	return d.Store.FindSession(ctx, id)
}

func TestRig_StoreFails(t *testing.T) {
	store := &down{Store: memstore.New()}
	got := under(t, func(fake testing.TB) {
		opts := options()
		opts.Store = store
		rig := hooktest.New(fake, "testdata/auth.yml", opts)
		issued := rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), nil)
		require.NotNil(t, issued.SignedIn)
		store.err = errors.New("the store is down")
		require.Empty(t, rig.Sessions("alice"))
		rig.Complete(flowhook.Registration, flowhook.Password, exchange("bob"), nil)
	})
	requireEach(t, got.errors, []string{"finding sessions", "down"}, []string{"finding sessions", "down"}, []string{"finding sessions", "down"},
		[]string{"reading the session from the response", "down"})
}

func TestRig_WithoutSessionStore(t *testing.T) {
	rig := hooktest.NewWith(t, nil, flowhook.Options{Store: struct{ flowhook.Store }{memstore.New()}})
	x := exchange("alice")
	x.Session = &flowhook.Session{ID: "its own", IdentityID: "alice"}
	require.Empty(t, rig.Complete(flowhook.Settings, flowhook.Profile, x, nil).Sessions)
}

// In whichever order the rig has come across them.
func TestSessions_OldestFirst(t *testing.T) {
	rig := hooktest.NewWith(t, nil, flowhook.Options{})
	store, now := rig.Store.(flowhook.SessionStore), rig.Clock.Now()
	for i, id := range []string{"newer", "older"} {
		s := flowhook.Session{ID: id, IdentityID: "alice", IssuedAt: now.Add(-time.Duration(i) * time.Hour), ExpiresAt: now.Add(time.Hour)}
		require.NoError(t, store.CreateSession(t.Context(), s))
		x := exchange("alice")
		x.Session = &s
		rig.Complete(flowhook.Settings, flowhook.Profile, x, nil)
	}
	sessions := rig.Sessions("alice")
	require.Len(t, sessions, 2)
	require.Equal(t, "older", sessions[0].ID)
}

// What a test runs on the pipeline itself is no run of the rig's.
func TestRig_PipelineAlone(t *testing.T) {
	rig := newRig(t)
	x := exchange("alice")
	x.Writer, x.Request = httptest.NewRecorder(), post()
	_, err := rig.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.Password, nil)
	require.NoError(t, err)
	require.NotNil(t, x.Session)
	require.Equal(t, []string{"refuse", "session", "verify"}, rig.Complete(flowhook.Registration, flowhook.Password, exchange("bob"), nil).Ran)
}
