package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// A config is what the environment says. Everything has a default that works on a developer's machine.
type config struct {
	Addr       string // where to listen
	PublicURL  string // what users see: for links in mails and the OIDC redirect; no slash at the end
	Dialect    sqlstore.Dialect
	Database   string // the path of the SQLite file, or PostgreSQL's URL
	AuthConfig string // auth.yml
	SMTP       string // smtp:// or smtps://; empty: the development inbox
	MailFrom   string
	MailRescue time.Duration  // after so long, another copy takes over the mail that a copy that died was sending
	Proxies    []netip.Prefix // whose word on where a request comes from is taken

	Secrets      []string // sign sessions, the first one; all verify
	SecretsThere bool     // they are in auth.yml instead
	AuditKey     []byte   // made of the service's own key, which is in the database

	OIDCIssuer, OIDCClientID, OIDCClientSecret string // no issuer: the development provider

	// Development says that only a browser on this machine can be meant. Elsewhere there is neither the development inbox
	// nor the development provider: the one shows everybody's mail, the other signs anybody in as anybody.
	Development bool
}

// readConfig reads the environment, which getenv gives.
func readConfig(getenv func(string) string) (config, error) {
	or := func(name, otherwise string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return otherwise
	}
	c := config{
		Addr:             or("ADDR", "127.0.0.1:8080"),
		PublicURL:        strings.TrimSuffix(getenv("PUBLIC_URL"), "/"),
		AuthConfig:       or("AUTH_CONFIG", "auth.yml"),
		SMTP:             getenv("SMTP_URL"),
		MailFrom:         or("MAIL_FROM", "authservice@localhost"),
		OIDCIssuer:       getenv("OIDC_ISSUER"),
		OIDCClientID:     getenv("OIDC_CLIENT_ID"),
		OIDCClientSecret: getenv("OIDC_CLIENT_SECRET"),
	}
	for secret := range strings.SplitSeq(getenv("SESSION_SECRETS"), ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			c.Secrets = append(c.Secrets, secret)
		}
	}

	var errs []error
	c.SecretsThere = hasSecrets(c.AuthConfig)
	if c.SecretsThere && len(c.Secrets) > 0 {
		errs = append(errs, errors.New("SESSION_SECRETS is set, and AUTH_CONFIG has secrets too: set SESSION_SECRETS to nothing, or take them out of the file"))
	}
	var err error
	if c.Proxies, err = readProxies(getenv("TRUSTED_PROXIES")); err != nil {
		errs = append(errs, err)
	}
	if slices.ContainsFunc(c.Secrets, func(secret string) bool { return len(secret) < 16 }) {
		errs = append(errs, errors.New("SESSION_SECRETS has one of less than 16 characters; 32 random ones are good"))
	}
	if sorted := slices.Sorted(slices.Values(c.Secrets)); len(slices.Compact(sorted)) < len(c.Secrets) {
		errs = append(errs, errors.New("SESSION_SECRETS has one twice; the first signs, the others are those that signed before"))
	}
	if c.MailRescue, _ = time.ParseDuration(or("MAIL_RESCUE_AFTER", "2m")); c.MailRescue < time.Second {
		errs = append(errs, errors.New("MAIL_RESCUE_AFTER must be a duration of at least a second, such as 2m"))
	}
	database := or("DATABASE_URL", "sqlite:authservice.db")
	path, isFile := strings.CutPrefix(database, "sqlite:")
	switch {
	case isFile && path != "":
		c.Dialect, c.Database = sqlstore.SQLite, path
	case strings.HasPrefix(database, "postgres://"), strings.HasPrefix(database, "postgresql://"):
		c.Dialect, c.Database = sqlstore.PostgreSQL, database
		if len(c.Secrets) == 0 && !c.SecretsThere {
			errs = append(errs, errors.New("SESSION_SECRETS is missing: with PostgreSQL, all copies of the service need the same; set it to a random text of 32 characters, or put secrets into AUTH_CONFIG"))
		}
	default: // not shown: it may contain a password
		errs = append(errs, errors.New("DATABASE_URL begins with neither postgres:// nor sqlite: followed by a path"))
	}
	if c.PublicURL != "" {
		if u, err := url.Parse(c.PublicURL); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			errs = append(errs, errors.New("PUBLIC_URL must be a scheme and a host, such as https://accounts.example.org"))
		}
	}
	if c.OIDCIssuer != "" && c.OIDCClientID == "" {
		errs = append(errs, errors.New("OIDC_CLIENT_ID is missing: OIDC_ISSUER needs it"))
	}
	return c, errors.Join(errs...)
}

// listening fills in what depends on the address that is listened on.
func (c *config) listening(addr net.Addr) error {
	if c.PublicURL == "" {
		c.PublicURL = "http://" + addr.String()
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
		return errors.New("PUBLIC_URL must be the https URL that users see: browsers keep the cookies of a session from http, except on this machine")
	}
	c.Development = loopback(u.Hostname()) && loopback(addr.(*net.TCPAddr).IP.String())
	if c.SMTP == "" && !c.Development {
		return errors.New("SMTP_URL is missing: the development inbox, which anybody may read, is there only where both ADDR and PUBLIC_URL are on this machine alone, such as 127.0.0.1")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// ownSecret gives the secret that is kept beside the SQLite file, and makes it where there is none. The caller holds the
// start-up lock.
func ownSecret(path string) (string, error) {
	path += ".secret"
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret := rand.Text() + rand.Text() // 260 random bits
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("keeping the session secret: %w", err)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the session secret: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
