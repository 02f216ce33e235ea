package main

import (
	"context"
	"net/http"
	"time"
)

// A guess is the attempt of a request with a password, a code or an address, as far as the brake is
// concerned.
type guess struct {
	counters *counters
	now      func() time.Time
	on       []*counter // the counters of the attempt in progress; nil if there is none
	pair     *counter
}

type guessKey struct{}

// guessOf returns the guess of a request, or nil if the request is not a form.
func guessOf(ctx context.Context) *guess {
	g, _ := ctx.Value(guessKey{}).(*guess)
	return g
}

// withGuess adds a guess to each form's context and ends it when the handler returns or panics.
func withGuess(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		g := &guess{}
		defer func() { g.end(false) }()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), guessKey{}, g)))
	})
}

// begun reports whether an attempt was allowed.
func (g *guess) begun() bool { return g != nil && g.pair != nil }

// begin starts the attempt on keys or returns why it is refused.
func (g *guess) begin(cs *counters, now func() time.Time, keys []key) *overLimit {
	on, over := cs.begin(keys, now())
	if over != nil {
		return over
	}
	g.counters, g.now, g.on = cs, now, on
	for i, k := range keys {
		if k.kind == byPair {
			g.pair = on[i]
		}
	}
	return nil
}

// end ends the attempt, unless it has already ended. failed means that it counts.
func (g *guess) end(failed bool) {
	if len(g.on) > 0 {
		g.counters.end(g.on, failed, g.now())
		g.on = nil
	}
}

// succeeded resets the counter of this client on this account.
func (g *guess) succeeded() { g.counters.reset(g.pair) }
