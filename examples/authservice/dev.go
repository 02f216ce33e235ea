package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/flowhook/flowhook/examples/dev/idp"
	"github.com/flowhook/flowhook/examples/dev/inbox"
)

// This file has what is only for development: the inbox, which shows everyone's email, and the
// OpenID provider, which signs anyone in as anyone. README.md says how to remove them.

// developmentProvider is the provider's key, and its issuer in stored identities, because its URL
// changes with each start.
const developmentProvider = "development"

// hasInbox reports whether the service may run without a mail server.
func (c *config) hasInbox() bool { return c.Development }

// developmentText says what development mode means. It is empty if it means nothing.
func (c *config) developmentText() string {
	text := ""
	if c.Development && c.SMTP == "" {
		text += "; no email is delivered, and every user of this machine can read it at /dev/mail/, because SMTP_URL " +
			"is missing"
	}
	if c.Development && len(c.Providers) == 0 {
		text += "; anyone can sign in as anyone with the test provider, because OIDC_PROVIDERS is missing"
	}
	if text == "" {
		return ""
	}
	return "development mode, because ADDR and PUBLIC_URL are loopback addresses" + text
}

// openDevelopment starts the inbox unless there is a mail server and, in development, the provider
// unless OIDC_PROVIDERS names some. It changes c so that the service uses them.
func (a *app) openDevelopment(c *config, log *slog.Logger) error {
	if c.SMTP == "" {
		in, err := inbox.Open(log)
		if err != nil {
			return fmt.Errorf("the development inbox: %w", err)
		}
		a.closers = append(a.closers, in.Close)
		c.SMTP, a.inbox = in.URL(), in.Handler("/")
	}
	if len(c.Providers) == 0 && c.Development {
		test := providerConfig{Key: developmentProvider, Name: "the test provider", Identity: developmentProvider,
			ClientID: "authservice", ClientSecret: rand.Text()}
		p, err := idp.Start(idp.Options{ClientID: test.ClientID, ClientSecret: test.ClientSecret,
			RedirectURI: c.PublicURL + callbackPath(test.Key), Logger: log})
		if err != nil {
			return fmt.Errorf("the development provider: %w", err)
		}
		a.closers = append(a.closers, p.Close)
		test.Issuer = p.Issuer()
		c.Providers = []providerConfig{test}
	}
	return nil
}
