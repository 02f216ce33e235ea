package process_test

import (
	"database/sql"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// anyLimit is a limit in auth.yml.
var anyLimit = regexp.MustCompile(`tries: \d+, every: \w+`)

// withoutLimits writes a copy of auth.yml in which rate_limit never refuses and old is replaced. It
// returns the path.
func withoutLimits(t testing.TB, old, with string) (path string) {
	text, err := os.ReadFile(folder + "/auth.yml")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), old), "auth.yml is not what this test expects")
	changed := strings.Replace(string(text), old, with, 1)
	changed = anyLimit.ReplaceAllString(changed, "tries: 1000000, every: 1ms")
	path = filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}

// revoking writes a copy of auth.yml in which each login revokes all other sessions.
func revoking(t testing.TB) (path string) {
	const before = "        hooks: # the handler issues the session in the same transaction\n"
	return withoutLimits(t, before, before+"          - hook: revoke_active_sessions\n")
}

const aliceEmail = "alice@example.org"

// signedIn reports whether the home page of a copy shows the user with this address as signed in.
func (p *checkedClient) signedIn(r *replica, v visitor, email string) bool {
	p.t.Helper()
	answer := p.ask(r, v, "GET", "/")
	in := strings.Contains(answer.body, ">"+email+"</strong>")
	require.NotEqual(p.t, in, strings.Contains(answer.body, "<h1>Welcome to "), "%d: %s", answer.status,
		answer.body)
	return in
}

// TestLogin_ConcurrentRevoke signs a user in many times at once on two copies and checks that one
// session remains.
//
// It does not run in parallel with other tests: checking 64 passwords takes both CPUs, and the
// service limits the time of a request.
func TestLogin_ConcurrentRevoke(t *testing.T) {
	const lateInRound = 2 // tolerated timeouts; more would mean that requests are stuck
	// Each of the two copies has 20 connections, in which logins wait. Under the race detector,
	// checking a password takes several times as long.
	atOnce, waiting := 64, 24
	if underRace {
		atOnce, waiting = 12, 8
	}
	rounds := times(t, 100, 2)
	lateAtMost := max(lateInRound, rounds*atOnce/100) // 1% of all, or the share of one round
	database, seed := testkit.PostgreSQL(t), newSeed(t)
	box, p := newMailbox(t, seed), newCheckedClient(t)
	l := &load{checkedClient: p, d: deploy(t, database, box.url, 2, "AUTH_CONFIG", revoking(t)), mail: box}
	l.d.start()
	a, b := l.d.copies[0], l.d.copies[1]
	db := l.openDatabase(database)
	require.True(t, p.ask(a, nil, "POST", "/register", "name", "Alice", "email", aliceEmail, "password",
		password).is("/register/sent"))

	eventually(t, time.Minute, func() bool { return len(box.emails(aliceEmail, confirmSubject)) == 1 },
		"no email has arrived")
	require.True(t, p.ask(b, nil, "POST", "/verify", "token",
		box.emails(aliceEmail, confirmSubject)[0].token).is("/verify/done"))
	browsers := make([]visitor, atOnce)
	for i := range browsers {
		browsers[i] = visitor{}
	}
	p.patience = requestTime
	var slowest time.Duration
	late := 0
	left := map[string]int{} // by the copy that issued the remaining session
	for round := range rounds {
		// Checking the passwords takes longer than saving the sessions, so few transactions would
		// overlap. In every second round, a lock on the table makes them wait for each other.
		release := func() {}
		if round%2 == 1 {
			release = lockSessions(t, db, waiting)
		}
		began := time.Now()
		var all sync.WaitGroup
		answers := make([]answer, atOnce)
		for i, v := range browsers {
			if round%4 < 2 {
				delete(v, sessionCookie) // otherwise the request has a session, which must end, too
			}
			all.Go(func() {
				answers[i] = p.ask(l.d.copies[i%2], v, "POST", "/login", "email", aliceEmail, "password", password)
			})
		}
		release()
		all.Wait()
		slowest = max(slowest, time.Since(began))
		before := late
		for i, answer := range answers {
			if answer.status == http.StatusServiceUnavailable { // ask has checked that it took long enough
				late++
				continue
			}
			require.True(t, answer.is("/"), "round %d: a login was answered %d: %s", round, answer.status, answer.body)
			require.NotEmpty(t, answer.set[sessionCookie])
			maps.Copy(browsers[i], answer.set)
		}
		require.LessOrEqual(t, late-before, lateInRound, "round %d: of %d logins, the number of 503 after 15 seconds",
			round, atOnce)
		require.LessOrEqual(t, late, lateAtMost, "of %d logins, the number of 503 after 15 seconds, by round %d",
			rounds*atOnce, round)

		var stored int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM flowhook_sessions").Scan(&stored))
		require.Equal(t, 1, stored, "round %d: sessions in the table", round)
		var survivors []int
		for i, v := range browsers {
			at := p.signedIn(a, v, aliceEmail)
			require.Equal(t, at, p.signedIn(b, v, aliceEmail), "round %d: the copies disagree", round)
			if at {
				survivors = append(survivors, i)
			}
		}
		require.Len(t, survivors, 1, "round %d: signed-in cookies", round)
		left[l.d.copies[survivors[0]%2].name]++
	}
	t.Logf("%d concurrent logins on two processes, %d rounds (in every second, at least %d transactions at once), "+
		"all answered 303 except %d of %d, which were 503 after 15 seconds (at most %d in a round and %d in all are "+
		"allowed): one session remains each time, in the table and among the cookies, on both copies (issued by "+
		"A %d times, by B %d times); a round took at most %s",
		atOnce, rounds, waiting, late, rounds*atOnce, lateInRound, lateAtMost,
		left["A"], left["B"], slowest.Round(10*time.Millisecond))

	l.drained(db)
	require.Equal(t, late, l.d.logged("level=ERROR"), "errors in the logs other than timeouts")
	require.Empty(t, box.emails(aliceEmail, takenSubject))
	require.Len(t, box.emails(aliceEmail, deviceSubject), known(browsers)-1,
		"one email for each new browser except the first")
}

// lockSessions locks the table of sessions. release waits for a number of transactions that wait for
// the table, and lets them go at once.
func lockSessions(t testing.TB, db *sql.DB, number int) (release func()) {
	tx, err := db.Begin()
	require.NoError(t, err)
	t.Cleanup(func() { tx.Rollback() }) // does nothing unless the test has failed
	_, err = tx.Exec("LOCK TABLE flowhook_sessions IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	return func() {
		eventually(t, requestTime, func() bool {
			var waiting int
			require.NoError(t, tx.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "+
				"AND wait_event_type = 'Lock'").Scan(&waiting))
			return waiting >= number
		}, "fewer than %d logins wait", number)
		require.NoError(t, tx.Commit())
	}
}

// known counts the browsers with a device cookie.
func known(browsers []visitor) (n int) {
	for _, v := range browsers {
		if v[deviceCookie] != "" {
			n++
		}
	}
	return n
}

// TestLogin_OtherCopy signs in on one copy and out on the other.
func TestLogin_OtherCopy(t *testing.T) {
	t.Parallel()
	turns := times(t, 200, 4)
	box, p := newMailbox(t, newSeed(t)), newCheckedClient(t)
	d := deploy(t, testkit.PostgreSQL(t), box.url, 2)
	d.start()
	require.True(t, p.ask(d.copies[0], nil, "POST", "/register", "name", "Alice", "email", aliceEmail, "password",
		password).is("/register/sent"))
	device := visitor{}
	signIn := func(r *replica) visitor {
		t.Helper()
		v := maps.Clone(device)
		answer := p.ask(r, v, "POST", "/login", "email", aliceEmail, "password", password)
		require.True(t, answer.is("/"), "%d: %s", answer.status, answer.body)
		maps.Copy(v, answer.set)
		device = visitor{deviceCookie: v[deviceCookie]}
		return v
	}
	for turn := range turns {
		from, to := d.copies[turn%2], d.copies[(turn+1)%2]
		one, other := signIn(from), signIn(to)
		for _, r := range d.copies {
			require.True(t, p.signedIn(r, one, aliceEmail), "turn %d, %s", turn, r.name)
			require.True(t, p.signedIn(r, other, aliceEmail), "turn %d, %s", turn, r.name)
		}
		gone := []visitor{one, other}
		if turn%4 < 2 {
			require.True(t, p.ask(to, other, "POST", "/sessions/end-all").is("/"))
		} else {
			require.True(t, p.ask(to, one, "POST", "/logout").is("/"))
			gone = gone[:1]
			require.True(t, p.signedIn(from, other, aliceEmail), "turn %d: the other session must remain", turn)
		}
		for _, v := range gone {
			require.False(t, p.signedIn(from, v, aliceEmail), "turn %d: signed out on %s but still signed in on %s",
				turn, to.name, from.name)
			require.True(t, p.ask(from, v, "GET", "/settings").is("/login?return_to=%2Fsettings"))
			require.False(t, p.signedIn(to, v, aliceEmail), "turn %d", turn)
		}
	}
	t.Logf("a login on one process works on the other; a sign-out there (%d times everywhere, %d times one session) "+
		"takes effect on the first at once",
		turns-turns/2, turns/2)
}
