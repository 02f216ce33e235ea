package processtest_test

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

// recovery is how long a copy may take, once the database is back, until it serves again.
const recovery = 5 * time.Second

// TestDatabaseAway stops and starts the database under load. Nobody is refused a connection, every answer is whole, and the
// copies of the service recover by themselves, the workers of the mail queue included.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	outages, seed := times(t, 40, 2), newSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	server := newCluster(t)
	box := newMailbox(t, seed)
	l := &load{public: newPublic(t), d: deploy(t, server.url(), box.url, 2), mail: box}
	l.d.start()

	alice := visitor{}
	require.True(t, l.ask(l.d.copies[0], nil, "POST", "/register", "name", "Alice", "email", email, "password", password).is("/register/sent"))
	signIn := func(r *replica) answer {
		return l.ask(r, alice, "POST", "/login", "email", email, "password", password)
	}
	first := signIn(l.d.copies[0])
	require.True(t, first.is("/"))
	maps.Copy(alice, first.set)
	l.start(6, seed)
	l.under()

	var slowest time.Duration
	pages := 0
	for outage := range outages {
		pause(t.Context(), between(chance, 50*time.Millisecond, 800*time.Millisecond))
		back := l.goesAway()
		server.stop([]string{"fast", "immediate"}[outage%2])
		for _, r := range l.d.copies {
			pages += l.without(r, alice)
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
			}, "%s does not sign in, though the database is back", r.name)
		}
		slowest = max(slowest, time.Since(began))
		back()
	}
	for _, r := range l.d.copies {
		assert.Equal(t, 1, r.runs, "started again")
	}
	db := l.openDatabase(server.url())
	l.settleAlso(db, seed, email)
	mails, again := box.count()
	t.Logf("the database stopped %d times under load (half of them by a crash): %s; %d answers of 503, each a whole page (%d pages asked while it was away: without it all else works), no request without an answer; served again %s after it was back at most, without a restart; %d mails, %d of them twice, none lost; %d registrations were saved behind a 503 (seed %d)",
		outages, &l.told, l.statuses[http.StatusServiceUnavailable], pages, slowest.Round(10*time.Millisecond), mails, again, l.savedBehind503(db), seed)
}

// without asks a copy for everything while there is no database, and gives the number of pages.
func (l *load) without(r *replica, signedIn visitor) (pages int) {
	l.t.Helper()
	for _, path := range []string{"/", "/login", "/register", "/register/sent", "/verify?token=x", "/verify/done", "/static/style.css"} {
		assert.Equal(l.t, 200, l.ask(r, nil, "GET", path).status, "%s needs no database", path)
		pages++
	}
	maintenance := l.ask(r, nil, "GET", "/maintenance")
	assert.Equal(l.t, 503, maintenance.status)
	assert.Contains(l.t, maintenance.body, "<h1>We are working on it</h1>", "it needs no database")
	pages++
	form := []string{"name", "Bob", "email", "bob@example.org", "password", password, "token", "x"}
	for _, one := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", "/settings"}, {"GET", "/sessions"}, {"GET", "/healthz"},
		{"POST", "/login"}, {"POST", "/register"}, {"POST", "/verify"}, {"POST", "/logout"}, {"POST", "/settings/profile"}, {"POST", "/sessions/end-all"},
	} {
		answer := l.ask(r, signedIn, one.method, one.path, form...)
		assert.Equal(l.t, 503, answer.status, "%s %s", one.method, one.path)
		if one.path != "/healthz" {
			assert.True(l.t, strings.Contains(answer.body, "<h1>Not available right now</h1>"), "%s %s: %s", one.method, one.path, answer.body)
		}
		pages++
	}
	return pages
}
