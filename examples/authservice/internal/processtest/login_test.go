package processtest_test

import (
	"database/sql"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// revoking gives the service's auth.yml with one more hook after each login: it ends all other sessions. The brake lets through
// as many as come at once.
func revoking(t testing.TB) (path string) {
	const before = "        hooks: # the session is issued by the handler, in the same transaction\n"
	text, err := os.ReadFile("../../auth.yml")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), before), "auth.yml is not what this test expects")
	changed := strings.Replace(string(text), before, before+"          - hook: revoke_active_sessions\n", 1)
	changed = strings.ReplaceAll(changed, "{tries: ", "{tries: 1000000")
	path = filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}

const email = "alice@example.org"

// signedIn asks a copy who is signed in.
func (p *public) signedIn(r *replica, v visitor, email string) bool {
	p.t.Helper()
	answer := p.ask(r, v, "GET", "/")
	in := strings.Contains(answer.body, "<strong>"+email+"</strong>")
	require.NotEqual(p.t, in, strings.Contains(answer.body, "You are not signed in."), "%d: %s", answer.status, answer.body)
	return in
}

// TestOneSessionIsLeft has a user sign in many times at once, at two copies of the service.
//
// It runs by itself: 64 passwords to check are work for both processors, and the service gives a request 15 seconds.
func TestOneSessionIsLeft(t *testing.T) {
	const (
		atOnce      = 64
		lateInRound = 2 // that is too much work now and then; more would be a queue that does not move
	)
	rounds := times(t, 100, 2)
	lateAtMost := max(lateInRound, rounds*atOnce/100) // 1 % of all; of few rounds, one's share
	database, seed := testkit.PostgreSQL(t), newSeed(t)
	box, p := newMailbox(t, seed), newPublic(t)
	l := &load{public: p, d: deploy(t, database, box.url, 2, "AUTH_CONFIG", revoking(t)), mail: box}
	l.d.start()
	a, b := l.d.copies[0], l.d.copies[1]
	db := l.openDatabase(database)
	require.True(t, p.ask(a, nil, "POST", "/register", "name", "Alice", "email", email, "password", password).is("/register/sent"))

	eventually(t, time.Minute, func() bool { return len(box.letters(email, confirmSubject)) == 1 }, "no mail has come")
	require.True(t, p.ask(b, nil, "POST", "/verify", "token", box.letters(email, confirmSubject)[0].token).is("/verify/done"))
	browsers := make([]visitor, atOnce)
	for i := range browsers {
		browsers[i] = visitor{}
	}
	p.patience = requestTime
	var slowest time.Duration
	late := 0
	left := map[string]int{} // by the copy that issued the session that was left
	for round := range rounds {
		// To check 64 passwords takes longer than to save 64 sessions, so that few of those would meet. In every second round
		// the table is kept from them until there are as many as the copies have connections for.
		release := func() {}
		if round%2 == 1 {
			release = keepSessions(t, db)
		}
		began := time.Now()
		var all sync.WaitGroup
		answers := make([]answer, atOnce)
		for i, v := range browsers {
			if round%4 < 2 {
				delete(v, sessionCookie) // else it comes with the one it has, which is to end, too
			}
			all.Go(func() {
				answers[i] = p.ask(l.d.copies[i%2], v, "POST", "/login", "email", email, "password", password)
			})
		}
		release()
		all.Wait()
		slowest = max(slowest, time.Since(began))
		before := late
		for i, answer := range answers {
			if answer.status == http.StatusServiceUnavailable { // that it took so long, ask has seen
				late++
				continue
			}
			require.True(t, answer.is("/"), "round %d: a login was answered %d: %s", round, answer.status, answer.body)
			require.NotEmpty(t, answer.set[sessionCookie])
			maps.Copy(browsers[i], answer.set)
		}
		require.LessOrEqual(t, late-before, lateInRound, "round %d: logins of %d that were 503 after 15 seconds", round, atOnce)
		require.LessOrEqual(t, late, lateAtMost, "logins of %d that were 503 after 15 seconds, by round %d", rounds*atOnce, round)

		var stored int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM flowhook_sessions").Scan(&stored))
		require.Equal(t, 1, stored, "round %d: sessions in the table", round)
		var survivors []int
		for i, v := range browsers {
			at := p.signedIn(a, v, email)
			require.Equal(t, at, p.signedIn(b, v, email), "round %d: the copies do not agree", round)
			if at {
				survivors = append(survivors, i)
			}
		}
		require.Len(t, survivors, 1, "round %d: cookies that are signed in", round)
		left[l.d.copies[survivors[0]%2].name]++
	}
	t.Logf("%d logins at once at two processes, %d rounds (in every second, at least %d of them in the transaction at the same time), all answered 303 but for %d of %d that had waited for 15 seconds, and were 503 (at most %d in a round, and %d in all, may be): one session is left each time, in the table and among the cookies, asked at both (it came from A %d times, from B %d); a round took %s at most",
		atOnce, rounds, crowd, late, rounds*atOnce, lateInRound, lateAtMost, left["A"], left["B"], slowest.Round(10*time.Millisecond))

	l.drained(db)
	require.Equal(t, late, l.d.said("level=ERROR"), "errors in the logs, beside those for a request that took too long")
	require.Empty(t, box.letters(email, takenSubject))
	require.Len(t, box.letters(email, deviceSubject), known(browsers)-1, "one mail for each browser that was new, but for the first")
}

// crowd is how many sign-ins have to be waiting in their transactions. Each of the two copies has 16 connections.
const crowd = 24

// keepSessions locks the table of sessions. release waits for the crowd, and lets it go all at once.
func keepSessions(t testing.TB, db *sql.DB) (release func()) {
	tx, err := db.Begin()
	require.NoError(t, err)
	t.Cleanup(func() { tx.Rollback() }) // it has ended, unless the test has failed
	_, err = tx.Exec("LOCK TABLE flowhook_sessions IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	return func() {
		eventually(t, requestTime, func() bool {
			var waiting int
			require.NoError(t, tx.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting))
			return waiting >= crowd
		}, "fewer than %d sign-ins wait", crowd)
		require.NoError(t, tx.Commit())
	}
}

// known counts the browsers that have a cookie of their own.
func known(browsers []visitor) (n int) {
	for _, v := range browsers {
		if v[deviceCookie] != "" {
			n++
		}
	}
	return n
}

// TestOneCopyForTheOther signs in on one copy and out on the other.
func TestOneCopyForTheOther(t *testing.T) {
	t.Parallel()
	turns := times(t, 200, 4)
	box, p := newMailbox(t, newSeed(t)), newPublic(t)
	d := deploy(t, testkit.PostgreSQL(t), box.url, 2)
	d.start()
	require.True(t, p.ask(d.copies[0], nil, "POST", "/register", "name", "Alice", "email", email, "password", password).is("/register/sent"))
	device := visitor{}
	signIn := func(r *replica) visitor {
		t.Helper()
		v := maps.Clone(device)
		answer := p.ask(r, v, "POST", "/login", "email", email, "password", password)
		require.True(t, answer.is("/"), "%d: %s", answer.status, answer.body)
		maps.Copy(v, answer.set)
		device = visitor{deviceCookie: v[deviceCookie]}
		return v
	}
	for turn := range turns {
		from, to := d.copies[turn%2], d.copies[(turn+1)%2]
		one, other := signIn(from), signIn(to)
		for _, r := range d.copies {
			require.True(t, p.signedIn(r, one, email), "turn %d, %s", turn, r.name)
			require.True(t, p.signedIn(r, other, email), "turn %d, %s", turn, r.name)
		}
		gone := []visitor{one, other}
		if turn%4 < 2 {
			require.True(t, p.ask(to, other, "POST", "/sessions/end-all").is("/"))
		} else {
			require.True(t, p.ask(to, one, "POST", "/logout").is("/"))
			gone = gone[:1]
			require.True(t, p.signedIn(from, other, email), "turn %d: the other session has nothing to do with it", turn)
		}
		for _, v := range gone {
			require.False(t, p.signedIn(from, v, email), "turn %d: signed out on %s, and still signed in on %s", turn, to.name, from.name)
			require.True(t, p.ask(from, v, "GET", "/settings").is("/login"))
			require.False(t, p.signedIn(to, v, email), "turn %d", turn)
		}
	}
	t.Logf("signed in on one process is signed in on the other; signed out there (%d times everywhere, %d times one session) is anonymous on the first at the next request",
		turns-turns/2, turns/2)
}
