package hookpage

import (
	"iter"
	"net/http"
	"net/url"
	"slices"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/target"
)

// A dryRun is what would happen to a request that a reader of the page describes. It assumes that
// the handler succeeds and that the hooks of the host's own neither answer nor fail.
type dryRun struct {
	Flow     string `json:"flow"`
	Strategy string `json:"strategy"`
	ReturnTo string `json:"-"`
	SignedIn bool   `json:"signed_in"`
	Verified bool   `json:"verified"`
	Key      string `json:"lane"`
	Result   string `json:"result"`

	Lane *lane `json:"-"`

	pl      *flowhook.Plan
	saved   bool   // save has run
	emailed bool   // a verification email has been sent
	changes bool   // an email is sent if an address changes
	answer  string // of a hook; "": none yet
}

// tryOut makes the dry run that a query asks for, and marks its path.
func (v *view) tryOut(pl *flowhook.Plan, query url.Values) error {
	flow, s := query.Get("flow"), query.Get("strategy")
	if flow == "" {
		return nil
	}
	d := &dryRun{Flow: flow, Strategy: s, ReturnTo: query.Get("return_to"), SignedIn: query.Get("signed_in") != "",
		Verified: query.Get("verified") != "", pl: pl}
	if i := slices.IndexFunc(v.Lanes, func(l *lane) bool { return l.Flow == flow && l.Strategy == s }); i >= 0 {
		d.Lane = v.Lanes[i]
	} else if i := slices.IndexFunc(v.Lanes, func(l *lane) bool { return l.Flow == flow && l.Strategy == "" }); i >= 0 {
		d.Lane = v.Lanes[i]
	} else {
		return &badRequest{http.StatusNotFound, "there is no such flow with hooks"}
	}
	d.Key, v.DryRun, d.Lane.Open = d.Lane.Key, d, true
	d.walk()
	return nil
}

func (d *dryRun) walk() {
	if d.ReturnTo != "" && d.Lane.follows && !d.pl.AllowsReturnTo(d.ReturnTo) {
		d.Result = "No hook runs: return_to is not allowed. With AnswerError, the answer is 400."
		return
	}
	for i := range d.Lane.items() {
		switch {
		case i.kind == theAnswer:
			i.Lit = true
		case i.Never || d.answer != "" && (i.Hook != nil || !d.saved):
		case i.kind == theEmails && !d.sendsEmail():
		default:
			if i.Lit = true; i.Hook != nil {
				i.Tried = d.hook(i.Hook.info)
			}
			d.saved = d.saved || i.kind == theSave
		}
	}
	d.Result = "Your handler answers."
	if d.answer != "" {
		d.Result = d.answer + "."
	}
	if d.saved {
		d.Result += " Everything is saved."
	} else {
		d.Result += " Nothing is saved."
	}
	if d.ReturnTo != "" && !d.Lane.follows {
		d.Result += " No hook of this flow uses return_to."
	}
}

// sendsEmail reports whether a hook on the path sends an email with the commit.
func (d *dryRun) sendsEmail() bool {
	for i := range d.Lane.items() {
		if i.Lit && i.Hook != nil && sendsEmail(i.Hook.info) && (!verifies(i.Hook.info) || !d.Verified) {
			return true
		}
	}
	return false
}

// verifies reports whether a hook is verify, which emails only addresses that are not verified.
func verifies(h flowhook.HookInfo) bool {
	return !h.Custom && (h.Name == "verify" || h.Name == "verification")
}

// hook returns what a hook does to the request, and notes its answer.
func (d *dryRun) hook(h flowhook.HookInfo) string {
	switch {
	case h.Target != "":
		to := h.Target
		if h.FollowsReturnTo && d.ReturnTo != "" {
			to = target.Shown(d.ReturnTo)
		}
		d.answer = "302 to " + to
		return "Answers " + d.answer + "."
	case h.Custom:
		return "Assumed to pass."
	case verifies(h) && d.Verified:
		return "Sends nothing: every address is verified."
	case verifies(h):
		d.emailed = true
		return "Emails each address, unless it did within the interval."
	case h.Name == "require_verified_address" && d.Verified:
		return "Passes: the user has a verified address."
	case h.Name == "require_verified_address" && h.Point.Phase == flowhook.After:
		d.answer, d.saved = "403 address_not_verified", false
		return "Refuses: " + d.answer + ", and everything is rolled back."
	case h.Name == "require_verified_address":
		d.answer = "303 to the verification page, or 403 for a JSON client"
		return "Emails each address. Answers " + d.answer + "."
	case h.Name == "show_verification_ui" && d.emailed:
		d.answer = "302 to the verification page"
		return "Answers " + d.answer + "."
	case h.Name == "show_verification_ui" && d.changes:
		return "Passes if no address has changed; otherwise it answers 302 to the verification page."
	case h.Name == "show_verification_ui":
		return "Passes: no verification email was sent."
	case h.Name == "revoke_active_sessions" && d.SignedIn:
		return "Ends the user's sessions, except the one that the handler sets in x.Session."
	case h.Name == "revoke_active_sessions":
		return "Ends the user's sessions, except one that this request issues."
	case h.Name == "verify_new_address" && !d.SignedIn:
		return "Passes if no address changes; otherwise it fails without a session in x.Session."
	case h.Name == "verify_new_address":
		d.changes = true
		return "Passes if no address changes; otherwise emails the new one, if the sign-in is recent."
	}
	return ""
}

// items returns the items of a lane in order, without those at failed.
func (l *lane) items() iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, s := range l.Steps {
			for _, i := range s.Items {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// all returns the hooks of a lane in order, those at failed last.
func (l *lane) all() iter.Seq[*hook] {
	return func(yield func(*hook) bool) {
		steps := l.Steps
		if l.Failed != nil {
			steps = append(slices.Clone(steps), l.Failed)
		}
		for _, s := range steps {
			for _, i := range s.Items {
				if i.Hook != nil && !yield(i.Hook) {
					return
				}
			}
		}
	}
}
