package sqltest

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// 64 browsers log the same user in at the same time, at two processes.
func TestProcesses_LogIn(t *testing.T) {
	const browsers = 64
	eachSystem(t, func(t *testing.T, of system) {
		db, both := of.two(t)
		rounds, winner, winners := testkit.Times(t, 100), "", [2]int{}
		for round := range rounds {
			var replies [browsers]reply
			var ready, done sync.WaitGroup
			start := make(chan struct{})
			for i := range browsers {
				ready.Add(1)
				done.Go(func() {
					cookie := ""
					if i%4 >= 2 { // at both processes, some have the session of the round before
						cookie = winner
					}
					ready.Done()
					<-start
					replies[i] = both[i%2].login(cookie)
				})
			}
			ready.Wait()
			close(start)
			done.Wait()

			before := winner
			winner = ""
			for i, a := range replies {
				require.NoError(t, a.err)
				require.Equal(t, http.StatusSeeOther, a.status, "round %d, browser %d: %s", round, i, a.body)
				require.NotEmpty(t, a.cookie)
				at := [2]string{both[0].whoami(a.cookie), both[1].whoami(a.cookie)}
				require.Equal(t, at[0], at[1], "round %d: the processes disagree", round)
				if at[0] == "alice" {
					require.Empty(t, winner, "round %d: a second session is alive", round)
					winner = a.cookie
					winners[i%2]++
				}
			}
			require.NotEmpty(t, winner, "round %d: no session is alive", round)
			if before != "" {
				require.Equal(t, "anonymous", both[0].whoami(before), "round %d: the earlier session is alive", round)
			}
			require.Equal(t, 1, count(t, db, "SELECT count(*) FROM flowhook_sessions"), "round %d", round)
			logins := count(t, db, "SELECT logins FROM users")
			require.Equal(t, (round+1)*browsers, logins, "round %d: save ran once per login", round)
		}
		t.Logf("two processes with %s: %d times %d simultaneous logins of one user, all successful, "+
			"with no conflict, one session and one signed-in cookie (%d times A's, %d times B's)",
			of.name, rounds, browsers, winners[0], winners[1])
	})
}

// What one process does to a session takes effect at the next request to the other.
func TestProcesses_ShareSessions(t *testing.T) {
	eachSystem(t, func(t *testing.T, of system) {
		_, both := of.two(t)
		rounds := testkit.Times(t, 100)
		for round := range rounds {
			a, b := both[round%2], both[(round+1)%2]
			in := a.login("")
			require.Equal(t, http.StatusSeeOther, in.status, in.body)
			require.Equal(t, "alice", b.whoami(in.cookie))
			require.Equal(t, "alice", a.whoami(in.cookie))
			out := b.do(http.MethodPost, "/signout", in.cookie, nil)
			require.Equal(t, http.StatusSeeOther, out.status, out.body)
			require.Equal(t, "anonymous", a.whoami(in.cookie))
			require.Equal(t, "anonymous", b.whoami(in.cookie))
		}
		t.Logf("two processes with %s: %d times signed in at one process and signed out everywhere at the other, "+
			"effective at the next request", of.name, rounds)
	})
}

// 64 clients guess a code at the same time, at two processes. Each attempt has a number of its own.
func TestProcesses_CountAttempts(t *testing.T) {
	const clients = 64
	eachSystem(t, func(t *testing.T, of system) {
		db, both := of.two(t)
		s, err := sqlstore.New(db, of.database.dialect)
		require.NoError(t, err)
		rounds := testkit.Times(t, 100)
		now := time.Now()
		for round := range rounds {
			if round%2 == 1 { // in every other round, a newer token restarts the count
				created, err := s.CreateToken(t.Context(), flowhook.Token{
					Hash: hashOf(itoa(round)), Purpose: flowhook.PurposeRecovery, IdentityID: "alice",
					Address:  flowhook.Address{Via: "email", Value: "alice@example.org"},
					IssuedAt: now.Add(time.Duration(round) * time.Microsecond), ExpiresAt: now.Add(time.Hour),
				}, now.Add(time.Hour))
				require.NoError(t, err)
				require.True(t, created)
			}
			var replies [clients]reply
			var done sync.WaitGroup
			start := make(chan struct{})
			for i := range clients {
				done.Go(func() {
					<-start
					replies[i] = both[i%2].do(http.MethodPost, "/attempt", "", url.Values{"name": {"alice"}})
				})
			}
			close(start)
			done.Wait()

			var want, got []string
			for i, a := range replies {
				require.NoError(t, a.err)
				require.Equal(t, http.StatusOK, a.status, "round %d: %s", round, a.body)
				got = append(got, a.body)
				before := 0
				if round > 0 && round%2 == 0 { // the count goes on
					before = clients
				}
				want = append(want, itoa(before+i+1))
			}
			require.ElementsMatch(t, want, got, "round %d", round)
		}
		t.Logf("two processes with %s: %d times %d attempts at once, each with a number of its own",
			of.name, rounds, clients)
	})
}

// Eight clients redeem the same links in the same order, at two processes.
func TestProcesses_Redeem(t *testing.T) {
	const redeemers = 8
	eachSystem(t, func(t *testing.T, of system) {
		db, both := of.two(t)
		s, err := sqlstore.New(db, of.database.dialect)
		require.NoError(t, err)
		n := testkit.Times(t, 1000)
		tokens := make([]string, n)
		now := time.Now()
		for i := range tokens {
			tokens[i] = fmt.Sprintf("%043d", i)
			created, err := s.CreateToken(t.Context(), flowhook.Token{
				Hash:       hashOf(tokens[i]),
				Purpose:    flowhook.PurposeVerification,
				IdentityID: fmt.Sprint("user-", i%10),
				Address:    flowhook.Address{Via: "email", Value: fmt.Sprintf("%d@example.org", i)},
				IssuedAt:   now,
				ExpiresAt:  now.Add(time.Hour),
			}, now)
			require.NoError(t, err)
			require.True(t, created)
		}
		replies := make([][redeemers]reply, n)
		var done sync.WaitGroup
		for i := range redeemers {
			done.Go(func() {
				for k, token := range tokens {
					replies[k][i] = both[i%2].do(http.MethodPost, "/redeem", "", url.Values{"token": {token}})
				}
			})
		}
		done.Wait()
		byProcess := [2]int{}
		for k := range replies {
			redeemed := 0
			for i, a := range replies[k] {
				require.NoError(t, a.err)
				require.Contains(t, []int{http.StatusSeeOther, http.StatusGone}, a.status, a.body)
				if a.status == http.StatusSeeOther {
					redeemed++
					byProcess[i%2]++
				}
			}
			require.Equal(t, 1, redeemed, "redemptions of token %d", k)
		}
		require.Equal(t, n, count(t, db, "SELECT count(*) FROM redemptions"))
		require.Equal(t, n, count(t, db, "SELECT count(DISTINCT token) FROM redemptions"))
		require.Zero(t, count(t, db, "SELECT count(*) FROM flowhook_verifications WHERE used = false"))
		t.Logf("two processes with %s: %d verification tokens, each tried by %d clients and redeemed exactly once "+
			"(%d at A, %d at B)", of.name, n, redeemers, byProcess[0], byProcess[1])
	})
}
