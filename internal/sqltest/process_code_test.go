package sqltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

const serviceSecret = "a-secret-for-the-tests"

// A lookupCounter is a store that counts how often a token or a code is looked up.
type lookupCounter struct {
	store
	n atomic.Int64
}

func (c *lookupCounter) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (flowhook.Token, error) {
	c.n.Add(1)
	return c.store.ConsumeToken(ctx, p, hash, now)
}

func (s *service) countLookups(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, s.lookups.n.Load())
}

// code redeems a recovery code.
func (s *service) code(w http.ResponseWriter, r *http.Request) {
	code, a := r.FormValue("code"), flowhook.Address{Via: "email", Value: r.FormValue("address")}
	err := s.pipeline.RedeemCode(r.Context(), flowhook.PurposeRecovery, r.FormValue("name"), a, code, s.confirm(code))
	s.redeemed(w, r, err)
}

// confirm returns a function that notes that a token or a code was redeemed.
func (s *service) confirm(token string) func(ctx context.Context, v flowhook.Token) error {
	return func(ctx context.Context, v flowhook.Token) error {
		return s.pool.exec(ctx, "INSERT INTO redemptions (token, identity_id) VALUES (?, ?)", token, v.IdentityID)
	}
}

// redeemed answers with the result of a redemption.
func (s *service) redeemed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, flowhook.ErrBadToken):
		http.Error(w, "bad token", http.StatusGone)
	case err != nil:
		s.fail(w, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// A codeCourier keeps the code of the last message.
type codeCourier struct{ code string }

func (c *codeCourier) Send(_ context.Context, m flowhook.Message) error {
	c.code = m.Code
	return nil
}

// 64 clients guess a code at the same time, at two processes: five guesses are compared.
func TestProcesses_GuessCode(t *testing.T) {
	const guesses = 64
	eachSystem(t, func(t *testing.T, of system) {
		db, both := of.two(t)
		s, err := sqlstore.New(db, of.database.dialect)
		require.NoError(t, err)
		cfg, err := flowhook.ParseConfig([]byte("selfservice: {flows: {recovery: {use: code}}}"))
		require.NoError(t, err)
		courier := &codeCourier{}
		now := time.Now()
		p, err := flowhook.New(cfg, flowhook.Options{
			Store: s, Courier: courier, Secrets: []string{serviceSecret},
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Now:    func() time.Time { return now },
		})
		require.NoError(t, err)
		compared := func() (n int) {
			for _, p := range both {
				a := p.do(http.MethodGet, "/lookups", "", nil)
				require.NoError(t, a.err)
				each, err := strconv.Atoi(a.body)
				require.NoError(t, err)
				n += each
			}
			return n
		}

		rounds, found, before := testkit.Times(t, 100), 0, 0
		for round := range rounds {
			name := fmt.Sprint("user-", round)
			a := flowhook.Address{Via: "email", Value: name + "@example.org"}
			x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: name, Addresses: []flowhook.Address{a}}}
			require.NoError(t, p.SendRecovery(t.Context(), x))
			right, err := strconv.Atoi(courier.code)
			require.NoError(t, err)
			guess := func(i int) reply { // a quarter of the guesses is right
				code := fmt.Sprintf("%06d", (right+i%4*i)%1_000_000)
				return both[i%2].do(http.MethodPost, "/code", "",
					url.Values{"name": {name}, "address": {a.Value}, "code": {code}})
			}
			var replies [guesses]reply
			var done sync.WaitGroup
			start := make(chan struct{})
			for i := range guesses {
				done.Go(func() { <-start; replies[i] = guess(i) })
			}
			close(start)
			done.Wait()

			redeemed := 0
			for i, r := range replies {
				require.NoError(t, r.err)
				require.Contains(t, []int{http.StatusSeeOther, http.StatusGone}, r.status, "round %d: %s", round, r.body)
				if r.status == http.StatusSeeOther {
					require.Zero(t, i%4, "round %d: a wrong code was accepted", round)
					redeemed++
				}
			}
			require.LessOrEqual(t, redeemed, 1, "round %d", round)
			after := compared()
			require.Equal(t, 5, after-before, "round %d: guesses that were compared", round)
			for i := range 2 { // the right one, and another, at both processes
				require.Equal(t, http.StatusGone, guess(i).status, "round %d: the code is dead", round)
			}
			require.Equal(t, after, compared(), "round %d", round)
			before = after
			require.Equal(t, redeemed, count(t, db, "SELECT count(*) FROM redemptions WHERE identity_id = '"+name+"'"))
			n, err := s.CountAttempt(t.Context(), flowhook.PurposeRecovery, name, a, now)
			require.NoError(t, err)
			require.Equal(t, guesses+3, n, "round %d: every attempt counts once", round)
			found += redeemed
		}
		t.Logf("two processes with %s: %d codes, each guessed %d times at once: exactly 5 guesses compared; "+
			"%d codes redeemed, each once", of.name, rounds, guesses, found)
	})
}
