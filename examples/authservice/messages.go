package main

import (
	"embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/flowhook/flowhook"
)

//go:embed templates/email
var emailFiles embed.FS

var emailTemplate = template.Must(template.ParseFS(emailFiles, "templates/email/message.html"))

// A letter is the data of the template of the service's own emails. flowhook writes the others.
type letter struct {
	Brand, Subject string
	Paragraphs     []string
	Button, Link   string // what the link does, and its URL
	Accent         template.CSS
	OnAccent       template.CSS
}

// message returns an email of plain paragraphs with a button at the end.
func (s *service) message(to, subject, button, link string, paragraphs ...string) flowhook.Message {
	accent := s.config.Brand.Accent.readable(black, white)
	var html strings.Builder
	err := emailTemplate.Execute(&html, letter{Brand: s.config.Brand.Name, Subject: subject, Paragraphs: paragraphs,
		Button: button, Link: link, Accent: template.CSS(accent.String()), OnAccent: "#ffffff"})
	if err != nil { // then the email has only text
		s.log.Error("executing the template of an email failed", "error", err)
		html.Reset()
	}
	return flowhook.Message{Via: "email", To: to, Subject: subject, Link: link,
		Text: strings.Join(paragraphs, "\n\n") + "\n\n" + button + ":\n" + link + "\n", HTML: html.String()}
}

// takenMail notifies the owner of an account that someone tried to register with its address.
func (s *service) takenMail(u user) flowhook.Message {
	return s.message(u.Email, "You already have an account", "Sign in", s.config.PublicURL+"/login",
		"Someone tried to register with this email address. You already have an account, and nothing was changed.",
		"If it was you, sign in instead. If you don't know the password, or someone else has used your address, "+
			"use \"Forgot your password?\" on the sign-in page. If it was not you, you can ignore this email.")
}

// passwordMail notifies a user that the password was changed.
func (s *service) passwordMail(u user) flowhook.Message {
	return s.message(u.Email, "Your password was changed", "Choose a new password", s.config.PublicURL+"/recovery",
		fmt.Sprintf("The password of your account was changed at %s. All other sessions were signed out.", s.at()),
		"If it was you, you don't need to do anything. If not, someone else has access to your account: choose a "+
			"new password.")
}

// connectedMail notifies a user that they can sign in with a provider.
func (s *service) connectedMail(u user, provider string) flowhook.Message {
	return s.message(u.Email, "A sign-in method was added", "Review your settings", s.config.PublicURL+"/settings",
		fmt.Sprintf("%s was connected to your account at %s. You can now sign in with it.", provider, s.at()),
		"If it was you, you don't need to do anything. If not, someone else has access to your account: choose a new "+
			"password, and disconnect what you don't recognize.")
}

// disconnectedMail notifies a user that they can no longer sign in with a provider.
func (s *service) disconnectedMail(u user, provider string) flowhook.Message {
	return s.message(u.Email, "A sign-in method was removed", "Review your settings", s.config.PublicURL+"/settings",
		fmt.Sprintf("%s was disconnected from your account at %s. You can no longer sign in with it, and all other "+
			"sessions were signed out.", provider, s.at()),
		"If it was you, you don't need to do anything. If not, someone else has access to your account: choose a new "+
			"password.")
}

// deletedMail notifies a user that the account was deleted.
func (s *service) deletedMail(u user) flowhook.Message {
	return s.message(u.Email, "Your account was deleted", "Register again", s.config.PublicURL+"/register",
		fmt.Sprintf("Your account was deleted at %s. You are signed out everywhere.", s.at()),
		"If it was not you, someone else had access to your account. It cannot be restored, but you can register again "+
			"with this address.")
}

// at returns the current time as emails show it.
func (s *service) at() string { return s.now().UTC().Format("15:04 UTC on January 2, 2006") }

// newDeviceMail notifies a user of a sign-in with a new browser.
func (s *service) newDeviceMail(a flowhook.Address, client string) flowhook.Message {
	return s.message(a.Value, "New sign-in to your account", "Review your sessions", s.config.PublicURL+"/sessions",
		fmt.Sprintf("Someone signed in to your account from a new browser: %s, at %s.", client, s.at()),
		"If it was you, you don't need to do anything. If not, sign out everywhere and change your password.")
}
