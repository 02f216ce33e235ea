package main

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
)

func readAddr(c *config, value string) (err error) {
	c.Addr, err = value, listenFault(value)
	return err
}

// listenFault returns what is wrong with an address to listen on.
func listenFault(value string) error {
	if _, err := net.ResolveTCPAddr("tcp", value); err != nil {
		return fmt.Errorf("must be host:port, and %q is not", value)
	}
	return nil
}

func readPublicURL(c *config, value string) error {
	value = strings.TrimSuffix(value, "/")
	if !isOrigin(value) {
		return errors.New("must be a scheme and a host")
	}
	c.PublicURL = value
	return nil
}

// isOrigin reports whether s is a URL of only a scheme and a host.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Path == "" &&
		u.RawQuery == "" && u.User == nil
}

// readDatabase reads DATABASE_URL. Its errors do not show the URL, which may contain a password.
func readDatabase(c *config, value string) error {
	path, isFile := strings.CutPrefix(value, "sqlite:")
	switch {
	case isFile && path != "":
		c.Dialect, c.Database = sqlstore.SQLite, path
		return nil
	case strings.HasPrefix(value, "postgres://"), strings.HasPrefix(value, "postgresql://"):
		if _, err := pgxpool.ParseConfig(value); err != nil {
			return errors.New("is not a valid PostgreSQL URL")
		}
		c.Dialect, c.Database = sqlstore.PostgreSQL, value
		return nil
	}
	return errors.New("must be postgres://... or sqlite: followed by a path")
}

func readSecrets(c *config, value string) error {
	for secret := range strings.SplitSeq(value, ",") {
		if secret = strings.TrimSpace(secret); secret != "" {
			c.Secrets = append(c.Secrets, secret)
		}
	}
	if strings.Contains(value, "$(") || strings.Contains(value, "${") {
		return errors.New("contains $( or ${, which only a shell expands: write the output of the command, or let " +
			"a shell set the variable")
	}
	if slices.ContainsFunc(c.Secrets, func(secret string) bool { return len(secret) < 16 }) {
		return errors.New("contains a secret shorter than 16 characters; use 32 random characters")
	}
	if sorted := slices.Sorted(slices.Values(c.Secrets)); len(slices.Compact(sorted)) < len(c.Secrets) {
		return errors.New("contains a secret twice; list the current secret first, then the previous ones")
	}
	return nil
}

func readAuthConfig(c *config, value string) error {
	c.AuthConfig = value
	return nil
}

// readProxies reads TRUSTED_PROXIES: addresses and networks, separated by commas.
func readProxies(c *config, value string) error {
	for one := range strings.SplitSeq(value, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(one)
		if address, single := netip.ParseAddr(one); err != nil && single == nil {
			prefix, err = address.Prefix(address.BitLen())
		}
		if err == nil && prefix.Bits() == 0 {
			return errors.New("trusts every address, so any client could forge its own; list only your proxies")
		}
		if err != nil {
			return fmt.Errorf("contains %q, which is neither an IP address nor a network", one)
		}
		c.Proxies = append(c.Proxies, prefix.Masked())
	}
	return nil
}

// readSMTP reads SMTP_URL. Its errors do not show the URL, which may contain a password.
func readSMTP(c *config, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be smtp:// or smtps://, followed by a host; the characters @ : / ? # and % of a " +
			"password must be escaped, such as %40 for @")
	}
	if _, ok := u.User.Password(); u.User != nil && (!ok || u.User.Username() == "") {
		return errors.New("must have a user and a password, or neither")
	}
	c.SMTP = value
	return nil
}

func readMailFrom(c *config, value string) error {
	if _, err := mail.ParseAddress(value); err != nil {
		return errors.New("must be an email address")
	}
	c.MailFrom = value
	return nil
}

func readMailRescue(c *config, value string) (err error) {
	if c.MailRescue, err = time.ParseDuration(value); err != nil || c.MailRescue < time.Second {
		return errors.New("must be a duration of at least a second")
	}
	return nil
}

func readAdmin(c *config, value string) error {
	if value == "off" {
		return nil
	}
	c.Admin = value
	return listenFault(value)
}

func readLogFormat(c *config, value string) error {
	if value != "text" && value != "json" {
		return fmt.Errorf("must be text or json, not %q", value)
	}
	c.LogFormat = value
	return nil
}

func readLogLevel(c *config, value string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(value)) {
		return fmt.Errorf("must be debug, info, warn or error, not %q", value)
	}
	return c.LogLevel.UnmarshalText([]byte(value))
}

func readShutdownDelay(c *config, value string) (err error) {
	if c.ShutdownDelay, err = time.ParseDuration(value); err != nil || c.ShutdownDelay < 0 {
		return errors.New("must be a duration")
	}
	return nil
}
