package main

import (
	"context"
	"net/http"
	"time"
)

// A guess is what a request has to do with passwords, as far as the brake needs to know.
type guess struct {
	tallies *tallies
	now     func() time.Time
	on      []*tally // the try is under way on these; nil: there is none, or it is over
	pair    *tally
}

type guessKey struct{}

// guessOf gives the guess of a request; nil: it can have none.
func guessOf(ctx context.Context) *guess {
	g, _ := ctx.Value(guessKey{}).(*guess)
	return g
}

// braked gives each form its guess, and ends that when the handler is done, however that went.
func braked(next http.Handler) http.Handler {
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

// begun says whether a try was let through.
func (g *guess) begun() bool { return g != nil && g.pair != nil }

// begin is tallies.begin.
func (g *guess) begin(t *tallies, now func() time.Time, keys []key) (no *refused) {
	on, no := t.begin(keys, now())
	if no != nil {
		return no
	}
	g.tallies, g.now, g.on = t, now, on
	for i, k := range keys {
		if k.kind == byPair {
			g.pair = on[i]
		}
	}
	return nil
}

// end ends the try, if it is not over yet. failed says that the password was wrong.
func (g *guess) end(failed bool) {
	if len(g.on) > 0 {
		g.tallies.over(g.on, failed, g.now())
		g.on = nil
	}
}

// right says that the password was right: what this client has failed on this account is forgotten.
func (g *guess) right() { g.tallies.forget(g.pair) }
