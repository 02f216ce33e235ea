package hookpage

import (
	"fmt"

	"github.com/flowhook/flowhook"
)

// newHook says what a hook does.
func newHook(phase flowhook.Phase, h flowhook.HookInfo) *hook {
	w := &hook{HookInfo: h, Wide: h.Point.Strategy == flowhook.FlowWide}
	switch {
	case h.Target != "": // also where the host gave it a name
		w.Says = "Answers 302 to " + leads(h) + after[phase]
	case h.Custom:
		w.Says = "A hook of your own: its code says what it does."
	case mails(h):
		w.Says = "Mails a link to each address that is not verified, after the commit."
	case h.Name == "session":
		w.Says = "Signs the user in: sends the session cookie with the answer."
	case h.Name == "revoke_active_sessions":
		w.Says = "Signs the user out everywhere else: ends all their other sessions."
	}
	return w
}

// leads says where a redirect goes.
func leads(h flowhook.HookInfo) string {
	if h.FollowsReturnTo {
		return h.Target + ", or where the request's return_to says"
	}
	return h.Target
}

// after is what a redirect means for the rest.
var after = map[flowhook.Phase]string{
	flowhook.Before:        ": nothing after it runs, whoever comes.",
	flowhook.BeforePersist: ": nothing after it runs, and nothing is saved.",
	flowhook.After:         ", when all is saved: no hook after it runs.",
	flowhook.Failed:        ", in place of your handler: no hook after it runs.",
}

func mails(h flowhook.HookInfo) bool {
	return !h.Custom && (h.Name == "verify" || h.Name == "verification")
}

// proofs are what a strategy has of the user.
var proofs = map[flowhook.Strategy]string{
	flowhook.Password:     "the password",
	flowhook.OIDC:         "what the provider says of the user",
	flowhook.SAML:         "what the provider says of the user",
	flowhook.Link:         "the link",
	flowhook.Code:         "the code",
	flowhook.TOTP:         "the one-time password",
	flowhook.LookupSecret: "the backup code",
	flowhook.WebAuthn:     "the security key",
	flowhook.Passkey:      "the passkey",
}

// checks is what the handler has done before it lets the hooks run.
func checks(f flowhook.Flow, s flowhook.Strategy) string {
	proof := proofs[s]
	switch {
	case f == flowhook.Registration && s == flowhook.Password:
		return " checks what the new user has entered, the password too."
	case f == flowhook.Registration:
		return " checks who the new user is."
	case f == flowhook.Settings:
		return " checks what is to be changed."
	case f == flowhook.Logout:
		return " finds out who signs out."
	case f != flowhook.Login && f != flowhook.Verification && f != flowhook.Recovery:
		return " does its own work."
	case proof != "":
		return " checks " + proof + "."
	case f == flowhook.Login:
		return " checks who it is."
	}
	return " checks the link, or the code."
}

// saves is what the handler gives Complete to do.
func saves(f flowhook.Flow) string {
	switch f {
	case flowhook.Login:
		return "issues the session, if no hook does."
	case flowhook.Registration:
		return "stores the new user."
	case flowhook.Settings:
		return "stores the change."
	case flowhook.Verification:
		return "marks the address as verified."
	case flowhook.Logout:
		return "ends the session."
	}
	return "stores what it has to."
}

// more gives a number of things.
func more(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
