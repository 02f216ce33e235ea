package main

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

//go:embed survivors.md
var survivors string

// A survivor is a row of the list: a change that no test needs to notice.
type survivor struct{ place, kind, code string }

var survivorLine = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([A-Z_]+) \\| `([^`]+)` \\| .+ \\|$")

// listed returns the rows of survivors.md.
func listed() map[survivor]bool {
	rows := map[survivor]bool{}
	for _, row := range survivorLine.FindAllStringSubmatch(survivors, -1) {
		rows[survivor{row[1], row[2], strings.ReplaceAll(row[3], `\|`, "|")}] = true
	}
	return rows
}

// report prints the counts of each file and of each step, then the survivors that the list lacks, and the rows that
// it need not have. It fails if the list lacks any.
func report(all []mutant) error {
	fmt.Printf("\n%-34s %7s %5s %6s %10s\n", "", "noticed", "hung", "lived", "no change")
	var places []string
	of := map[string][]mutant{}
	for _, m := range all {
		if of[m.place] == nil {
			places = append(places, m.place)
		}
		of[m.place] = append(of[m.place], m)
	}
	for _, place := range places {
		count(place, of[place])
	}
	count("all", all)
	countSteps(all)

	unlisted, rows := 0, listed()
	for _, m := range all {
		switch is := rows[survivor{m.place, m.kind, m.code}]; {
		case m.lives() && !is:
			unlisted++
			fmt.Printf("| `%s` | %s | `%s` | ? |\n", m.place, m.kind, strings.ReplaceAll(m.code, "|", `\|`))
		case !m.lives() && is:
			fmt.Printf("listed, but noticed: %s:%d %s %s\n", m.place, m.line, m.kind, m.code)
		}
	}
	if unlisted > 0 {
		return fmt.Errorf("%d changes are not in survivors.md, and no test notices them", unlisted)
	}
	return nil
}

func count(name string, mutants []mutant) {
	noticed, hung, lived, none := 0, 0, 0, 0
	for _, m := range mutants {
		switch {
		case !m.viable():
			none++
		case m.lives():
			lived++
		case m.hangs():
			hung++
		default:
			noticed++
		}
	}
	fmt.Printf("%-34s %7d %5d %6d %10d   %5.1f %% noticed\n", name, noticed, hung, lived, none,
		100*float64(noticed+hung)/float64(max(1, noticed+hung+lived)))
}

// countSteps prints how many changes each step has noticed.
func countSteps(mutants []mutant) {
	noticed := map[string]int{}
	for _, m := range mutants {
		if m.viable() && !m.lives() {
			step, _, _ := strings.Cut(m.by, ": ")
			noticed[step]++
		}
	}
	for _, step := range slices.Sorted(maps.Keys(noticed)) {
		fmt.Printf("%-34s %7d\n", step, noticed[step])
	}
}
