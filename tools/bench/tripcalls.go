package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
)

// A service is one whose calls are counted. It has a table of its own.
type service struct {
	store    flowhook.Store
	exec     hostExec
	pipeline *flowhook.Pipeline
}

func newService(t testing.TB, store flowhook.Store, exec hostExec) *service {
	cfg := new(flowhook.Config)
	for flow, hooks := range map[flowhook.Flow][]string{
		flowhook.Login:        {"revoke_active_sessions", "session"},
		flowhook.Registration: {"session", "verify"},
	} {
		for _, name := range hooks {
			cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.After, Strategy: flowhook.Password}, name, nil)
		}
	}
	return &service{store, exec, pipeline(t, cfg, flowhook.Options{Store: store, Secrets: []string{secret},
		Courier: noCourier{}, VerificationURL: "https://auth.example/verify"})}
}

// The emails of a service take no statement.
type noCourier struct{}

func (noCourier) Send(context.Context, flowhook.Message) error { return nil }

const hostTable = "CREATE TABLE host (id varchar(64) PRIMARY KEY, v integer NOT NULL)"

func (s *service) insert(ctx context.Context, id string) error {
	return s.exec(ctx, "INSERT INTO host (id, v) VALUES (?, 0)", id)
}

// A counted call prepares one call, which is then counted.
type counted struct {
	name    string
	prepare func(t testing.TB, s *service) work
}

// work is one call.
type work func(ctx context.Context) error

var countedCalls = []counted{
	{"login that ends a session, and an INSERT of yours", loginElsewhere},
	{"login that ends the one of an old cookie, and an INSERT", loginAgain},
	{"registration with `session` and `verify`, and an INSERT", registration},
	{"logout: `Sessions.End`", logout},
	{"logout: `Sessions.End` in `Complete`", logoutInComplete},
	{"`Redeem`, and an UPDATE of yours", redemption},
	{"`Sessions.FromRequest`", sessionRead},
}

func loginElsewhere(t testing.TB, s *service) work {
	v := newVisitor(t, s, true)
	v.cookies = nil // the session is that of another browser
	return s.login(v)
}

func loginAgain(t testing.TB, s *service) work { return s.login(newVisitor(t, s, true)) }

func registration(t testing.TB, s *service) work {
	v := newVisitor(t, s, false)
	return s.complete(flowhook.Registration, v, func(ctx context.Context) error { return s.insert(ctx, v.ID) })
}

func logout(t testing.TB, s *service) work {
	v := newVisitor(t, s, true)
	return func(ctx context.Context) error { return s.pipeline.Sessions().End(ctx, v.exchange(ctx)) }
}

func logoutInComplete(t testing.TB, s *service) work {
	v := newVisitor(t, s, true)
	return s.complete(flowhook.Logout, v, func(ctx context.Context) error {
		x, _ := flowhook.FromContext(ctx)
		return s.pipeline.Sessions().End(ctx, x)
	})
}

func sessionRead(t testing.TB, s *service) work {
	v := newVisitor(t, s, true)
	return func(ctx context.Context) error {
		found, err := s.pipeline.Sessions().FromRequest(v.exchange(ctx).Request)
		if err == nil && found.IdentityID != v.ID {
			err = errWrong
		}
		return err
	}
}

func (s *service) login(v visitor) work {
	return s.complete(flowhook.Login, v, func(ctx context.Context) error { return s.insert(ctx, v.ID) })
}

// complete returns a call that completes a flow and is not answered by a hook.
func (s *service) complete(flow flowhook.Flow, v visitor, save func(ctx context.Context) error) work {
	return func(ctx context.Context) error {
		handled, err := s.pipeline.Complete(flowhook.NewContext(ctx, v.exchange(ctx)), flow, flowhook.Password, save)
		if err == nil && handled {
			err = errors.New("a hook has answered")
		}
		return err
	}
}

func redemption(t testing.TB, s *service) work {
	ctx, v, now := context.Background(), newVisitor(t, s, false), time.Now()
	link := (rand.Text() + rand.Text())[:43]
	hash := sha256.Sum256([]byte(link))
	created, err := s.store.(flowhook.TokenStore).CreateToken(ctx, flowhook.Token{
		Hash: hash[:], Purpose: flowhook.PurposeVerification, IdentityID: v.ID, Address: v.Addresses[0],
		IssuedAt: now, ExpiresAt: now.Add(time.Hour),
	}, now.Add(-time.Minute))
	must(t, err)
	if !created {
		t.Fatal("no token was created")
	}
	return func(ctx context.Context) error {
		return s.pipeline.Redeem(ctx, link, func(ctx context.Context, token flowhook.Token) error {
			return s.exec(ctx, "UPDATE host SET v = 1 WHERE id = ?", token.IdentityID)
		})
	}
}

// A visitor is a user, with the cookie of a session or without.
type visitor struct {
	*flowhook.Identity
	cookies []*http.Cookie
}

func newVisitor(t testing.TB, s *service, signedIn bool) visitor {
	id := rand.Text()
	addresses := []flowhook.Address{{Via: "email", Value: id + "@example.org"}}
	v := visitor{Identity: &flowhook.Identity{ID: id, Addresses: addresses}}
	if signedIn {
		x := v.exchange(context.Background())
		must(t, s.pipeline.Sessions().Issue(context.Background(), x))
		v.cookies = x.Writer.(*httptest.ResponseRecorder).Result().Cookies()
	}
	return v
}

func (v visitor) exchange(ctx context.Context) *flowhook.Exchange {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://auth.example/", nil)
	for _, c := range v.cookies {
		r.AddCookie(c)
	}
	return &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: r, Identity: v.Identity}
}
