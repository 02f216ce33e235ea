package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/smtp"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// checkTime is how long each server has to answer a check.
const checkTime = 10 * time.Second

// A checker prints what check finds.
type checker struct {
	out              io.Writer
	errors, warnings int
}

// check checks everything that the service needs, and prints the result to out. It changes nothing.
// It returns the exit code.
func check(ctx context.Context, getenv func(string) string, environ []string, out io.Writer) int {
	k := &checker{out: out}
	c, err := readConfig(getenv)
	unknown, wrong := misspelled(environ, c.keys(), referenced(c.AuthConfig))
	for _, warning := range unknown {
		k.warn(warning)
	}
	if c.listening(c.address()) == nil { // readConfig has reported the errors
		for _, warning := range c.warnings() {
			k.warn(warning)
		}
	}
	k.report("environment", errors.Join(err, wrong))
	plan, err := c.checkHooks()
	if err == nil {
		k.warnHooks(plan)
	}
	k.report("hooks: "+c.authConfigName(), err)
	if c.Database != "" {
		state, err := checkDatabase(ctx, c)
		k.report("database: "+c.databaseName()+state, unreachable("DATABASE_URL", err))
	}
	if path := c.secretFile(); path != "" {
		if _, err := readSecretFile(path); !errors.Is(err, fs.ErrNotExist) {
			k.report("session secret: "+path, err)
		}
	}
	if c.SMTP != "" {
		k.report("mail server: "+hostOf(c.SMTP)+" (not its password)", unreachable("SMTP_URL", checkSMTP(ctx, c.SMTP)))
	}
	for _, p := range c.Providers {
		if p.Issuer != "" {
			k.report("OpenID provider "+p.Key+": "+p.Issuer, unreachable(p.variable("ISSUER"), checkIssuer(ctx, p.Issuer)))
		}
	}
	fmt.Fprintf(out, "errors: %d, warnings: %d\n", k.errors, k.warnings)
	switch {
	case k.errors > 0:
		return exitErrors
	case k.warnings > 0:
		return exitFailure
	}
	return exitOK
}

// warnHooks prints the warnings about the hooks.
func (k *checker) warnHooks(plan *flowhook.Plan) {
	for _, f := range plan.Findings() {
		switch {
		case f.Severity != flowhook.SeverityWarning: // a note
		case strings.HasPrefix(f.Path, "Options.Secrets"):
			k.warn("SESSION_SECRETS: " + f.Problem + "; " + f.Hint)
		default:
			k.warn("AUTH_CONFIG: " + f.String())
		}
	}
	for _, warning := range missingHooks(plan) {
		k.warn(warning)
	}
}

// report prints the errors joined in err or, if it is nil, that what is fine.
func (k *checker) report(what string, err error) {
	if err == nil {
		fmt.Fprintln(k.out, "ok       "+what)
		return
	}
	for _, one := range split(err) {
		k.errors++
		fmt.Fprintln(k.out, "error    "+strings.ReplaceAll(one.Error(), "\n\t", " ")) // pgx breaks lines
	}
}

func (k *checker) warn(text string) {
	k.warnings++
	fmt.Fprintln(k.out, "warning  "+text)
}

// unreachable returns an error about the variable that names what cannot be used, or nil if err is
// nil.
func unreachable(name string, err error) error {
	if err == nil {
		return nil
	}
	return fault(name, "names something that cannot be used: "+err.Error())
}

// checkDatabase connects to the database. It creates no SQLite file.
func checkDatabase(ctx context.Context, c config) (state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if c.Dialect == sqlstore.SQLite {
		if err := writable(c.Database); err != nil {
			return "", err
		}
	}
	db, err := openExisting(ctx, c)
	if c.Dialect == sqlstore.SQLite && errors.Is(err, fs.ErrNotExist) {
		return " (will be created)", nil
	}
	if err != nil {
		return "", err
	}
	defer db.Close()
	sets, err := db.migrationSets()
	if err != nil {
		return "", err
	}
	switch n, err := db.pending(ctx, sets); {
	case err != nil:
		return "", err
	case n == 1:
		return " (1 migration is pending)", nil
	case n > 1:
		return fmt.Sprintf(" (%d migrations are pending)", n), nil
	}
	return "", nil
}

// writable returns why SQLite cannot write a file, or create it and others in its directory. It
// removes what it creates to find that out.
func writable(file string) error {
	directory := filepath.Dir(file)
	probe, err := os.CreateTemp(directory, ".authservice-check-*")
	if err != nil {
		return fmt.Errorf("no file can be created in the directory %s: %w", directory, err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// checkSMTP connects to a mail server as far as TLS. It does not sign in.
func checkSMTP(ctx context.Context, smtpURL string) error {
	u, err := url.Parse(smtpURL)
	if err != nil {
		return errors.New("not a URL")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	host, port := u.Hostname(), u.Port()
	var conn net.Conn
	if u.Scheme == "smtps" {
		if port == "" {
			port = "465"
		}
		conn, err = (&tls.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	} else {
		if port == "" {
			port = "587"
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	client, err := smtp.NewClient(conn, host) // reads the greeting
	if err != nil {
		return fmt.Errorf("the mail server does not greet: %w", err)
	}
	defer client.Quit()
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	if err := client.Hello(name); err != nil {
		return fmt.Errorf("the mail server does not answer EHLO: %w", err)
	}
	switch starts, _ := client.Extension("STARTTLS"); {
	case u.Scheme == "smtp" && starts:
		return client.StartTLS(&tls.Config{ServerName: host})
	case u.Scheme == "smtp" && u.User != nil && !loopback(host):
		return errors.New("the mail server offers no STARTTLS, which a password needs; smtps:// may be right")
	}
	return nil
}

// checkIssuer discovers an OpenID provider.
func checkIssuer(ctx context.Context, issuer string) error {
	_, err := oidc.NewProvider(oidc.ClientContext(ctx, &http.Client{Timeout: checkTime}), issuer)
	return err
}
