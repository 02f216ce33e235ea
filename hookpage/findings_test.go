package hookpage_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindings_OfHook(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login:
    after:
      password: [{hook: revoke_active_sessions}]
      hooks:
        - hook: redirect
          config: {to: /home}
        - hook: audit
`), options()))
	text, markup := lane(t, page, "login · password")
	inOrder(t, text, "audit never runs", "at 9:17", "warning never-runs : hook",
		"the redirect at 7:17 always answers before it.", "Fix:", "remove it.")
	require.Contains(t, markup, `<li class="warning">`)
	require.Equal(t, 1, strings.Count(text, "at 9:17"), "the position is not repeated")
	text, markup = lane(t, page, "login · any other strategy")
	inOrder(t, text, "audit never runs", "warning never-runs : see login by password")
	require.NotContains(t, text, "Fix:", "one lane shows it in full")
	require.Contains(t, markup, `href="?lane=login%2Fpassword#`+laneOf(t, page, "login · password").attr["id"]+`"`)
	inOrder(t, words(page), "Findings 1 warning and 1 note.", "What happens")
	require.Equal(t, "1 warning", laneOf(t, page, "login · password").all("span", "warn")[0].words())
}

func TestFindings_Position(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  login:
    after:
      - hook: redirect
        config:
          to: http://www.example.org/
`), options()))
	text, _ := lane(t, page, "login")
	inOrder(t, text, "at 5:15", "warning plain-redirect", "Fix: use https.", "at 7:15")
}

func TestFindings_OfSettings(t *testing.T) {
	opts := options()
	opts.VerificationURL, opts.Secrets = "http://auth.example.org/confirm", nil
	page := get(t, build(t, parse(t, `
secrets: {session: [something-super-secret]}
selfservice: {registration: {after: [{hook: verify}]}}
`), opts))
	top, _, _ := strings.Cut(page, ">How to read this<")
	text := words(top)
	inOrder(t, text, "Findings 2 warnings and 0 notes; 2 about settings", "Findings about settings", "warning example-secret",
		"Fix: generate one with: openssl rand -hex 32", "at 2:21",
		"warning plain-link", "plain http", "Fix: use https", "at Options.VerificationURL")
	require.NotContains(t, page, "something-super")
}

func TestFindings_SeveralLanes(t *testing.T) {
	page := get(t, build(t, parse(t, `
selfservice:
  registration:
    after:
      password: [{hook: note}]
      code: [{hook: note}]
      hooks: [{hook: redirect, phase: after, config: {to: /home}}, {hook: audit}]
`), options()))
	first, _ := lane(t, page, "registration · password")
	inOrder(t, first, "audit never runs", "Fix:")
	for _, title := range []string{"registration · code", "registration · any other strategy"} {
		text, _ := lane(t, page, title)
		inOrder(t, text, "audit never runs", "never-runs : see registration by password")
	}
}

func TestFindings_AcceptedByFile(t *testing.T) {
	page := get(t, build(t, parse(t, `
flowhook: {accept: [{rule: never-runs, reason: the redirect comes and goes}, {rule: closed, reason: none}]}
selfservice:
  login: {after: [{hook: redirect, config: {to: /home}}, {hook: audit}]}
`), options()))
	require.NotContains(t, page, "always answers before")
	top, _, _ := strings.Cut(page, ">How to read this<")
	inOrder(t, words(top), "Findings 0 warnings and 1 note", "note unused-accept", "Fix: remove the entry", "at 2:85")
}
