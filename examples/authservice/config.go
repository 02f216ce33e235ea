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

// A config is the configuration from the environment. The defaults work on a developer's machine.
type config struct {
	Addr       string // where to listen
	PublicURL  string // the URL that users see, for links in emails and the OIDC redirect; no trailing slash
	Dialect    sqlstore.Dialect
	Database   string // the path of the SQLite file, or PostgreSQL's URL
	AuthConfig string // auth.yml
	Brand      brand
	SMTP       string // smtp:// or smtps://; empty for the development inbox
	MailFrom   string
	Limits     limits
	MailRescue time.Duration  // after this time, another copy takes over the email that a dead copy was sending
	Proxies    []netip.Prefix // the proxies whose X-Forwarded-For is trusted

	Secrets       []string // the first signs sessions, all verify
	SecretsInFile bool     // auth.yml has the secrets
	AuditKey      []byte   // derived from the service's key, which is in the database

	OIDCIssuer, OIDCClientID, OIDCClientSecret string // without an issuer: the development provider

	// Development reports whether the service is reachable only from this machine. Only then are
	// there the development inbox, which shows everyone's email, and the development provider,
	// which signs anyone in as anyone.
	Development bool
}

// readConfig reads the environment with getenv. It reports all errors at once.
func readConfig(getenv func(string) string) (config, error) {
	or := func(name, fallback string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return fallback
	}
	c := config{
		Addr:             or("ADDR", "127.0.0.1:8080"),
		PublicURL:        strings.TrimSuffix(getenv("PUBLIC_URL"), "/"),
		AuthConfig:       or("AUTH_CONFIG", "auth.yml"),
		SMTP:             getenv("SMTP_URL"),
		MailFrom:         or("MAIL_FROM", "authservice@localhost"),
		Limits:           limits{requestTime, answerTime, auditTime},
		OIDCIssuer:       getenv("OIDC_ISSUER"),
		OIDCClientID:     getenv("OIDC_CLIENT_ID"),
		OIDCClientSecret: getenv("OIDC_CLIENT_SECRET"),
	}
	var errs []error
	fault := func(text string) { errs = append(errs, errors.New(text)) }
	var err error
	if c.Proxies, err = readProxies(getenv("TRUSTED_PROXIES")); err != nil {
		errs = append(errs, err)
	}
	b, wrong := readBrand(getenv)
	c.Brand, errs = b, append(errs, wrong...)
	c.readSecrets(getenv("SESSION_SECRETS"), fault)
	c.readDatabase(or("DATABASE_URL", "sqlite:authservice.db"), fault)
	if c.MailRescue, _ = time.ParseDuration(or("MAIL_RESCUE_AFTER", "2m")); c.MailRescue < time.Second {
		fault("MAIL_RESCUE_AFTER must be a duration of at least a second, such as 2m")
	}
	if c.PublicURL != "" && !isOrigin(c.PublicURL) {
		fault("PUBLIC_URL must be a scheme and a host, such as https://accounts.example.org")
	}
	if c.OIDCIssuer != "" && c.OIDCClientID == "" {
		fault("OIDC_CLIENT_ID is missing: OIDC_ISSUER needs it")
	}
	return c, errors.Join(errs...)
}

// readSecrets reads SESSION_SECRETS.
func (c *config) readSecrets(list string, fault func(text string)) {
	for secret := range strings.SplitSeq(list, ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			c.Secrets = append(c.Secrets, secret)
		}
	}
	c.SecretsInFile = hasSecrets(c.AuthConfig)
	if c.SecretsInFile && len(c.Secrets) > 0 {
		fault("SESSION_SECRETS is set, but AUTH_CONFIG has secrets, too: unset SESSION_SECRETS or remove them from " +
			"the file")
	}
	if slices.ContainsFunc(c.Secrets, func(secret string) bool { return len(secret) < 16 }) {
		fault("SESSION_SECRETS contains a secret shorter than 16 characters; use 32 random characters")
	}
	if sorted := slices.Sorted(slices.Values(c.Secrets)); len(slices.Compact(sorted)) < len(c.Secrets) {
		fault("SESSION_SECRETS contains a secret twice; list the current secret first, then the previous ones")
	}
}

// readDatabase reads DATABASE_URL. Its errors do not show the URL, which may contain a password.
func (c *config) readDatabase(database string, fault func(text string)) {
	path, isFile := strings.CutPrefix(database, "sqlite:")
	switch {
	case isFile && path != "":
		c.Dialect, c.Database = sqlstore.SQLite, path
	case strings.HasPrefix(database, "postgres://"), strings.HasPrefix(database, "postgresql://"):
		c.Dialect, c.Database = sqlstore.PostgreSQL, database
		if len(c.Secrets) == 0 && !c.SecretsInFile {
			fault("SESSION_SECRETS is missing: with PostgreSQL, all copies of the service need the same secrets; " +
				"set it to 32 random characters or put secrets in AUTH_CONFIG")
		}
	default:
		fault("DATABASE_URL must be postgres://... or sqlite: followed by a path")
	}
}

// isOrigin reports whether s is a URL of only a scheme and a host.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == "" &&
		u.RawQuery == "" &&
		u.User == nil
}

// listening sets what depends on the address that the service listens on.
func (c *config) listening(addr net.Addr) error {
	if c.PublicURL == "" {
		c.PublicURL = "http://" + addr.String()
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
		return errors.New("PUBLIC_URL must be the https URL that users see: browsers do not send session cookies " +
			"over http, " +
			"except on this machine")
	}
	c.Development = loopback(u.Hostname()) && loopback(addr.(*net.TCPAddr).IP.String())
	if c.SMTP == "" && !c.Development {
		return errors.New("SMTP_URL is missing: the development inbox, which anyone can read, is available only if " +
			"both ADDR " +
			"and PUBLIC_URL are loopback addresses, such as 127.0.0.1")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// fileSecret returns the secret stored next to the SQLite file, and creates it if it does not
// exist. The caller holds the startup lock.
func fileSecret(path string) (string, error) {
	path += ".secret"
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		secret := rand.Text() + rand.Text() // 260 random bits
		if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
			return "", fmt.Errorf("writing the session secret: %w", err)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the session secret: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
