package hookpage_test

import (
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// summaries returns the lines of all lanes, closed up.
func summaries(t *testing.T, page string) (lines []string) {
	for _, l := range read(t, page).all("details", "lane") {
		require.NotContains(t, l.attr, "open")
		lines = append(lines, l.all("h3", "")[0].words()+": "+l.all("span", "line")[0].words())
	}
	return lines
}

func TestLane_Summary(t *testing.T) {
	p := build(t, parse(t, `
selfservice:
  allowed_return_urls: [/app]
  flows:
    login:
      before: {hooks: [{hook: audit}]}
      after:
        hooks: [{hook: redirect, config: {to: /home, allow_user_defined_redirect: true}}, {hook: note}]
    registration:
      after:
        password: {hooks: [{hook: note, phase: before_persist}, {hook: verify}]}
        hooks: [{hook: audit}]
      failed: {hooks: [{hook: note}]}
    settings:
      before: {hooks: [{hook: note}, {hook: redirect, config: {to: "https://status.example.org/"}}]}
      after: {hooks: [{hook: audit}]}
    recovery:
      after: {code: {hooks: [{hook: redirect, phase: before_persist, config: {to: "/closed?canary"}}]}}
`), options())
	page := get(t, p)
	require.Equal(t, []string{
		"login: audit → save → 302 to /home, or the request's return_to",
		"registration · password: note → save → verify → audit",
		"registration · any other strategy: save → audit",
		"settings: CLOSED → status.example.org, unless an earlier hook answers",
		"recovery · code: CLOSED → /closed",
		"recovery · any other strategy: save",
	}, summaries(t, page))
	require.Len(t, read(t, page).all("details", "closed"), 2)
	require.Contains(t, words(page), "Without hooks: verification, logout.")
}

// The query opens one lane, and each lane has a link that does so.
func TestHandler_OpensLane(t *testing.T) {
	opts := options()
	opts.Flows = []flowhook.Flow{"a/b & c"}
	p := build(t, parse(t, `selfservice: {flows: {"a/b & c": {after: {code: {hooks: [{hook: audit}]}}},
		login: {after: {hooks: [{hook: audit}]}}}}`), opts)
	for title, parameter := range map[string]string{"login": "?lane=login", "a/b & c · code": "?lane=a%2Fb+%26+c%2Fcode",
		"a/b & c · any other strategy": "?lane=a%2Fb+%26+c"} {
		links := laneOf(t, get(t, p), title).all("a", "")
		require.Equal(t, parameter, links[len(links)-1].attr["href"])
		page := read(t, query(t, p, parameter))
		for _, l := range page.all("details", "lane") {
			_, open := l.attr["open"]
			require.Equal(t, l.all("h3", "")[0].words() == title, open)
		}
	}
}

// Notes about Kratos are folded in a file that does not look like one of its own.
func TestFindings_Kratos(t *testing.T) {
	opts := options()
	opts.Hooks["noted"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return noted{idle}, nil }
	const text = "selfservice: {registration: {after: {password: [{hook: noted}, {hook: session}, {hook: audit}]}}}"
	markup := laneOf(t, get(t, build(t, parse(t, text), opts)), "registration · password")
	folded := markup.all("details", "")
	require.Len(t, folded, 1)
	require.Equal(t, "note noted/kratos-x", folded[0].all("summary", "")[0].words())
	require.Contains(t, folded[0].words(), "Kratos does x.")

	markup = laneOf(t, get(t, build(t, parse(t, text+"\ncourier: {}"), opts)), "registration · password")
	require.Empty(t, markup.all("details", ""))
	require.Contains(t, markup.words(), "noted/kratos-x : Kratos does x.")
}

type noted struct{ flowhook.Hook }

func (noted) Findings(flowhook.Point) []flowhook.Finding {
	return []flowhook.Finding{{Rule: "kratos-x", Problem: "Kratos does x"}}
}
