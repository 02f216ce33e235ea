package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
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
	AuthConfig string // the path of auth.yml; empty for the one that is built in
	Brand      brand
	SMTP       string // smtp:// or smtps://; empty for the development inbox
	MailFrom   string
	Limits     limits
	MailRescue time.Duration  // after this time, another copy takes over the email that a dead copy was sending
	Proxies    []netip.Prefix // the proxies whose X-Forwarded-For and X-Request-ID are trusted

	Admin         string // where to serve the metrics; empty for nowhere
	LogFormat     string // text or json; empty if the variable is wrong
	LogLevel      slog.Level
	ShutdownDelay time.Duration // how long readyz fails before the service stops

	Secrets       []string // the first signs sessions, all verify
	SecretsInFile bool     // auth.yml has the secrets
	AuditKey      []byte   // derived from the service's key, which is in the database
	KeptKey       []byte   // as AuditKey
	OIDCKey       []byte   // as AuditKey

	Providers []providerConfig // the OpenID providers, in the order of the buttons; none: the development provider

	// Development reports whether the service is reachable only from this machine. Only then are
	// there the development inbox, which shows everyone's email, and the development provider,
	// which signs anyone in as anyone.
	Development bool
}

// conflicts returns what is wrong between variables.
func (c *config) conflicts() (errs []error) {
	wrong := func(name, problem string) { errs = append(errs, fault(name, problem)) }
	if c.SecretsInFile && len(c.Secrets) > 0 {
		wrong("SESSION_SECRETS", "is set, but AUTH_CONFIG has secrets, too: unset SESSION_SECRETS or remove them from "+
			"the file")
	}
	if c.Dialect == sqlstore.PostgreSQL && len(c.Secrets) == 0 && !c.SecretsInFile {
		wrong("SESSION_SECRETS", "is missing: with PostgreSQL, all copies of the service need the same secrets; set "+
			"it to 32 random characters or put secrets in AUTH_CONFIG")
	}
	c.providerConflicts(wrong)
	tried := *c
	if err := tried.listening(c.address()); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// address returns the address in ADDR before the service listens there: a loopback address if ADDR
// is wrong, and a port instead of 0.
func (c *config) address() *net.TCPAddr {
	addr, err := net.ResolveTCPAddr("tcp", c.Addr)
	if err != nil {
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	if addr.Port == 0 {
		addr.Port = 8080
	}
	return addr
}

// listening sets what depends on the address that the service listens on.
func (c *config) listening(addr net.Addr) error {
	if c.PublicURL == "" {
		c.PublicURL = "http://" + addr.String()
	}
	var errs []error
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
		errs = append(errs, fault("PUBLIC_URL", "must be the https URL that users see: browsers do not send session "+
			"cookies over http, except on this machine"))
	}
	c.Development = err == nil && loopback(u.Hostname()) && loopback(addr.(*net.TCPAddr).IP.String())
	if c.SMTP == "" && !c.hasInbox() {
		errs = append(errs, fault("SMTP_URL", "is missing: the development inbox, which anyone can read, is available "+
			"only if both ADDR and PUBLIC_URL are loopback addresses, such as 127.0.0.1"))
	}
	if c.MailFrom == "" && c.Development {
		c.MailFrom = "authservice@localhost"
	}
	if c.MailFrom == "" {
		errs = append(errs, fault("MAIL_FROM", "is missing: mail servers reject email from a sender that does not exist"))
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// secretFile returns the path of the secret next to the SQLite file, or "" if the service has other
// secrets.
func (c *config) secretFile() string {
	if c.Dialect != sqlstore.SQLite || len(c.Secrets) > 0 || c.SecretsInFile {
		return ""
	}
	return c.Database + ".secret"
}

// readSecretFile returns the secret in a file.
func readSecretFile(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the session secret: %w", err)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("reading the session secret: %s is empty; restore it or, if it is lost, delete it: "+
			"a new one signs everyone out", path)
	}
	return secret, nil
}

// fileSecret returns the secret in a file, and creates it if it does not exist. The caller holds the
// startup lock.
func fileSecret(path string) (secret string, created bool, err error) {
	secret, err = readSecretFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		return secret, false, err
	}
	secret = newSecret()
	if err := writeNew(path, secret+"\n"); err != nil {
		return "", false, fmt.Errorf("writing the session secret: %w", err)
	}
	return secret, true, nil
}

// writeNew writes a file that only its owner can read. After a crash or on a full disk, it is either
// complete or does not exist; a crash may leave a temporary file.
func writeNew(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// newSecret returns a secret of 260 random bits.
func newSecret() string { return rand.Text() + rand.Text() }
