package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A fleet is a number of service processes that sign users in, on one PostgreSQL.
type fleet struct {
	what      string
	processes int
	setting   string // of the database's sessions
	identity  string // the only one that signs in; if empty, any of manyIdentities does
}

const mostProcesses = 4

var fleets = []fleet{
	{"1 process", 1, "", ""},
	{"2 processes", 2, "", ""},
	{"3 processes", 3, "", ""},
	{"4 processes", mostProcesses, "", ""},
	{"4 processes, `synchronous_commit = off`", mostProcesses, "synchronous_commit=off", ""},
	{"4 processes, one identity", mostProcesses, "", identityID},
}

// A throughput is what a fleet has reached.
type throughput struct {
	perSecond float64
	busy      float64 // how much of the machine's processors was in use, from 0 to 1; 0 if unknown
}

// fleetTable writes a table with bars, and what limits the sign-ins. It returns an exit code.
func fleetTable(t testing.TB) (code int) {
	rounds, each := 5, 3*time.Second
	if *quick {
		rounds, each = 1, 500*time.Millisecond
	}
	fmt.Fprintf(out, "\nSign-ins that end the earlier sessions, on pgxstore: "+
		"service processes with %d workers and a pool each, on one PostgreSQL on the same machine. "+
		"Each sign-in is of one of %s identities.\n"+
		"Each figure is the median of %d runs of %v. The rows take turns.\n\n",
		workers, thousands(manyIdentities), rounds, each)
	if missing := postgreSQL.missing(); missing != "" {
		fmt.Fprintf(out, "Not measured: %s.\n", missing)
		return skipped(missing)
	}
	runs := make([][]throughput, len(fleets))
	for range rounds {
		for i, f := range fleets {
			runs[i] = append(runs[i], f.run(t, each))
		}
	}
	var results []throughput
	for _, r := range runs {
		slices.SortFunc(r, func(a, b throughput) int { return cmp.Compare(a.perSecond, b.perSecond) })
		results = append(results, r[len(r)/2])
	}
	writeFleets(results)
	return 0
}

// writeFleets writes the results, in the order of fleets.
func writeFleets(results []throughput) {
	most := slices.MaxFunc(results, func(a, b throughput) int { return cmp.Compare(a.perSecond, b.perSecond) }).perSecond
	fmt.Fprintln(out, "| processes | sign-ins/s | | processors in use |\n|---|---:|---|---:|")
	for i, r := range results {
		const width = 40
		bar := strings.Repeat("█", max(1, int(width*r.perSecond/most+0.5)))
		fmt.Fprintf(out, "| %s | %.0f | %s | %s |\n", fleets[i].what, r.perSecond, bar, percent(r.busy))
	}
	all, unsynced, one := results[mostProcesses-1], results[mostProcesses], results[mostProcesses+1]
	fmt.Fprintf(out, "\n%s Without waiting for the disk (`synchronous_commit = off`), "+
		"%d processes sign in %.2f times as often. "+
		"If all sign-ins are of one identity, they wait for each other, and reach %.2f times as many.\n",
		limit(all, unsynced), mostProcesses, unsynced.perSecond/all.perSecond, one.perSecond/all.perSecond)
}

func percent(share float64) string {
	if share == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f%%", 100*share)
}

// limit returns a sentence about what limits the processes. all is measured with the default
// settings, and unsynced without waiting for the disk.
func limit(all, unsynced throughput) string {
	const faster, busy = 1.25, 0.9
	disk, processors := unsynced.perSecond >= faster*all.perSecond, all.busy >= busy
	switch {
	case disk && processors:
		return "The processors, which are " + percent(all.busy) + " in use, and the disk, for which each commit waits, " +
			"limit them."
	case disk:
		return "The disk, for which each commit waits, limits them."
	case processors:
		return "The processors, which are " + percent(all.busy) + " in use, limit them."
	}
	return "Neither the disk nor the processors alone limit them."
}

// run starts the processes in a new database and returns what they reach in that time.
func (f fleet) run(t testing.TB, each time.Duration) throughput {
	source := postgreSQL.migrated(t)
	if f.setting != "" {
		source += "?" + f.setting
	}
	all := make([]*worker, f.processes)
	for i := range all {
		all[i] = startWorker(t, source, f.identity, each)
	}
	for _, w := range all {
		w.expect(t, ready)
	}
	busy := processors()
	for _, w := range all {
		_, err := io.WriteString(w.stdin, "\n")
		must(t, err)
	}
	total := 0
	for _, w := range all {
		n, err := strconv.Atoi(w.line(t))
		must(t, err)
		total += n
	}
	r := throughput{perSecond: float64(total) / each.Seconds(), busy: busy()}
	for _, w := range all {
		must(t, w.Wait())
	}
	return r
}

// A worker is a process of this program that signs users in.
type worker struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

func startWorker(t testing.TB, source, identity string, each time.Duration) *worker {
	self, err := os.Executable()
	must(t, err)
	w := &worker{Cmd: exec.Command(self)}
	w.Env = append(os.Environ(), workerSource+"="+source, workerIdentity+"="+identity, workerTime+"="+each.String())
	w.Stderr = os.Stderr
	w.stdin, err = w.StdinPipe()
	must(t, err)
	stdout, err := w.StdoutPipe()
	must(t, err)
	w.stdout = bufio.NewReader(stdout)
	must(t, w.Start())
	t.Cleanup(func() { w.Process.Kill() })
	return w
}

func (w *worker) line(t testing.TB) string {
	line, err := w.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("a service process has ended: %v", err)
	}
	return strings.TrimSpace(line)
}

func (w *worker) expect(t testing.TB, want string) {
	if got := w.line(t); got != want {
		t.Fatalf("a service process says %q, not %q", got, want)
	}
}

// processors starts to measure, and returns a function that returns how much of the machine's
// processors was in use since then. It is 0 where there is no /proc/stat.
func processors() (inUse func() float64) {
	idle, all := processorTimes()
	return func() float64 {
		idleNow, allNow := processorTimes()
		if allNow == all {
			return 0
		}
		return 1 - (idleNow-idle)/(allNow-all)
	}
}

// processorTimes returns the times of the first line of /proc/stat: user, nice, system, idle, the
// wait for the disk, which is idle, too, and others.
func processorTimes() (idle, all float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(first) {
		const idleField, waitField, guestField = 4, 5, 9 // guests are also in user
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i >= guestField {
			continue
		}
		all += n
		if i == idleField || i == waitField {
			idle += n
		}
	}
	return idle, all
}
