package flowhook_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

const sessionHookYAML = "selfservice: {login: {after: [{hook: session}]}}\n"

// When the session hook signs somebody in, and when somebody else has done so.
func TestTheSessionHookIssuesOnce(t *testing.T) {
	type step = func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error
	issue := func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.Issue(ctx, x) }
	create := func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error {
		_, err := d.Create(ctx, x)
		return err
	}
	end := func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.End(ctx, x) }
	become := func(id string) step {
		return func(_ context.Context, _ *flowtest.SessionTest, x *flowhook.Exchange) error {
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
				d := flowtest.NewSessionTest(t, sessionHookYAML)
				v := flowtest.NewVisitor("alice")
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
				require.NoError(t, d.CompleteLogin(v, save))
				require.Len(t, flowtest.SetCookies(v), row.lines)
				require.NotNil(t, v.Session)
				require.Equal(t, row.live, d.LiveSessions("alice", "bob"))
			})
		}
	}

	t.Run("twice in one chain", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: {password: {hooks: [{hook: session}]}, hooks: [{hook: session}, {hook: session}]}}}\n")
		v := flowtest.NewVisitor("alice")
		require.NoError(t, d.CompleteLogin(v, nil))
		require.Len(t, flowtest.SetCookies(v), 1)
		require.Equal(t, map[string]int{"alice": 1}, d.LiveSessions("alice"))
	})

	t.Run("again where the run that issued it failed", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, sessionHookYAML)
		v := flowtest.NewVisitor("alice")
		errNo := errors.New("no")
		require.ErrorIs(t, d.CompleteLogin(v, func(ctx context.Context) error {
			require.NoError(t, d.Issue(ctx, v.Exchange))
			return errNo
		}), errNo)
		require.Nil(t, v.Session)
		require.Empty(t, flowtest.SetCookies(v))
		require.Empty(t, d.LiveSessions("alice"))
		require.NoError(t, d.CompleteLogin(v, nil))
		require.Equal(t, map[string]int{"alice": 1}, d.LiveSessions("alice"))
	})

	t.Run("not without an identity", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, sessionHookYAML)
		err := d.CompleteLogin(flowtest.NewVisitor(""), nil)
		require.ErrorIs(t, err, flowhook.ErrNoIdentity)
		var hookError *flowhook.HookError
		require.ErrorAs(t, err, &hookError)
		require.Equal(t, "session", hookError.Name)
	})
}

func TestOptionsIssueReplacesTheSessionHooksWork(t *testing.T) {
	errNo := errors.New("no session today")
	for _, fails := range []bool{false, true} {
		called := 0
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: session}, {hook: session}]}}\n", func(d *flowtest.SessionTest) {
			d.Options.Issue = func(_ context.Context, x *flowhook.Exchange) error {
				called++
				require.Equal(t, "alice", x.Identity.ID)
				if fails {
					return errNo
				}
				x.Session = &flowhook.Session{ID: "the host's own", IdentityID: "alice"}
				return nil
			}
		})
		v := flowtest.NewVisitor("alice")
		err := d.CompleteLogin(v, nil)
		require.Equal(t, 1, called)
		require.Empty(t, flowtest.SetCookies(v))
		require.Empty(t, d.Store.Take())
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
		call func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error
	}{
		{"Issue", func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.Issue(ctx, x) }},
		{"Create", func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error {
			_, err := d.Create(ctx, x)
			return err
		}},
		{"End", func(ctx context.Context, d *flowtest.SessionTest, x *flowhook.Exchange) error { return d.End(ctx, x) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := flowtest.NewSessionTest(t, "")
			cookie, _ := d.SignIn("alice")
			d.Store.Take()
			v := flowtest.NewVisitor("alice", cookie)
			soon, cancel := context.WithTimeout(context.Background(), 10*time.Second) // what is not noticed waits for the transaction
			defer cancel()
			outside := flowhook.NewContext(soon, v.Exchange)
			other := flowtest.NewVisitor("bob")
			for name, ctx := range map[string]context.Context{"another": soon, "the request's": outside} {
				err := d.CompleteLogin(v, func(context.Context) error { return row.call(ctx, d, v.Exchange) })
				require.ErrorContains(t, err, "the context is not the transaction's", name)
				require.Empty(t, d.Store.Take())
				require.Empty(t, flowtest.SetCookies(v))
				require.Equal(t, "alice", d.IdentityOf(cookie))
				d.Store.Take()
			}
			err := d.CompleteLogin(other, func(ctx context.Context) error { // the transaction of another exchange
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				defer cancel()
				return d.CompleteLogin(v, func(context.Context) error { return row.call(ctx, d, v.Exchange) })
			})
			require.ErrorContains(t, err, "the context is not the transaction's")
			require.Empty(t, d.Store.Take())

			require.NoError(t, d.CompleteLogin(v, func(ctx context.Context) error {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				return row.call(child, d, v.Exchange)
			}), "a context derived from the transaction's is inside it")
		})
	}
}
