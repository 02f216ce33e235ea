package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// A variable is an environment variable that configures the service.
type variable struct {
	name     string
	fallback string // the value if it is not set or empty
	example  string
	about    string // for --help and the README
	// read sets c from a value, which is not empty. Its error is the rest of a sentence that begins
	// with the name. It must not show a secret.
	read func(c *config, value string) error
}

// variables are the variables of the service, in the order of --help. Those of the OpenID providers
// follow; see providerVariables.
var variables = []variable{
	{"ADDR", "127.0.0.1:8080", ":8080", "where to listen", readAddr},
	{"PUBLIC_URL", "", "https://accounts.example.org", "the URL that users see (http://ADDR); requests to another " +
		"host are redirected there, so a proxy in front must pass the Host header on", readPublicURL},
	{"DATABASE_URL", "sqlite:authservice.db", "postgres://user:password@db.example.org/accounts",
		"the database: postgres://... or sqlite:path", readDatabase},
	{"SESSION_SECRETS", "", "$(openssl rand -hex 32)", "the secrets that sign sessions and encrypt queued email, " +
		"separated by commas: the first signs, all verify (with SQLite, a generated one in a file next to the " +
		"database; required with PostgreSQL, the same for all copies)", readSecrets},
	{"AUTH_CONFIG", "", "/etc/authservice/auth.yml", "the file that configures the hooks (auth.yml in the working " +
		"directory or, without one, the auth.yml that is built in)", readAuthConfig},
	{"TRUSTED_PROXIES", "", "127.0.0.1,10.0.0.0/8", "addresses and networks of the proxies in front, separated by " +
		"commas (none); only if one of them connects, X-Forwarded-For and X-Request-ID count", readProxies},
	{"SMTP_URL", "", "smtp://user:password@mail.example.org:587", "the mail server, smtp://... or smtps://... (the " +
		"development inbox)", readSMTP},
	{"MAIL_FROM", "", "accounts@example.org", "the sender of emails (authservice@localhost, only in development)",
		readMailFrom},
	{"MAIL_RESCUE_AFTER", "2m", "2m", "how long until another copy sends the email that a dead copy was sending",
		readMailRescue},
	{"BRAND_NAME", "Accounts", "Example", "the name on the pages and in emails", readBrandName},
	{"BRAND_LOGO", "", "static/logo.svg", "a file with an image, at most 256 KiB (the built-in one)", readBrandLogo},
	{"BRAND_ACCENT", "#4f46e5", "#0f766e", "the color of buttons and links; it is made darker or lighter where it " +
		"would be hard to read", readBrandAccent},
	{"ADMIN_LISTEN", "127.0.0.1:8090", "127.0.0.1:8091", "where to serve /metrics, /livez and /readyz without any " +
		"protection, or off", readAdmin},
	{"LOG_FORMAT", "text", "json", "text or json", readLogFormat},
	{"LOG_LEVEL", "info", "debug", "debug, info, warn or error", readLogLevel},
	{"SHUTDOWN_DELAY", "0s", "5s", "how long the service still accepts requests after SIGTERM while /readyz fails, " +
		"so that a load balancer notices", readShutdownDelay},
	{"OIDC_PROVIDERS", "", exampleProvider + ",globex", "the OpenID providers with which users can sign in, separated " +
		"by commas, in the order of the buttons: names of your choice, of a to z and 0 to 9 (the development provider); " +
		"each has variables such as the following ones of " + exampleProvider, readProviders},
}

// readConfig reads the environment with getenv. It reports all errors at once. Even then, the
// config has what could be read.
func readConfig(getenv func(string) string) (config, error) {
	c := config{Limits: limits{requestTime, answerTime, auditTime}}
	var errs []error
	read := func(some []variable) {
		for _, v := range some {
			value := cmp.Or(strings.TrimSpace(getenv(v.name)), v.fallback)
			if value == "" {
				continue
			}
			if err := v.read(&c, value); err != nil {
				errs = append(errs, v.fault(err.Error()))
			}
		}
	}
	read(variables)
	for _, key := range c.keys() {
		read(providerVariables(key))
	}
	if c.AuthConfig == "" {
		c.AuthConfig = authConfigHere()
	}
	c.SecretsInFile = hasSecrets(c.AuthConfig)
	return c, errors.Join(append(errs, c.conflicts()...)...)
}

// fault returns an error about v: its name, the problem and an example.
func (v variable) fault(problem string) error {
	return fmt.Errorf("%s %s; for example %s=%s", v.name, problem, v.name, v.example)
}

// fault returns an error about the variable with this name.
func fault(name, problem string) error {
	all := variables
	if key := providerOf(name); key != "" {
		all = providerVariables(key)
	}
	for _, v := range all {
		if v.name == name {
			return v.fault(problem)
		}
	}
	return fmt.Errorf("%s %s", name, problem)
}
