package acceptance_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/assert"
)

// A hookAt is a built-in hook at a point, written in one of the layouts.
type hookAt struct {
	layout string
	hook   string
	point  flowhook.Point // where it is written; "phase" in the entry is for the gates of the host's own
}

// allowedFlows are the flows that allow a hook, with every strategy and without. A redirect is
// allowed everywhere.
var allowedFlows = map[string][]flowhook.Flow{
	"session":                   {"login", "registration", "verification", "recovery", "invite"},
	"revoke_active_sessions":    {"login", "recovery", "settings", "invite"},
	"verify":                    {"registration", "settings", "login", "invite"},
	"verification":              {"registration", "settings", "login", "invite"},
	"require_verified_address":  {"login", "invite"},
	"show_verification_ui":      {"registration", "settings", "login", "invite"},
	"notify_previous_addresses": {"settings", "invite"},
	"verify_new_address":        {"settings", "invite"},
}

// moving are the hooks that run at before_persist: an entry under after without a phase moves there.
var moving = []string{"require_verified_address", "verify_new_address"}

var (
	layouts = []string{"document", "v0.3", "v0.4"}
	hooks   = append(slices.Sorted(maps.Keys(allowedFlows)), "redirect")
)

// hooksAtAllPoints returns every built-in hook at each flow, phase and strategy, in each layout.
func hooksAtAllPoints() (all []hookAt) {
	for _, layout := range layouts {
		for _, hook := range hooks {
			for _, flow := range flowtest.Flows {
				for _, phase := range flowtest.Phases {
					for _, s := range flowtest.Strategies {
						all = append(all, hookAt{layout, hook, flowhook.Point{Flow: flow, Phase: phase, Strategy: s}})
					}
				}
			}
		}
	}
	return all
}

// yaml returns the file with the hook.
func (c hookAt) yaml() string {
	entry := "hook: " + c.hook
	if c.hook == "redirect" {
		entry += ", config: {to: /there}"
	}
	section := string(c.point.Phase)
	if c.point.Phase == flowhook.BeforePersist {
		section, entry = "after", entry+", phase: before_persist"
	}
	hooks := fmt.Sprintf("[{%s}]", entry)
	if c.layout != "document" {
		hooks = fmt.Sprintf("{hooks: %s}", hooks)
	}
	if s := c.point.Strategy; s != "" {
		hooks = fmt.Sprintf("{%s: %s}", s, hooks)
	}
	flow := fmt.Sprintf("{%s: {%s: %s}}", c.point.Flow, section, hooks)
	if c.layout == "v0.4" {
		flow = fmt.Sprintf("{flows: %s}", flow)
	}
	return "selfservice: " + flow
}

// want returns the error that New must return, or "".
func (c hookAt) want() string {
	p := c.point
	switch {
	case p.Flow == "settings" && p.Phase == "before" && c.layout != "v0.4":
		return "settings flows do not have before hooks"
	case p.Phase == "before" && p.Strategy != "":
		return "no strategy can stand here"
	case c.hook == "redirect" || slices.Contains(allowedFlows[c.hook], p.Flow) && c.registered().Phase == c.phase():
		return ""
	}
	at := c.registered().String()
	own := []string{}
	for _, f := range allowedFlows[c.hook] {
		if f != "invite" {
			own = append(own, string(f))
		}
	}
	return fmt.Sprintf("hook %q cannot be at %s; it is allowed at %s of %s, and of the host's own flows", c.hook,
		at, c.phase(), strings.Join(own, ", "))
}

// phase returns the phase in which the hook is allowed.
func (c hookAt) phase() flowhook.Phase {
	if slices.Contains(moving, c.hook) {
		return flowhook.BeforePersist
	}
	return flowhook.After
}

// registered returns the point where an accepted hook runs.
func (c hookAt) registered() flowhook.Point {
	p := c.point
	moves := c.hook == "redirect" && p.Flow == "registration" || slices.Contains(moving, c.hook)
	if moves && p.Phase == "after" {
		p.Phase = flowhook.BeforePersist
	}
	return p
}

// run runs the hook as a handler would and returns its effects.
func (c hookAt) run(t *testing.T) string {
	store, mail, ctx := memstore.New(), &flowtest.Mailbox{}, t.Context()
	old := flowhook.Session{ID: "old", IdentityID: "alice", ExpiresAt: time.Now().Add(time.Hour)}
	assert.NoError(t, store.CreateSession(ctx, old))
	cfg, err := flowhook.ParseConfig([]byte(c.yaml()))
	assert.NoError(t, err)
	opts := flowtest.AnyOptions()
	opts.Store, opts.Courier, opts.VerificationURL = store, mail, "https://example.com/verify"
	p, err := flowhook.New(cfg, opts)
	assert.NoError(t, err)

	rec := httptest.NewRecorder()
	x := &flowhook.Exchange{Writer: rec, Request: flowtest.NewRequest(), Identity: flowtest.Alice.Identity()}
	x.Session = &flowhook.Session{ID: "none", AuthenticatedAt: time.Now()}
	if c.hook != "revoke_active_sessions" {
		x.Previous = flowtest.Bob.Identity()
		x.Previous.ID = x.Identity.ID
	} else {
		x.Session = nil
	}
	at := c.registered()
	if at.Strategy == flowhook.FlowWide {
		at.Strategy = "magic" // a flow-wide hook runs for each
	}
	ctx = flowhook.NewContext(ctx, x)
	handled, err := p.Run(ctx, at.Flow, at.Phase, at.Strategy)
	assert.NoError(t, err)
	if c.hook == "verify_new_address" {
		assert.Equal(t, x.Previous.Addresses, x.Identity.Addresses)
		_, err = p.Run(ctx, at.Flow, flowhook.After, at.Strategy)
		assert.NoError(t, err)
	}

	var effects []string
	if handled {
		effects = append(effects, fmt.Sprint(rec.Code, " to ", rec.Header().Get("Location")))
	}
	if cookies := rec.Result().Cookies(); len(cookies) > 0 {
		r := flowtest.NewRequest()
		r.AddCookie(cookies[0])
		s, err := p.Sessions().FromRequest(r)
		assert.NoError(t, err)
		effects = append(effects, "signed in as "+s.IdentityID)
	}
	if _, err := store.FindSession(ctx, "old"); err != nil {
		effects = append(effects, "old session gone")
	}
	for _, m := range mail.Take() {
		effects = append(effects, "mail to "+m.To)
	}
	return strings.Join(effects, ", ")
}

func TestBuiltins_AllPoints(t *testing.T) {
	effect := map[string]string{"redirect": "302 to /there", "session": "signed in as alice",
		"revoke_active_sessions": "old session gone",
		"verify":                 "mail to alice@example.org", "verification": "mail to alice@example.org",
		"require_verified_address":  "303 to https://example.com/verify, mail to alice@example.org",
		"show_verification_ui":      "", // no email was sent
		"notify_previous_addresses": "mail to bob@example.org",
		"verify_new_address":        "mail to alice@example.org"}
	opts := flowtest.AnyOptions()
	opts.VerificationURL = "https://example.com/verify"
	var placed []flowhook.Point
	opts.Wrap = func(p flowhook.Point, _ string, next flowhook.Hook) flowhook.Hook {
		placed = append(placed, p)
		return next
	}
	accepted := 0
	for _, c := range hooksAtAllPoints() {
		placed = nil
		err := flowtest.Build(c.yaml(), opts)
		if want := c.want(); want != "" {
			assert.ErrorContains(t, err, want, c.yaml())
			assert.Len(t, flowtest.Problems(err), 1, c.yaml())
			continue
		}
		accepted++
		assert.NoError(t, err, c.yaml())
		assert.Equal(t, []flowhook.Point{c.registered()}, placed, c.yaml())
		assert.Equal(t, effect[c.hook], c.run(t), c.yaml())
	}
	t.Logf("built-in hooks: %d placements, %d accepted with their effect; the others are errors that name the allowed flows", len(hooksAtAllPoints()), accepted)
}
