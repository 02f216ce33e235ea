package hookpage

import (
	"fmt"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// failure says when the hooks at failed run. It is true for each of their callers.
const failure = "These hooks run after an error or a refusal that comes after your handler has succeeded: whatever was " +
	"saved is rolled back, and the emails that waited for the commit are dropped, unless the commit itself went wrong. " +
	"They do not run after a refusal or an error at before. They also run when your handler calls them, as after a " +
	"wrong password; then there is nothing to roll back."

// newHook describes a hook at a phase.
func newHook(phase flowhook.Phase, h flowhook.HookInfo) *hook {
	text := h.Description
	switch {
	case h.Target != "": // with any name: the host can add a redirect under its own
		text = strings.TrimSpace(text + " Target: " + leads(h) + ". " + consequences[phase])
	case h.VerificationPage != "":
		text += " The page: " + h.VerificationPage + "."
	case text == "":
		text = "A custom hook without a description."
	}
	return &hook{Name: h.Name, Text: text, Config: h.Config, Position: h.Position.String(),
		Wide: h.Point.Strategy == flowhook.FlowWide, Never: h.NeverRuns, Timeout: h.Timeout, info: h}
}

// leads returns where a redirect leads, and "" for any other hook.
func leads(h flowhook.HookInfo) string {
	if h.FollowsReturnTo {
		return h.Target + ", or the request's return_to"
	}
	return h.Target
}

// consequences are what a redirect means for the rest of the lane.
var consequences = map[flowhook.Phase]string{
	flowhook.Before:        "Nothing after it runs, for any user.",
	flowhook.BeforePersist: "Nothing is saved.",
	flowhook.After:         "Everything is saved first.",
	flowhook.Failed:        "It replaces your handler's answer.",
}

// sendsEmail reports whether a hook sends emails with the commit.
func sendsEmail(h flowhook.HookInfo) bool {
	switch h.Name {
	case "verify", "verification", "notify_previous_addresses", "verify_new_address":
		return !h.Custom
	}
	return false
}

// mayAnswer reports whether a hook that is no redirect may answer.
func mayAnswer(h flowhook.HookInfo) bool {
	return h.Target == "" && (h.Custom || h.VerificationPage != "")
}

// unless limits what is said about a redirect's answer, if a hook that runs before it may answer.
const unless = ", unless an earlier hook answers"

// proofs are what the handler checks for each strategy.
var proofs = map[flowhook.Strategy]string{
	flowhook.Password:     "the password",
	flowhook.OIDC:         "the provider's response",
	flowhook.SAML:         "the provider's response",
	flowhook.Link:         "the link",
	flowhook.Code:         "the code",
	flowhook.TOTP:         "the one-time password",
	flowhook.LookupSecret: "the backup code",
	flowhook.WebAuthn:     "the security key",
	flowhook.Passkey:      "the passkey",
}

// checks returns what the handler does before it calls Complete.
func checks(f flowhook.Flow, s flowhook.Strategy) string {
	proof := proofs[s]
	switch {
	case f == flowhook.Registration && s == flowhook.Password:
		return " checks the new user's input, including the password."
	case f == flowhook.Registration:
		return " identifies the new user."
	case f == flowhook.Settings:
		return " checks the requested change."
	case f == flowhook.Logout:
		return " identifies the user."
	case f != flowhook.Login && f != flowhook.Verification && f != flowhook.Recovery:
		return " does its own work."
	case proof != "":
		return " checks " + proof + "."
	case f == flowhook.Login:
		return " identifies the user."
	}
	return " checks the link or the code."
}

// saves returns what the handler's save function does.
func saves(f flowhook.Flow) string {
	switch f {
	case flowhook.Login:
		return "issues the session, unless a hook does."
	case flowhook.Registration:
		return "stores the new user."
	case flowhook.Settings:
		return "stores the change."
	case flowhook.Verification:
		return "marks the address as verified."
	case flowhook.Logout:
		return "ends the session."
	}
	return "stores its changes."
}

// count returns a number with its noun, as in "2 warnings".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// short rounds a duration to what a reader needs.
func short(d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
