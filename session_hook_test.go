package flowhook_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

const sessionHookYAML = "selfservice: {login: {after: [{hook: session}]}}\n"

// When the session hook signs somebody in, and when somebody else has done so.
func TestTheSessionHookIssuesOnce(t *testing.T) {
	type step = func(ctx context.Context, d *desk, x *flowhook.Exchange) error
	issue := func(ctx context.Context, d *desk, x *flowhook.Exchange) error { return d.Issue(ctx, x) }
	create := func(ctx context.Context, d *desk, x *flowhook.Exchange) error { _, err := d.Create(ctx, x); return err }
	end := func(ctx context.Context, d *desk, x *flowhook.Exchange) error { return d.End(ctx, x) }
	become := func(id string) step {
		return func(_ context.Context, _ *desk, x *flowhook.Exchange) error {
			x.Identity = &flowhook.Identity{ID: id}
			return nil
		}
	}
	for _, row := range []struct {
		name  string
		steps []step
		live  map[string]int // sessions of each identity in the end
		lines int
	}{
		{"where nobody has", nil, map[string]int{"alice": 1}, 1},
		{"not after Issue", []step{issue}, map[string]int{"alice": 1}, 1},
		{"not after Create", []step{create}, map[string]int{"alice": 1}, 0},
		{"again after End", []step{issue, end}, map[string]int{"alice": 1}, 1},
		{"for another identity", []step{issue, become("bob")}, map[string]int{"bob": 1}, 1},
		{"for the first identity, after another", []step{issue, become("bob"), issue, become("alice")}, map[string]int{"alice": 1}, 1},
	} {
		for _, inSave := range []bool{true, false} {
			where := " in save"
			if !inSave {
				where = " before the run"
			}
			t.Run(row.name+where, func(t *testing.T) {
				d := newDesk(t, sessionHookYAML)
				v := visit("alice")
				steps := func(ctx context.Context) error {
					for _, s := range row.steps {
						if err := s(ctx, d, v.Exchange); err != nil {
							return err
						}
					}
					return nil
				}
				save := steps
				if !inSave {
					require.NoError(t, steps(t.Context()))
					save = nil
				}
				require.NoError(t, d.complete(v, save))
				require.Len(t, setCookies(v), row.lines)
				require.NotNil(t, v.Session)
				require.Equal(t, row.live, d.live("alice", "bob"))
			})
		}
	}

	t.Run("twice in one chain", func(t *testing.T) {
		d := newDesk(t, "selfservice: {login: {after: {password: {hooks: [{hook: session}]}, hooks: [{hook: session}, {hook: session}]}}}\n")
		v := visit("alice")
		require.NoError(t, d.complete(v, nil))
		require.Len(t, setCookies(v), 1)
		require.Equal(t, map[string]int{"alice": 1}, d.live("alice"))
	})

	t.Run("again where the run that issued it failed", func(t *testing.T) {
		d := newDesk(t, sessionHookYAML)
		v := visit("alice")
		errNo := errors.New("no")
		require.ErrorIs(t, d.complete(v, func(ctx context.Context) error {
			require.NoError(t, d.Issue(ctx, v.Exchange))
			return errNo
		}), errNo)
		require.Nil(t, v.Session)
		require.Empty(t, setCookies(v))
		require.Empty(t, d.live("alice"))
		require.NoError(t, d.complete(v, nil))
		require.Equal(t, map[string]int{"alice": 1}, d.live("alice"))
	})

	t.Run("not without an identity", func(t *testing.T) {
		d := newDesk(t, sessionHookYAML)
		err := d.complete(visit(""), nil)
		require.ErrorIs(t, err, flowhook.ErrNoIdentity)
		var hookError *flowhook.HookError
		require.ErrorAs(t, err, &hookError)
		require.Equal(t, "session", hookError.Name)
	})
}

// live counts the sessions that the store has created, and has not lost, of each identity; none is left out.
func (d *desk) live(identities ...string) map[string]int {
	d.t.Helper()
	d.store.mu.Lock()
	calls := append([]string(nil), d.store.calls...)
	d.store.mu.Unlock()
	count := map[string]int{}
	for _, c := range calls {
		var id string
		if n := len("CreateSession "); len(c) > n && c[:n] == "CreateSession " {
			id = c[n:]
		}
		if s, err := d.store.Store.FindSession(d.t.Context(), id); err == nil {
			require.Contains(d.t, identities, s.IdentityID)
			count[s.IdentityID]++
		}
	}
	return count
}

func TestOptionsIssueReplacesTheSessionHooksWork(t *testing.T) {
	errNo := errors.New("no session today")
	for _, fails := range []bool{false, true} {
		called := 0
		d := newDesk(t, "selfservice: {login: {after: [{hook: session}, {hook: session}]}}\n", func(d *desk) {
			d.opts.Issue = func(_ context.Context, x *flowhook.Exchange) error {
				called++
				require.Equal(t, "alice", x.Identity.ID)
				if fails {
					return errNo
				}
				x.Session = &flowhook.Session{ID: "the host's own", IdentityID: "alice"}
				return nil
			}
		})
		v := visit("alice")
		err := d.complete(v, nil)
		require.Equal(t, 1, called)
		require.Empty(t, setCookies(v))
		require.Empty(t, d.store.take())
		if fails {
			require.ErrorIs(t, err, errNo)
			require.Nil(t, v.Session)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "the host's own", v.Session.ID)
	}
}

// A context that is not the transaction's would let a session stand that the transaction takes back.
func TestSessionsNoticeAContextFromOutsideTheTransaction(t *testing.T) {
	for _, row := range []struct {
		name string
		call func(ctx context.Context, d *desk, x *flowhook.Exchange) error
	}{
		{"Issue", func(ctx context.Context, d *desk, x *flowhook.Exchange) error { return d.Issue(ctx, x) }},
		{"Create", func(ctx context.Context, d *desk, x *flowhook.Exchange) error { _, err := d.Create(ctx, x); return err }},
		{"End", func(ctx context.Context, d *desk, x *flowhook.Exchange) error { return d.End(ctx, x) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t, "")
			cookie, _ := d.signIn("alice")
			d.store.take()
			v := visit("alice", cookie)
			soon, cancel := context.WithTimeout(context.Background(), 10*time.Second) // what is not noticed waits for the transaction
			defer cancel()
			outside := flowhook.NewContext(soon, v.Exchange)
			other := visit("bob")
			for name, ctx := range map[string]context.Context{"another": soon, "the request's": outside} {
				err := d.complete(v, func(context.Context) error { return row.call(ctx, d, v.Exchange) })
				require.ErrorContains(t, err, "context", name)
				require.Empty(t, d.store.take())
				require.Empty(t, setCookies(v))
				require.Equal(t, "alice", d.who(cookie))
				d.store.take()
			}
			err := d.complete(other, func(ctx context.Context) error { // the transaction of another exchange
				return d.complete(v, func(context.Context) error { return row.call(ctx, d, v.Exchange) })
			})
			require.ErrorContains(t, err, "context")
			require.Empty(t, d.store.take())

			require.NoError(t, d.complete(v, func(ctx context.Context) error {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				return row.call(child, d, v.Exchange)
			}), "a context derived from the transaction's is inside it")
		})
	}
}
