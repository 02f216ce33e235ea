package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/gorilla/sessions"
	"github.com/pocketbase/pocketbase/tools/hook"
)

// Both kinds of session are signed with HMAC-SHA-256 and not encrypted. Their cookie has this name
// and the attributes Path=/, Secure, HttpOnly and SameSite=Lax, and lasts until the browser is
// closed.
const (
	cookieName = "__Host-session"
	secret     = "a secret of the benchmarks, as long as a block of SHA-256 is.   "
	identityID = "7f8c4a52-31de-4d6b-9d8e-5a0f7c1b2e93"
)

// hooks is the number of hooks in a chain, on both sides.
const hooks = 3

// flowhookRequest serves a login by password with three empty hooks: Middleware, with a fresh
// exchange, and Complete.
func flowhookRequest(b *testing.B) {
	p := threeHooks(b)
	who := exchange().Identity
	handler := p.Middleware(flowhook.Login)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x, _ := flowhook.FromContext(r.Context())
		x.Identity = who
		if handled, err := p.Complete(r.Context(), flowhook.Login, flowhook.Password, nil); handled || err != nil {
			b.Fatal(handled, err)
		}
	}))
	w, r := httptest.NewRecorder(), request()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(w, r)
	}
}

// flowhookRun runs three empty hooks on a fresh exchange.
func flowhookRun(b *testing.B) {
	p, x := threeHooks(b), exchange()
	b.ReportAllocs()
	for b.Loop() {
		handled, err := p.Run(next(x), flowhook.Login, flowhook.After, flowhook.Password)
		if handled || err != nil {
			b.Fatal(handled, err)
		}
	}
}

// threeHooks returns a pipeline with three empty hooks after a login by password.
func threeHooks(b *testing.B) *flowhook.Pipeline {
	cfg := new(flowhook.Config)
	for i := range hooks {
		after := flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}
		cfg.Add(after, fmt.Sprint("empty ", i), empty)
	}
	return pipeline(b, cfg, flowhook.Options{})
}

// next returns a context with a fresh exchange, as each request has one.
func next(x *flowhook.Exchange) context.Context {
	fresh := &flowhook.Exchange{Writer: x.Writer, Request: x.Request, Identity: x.Identity}
	return flowhook.NewContext(context.Background(), fresh)
}

// pocketbaseRequest triggers a hook with three empty handlers, with a fresh event each time.
func pocketbaseRequest(b *testing.B) {
	type login struct {
		hook.Event
		Identity *flowhook.Identity
	}
	var after hook.Hook[*login]
	for range hooks {
		after.BindFunc(func(e *login) error { return e.Next() })
	}
	who := exchange().Identity
	b.ReportAllocs()
	for b.Loop() {
		if err := after.Trigger(&login{Identity: who}); err != nil {
			b.Fatal(err)
		}
	}
}

// flowhookPoints returns a benchmark that runs n points in turn, each with one empty hook.
func flowhookPoints(n int) func(b *testing.B) {
	return func(b *testing.B) {
		const perFlow = 100
		var o flowhook.Options
		points := make([]flowhook.Point, n)
		cfg := new(flowhook.Config)
		for i := range points {
			if i%perFlow == 0 {
				o.Flows = append(o.Flows, flowhook.Flow(fmt.Sprintf("flow_%02d", i/perFlow)))
			}
			if i < perFlow {
				o.Strategies = append(o.Strategies, flowhook.Strategy(fmt.Sprintf("strategy_%02d", i)))
			}
			points[i] = flowhook.Point{Flow: o.Flows[i/perFlow], Phase: flowhook.After, Strategy: o.Strategies[i%perFlow]}
			cfg.Add(points[i], "empty", empty)
		}
		p := pipeline(b, cfg, o)
		x := exchange()
		i := 0
		b.ReportAllocs()
		for b.Loop() {
			at := &points[i]
			if i++; i == n {
				i = 0
			}
			if handled, err := p.Run(next(x), at.Flow, at.Phase, at.Strategy); handled || err != nil {
				b.Fatal(handled, err)
			}
		}
	}
}

// flowhookRead finds the session of a request in memstore.
func flowhookRead(b *testing.B) {
	s := signer(b)
	x := exchange()
	if err := s.Issue(context.Background(), x); err != nil {
		b.Fatal(err)
	}
	r := signedIn(x.Writer.Header())
	b.ReportAllocs()
	for b.Loop() {
		if found, err := s.FromRequest(fresh(r)); err != nil || found.IdentityID != identityID {
			b.Fatal(err)
		}
	}
}

// gorillaRead reads one value from the session in a request's cookie.
func gorillaRead(b *testing.B) {
	s := cookieStore()
	w := httptest.NewRecorder()
	if err := save(s, request(), w); err != nil {
		b.Fatal(err)
	}
	r := signedIn(w.Header())
	b.ReportAllocs()
	for b.Loop() {
		found, err := s.Get(fresh(r), cookieName)
		if id, _ := found.Values["identity"].(string); err != nil || id != identityID {
			b.Fatal(err)
		}
	}
}

// flowhookIssue signs in an identity without a session. Each session expires before the next one is
// issued, so that memstore drops it and does not grow.
func flowhookIssue(b *testing.B) { issue(b, 25*time.Hour, false) }

// flowhookReissue signs in an identity that is signed in. The old session ends in the same
// transaction.
func flowhookReissue(b *testing.B) { issue(b, 0, true) }

func issue(b *testing.B, later time.Duration, ends bool) {
	now := time.Now()
	s := pipeline(b, new(flowhook.Config), flowhook.Options{Store: memstore.New(), Secrets: []string{secret},
		Now: func() time.Time { return now }}).Sessions()
	first := exchange()
	var old *flowhook.Session
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(later)
		x := &flowhook.Exchange{Writer: first.Writer, Request: fresh(first.Request), Identity: first.Identity, Session: old}
		clear(x.Writer.Header())
		if err := s.Issue(context.Background(), x); err != nil {
			b.Fatal(err)
		}
		if ends {
			old = x.Session
		}
	}
}

// gorillaIssue saves a new session with one value.
func gorillaIssue(b *testing.B) {
	s := cookieStore()
	r, w := request(), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.Header())
		if err := save(s, fresh(r), w); err != nil {
			b.Fatal(err)
		}
	}
}

// fresh returns a new request like r. gorilla's Get keeps a decoded session with its request, so
// each round has a request of its own, on both sides.
func fresh(r *http.Request) *http.Request {
	next := *r
	return &next
}

var empty = flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return nil })

func pipeline(b testing.TB, cfg *flowhook.Config, o flowhook.Options) *flowhook.Pipeline {
	o.Logger = slog.New(slog.DiscardHandler) // of findings
	p, err := flowhook.New(cfg, o)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func signer(b *testing.B) *flowhook.Sessions {
	opts := flowhook.Options{Store: memstore.New(), Secrets: []string{secret}}
	return pipeline(b, new(flowhook.Config), opts).Sessions()
}

func exchange() *flowhook.Exchange {
	return &flowhook.Exchange{
		Writer:  httptest.NewRecorder(),
		Request: request(),
		Identity: &flowhook.Identity{ID: identityID, Addresses: []flowhook.Address{
			{Via: "email", Value: "ada@example.com", Verified: true}, {Via: "email", Value: "lovelace@example.com"}}},
	}
}

func request() *http.Request { return &http.Request{Method: http.MethodPost, Header: http.Header{}} }

// signedIn returns a request with the cookie of a response.
func signedIn(response http.Header) *http.Request {
	r := request()
	for _, c := range (&http.Response{Header: response}).Cookies() {
		r.AddCookie(c)
	}
	return r
}

func cookieStore() *sessions.CookieStore {
	s := sessions.NewCookieStore([]byte(secret))
	s.Options.HttpOnly, s.Options.SameSite = true, http.SameSiteLaxMode
	s.MaxAge(0)
	return s
}

func save(s *sessions.CookieStore, r *http.Request, w http.ResponseWriter) error {
	session, err := s.Get(r, cookieName)
	if err != nil || !session.IsNew {
		return errors.Join(err, errors.New("the request has a session"))
	}
	session.Values["identity"] = identityID
	return s.Save(r, w, session)
}
