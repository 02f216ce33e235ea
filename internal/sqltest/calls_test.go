package sqltest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

const (
	countSessions = "SELECT count(*) FROM flowhook_sessions WHERE identity_id = ?"
	countTokens   = "SELECT count(*) FROM flowhook_verifications WHERE identity_id = ?"
	countRows     = "SELECT count(*) FROM host WHERE id = ?"
)

// calls are the calls whose messages are delayed, held, cut and counted.
var calls = []call{
	{name: "login", always: true, prepare: func(t testing.TB, direct *app, _ counter) work {
		return login(t, direct, nil, newID())
	}},
	{name: "login with an old cookie", always: true, prepare: func(t testing.TB, direct *app, _ counter) work {
		id := newID()
		_, cookies := direct.signedIn(t, id)
		return login(t, direct, cookies, id)
	}},
	{name: "registration", always: true, prepare: func(testing.TB, *app, counter) work {
		return registration()
	}},
	{name: "logout", always: true, alone: true, prepare: func(t testing.TB, direct *app, _ counter) work {
		id := newID()
		_, cookies := direct.signedIn(t, id)
		return work{
			do: func(ctx context.Context, a *app) error {
				return a.pipeline.Sessions().End(ctx, exchange(ctx, nil, cookies))
			},
			effects: []effect{{countSessions, []any{id}, 1, 0}},
		}
	}},
	{name: "logout in Complete", always: true, prepare: func(t testing.TB, direct *app, _ counter) work {
		id := newID()
		session, cookies := direct.signedIn(t, id)
		return work{
			do: func(ctx context.Context, a *app) error {
				x := exchange(ctx, &flowhook.Identity{ID: id}, cookies)
				x.Session = session
				return a.complete(ctx, flowhook.Logout, x, func(ctx context.Context) error {
					return a.pipeline.Sessions().End(ctx, x)
				})
			},
			effects: []effect{{countSessions, []any{id}, 1, 0}},
		}
	}},
	{name: "redeem", always: true, prepare: redemption},
	{name: "session read", prepare: func(t testing.TB, direct *app, _ counter) work {
		session, cookies := direct.signedIn(t, newID())
		return work{do: func(ctx context.Context, a *app) error {
			found, err := a.pipeline.Sessions().FromRequest(exchange(ctx, nil, cookies).Request)
			if err == nil && found.ID != session.ID {
				err = errors.New("found another session")
			}
			return err
		}}
	}},
	{name: "CreateToken", prepare: func(testing.TB, *app, counter) work {
		v := newToken(newID())
		return work{
			do: func(ctx context.Context, a *app) error {
				created, err := a.store.CreateToken(ctx, v, v.IssuedAt.Add(-time.Minute))
				if err == nil && !created {
					err = errors.New("no token was created")
				}
				return err
			},
			effects: []effect{{countTokens, []any{v.IdentityID}, 0, 1}},
		}
	}},
	{name: "CountAttempt", prepare: func(t testing.TB, _ *app, c counter) work {
		const attempts = "SELECT COALESCE(SUM(attempts), 0) FROM flowhook_attempts"
		v, before := newToken(newID()), c.count(t, attempts)
		return work{
			do: func(ctx context.Context, a *app) error {
				_, err := a.store.CountAttempt(ctx, v.Purpose, v.IdentityID, v.Address, v.IssuedAt)
				return err
			},
			effects: []effect{{attempts, nil, before, before + 1}},
		}
	}},
	{name: "DeleteSessions", alone: true, prepare: func(t testing.TB, direct *app, _ counter) work {
		id := newID()
		createSessions(t, direct, id)
		return work{
			do:      func(ctx context.Context, a *app) error { return a.store.DeleteSessions(ctx, id, "") },
			effects: []effect{{countSessions, []any{id}, 2, 0}},
		}
	}},
	{name: "DeleteSessions except one", alone: true, prepare: func(t testing.TB, direct *app, _ counter) work {
		id := newID()
		kept := createSessions(t, direct, id)
		return work{
			do:      func(ctx context.Context, a *app) error { return a.store.DeleteSessions(ctx, id, kept.ID) },
			effects: []effect{{countSessions, []any{id}, 2, 1}},
		}
	}},
	{name: "DeleteExpired", parts: true, prepare: deleteExpired},
}

// login revokes two sessions, and those of the cookies, and issues one.
func login(t testing.TB, direct *app, cookies []*http.Cookie, id string) work {
	t.Helper()
	createSessions(t, direct, id)
	return work{
		do: func(ctx context.Context, a *app) error {
			x := exchange(ctx, &flowhook.Identity{ID: id}, cookies)
			return a.complete(ctx, flowhook.Login, x, func(ctx context.Context) error { return a.insert(ctx, id) })
		},
		effects: []effect{
			{countSessions, []any{id}, 2 + len(cookies), 1},
			{countRows, []any{id}, 0, 1},
		},
	}
}

// registration issues a session and a token. With an outbox, the email is a row of the host's.
func registration() work {
	id := newID()
	address := flowhook.Address{Via: "email", Value: id + "@example.org"}
	return work{
		do: func(ctx context.Context, a *app) error {
			x := exchange(ctx, &flowhook.Identity{ID: id, Addresses: []flowhook.Address{address}}, nil)
			return a.complete(ctx, flowhook.Registration, x, func(ctx context.Context) error { return a.insert(ctx, id) })
		},
		effects: []effect{
			{countSessions, []any{id}, 0, 1},
			{countTokens, []any{id}, 0, 1},
			{countRows, []any{id}, 0, 1},
		},
	}
}

// redemption uses a token and updates a row of the host's.
func redemption(t testing.TB, direct *app, _ counter) work {
	t.Helper()
	id, secret := newID(), (newID() + newID())[:43]
	v := newToken(id)
	v.Hash = hashOf(secret)
	_, err := direct.store.CreateToken(testContext(t), v, v.IssuedAt)
	require.NoError(t, err)
	require.NoError(t, direct.store.Transaction(testContext(t), id, func(ctx context.Context) error {
		return direct.insert(ctx, id)
	}))
	return work{
		do: func(ctx context.Context, a *app) error {
			return a.pipeline.Redeem(ctx, secret, func(ctx context.Context, v flowhook.Token) error {
				return a.exec(ctx, "UPDATE host SET v = 1 WHERE id = ?", v.IdentityID)
			})
		},
		effects: []effect{
			{countRows + " AND v = 1", []any{id}, 0, 1},
			{countTokens + " AND used = true", []any{id}, 0, 1},
		},
	}
}

// deleteExpired deletes a session, a token and a count of attempts.
func deleteExpired(t testing.TB, direct *app, _ counter) work {
	t.Helper()
	id, past := newID(), time.Now().Add(-time.Hour)
	session, v := newSession(id), newToken(id)
	session.ExpiresAt, v.IssuedAt, v.ExpiresAt = past, past.Add(-time.Hour), past
	require.NoError(t, direct.store.CreateSession(testContext(t), session))
	_, err := direct.store.CreateToken(testContext(t), v, v.IssuedAt)
	require.NoError(t, err)
	_, err = direct.store.CountAttempt(testContext(t), v.Purpose, id, v.Address, past)
	require.NoError(t, err)
	return work{
		do: func(ctx context.Context, a *app) error {
			deleted, err := a.store.DeleteExpired(ctx, past, 1000)
			if err == nil && deleted < 3 {
				err = fmt.Errorf("deleted %d rows", deleted)
			}
			return err
		},
		effects: []effect{
			{countSessions, []any{id}, 1, 0},
			{countTokens, []any{id}, 1, 0},
			{"SELECT count(*) FROM flowhook_attempts WHERE expires_at = ?", []any{past.UnixMicro()}, 1, 0}, // its own
		},
	}
}

// createSessions stores two sessions of an identity and returns one.
func createSessions(t testing.TB, direct *app, identityID string) flowhook.Session {
	t.Helper()
	one := newSession(identityID)
	require.NoError(t, direct.store.CreateSession(testContext(t), one))
	require.NoError(t, direct.store.CreateSession(testContext(t), newSession(identityID)))
	return one
}

// newToken returns a token of an identity that is valid for an hour.
func newToken(identityID string) flowhook.Token {
	now := time.Now()
	return flowhook.Token{
		Hash: hashOf(newID()), Purpose: flowhook.PurposeVerification, IdentityID: identityID,
		Address:  flowhook.Address{Via: "email", Value: identityID + "@example.org"},
		IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}
}
