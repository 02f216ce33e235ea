package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// serveWith is serve with a hook at a phase of registration and login.
func serveWith(
	t *testing.T, db database, phase flowhook.Phase, hook func(ctx context.Context, s *service) error,
) (base string, s *service) {
	t.Helper()
	add := func(cfg *flowhook.Config) {
		for _, flow := range []flowhook.Flow{flowhook.Registration, flowhook.Login} {
			cfg.Add(flowhook.Point{Flow: flow, Phase: phase}, "test",
				flowhook.HookFunc(func(ctx context.Context, _ *flowhook.Exchange) error { return hook(ctx, s) }))
		}
	}
	base, s, _ = serve(t, db, add)
	return base, s
}

// What a visitor's session has is in the session of the signed-in user, which has another token.
func TestSignIn_KeepsData(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, s, _ := serve(t, open(t))
		d := newDevice(t, base)
		require.Equal(t, "visit 1", d.get("/visits"))
		visitor := d.cookies()[0].Value
		require.Equal(t, "welcome", d.post("/registration", newAlice))
		require.NotEqual(t, visitor, d.cookies()[0].Value)
		require.Equal(t, "visit 2", d.get("/visits"))
		require.Equal(t, "hello", d.post("/login", alice))
		require.Equal(t, "visit 3", d.get("/visits"))
		require.Equal(t, isAlice, d.get("/whoami"))
		require.Zero(t, s.sessionsOf(t, ""))
		require.Equal(t, 1, s.sessionsOf(t, "alice"))
	})
}

func TestSignIn_PutBefore(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, s := serveWith(t, open(t), flowhook.Before, func(ctx context.Context, s *service) error {
			s.sessions.Put(ctx, "visits", 7)
			return nil
		})
		d := newDevice(t, base)
		require.Equal(t, "welcome", d.post("/registration", newAlice))
		require.Equal(t, "visit 8", d.get("/visits"))
		require.Equal(t, isAlice, d.get("/whoami"))
		require.Equal(t, "hello", d.post("/login", alice))
		require.Equal(t, "visit 8", d.get("/visits"))
		require.Zero(t, s.sessionsOf(t, ""))
	})
}

// What is put into the old session after the new one was issued does not bring it back.
func TestSignIn_PutAfter(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, s := serveWith(t, open(t), flowhook.After, func(ctx context.Context, s *service) error {
			s.sessions.Put(ctx, "visits", 7)
			return nil
		})
		d := newDevice(t, base)
		require.Equal(t, "welcome", d.post("/registration", newAlice))
		require.Equal(t, isAlice, d.get("/whoami"))
		require.Equal(t, "hello", d.post("/login", alice))
		require.Equal(t, isAlice, d.get("/whoami"))
		require.Equal(t, "visit 1", d.get("/visits"))
		require.Zero(t, s.sessionsOf(t, ""))
		require.Equal(t, 1, s.sessionsOf(t, "alice"))
	})
}

func TestSignIn_OtherUser(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _, _ := serve(t, open(t))
		d := newDevice(t, base)
		require.Equal(t, "welcome", newDevice(t, base).post("/registration", newAlice))
		require.Equal(t, "welcome", d.post("/registration", "name=bob&email=bob@example.org&password=correct-horse"))
		require.Equal(t, "visit 1", d.get("/visits"))
		require.Equal(t, "hello", d.post("/login", alice))
		require.Equal(t, "visit 1", d.get("/visits"), "it has the data of bob")
	})
}

// LoadAndSave stores what a failed sign-in has put into the session, but without the user.
func TestSignIn_FailsAfterPut(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		var fail error
		base, s := serveWith(t, open(t), flowhook.After, func(ctx context.Context, s *service) error {
			if fail != nil {
				s.sessions.Put(ctx, "visits", 7)
			}
			return fail
		})
		phone := newDevice(t, base)
		require.Equal(t, "welcome", phone.post("/registration", newAlice))

		fail = refusal("not today")
		d := newDevice(t, base)
		require.Equal(t, "not today", d.post("/login", alice))
		require.Zero(t, s.sessionsOf(t, "alice")-1)
		require.Equal(t, anonymous, d.get("/whoami"))
		require.Equal(t, "visit 8", d.get("/visits"))
		require.Equal(t, "not today", d.post("/login", alice))
		require.Equal(t, anonymous, d.get("/whoami"))

		require.Equal(t, isAlice, phone.get("/whoami"))
		before := phone.cookies()
		require.Equal(t, "not today", phone.post("/login", alice))
		require.Equal(t, before[0].Value, phone.cookies()[0].Value)
		require.Equal(t, isAlice, phone.get("/whoami"), "a failed sign-in must not end the old session")
	})
}

// A session that is revoked during a failing sign-in stays revoked.
func TestSignIn_RevokedMeanwhile(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		for _, fail := range []error{nil, refusal("not today")} {
			base, s := serveWith(t, open(t), flowhook.Before, func(ctx context.Context, s *service) error {
				if s.sessions.GetString(ctx, userKey) == "" {
					return nil
				}
				s.sessions.Put(ctx, "visits", 7)
				return s.sessions.DeleteSessions(context.WithoutCancel(ctx), "alice", "")
			})
			d := newDevice(t, base)
			require.Equal(t, "welcome", d.post("/registration", newAlice))
			form := alice
			if fail != nil {
				form = "name=alice&password=wrong"
			}
			d.post("/login", form)
			want := 1
			if fail != nil {
				want = 0
			}
			require.Equal(t, want, s.sessionsOf(t, "alice"))
		}
	})
}

func TestIssue_NotBelowLoadAndSave(t *testing.T) {
	_, s, _ := serve(t, newMemory())
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}}
	require.ErrorContains(t, s.sessions.issue(t.Context(), x), "LoadAndSave")
}

// The two managers do not write two cookies.
func TestSignIn_OneCookie(t *testing.T) {
	everyDatabase(t, func(t *testing.T, open func(t *testing.T) database) {
		base, _ := serveWith(t, open(t), flowhook.After, func(ctx context.Context, s *service) error {
			s.sessions.Put(ctx, "visits", 7)
			return nil
		})
		d := newDevice(t, base)
		for _, path := range []string{"/registration", "/login"} {
			res, err := d.PostForm(base+path, map[string][]string{
				"name": {"alice"}, "email": {"alice@example.org"}, "password": {"correct-horse"},
			})
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.Len(t, res.Header.Values("Set-Cookie"), 1)
		}
	})
}
