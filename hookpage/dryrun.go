package hookpage

import (
	"cmp"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/target"
)

// A dryRun is what would happen to a request that a reader of the page describes. It assumes that
// the handler succeeds, that the hooks of the host's own neither answer nor fail, and that the user
// has just signed in.
type dryRun struct {
	Flow     string `json:"flow"`
	Strategy string `json:"strategy"`
	ReturnTo string `json:"-"`
	SignedIn bool   `json:"signed_in"`
	Verified bool   `json:"verified"`        // every address is; false: none is
	Changes  bool   `json:"address_changes"` // counts at settings only
	Key      string `json:"lane"`
	Result   string `json:"result"`

	Lane *lane `json:"-"`

	pl       *flowhook.Plan
	saved    bool   // save has run
	mails    bool   // a hook sends an email with the commit
	emailed  bool   // a verification email is sent, unless one was within the interval
	waits    bool   // the change waits for the link that is emailed to the new address
	followed bool   // a redirect goes to ReturnTo
	failed   bool   // the answer is an error or a refusal
	page     string // where show_verification_ui redirects if an email was sent; "": it did not run
	answer   string // of a hook; "": none yet
}

// tryOut makes the dry run that a query asks for, and marks its path.
func (v *view) tryOut(pl *flowhook.Plan, query url.Values) error {
	flow, s := query.Get("flow"), query.Get("strategy")
	if flow == "" {
		return nil
	}
	d := &dryRun{Flow: flow, Strategy: s, ReturnTo: query.Get("return_to"), SignedIn: query.Get("signed_in") != "",
		Verified: query.Get("verified") != "", Changes: query.Get("address_changes") != "", pl: pl}
	if d.Lane = v.laneOf(flow, s); d.Lane == nil {
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
	d.pass(d.Lane.Steps)
	if failed := d.Lane.Failed; d.failed && failed != nil {
		refusal := d.answer
		d.answer = ""
		d.pass([]*step{failed})
		if d.answer != "" {
			refusal = d.answer + " instead of " + refusal
		}
		d.answer = refusal
	}
	d.Result = d.answered()
	for i := range d.Lane.items() {
		if i.kind == theAnswer && i.Lit {
			if i.Text = d.Result; d.answer != "" || d.page != "" {
				i.Text = "The answer is sent: " + i.Text
			}
		}
	}
	switch {
	case d.saved && d.waits:
		d.Result += " Everything but the new address is saved."
	case d.saved:
		d.Result += " Everything is saved."
	default:
		d.Result += " Nothing is saved."
	}
	if d.ReturnTo != "" && !d.followed {
		d.Result += " No hook on this path uses return_to. It is "
		if !d.pl.AllowsReturnTo(d.ReturnTo) {
			d.Result += "not "
		}
		d.Result += "allowed."
	}
}

// pass lights what happens in some steps.
func (d *dryRun) pass(steps []*step) {
	for i := range items(steps) {
		switch {
		case i.kind == theAnswer: // if the run fails, that of the hooks at failed
			i.Lit = !d.failed || d.Lane.Failed == nil || d.Lane.Failed == steps[0]
		case i.Never || d.answer != "" && (i.Hook != nil || !d.saved):
		case i.kind == theEmails && !d.mails:
		default:
			if i.Lit = true; i.Hook != nil {
				page := d.page
				if i.Tried = d.hook(i.Hook.info); page != "" {
					i.Tried = "If no email was sent: " + i.Tried
				}
			}
			d.saved = d.saved || i.kind == theSave
		}
	}
}

// answered says who answers.
func (d *dryRun) answered() string {
	text := cmp.Or(d.answer, "your handler answers")
	if d.page != "" && !d.failed {
		return d.toPage() + "; otherwise " + text + "."
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// toPage returns the answer of show_verification_ui. Within the interval of verify, nothing is sent.
func (d *dryRun) toPage() string {
	return "302 to " + d.page + " if an email was sent (none is sent within the interval)"
}

// changes reports whether an address changes.
func (d *dryRun) changes() bool { return d.Changes && d.Flow == string(flowhook.Settings) }

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
			to, d.followed = target.Shown(d.ReturnTo), true
		}
		d.answer = "302 to " + to
		return "Answers " + d.answer + "."
	case h.Custom:
		return "Assumed to pass."
	case verifies(h) && d.Verified && d.waits:
		return "Sends nothing: every address is verified, because the new one waits."
	case verifies(h) && d.Verified && d.changes():
		d.mails, d.emailed = true, true
		return "Emails the new address, unless it did within the interval."
	case verifies(h) && d.Verified:
		return "Sends nothing: every address is verified."
	case verifies(h):
		d.mails, d.emailed = true, true
		return "No address is verified: emails each one, unless it did within the interval."
	case h.Name == "require_verified_address" && d.Verified:
		return "Passes: every address is verified."
	case h.Name == "require_verified_address" && h.Point.Phase == flowhook.After:
		d.answer, d.saved, d.failed = "403 address_not_verified", false, true
		return "No address is verified: refuses with " + d.answer + ", and everything is rolled back."
	case h.Name == "require_verified_address":
		d.answer = "303 to " + h.VerificationPage + ", or 403 for a JSON client"
		return "No address is verified: emails each one. Answers " + d.answer + "."
	case h.Name == "show_verification_ui" && d.emailed:
		d.page = h.VerificationPage
		return "Answers " + d.toPage() + "."
	case h.Name == "show_verification_ui":
		return "Passes: no verification email was sent."
	case h.Name == "revoke_active_sessions" && d.SignedIn:
		return "Ends the user's sessions, except the one that the handler sets in x.Session."
	case h.Name == "revoke_active_sessions":
		return "Ends the user's sessions, except one that this request issues."
	case h.Name == "verify_new_address" && !d.changes():
		return "Passes: no address changes."
	case h.Name == "verify_new_address" && !d.SignedIn:
		d.answer, d.failed = "500, because x.Session is not set", true
		return "Fails: " + d.answer + "."
	case h.Name == "verify_new_address":
		d.mails, d.emailed, d.waits = true, true, true
		return "Emails the new address, unless it did within the interval. The address changes when the link is opened."
	case h.Name == "notify_previous_addresses" && !d.changes():
		return "Sends nothing: no address changes."
	case h.Name == "notify_previous_addresses":
		d.mails = true
		return "Emails the previous addresses that it is configured for."
	}
	return ""
}

// items returns the items of a lane in order, those at failed last.
func (l *lane) items() iter.Seq[*item] {
	if l.Failed == nil {
		return items(l.Steps)
	}
	return items(append(slices.Clone(l.Steps), l.Failed))
}

// items returns the items of some steps in order.
func items(steps []*step) iter.Seq[*item] {
	return func(yield func(*item) bool) {
		for _, s := range steps {
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
		for i := range l.items() {
			if i.Hook != nil && !yield(i.Hook) {
				return
			}
		}
	}
}
