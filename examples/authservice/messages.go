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

// newDeviceMail goes to who has signed in with a browser that the account does not know.
func (s *service) newDeviceMail(a flowhook.Address, client string) flowhook.Message {
	return message(a.Value, "Somebody has signed in to your account", s.config.PublicURL+"/sessions",
		fmt.Sprintf("Your account was signed in to from a browser that it did not know before: %s, at %s.", client, s.now().UTC().Format("15:04 on 2 January 2006 (UTC)")),
		"If that was you, there is nothing to do. If not, sign out everywhere, and change your password:")
}
