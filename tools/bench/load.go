package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	scspgx "github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/postgresstore"
	"github.com/alexedwards/scs/v2"

	"github.com/flowhook/flowhook"
)

const connections = 32

// A load is what wrk measured.
type load struct {
	perSecond float64
	p99       time.Duration
}

// A contest compares a handler that checks the request's session, with flowhook and with scs: two
// servers in this process, with one pool on one PostgreSQL, which wrk loads in turn. A real handler
// would go on to read the user's row and render a page.
type contest struct {
	ours, peer string
	open       func(t testing.TB, source string) (ours flowhook.Store, peer scs.Store)
}

var contests = []contest{
	{"sqlstore", "scs with postgresstore", func(t testing.TB, source string) (flowhook.Store, scs.Store) {
		db := postgreSQL.open(t, source)
		return store(t, db, postgreSQL.dialect), postgresstore.NewWithCleanupInterval(db, 0)
	}},
	{"pgxstore", "scs with its pgxstore", func(t testing.TB, source string) (flowhook.Store, scs.Store) {
		pool := openPool(t, source)
		return poolStore(t, pool), scspgx.NewWithCleanupInterval(pool, 0)
	}},
}

// Goals of a contest: so many times scs's requests a second, and no higher p99.
const loadGoal = 1.5

// loadTable writes the table of the contests, and returns an exit code.
func loadTable(t testing.TB) (code int) {
	rounds, each := 7, 3*time.Second
	if *quick {
		rounds, each = 1, time.Second
	}
	fmt.Fprintf(out, "\nUnder load: a handler checks the session of the request's cookie and answers the identity's ID. "+
		"Both sides use one pool on PostgreSQL.\nEach figure is the median of %d runs of %v of wrk with %d connections. "+
		"The two sides take turns.\n\n", rounds, each, connections)
	fmt.Fprintln(out, "| flowhook on | requests/s | p99 | against | requests/s | p99 | ratio | at least | |")
	fmt.Fprintln(out, "|---|---:|---:|---|---:|---:|---:|---:|---|")
	missing := postgreSQL.missing()
	if _, err := exec.LookPath("wrk"); err != nil {
		missing = "wrk is not installed (Debian's package wrk)"
	}
	for _, c := range contests {
		if missing != "" {
			fmt.Fprintf(out, "| %s | | | %s | | | | %.2f | not measured: %s |\n", c.ours, c.peer, loadGoal, missing)
			code = skipped(missing)
			continue
		}
		ours, other := c.run(t, rounds, each)
		ratio, verdict := ours.perSecond/other.perSecond, "within"
		if ratio < loadGoal || ours.p99 > other.p99 {
			verdict = "MISSED"
		}
		fmt.Fprintf(out, "| %s | %.0f | %v | %s | %.0f | %v | %.2f | %.2f | %s |\n",
			c.ours, ours.perSecond, ours.p99, c.peer, other.perSecond, other.p99, ratio, loadGoal, verdict)
	}
	return code
}

func (c contest) run(t testing.TB, rounds int, each time.Duration) (ours, other load) {
	source := postgreSQL.migrated(t)
	_, err := postgreSQL.open(t, source).Exec(peerTable)
	must(t, err)
	store, peer := c.open(t, source)
	oursAt, ourCookie := flowhookService(t, store)
	otherAt, otherCookie := scsService(t, peer)
	var left, right []load
	for round := range rounds + 1 {
		l, r := wrk(t, oursAt, ourCookie, each), wrk(t, otherAt, otherCookie, each)
		if round > 0 { // the first round warms up
			left, right = append(left, l), append(right, r)
		}
	}
	return medianLoad(left), medianLoad(right)
}

func flowhookService(t testing.TB, store flowhook.Store) (url, cookie string) {
	s, signedIn := signedInTo(t, store)
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, err := s.FromRequest(r)
		switch {
		case errors.Is(err, flowhook.ErrNoSession):
			http.Error(w, "sign in first", http.StatusUnauthorized)
		case err != nil:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
		default:
			io.WriteString(w, found.IdentityID)
		}
	})), signedIn.Header.Get("Cookie")
}

func scsService(t testing.TB, store scs.Store) (url, cookie string) {
	s := scs.New()
	s.Store = store
	s.Cookie.Name, s.Cookie.Secure = cookieName, true
	signIn := httptest.NewRecorder()
	s.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Put(r.Context(), "identity", identityID)
	})).ServeHTTP(signIn, httptest.NewRequest(http.MethodPost, "/", nil))
	return serve(t, s.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := s.GetString(r.Context(), "identity"); id != "" {
			io.WriteString(w, id)
			return
		}
		http.Error(w, "sign in first", http.StatusUnauthorized)
	}))), signedIn(signIn.Header()).Header.Get("Cookie")
}

// peerTable is the table of scs, as in its documentation.
const peerTable = "CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL); " +
	"CREATE INDEX sessions_expiry_idx ON sessions (expiry)"

// serve starts a server that requires a session.
func serve(t testing.TB, h http.Handler) (url string) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	res, err := http.Get(server.URL)
	must(t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("the server under load lets everybody in, with status %d", res.StatusCode)
	}
	return server.URL
}

var (
	perSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	p99       = regexp.MustCompile(`99%\s+([0-9.]+(?:us|ms|s|m))\s`)
)

// wrk loads a URL. Any answer other than 200 is an error.
func wrk(t testing.TB, url, cookie string, each time.Duration) load {
	t.Helper()
	out, err := exec.Command("wrk", "--latency", "-t2", "-c"+strconv.Itoa(connections),
		"-d"+strconv.Itoa(int(each.Seconds()))+"s",
		"-H", "Cookie: "+cookie, url).CombinedOutput()
	text := string(out)
	if err != nil || strings.Contains(text, "Non-2xx") || strings.Contains(text, "Socket errors") {
		t.Fatalf("wrk: %v\n%s", err, text)
	}
	rate, slowest := perSecond.FindStringSubmatch(text), p99.FindStringSubmatch(text)
	if rate == nil || slowest == nil {
		t.Fatalf("wrk: what it says is not understood:\n%s", text)
	}
	var l load
	l.perSecond, err = strconv.ParseFloat(rate[1], 64)
	must(t, err)
	l.p99, err = time.ParseDuration(slowest[1])
	must(t, err)
	return l
}

// medianLoad takes the median of each figure separately.
func medianLoad(of []load) (l load) {
	slices.SortFunc(of, func(a, b load) int { return int(a.perSecond - b.perSecond) })
	l.perSecond = of[len(of)/2].perSecond
	slices.SortFunc(of, func(a, b load) int { return int(a.p99 - b.p99) })
	l.p99 = of[len(of)/2].p99
	return l
}
