// Command bench measures flowhook next to what a Go service would use otherwise: PocketBase's
// hooks, gorilla's sessions, bare SQL statements, and scs under load. It prints tables in Markdown.
// Each figure is the median of many short runs. The two sides of a row take turns, so that whatever
// else the machine does affects both.
//
// FLOWHOOK_POSTGRES is the URL of PostgreSQL, and wrk generates the load. If one of them is
// missing, its rows say so; with FLOWHOOK_NO_SKIP, the command fails. A row over its limit does not
// fail.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// A row compares two sides. The time of ours should be at most bound times that of the other.
type row struct {
	what    string
	measure measurement
	against string
	bound   float64
	missing string // why it cannot be measured
}

// A measurement returns the medians of two sides, which take turns for a number of rounds.
type measurement func(t testing.TB, rounds int) (ours, other figures)

// requested is the row of a whole request. It has goals for its bytes and allocations, too.
const (
	requested  = "a request: Middleware, Complete, three empty hooks"
	bytesGoal  = 900
	allocsGoal = 5
	liveHeap   = 64 << 20 // bytes that are in use, as in a service
	page       = "../docs/performance.md"
	pageStart  = "<!-- bench -->\n"
	pageEnd    = "<!-- /bench -->"
)

var rows = []row{
	{requested, turns(flowhookRequest, pocketbaseRequest), "PocketBase, a fresh event, three handlers", 1.5, ""},
	{"a fresh exchange: Run, three empty hooks", turns(flowhookRun, pocketbaseRequest),
		"PocketBase, a fresh event, three handlers", 1.0, ""},
	{"find a request's session", turns(flowhookRead, gorillaRead), "gorilla CookieStore, read one value", 0.15, ""},
	{"issue a session", turns(flowhookIssue, gorillaIssue), "gorilla CookieStore, save one value", 0.5, ""},
	{"issue one that ends another", turns(flowhookReissue, gorillaIssue), "gorilla CookieStore, save one value", 0.5, ""},
	{"one of 10 points", turns(flowhookPoints(10), flowhookPoints(1)), "flowhook, one point", 1.25, ""},
	{"one of 100 points", turns(flowhookPoints(100), flowhookPoints(1)), "flowhook, one point", 1.25, ""},
	{"one of 1,000 points", turns(flowhookPoints(1000), flowhookPoints(1)), "flowhook, one point", 1.25, ""},
}

// onDatabases returns the rows that need a database.
func onDatabases() (rows []row) {
	for _, d := range []database{sqlite, postgreSQL} {
		rows = append(rows,
			row{"sign in and revoke, on " + d.name, logins(d), "the bare statements", 1.3, d.missing()},
			row{"find a request's session, on " + d.name, reads(d), "the bare SELECT", 1.3, d.missing()})
		if d.dialect == sqlstore.PostgreSQL {
			rows = append(rows,
				row{"sign in and revoke, on pgxstore", poolLogins, "the bare statements through database/sql", 0.9, d.missing()},
				row{"find a request's session, on pgxstore", poolReads, "the bare SELECT through database/sql", 1.0, d.missing()})
		}
		rows = append(rows, sizesOf(d)...)
	}
	return rows
}

// sections follow the table of rows. write returns an exit code.
var sections = []struct {
	name  string
	write func(t testing.TB) (code int)
}{
	{"load", loadTable},
	{"processes", fleetTable},
	{"round trips", tripTable},
}

var (
	quick  = flag.Bool("quick", false, "measure few rounds, on smaller tables and under a shorter load")
	write  = flag.Bool("write", false, "also write the tables to docs/performance.md")
	report bytes.Buffer
	out    = io.MultiWriter(os.Stdout, &report)
)

// writePage replaces what is between the markers of the page.
func writePage() error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(text, []byte(pageStart))
	_, after, ends := bytes.Cut(rest, []byte(pageEnd))
	if !ok || !ends {
		return fmt.Errorf("%s does not have the markers %q and %q", page, pageStart, pageEnd)
	}
	return os.WriteFile(page, slices.Concat(before, []byte(pageStart), report.Bytes(), []byte(pageEnd), after), 0o644)
}

func thousands(n int) string {
	if n >= 1_000_000 {
		return fmt.Sprintf("%d,%03d,000", n/1_000_000, n/1000%1000)
	}
	return fmt.Sprintf("%d,000", n/1000)
}

func main() {
	rounds := flag.Int("rounds", 51, "how often each side of a row runs")
	length := flag.Duration("length", 20*time.Millisecond, "how long one run takes")
	only := flag.String("only", "", "measure only rows with this text")
	testing.Init()
	flag.Parse()
	p := new(program)
	if source := os.Getenv(workerSource); source != "" {
		serveSignIns(p, source)
		p.exit(0)
	}
	if *write && (*quick || *only != "") {
		fmt.Fprintln(os.Stderr, "bench: -write needs all rows at full length; omit -quick and -only")
		os.Exit(2)
	}
	if *quick {
		*rounds, *length = 5, 5*time.Millisecond
	}
	if err := flag.Set("test.benchtime", length.String()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}

	// Beside an empty heap, the garbage collector would run all the time, and the figures would show
	// how much it has to mark rather than the work itself.
	heap := make([]byte, liveHeap)
	defer runtime.KeepAlive(heap)

	peers := versions("github.com/pocketbase/pocketbase", "github.com/gorilla/sessions",
		"github.com/alexedwards/scs/v2", "github.com/jackc/pgx/v5", "modernc.org/sqlite")
	fmt.Fprintf(out, "%s, %s/%s, %d CPUs. %s.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), peers)
	fmt.Fprintf(out, "Each figure is the median of %d runs of %v. On a database, it is the median of %d single calls, "+
		"or the mean of medians of %d if the sides have connections of their own. The two sides of a row take turns, beside 64 MiB of memory in use.\n\n",
		*rounds, *length, *rounds*callsPerRound, aTurn*callsPerRound)
	fmt.Fprintln(out, "| flowhook | ns | bytes, allocs | against | ns | bytes, allocs | ratio | at most | |")
	fmt.Fprintln(out, "|---|---:|---:|---|---:|---:|---:|---:|---|")
	code := 0
	for _, r := range append(rows, onDatabases()...) {
		switch {
		case !strings.Contains(r.what, *only):
		case r.missing != "":
			fmt.Fprintf(out, "| %s | | | %s | | | | %.2f | not measured: %s |\n", r.what, r.against, r.bound, r.missing)
			code = skipped(r.missing)
		default:
			ours, other := r.measure(p, *rounds)
			ratio, verdict := ours.ns/other.ns, "within"
			if ratio > r.bound || r.what == requested && (ours.bytes > bytesGoal || ours.allocs > allocsGoal) {
				verdict = "OVER"
			}
			fmt.Fprintf(out, "| %s | %.0f | %s | %s | %.0f | %s | %.2f | %.2f | %s |\n",
				r.what, ours.ns, ours.allocations(), r.against, other.ns, other.allocations(), ratio, r.bound, verdict)
		}
	}
	for _, s := range sections {
		if strings.Contains(s.name, *only) {
			before := len(p.cleanups)
			code = max(code, s.write(p))
			p.cleanUp(before) // closes the connections
		}
	}
	if *write && code == 0 {
		must(p, writePage())
	}
	p.exit(code)
}

// skipped returns the exit code for a row that could not be measured.
func skipped(why string) (code int) {
	if os.Getenv("FLOWHOOK_NO_SKIP") == "" {
		return 0
	}
	fmt.Fprintf(os.Stderr, "bench: %s, and nothing may be skipped\n", why)
	return 1
}

// versions returns the versions of the measured libraries.
func versions(paths ...string) string {
	var found []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if slices.Contains(paths, m.Path) {
				found = append(found, m.Path+" "+m.Version)
			}
		}
	}
	return strings.Join(found, ", ")
}
