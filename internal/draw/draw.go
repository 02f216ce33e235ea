// Package draw draws chains as a table and as a Mermaid diagram.
package draw

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/flowhook/flowhook/internal/plan"
)

// Table returns a line for each hook of each chain: its point, the hook, its position, and whether
// it answers or never runs.
func Table(chains []plan.Chain) string {
	if len(chains) == 0 {
		return "no hooks\n"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POINT\tHOOK\tAT\t")
	for _, c := range chains {
		point := c.Flow + "/" + c.Phase
		if c.Strategy != "" {
			point += "/" + c.Strategy
		}
		point = oneLine(point) // the host may declare any name
		for i, h := range c.Hooks {
			hook, note := oneLine(h.Name()), ""
			if h.Target != "" {
				hook, note = "redirect to "+oneLine(h.Leads()), "answers"
			}
			if h.Timeout > 0 {
				hook += ", at most " + h.Timeout.String()
			}
			if c.AnsweredBy[i] != nil {
				note = "never runs"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", point, hook, oneLine(h.Where()), note)
			point = ""
		}
	}
	w.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// oneLine replaces characters that would break a line or a column, or reverse the order of letters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
