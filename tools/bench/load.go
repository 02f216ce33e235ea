package main

import (
	"context"
	"database/sql"
	"errors"
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

// loaded describes what underLoad measures.
const loaded = "GET with a cookie: check its session, answer the identity's ID"

// underLoad measures a handler that checks the request's session, with flowhook and with scs: two
// servers in this process, with one pool on one PostgreSQL, which wrk loads in turn. A real handler
// would go on to read the user's row and render a page.
func underLoad(t testing.TB, rounds int, each time.Duration) (ours, other load) {
	db := postgreSQL.open(t)
	oursAt, ourCookie := flowhookService(t, db)
	otherAt, otherCookie := scsService(t, db)
	var left, right []load
	for round := range rounds + 1 {
		l, r := wrk(t, oursAt, ourCookie, each), wrk(t, otherAt, otherCookie, each)
		if round > 0 { // the first round warms up
			left, right = append(left, l), append(right, r)
		}
	}
	return medianLoad(left), medianLoad(right)
}

func flowhookService(t testing.TB, db *sql.DB) (url, cookie string) {
	opts := flowhook.Options{Store: store(t, db, postgreSQL.dialect), Secrets: []string{secret}}
	s, x := pipeline(t, new(flowhook.Config), opts).Sessions(), exchange()
	must(t, s.Issue(context.Background(), x))
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
	})), signedIn(x.Writer.Header()).Header.Get("Cookie")
}

func scsService(t testing.TB, db *sql.DB) (url, cookie string) {
	_, err := db.Exec("CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL); " +
		"CREATE INDEX sessions_expiry_idx ON sessions (expiry)") // as in its documentation
	must(t, err)
	s := scs.New()
	s.Store = postgresstore.NewWithCleanupInterval(db, 0)
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
