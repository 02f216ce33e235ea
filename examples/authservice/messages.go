package main

import (
	"fmt"
	"html"
	"strings"

	"github.com/flowhook/flowhook"
)

// message makes a mail of plain paragraphs with a link at the end.
func message(to, subject, link string, paragraphs ...string) flowhook.Message {
	var page strings.Builder
	page.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + html.EscapeString(subject) + "</title></head>\n<body>\n")
	for _, p := range paragraphs {
		page.WriteString("<p>" + html.EscapeString(p) + "</p>\n")
	}
	page.WriteString("<p><a href=\"" + html.EscapeString(link) + "\">" + html.EscapeString(link) + "</a></p>\n</body></html>\n")
	return flowhook.Message{Via: "email", To: to, Subject: subject, Link: link,
		Text: strings.Join(paragraphs, "\n\n") + "\n\n" + link + "\n", HTML: page.String()}
}

// takenMail goes to who has an account already, where somebody registers with the address again.
func (s *service) takenMail(u user) flowhook.Message {
	return message(u.Email, "You already have an account", s.config.PublicURL+"/login",
		"Somebody has tried to register with this address. You already have an account with it, and nothing was changed.",
		"If that was you, sign in instead. If not, you can ignore this mail.")
}

// passwordMail goes to whose password was changed, and addressMail to the address that was theirs until now. Neither says what
// the new one is: the address may be read by somebody else, which may be why it was changed.
func (s *service) passwordMail(u user) flowhook.Message {
	return message(u.Email, "Your password was changed", s.config.PublicURL+"/login",
		fmt.Sprintf("The password of your account was changed at %s. Whoever was signed in elsewhere is signed out.", s.at()),
		"If that was you, there is nothing to do. If not, somebody else has your account: tell those who run this service. Sign in here:")
}

func (s *service) addressMail(was user) flowhook.Message {
	return message(was.Email, "Your email address was changed", s.config.PublicURL+"/login",
		fmt.Sprintf("Your account was given another email address at %s. This one does not open it any more.", s.at()),
		"If that was you, there is nothing to do. If not, somebody else has your account: tell those who run this service. Sign in here:")
}

// at gives the time as mails say it.
func (s *service) at() string { return s.now().UTC().Format("15:04 on 2 January 2006 (UTC)") }

// newDeviceMail goes to who has signed in with a browser that the account does not know.
func (s *service) newDeviceMail(a flowhook.Address, client string) flowhook.Message {
	return message(a.Value, "Somebody has signed in to your account", s.config.PublicURL+"/sessions",
		fmt.Sprintf("Your account was signed in to from a browser that it did not know before: %s, at %s.", client, s.at()),
		"If that was you, there is nothing to do. If not, sign out everywhere, and change your password:")
}
