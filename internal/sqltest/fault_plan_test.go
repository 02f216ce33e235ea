package sqltest

import (
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
)

// A plan is what the handler of a host does, and which hooks follow.
type plan struct {
	flow     flowhook.Flow
	order    []string // of the hooks
	issues   bool     // save issues the session
	redeem   bool     // the handler redeems a link instead of completing a flow
	swallows bool     // the host's own hook ignores the error of its statement
}

func (p plan) String() string {
	s := string(p.flow) + ": " + strings.Join(p.order, " ")
	if p.issues {
		s += ", issuing in save"
	}
	if p.swallows {
		s += ", ignoring errors"
	}
	if p.redeem {
		s = "Redeem"
	}
	return s
}

func (p plan) has(hook string) bool { return slices.Contains(p.order, hook) }

// audit is the host's own hook. It inserts a row into a table of the host.
const audit = "audit"

var plans = []plan{
	{flow: flowhook.Login, order: []string{"revoke_active_sessions", "session", audit}},
	{flow: flowhook.Login, order: []string{"session", "revoke_active_sessions", audit, "redirect"}},
	{flow: flowhook.Registration, order: []string{"session", "verify", audit}, swallows: true},
	{flow: flowhook.Registration, order: []string{"session", "verify", audit}},
	{flow: flowhook.Settings, order: []string{"revoke_active_sessions", "verify", audit}},
	{flow: flowhook.Recovery, order: []string{"session", audit, "revoke_active_sessions"}},
	{flow: flowhook.Verification, redeem: true},
	{flow: flowhook.Logout, order: []string{audit}},
	{flow: flowhook.Login, order: []string{"revoke_active_sessions", audit, "session"}, swallows: true},
	// A run with few repetitions leaves out what follows.
	{flow: flowhook.Login, order: []string{audit, "verify", "revoke_active_sessions", "session"}},
	{flow: flowhook.Login, order: []string{"revoke_active_sessions", audit, "verify"}, issues: true},
	{flow: flowhook.Registration, order: []string{audit, "verify", "session", "redirect"}},
	{flow: flowhook.Settings, order: []string{audit, "revoke_active_sessions", "redirect"}},
	{flow: flowhook.Recovery, order: []string{audit, "revoke_active_sessions", "session", "redirect"}},
	{flow: flowhook.Verification, order: []string{"session", audit}},
}

// contents are all rows of all tables, sorted, with names instead of random values.
type contents []string

// before returns the contents that a request finds.
func (p plan) before() contents {
	return p.rows("alice", func(string) bool { return false })
}

// done returns the contents after a request without a fault.
func (p plan) done() contents {
	who := "alice"
	if p.flow == flowhook.Registration {
		who = "carol"
	}
	return p.rows(who, func(effect string) bool {
		issues, revokes := p.issues || p.has("session"), p.has("revoke_active_sessions")
		return map[string]bool{
			"saved":    p.flow != flowhook.Logout && !p.redeem,
			"redeemed": p.redeem,
			"audit":    p.has(audit) || p.redeem,
			"current":  issues || p.flow == flowhook.Logout || revokes && p.flow != flowhook.Settings,
			"old":      revokes,
			"fresh":    issues,
			"email":    p.has("verify"),
		}[effect]
	})
}

// rows returns the contents with these effects on one user.
func (p plan) rows(who string, has func(effect string) bool) contents {
	alice, token := "user alice: as it was, verified: no", "token old of alice at alice@example.org, used: no"
	if has("redeemed") {
		alice, token = "user alice: as it was, verified: yes", "token old of alice at alice@example.org, used: yes"
	}
	if has("saved") && who == "alice" {
		alice = "user alice: saved, verified: no"
	}
	c := contents{alice, token, "user bob: bob, verified: yes",
		"token old of bob at bob@example.org, used: no", "session bobs of bob"}
	add := func(when bool, rows ...string) {
		if when {
			c = append(c, rows...)
		}
	}
	add(has("saved") && who != "alice", "user "+who+": saved, verified: no")
	add(has("audit"), "audit of "+who)
	add(!has("current"), "session current of alice")
	add(!has("old"), "session old of alice")
	add(has("fresh"), "session fresh of "+who)
	add(has("email"), "token fresh of "+who+" at "+who+"@example.org, used: no", "email to "+who+"@example.org")
	slices.Sort(c)
	return c
}
