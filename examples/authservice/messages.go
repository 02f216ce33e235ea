package main

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
)

//go:embed templates/email
var emailFiles embed.FS

var emailTemplate = template.Must(template.ParseFS(emailFiles, "templates/email/message.html"))

// A letter is the data of the template of emails.
type letter struct {
	Brand, Subject string
	Before, After  []string // paragraphs around the link or the code
	Link, Button   string   // a URL and what it does; without Button, the URL is plain text
	Code           string   // to enter; empty if there is a link
	Reason         string   // why the reader gets the email
	Accent         template.CSS
	OnAccent       template.CSS
}

// branded returns an email with the HTML of the service, and with the reason for it at the end. The
// paragraphs are those of m.Text around the link or the code.
func (s *service) branded(m flowhook.Message, before, after []string) flowhook.Message {
	accent := s.config.Brand.Accent.readable(black, white)
	reason := "This email is about an account at " + strings.TrimSuffix(s.config.Brand.Name, ".") + "."
	var html strings.Builder
	err := emailTemplate.Execute(&html, letter{Brand: s.config.Brand.Name, Subject: m.Subject, Before: before,
		After: after, Link: m.Link, Button: m.Button, Code: m.Code, Reason: reason,
		Accent: template.CSS(accent.String()), OnAccent: "#ffffff"})
	if err != nil { // then the email has only text
		s.log.Error("executing the template of an email failed", "error", err)
		html.Reset()
	}
	m.Text, m.HTML = m.Text+"\n"+reason+"\n", html.String()
	return m
}

// A brandedCourier sends flowhook's emails with the service's template.
type brandedCourier struct{ *service }

// NeedsOutbox marks a courier that works only in a transaction, like the one that it wraps.
func (brandedCourier) NeedsOutbox() {}

// Send finds the link or the code in the text, where it is a paragraph of its own.
func (c brandedCourier) Send(ctx context.Context, m flowhook.Message) error {
	before, after := strings.Split(strings.TrimSpace(m.Text), "\n\n"), []string(nil)
	if i := slices.Index(before, cmp.Or(m.Link, m.Code)); i >= 0 {
		before, after = before[:i], before[i+1:]
	}
	return c.courier.Send(ctx, c.branded(m, before, after))
}

// message returns an email of plain paragraphs with a link at the end.
func (s *service) message(to, subject, button, link string, paragraphs ...string) flowhook.Message {
	text := strings.Join(paragraphs, "\n\n") + "\n\n"
	if button != "" {
		text += button + ":\n"
	}
	return s.branded(flowhook.Message{Via: "email", To: to, Subject: subject, Link: link, Button: button,
		Text: text + link + "\n"}, paragraphs, nil)
}

// nothingToDo ends the emails about what the reader has probably done.
const nothingToDo = "If this was you, there is nothing to do. "

// takenMail notifies the owner of an account that someone tried to register with its address.
func (s *service) takenMail(u user) flowhook.Message {
	return s.message(u.Email, "You already have an account", "Sign in", s.config.PublicURL+"/login",
		"Someone tried to register with this email address. You already have an account, and nothing was changed.",
		"If this was you, sign in. If you forgot your password, choose \"Forgot your password?\" on the sign-in page. "+
			"If this wasn't you, you can ignore this email.")
}

// passwordMail notifies a user that the password was changed.
func (s *service) passwordMail(u user) flowhook.Message {
	return s.message(u.Email, "Your password was changed", "Choose a new password", s.config.PublicURL+"/recovery",
		fmt.Sprintf("The password of your account was changed at %s. All other sessions were signed out.", s.at()),
		nothingToDo+"If this wasn't you, someone else has access to your account: choose a new password.")
}

// connectedMail notifies a user that they can sign in with a provider.
func (s *service) connectedMail(u user, provider string) flowhook.Message {
	return s.message(u.Email, "A sign-in method was added", "Review your settings", s.config.PublicURL+"/settings",
		fmt.Sprintf("%s was connected to your account at %s. You can now sign in with it.", provider, s.at()),
		nothingToDo+"If this wasn't you, someone else has access to your account: choose a new password, and "+
			"disconnect what you don't recognize.")
}

// disconnectedMail notifies a user that they can no longer sign in with a provider.
func (s *service) disconnectedMail(u user, provider string) flowhook.Message {
	return s.message(u.Email, "A sign-in method was removed", "Review your settings", s.config.PublicURL+"/settings",
		fmt.Sprintf("%s was disconnected from your account at %s. You can no longer sign in with it, and all other "+
			"sessions were signed out.", provider, s.at()),
		nothingToDo+"If this wasn't you, someone else has access to your account: choose a new password.")
}

// deletedMail notifies a user that the account was deleted.
func (s *service) deletedMail(u user) flowhook.Message {
	return s.message(u.Email, "Your account was deleted", "", s.config.PublicURL+"/register",
		fmt.Sprintf("Your account was deleted at %s. You are signed out everywhere.", s.at()),
		nothingToDo+"If this wasn't you, someone else had access to your account. It cannot be restored, but you can "+
			"register again with the same email address here:")
}

// at returns the current time as emails show it.
func (s *service) at() string { return s.now().UTC().Format("15:04 UTC on January 2, 2006") }

// newDeviceMail notifies a user of a sign-in with a new browser.
func (s *service) newDeviceMail(a flowhook.Address, client string) flowhook.Message {
	return s.message(a.Value, "New sign-in to your account", "Review your sessions", s.config.PublicURL+"/sessions",
		fmt.Sprintf("Someone signed in to your account from a new browser: %s, at %s.", client, s.at()),
		nothingToDo+"If this wasn't you, sign out everywhere and change your password.")
}
