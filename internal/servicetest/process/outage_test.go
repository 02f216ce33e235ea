package process_test

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recovery is how long a copy may take to serve again after the database is back.
const recovery = 5 * time.Second

// TestDatabaseDown stops and starts the database under load. No connection is refused, every answer
// is complete, and the copies recover without a restart, including the workers of the mail queue.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	outages, seed := times(t, 40, 2), newSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	server := newCluster(t)
	box := newMailbox(t, seed)
	l := &load{checkedClient: newCheckedClient(t), d: deploy(t, server.url(), box.url, 2), mail: box}
	l.d.start()

	alice := visitor{}
	require.True(t, l.ask(l.d.copies[0], nil, "POST", "/register", "name", "Alice", "email", aliceEmail, "password",
		password).is("/register/sent"))
	signIn := func(r *replica) answer {
		return l.ask(r, alice, "POST", "/login", "email", aliceEmail, "password", password)
	}
	first := signIn(l.d.copies[0])
	require.True(t, first.is("/"))
	maps.Copy(alice, first.set)
	l.start(6, seed)
	l.warmUp()

	var slowest time.Duration
	pages := 0
	for outage := range outages {
		pause(t.Context(), between(chance, 50*time.Millisecond, 800*time.Millisecond))
		back := l.databaseDown()
		server.stop([]string{"fast", "immediate"}[outage%2])
		for _, r := range l.d.copies {
			pages += l.checkPages(r, alice)
		}
		pause(t.Context(), between(chance, 0, 1500*time.Millisecond))
		server.start()
		began := time.Now()
		for _, r := range l.d.copies {
			eventually(t, recovery, func() bool {
				answer := signIn(r)
				if answer.is("/") {
					alice[sessionCookie] = answer.set[sessionCookie]
					return true
				}
				return false
			}, "the database is back, but a login at %s fails", r.name)
		}
		slowest = max(slowest, time.Since(began))
		back()
	}
	for _, r := range l.d.copies {
		assert.Equal(t, 1, r.runs, "the copy was restarted")
	}
	db := l.openDatabase(server.url())
	l.settleAlso(db, seed, aliceEmail)
	emails, duplicates := box.count()
	t.Logf("the database stopped %d times under load, half of them by a crash: %s; %d answers of 503, each a "+
		"complete page (%d pages checked without the database), every request answered; recovered within %s without "+
		"a restart; %d emails, %d of them twice, none lost; %d registrations were saved despite a 503 (seed %d)",
		outages, &l.told, l.statuses[http.StatusServiceUnavailable], pages, slowest.Round(10*time.Millisecond),
		emails, duplicates, l.savedDespite503(db), seed)
}

// checkPages requests all pages of a copy while the database is down, and returns their number.
func (l *load) checkPages(r *replica, signedIn visitor) (pages int) {
	l.t.Helper()
	for _, path := range []string{"/", "/login", "/register", "/register/sent", "/verify", "/verify/done",
		"/static/style.css"} {
		assert.Equal(l.t, 200, l.ask(r, nil, "GET", path).status, "%s needs no database", path)
		pages++
	}
	maintenance := l.ask(r, nil, "GET", "/maintenance")
	assert.Equal(l.t, 503, maintenance.status)
	assert.Contains(l.t, maintenance.body, "<h1>Down for maintenance</h1>", "the page needs no database")
	pages++
	form := []string{"name", "Bob", "email", "bob@example.org", "password", password, "token", "x"}
	for _, one := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", "/settings"}, {"GET", "/sessions"}, {"GET", "/readyz"},
		{"POST", "/login"}, {"POST", "/register"}, {"POST", "/verify"}, {"POST", "/logout"}, {"POST",
			"/settings/profile"}, {"POST", "/sessions/end-all"},
	} {
		answer := l.ask(r, signedIn, one.method, one.path, form...)
		assert.Equal(l.t, 503, answer.status, "%s %s", one.method, one.path)
		if one.path != "/readyz" {
			assert.True(l.t, strings.Contains(answer.body, "<h1>Not available right now</h1>"), "%s %s: %s",
				one.method, one.path, answer.body)
		}
		pages++
	}
	return pages
}
