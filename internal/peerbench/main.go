// Command peerbench measures flowhook against what a Go service would use otherwise: PocketBase's hooks for a chain, and
// gorilla's sessions for a session. It prints a table in Markdown: medians of many short runs, the two sides of each row
// taking turns, so that whatever else the machine does meets both. go test -bench runs the same code.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// A row compares two benchmarks: the time of the one is at most bound times that of the other.
type row struct {
	what        string
	ours, other func(b *testing.B)
	against     string
	bound       float64
}

var rows = []row{
	{"three empty hooks", flowhookChain, pocketbaseChain, "PocketBase, three handlers", 0.35},
	{"a point without hooks", flowhookEmpty, flowhookChain, "flowhook, three empty hooks", 0.5},
	{"find a request's session", flowhookRead, gorillaRead, "gorilla CookieStore, read one value", 0.15},
	{"issue a session", flowhookIssue, gorillaIssue, "gorilla CookieStore, save one value", 0.5},
	{"issue one that ends another", flowhookReissue, gorillaIssue, "gorilla CookieStore, save one value", 0.5},
	{"one of 10 points", flowhookPoints(10), flowhookPoints(1), "flowhook, one point", 1.25},
	{"one of 100 points", flowhookPoints(100), flowhookPoints(1), "flowhook, one point", 1.25},
	{"one of 1,000 points", flowhookPoints(1000), flowhookPoints(1), "flowhook, one point", 1.25},
}

func main() {
	rounds := flag.Int("rounds", 51, "how often each side of a row runs")
	length := flag.Duration("length", 20*time.Millisecond, "how long one run takes")
	testing.Init()
	flag.Parse()
	if err := flag.Set("test.benchtime", length.String()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}

	fmt.Printf("%s, %s/%s, %d CPUs. %s.\nMedians of %d runs of %v each; the two sides of a row take turns.\n\n", runtime.Version(),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), versions("github.com/pocketbase/pocketbase", "github.com/gorilla/sessions"), *rounds, *length)
	fmt.Println("| flowhook | ns | allocs | against | ns | allocs | ratio | at most | |")
	fmt.Println("|---|---:|---:|---|---:|---:|---:|---:|---|")
	for _, r := range rows {
		ours, other := r.measure(*rounds)
		ratio, verdict := ours.ns/other.ns, "within"
		if ratio > r.bound {
			verdict = "OVER"
		}
		fmt.Printf("| %s | %.0f | %d | %s | %.0f | %d | %.2f | %.2f | %s |\n",
			r.what, ours.ns, ours.allocs, r.against, other.ns, other.allocs, ratio, r.bound, verdict)
	}
}

// versions says which versions of the peers are built in.
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

// figures are what one operation costs: the median of its runs.
type figures struct {
	ns     float64
	allocs int64
}

func (r row) measure(rounds int) (ours, other figures) {
	var left, right []figures
	for range rounds {
		left = append(left, once(r.ours))
		right = append(right, once(r.other))
	}
	return median(left), median(right)
}

func once(bench func(b *testing.B)) figures {
	r := testing.Benchmark(bench)
	if r.N == 0 {
		fmt.Fprintln(os.Stderr, "a benchmark failed; go test -bench . says why")
		os.Exit(1)
	}
	return figures{float64(r.T.Nanoseconds()) / float64(r.N), r.AllocsPerOp()}
}

func median(of []figures) figures {
	slices.SortFunc(of, func(a, b figures) int { return cmp.Compare(a.ns, b.ns) })
	return of[len(of)/2]
}
