package main

import (
	"fmt"
	"html"
	"strings"

	"github.com/flowhook/flowhook"
)

// message returns an email of plain paragraphs with a link at the end.
func message(to, subject, link string, paragraphs ...string) flowhook.Message {
	var page strings.Builder
	page.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" +
		html.EscapeString(subject) +
		"</title></head>\n<body>\n")
	for _, p := range paragraphs {
		page.WriteString("<p>" + html.EscapeString(p) + "</p>\n")
	}
	href := html.EscapeString(link)
	page.WriteString("<p><a href=\"" + href + "\">" + href + "</a></p>\n</body></html>\n")
	return flowhook.Message{Via: "email", To: to, Subject: subject, Link: link,
		Text: strings.Join(paragraphs, "\n\n") + "\n\n" + link + "\n", HTML: page.String()}
}

// takenMail notifies the owner of an account that someone tried to register with its address.
func (s *service) takenMail(u user) flowhook.Message {
	return message(u.Email, "You already have an account", s.config.PublicURL+"/login",
		"Someone tried to register with this email address. You already have an account, and nothing was changed.",
		"If it was you, sign in instead. If you don't know the password, or someone else has used your address, "+
			"choose a new password there. If it was not you, you can ignore this email.")
}

// passwordMail notifies a user that the password was changed.
func (s *service) passwordMail(u user) flowhook.Message {
	return message(u.Email, "Your password was changed", s.config.PublicURL+"/recovery",
		fmt.Sprintf("The password of your account was changed at %s. All other sessions were signed out.", s.at()),
		"If it was you, you don't need to do anything. If not, someone else has access to your account: choose a "+
			"new password here:")
}

// at returns the current time as emails show it.
func (s *service) at() string { return s.now().UTC().Format("15:04 UTC on January 2, 2006") }

// newDeviceMail notifies a user of a sign-in with a new browser.
func (s *service) newDeviceMail(a flowhook.Address, client string) flowhook.Message {
	return message(a.Value, "New sign-in to your account", s.config.PublicURL+"/sessions",
		fmt.Sprintf("Someone signed in to your account from a new browser: %s, at %s.", client, s.at()),
		"If it was you, you don't need to do anything. If not, sign out everywhere and change your password:")
}
