package main

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	const postgres = "postgres://somebody:hunter2@db.example/accounts"
	acme := func(issuer string, pairs ...string) []string {
		return append(pairs, providerEnvironment("acme", issuer)...) // the first of a name counts
	}
	for _, c := range []struct {
		name  string
		pairs []string // of the environment
		err   string   // empty if the configuration is valid
	}{
		{"defaults", []string{"DATABASE_URL", "", "SESSION_SECRETS", ""}, ""},
		{"SQLite by path", []string{"DATABASE_URL", "sqlite:/tmp/a file.db"}, ""},
		{"PostgreSQL", []string{"DATABASE_URL", postgres}, ""},
		{"PostgreSQL without secrets", []string{"DATABASE_URL", postgres, "SESSION_SECRETS", " , "},
			"SESSION_SECRETS is missing"},
		{"secret that no shell has expanded", []string{"SESSION_SECRETS", "$(openssl rand -hex 32)"},
			"SESSION_SECRETS contains $( or ${, which only a shell expands"},
		{"variable that nothing has expanded", []string{"SESSION_SECRETS", testSecret + ",${HUNTER2_HUNTER2_HUNTER2}"},
			"SESSION_SECRETS contains $( or ${"},
		{"short secret", []string{"SESSION_SECRETS", testSecret + ",hunter2"}, "shorter than 16"},
		{"secret twice", []string{"SESSION_SECRETS", "hunter2-hunter2-hunter2," + testSecret +
			", hunter2-hunter2-hunter2"}, "SESSION_SECRETS contains a secret twice"},
		{"other database", []string{"DATABASE_URL", "mysql://somebody:hunter2@db.example/accounts"},
			"DATABASE_URL must be"},
		{"no path", []string{"DATABASE_URL", "sqlite:"}, "DATABASE_URL must be"},
		{"URL with a path", []string{"PUBLIC_URL", "https://accounts.example/auth"}, "PUBLIC_URL must be"},
		{"http for others", []string{"PUBLIC_URL", "http://accounts.example", "SMTP_URL", "smtp://mail.example"},
			"the https URL"},
		{"no scheme", []string{"PUBLIC_URL", "accounts.example"}, "PUBLIC_URL must be"},
		{"provider", acme("https://acme.example"), ""},
		{"provider without TLS", acme("http://acme.example"), "OIDC_ACME_ISSUER is plain http"},
		{"provider with a password", acme("https://me:hunter2@acme.example"), "OIDC_ACME_ISSUER must be the provider's URL"},
		{"provider without a client", acme("https://acme.example", "OIDC_ACME_CLIENT_ID", ""), "OIDC_ACME_CLIENT_ID is missing"},
		{"provider without an issuer", acme(""), "OIDC_ACME_ISSUER is missing: OIDC_PROVIDERS has acme; for example " +
			"OIDC_ACME_ISSUER=https://acme.example.org"},
		{"provider with a long name", acme("https://acme.example", "OIDC_ACME_NAME", strings.Repeat("x", 41)),
			"OIDC_ACME_NAME must have at most 40 printable characters; for example OIDC_ACME_NAME=Acme"},
		{"provider with a foreign name", acme("https://acme.example", "OIDC_ACME_NAME", "\u0634\u0631\u0643\u0629"), ""},
		{"provider with an unprintable name", acme("https://acme.example", "OIDC_ACME_NAME", "a\x00b"),
			"OIDC_ACME_NAME must have at most 40 printable"},
		{"provider without its logo", acme("https://acme.example", "OIDC_ACME_LOGO", "nowhere.svg"),
			"OIDC_ACME_LOGO is a file that cannot be read"},
		{"provider with another spelling", []string{"OIDC_PROVIDERS", "acme, Globex"}, `OIDC_PROVIDERS contains "Globex"`},
		{"provider with a path", []string{"OIDC_PROVIDERS", "a/b"}, `OIDC_PROVIDERS contains "a/b"`},
		{"provider with a long key", []string{"OIDC_PROVIDERS", strings.Repeat("x", 21)}, "OIDC_PROVIDERS contains"},
		{"provider twice", []string{"OIDC_PROVIDERS", "acme,acme"}, "OIDC_PROVIDERS contains acme twice"},
		{"issuer twice", acme("https://acme.example", "OIDC_PROVIDERS", "acme,globex", "OIDC_GLOBEX_ISSUER",
			"https://acme.example", "OIDC_GLOBEX_CLIENT_ID", "other"),
			"OIDC_GLOBEX_ISSUER is that of OIDC_ACME_ISSUER, too"},
		{"name twice", acme("https://acme.example/a", "OIDC_PROVIDERS", "acme,globex", "OIDC_GLOBEX_ISSUER",
			"https://acme.example/b", "OIDC_GLOBEX_CLIENT_ID", "other"),
			`OIDC_GLOBEX_NAME must be set to another name: users could not tell globex from acme, whose name is "acme.example"`},
		{"public URL without a mail server", []string{"PUBLIC_URL", "https://accounts.example", "SMTP_URL", ""},
			"SMTP_URL is missing"},
		{"public URL with a mail server", []string{"PUBLIC_URL", "https://accounts.example", "SMTP_URL",
			"smtp://mail.example"}, ""},
		{"public URL without a sender", []string{"PUBLIC_URL", "https://accounts.example", "MAIL_FROM", ""},
			"MAIL_FROM is missing"},
		{"default sender in development", []string{"MAIL_FROM", ""}, ""},
		{"unescaped password", []string{"SMTP_URL", "smtp://me:hunter2#@mail.example"}, "SMTP_URL must be"},
		{"user without a password", []string{"SMTP_URL", "smtp://hunter2@mail.example"}, "SMTP_URL must have a user"},
		{"no port", []string{"ADDR", "127.0.0.1"}, "ADDR must be host:port"},
		{"bad escape", []string{"DATABASE_URL", "postgres://me:hunter2%@db.example/accounts"}, "DATABASE_URL is not a valid"},
		{"proxies", []string{"TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1"}, ""},
		{"proxy by name", []string{"TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"},
			`TRUSTED_PROXIES contains "proxy.example"`},
		{"trusting every address", []string{"TRUSTED_PROXIES", "::/0"}, "TRUSTED_PROXIES trusts every address"},
		{"secrets in the file", []string{"AUTH_CONFIG", withSecrets(t, testSecret), "SESSION_SECRETS", ""}, ""},
		{"secrets in the file, with PostgreSQL", []string{"DATABASE_URL", postgres, "AUTH_CONFIG",
			withSecrets(t, testSecret), "SESSION_SECRETS", ""}, ""},
		{"secrets twice", []string{"AUTH_CONFIG", withSecrets(t, testSecret), "SESSION_SECRETS",
			"hunter2-hunter2-hunter2"}, "SESSION_SECRETS is set, but AUTH_CONFIG has secrets, too"},
		{"brand", []string{"BRAND_NAME", "Wonderland", "BRAND_ACCENT", "#0A7d33", "BRAND_LOGO", "static/logo.svg"}, ""},
		{"long brand", []string{"BRAND_NAME", strings.Repeat("x", 41)}, "BRAND_NAME must have at most 40"},
		{"unprintable brand", []string{"BRAND_NAME", "a\x00b"}, "BRAND_NAME must have at most 40"},
		{"accent by name", []string{"BRAND_ACCENT", "red"}, `BRAND_ACCENT is "red"; it must be # and six`},
		{"short accent", []string{"BRAND_ACCENT", "#fff"}, "BRAND_ACCENT is"},
		{"signed accent", []string{"BRAND_ACCENT", "#+12345"}, "BRAND_ACCENT is"},
		{"missing logo", []string{"BRAND_LOGO", "nowhere.svg"}, "BRAND_LOGO is a file that cannot be read: open nowhere.svg"},
		{"logo that is no image", []string{"BRAND_LOGO", "go.mod"},
			`BRAND_LOGO is "go.mod"; it must be a file that ends in .svg`},
		{"short rescue", []string{"MAIL_RESCUE_AFTER", "2"}, "MAIL_RESCUE_AFTER must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, err := readConfig(environment("sqlite:db", c.pairs...))
			if err == nil {
				err = config.listening(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
			}
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// TestDevelopment checks when the development inbox and provider are available: only if the service
// is reachable from this machine alone.
func TestDevelopment(t *testing.T) {
	for _, c := range []struct {
		public, listening string
		want              bool
	}{
		{"", "127.0.0.1", true},
		{"", "::1", true},
		{"http://localhost:8080", "127.0.0.1", true},
		{"https://accounts.example", "127.0.0.1", false},
		{"http://localhost:8080", "0.0.0.0", false},
		{"https://localhost.example", "127.0.0.1", false},
		{"https://127.0.0.1.example", "127.0.0.1", false},
		{"http://127.0.0.1:8080", "::", false},
	} {
		config := config{PublicURL: c.public, SMTP: "smtp://mail.example", MailFrom: "accounts@mail.example"}
		require.NoError(t, config.listening(&net.TCPAddr{IP: net.ParseIP(c.listening), Port: 8080}))
		require.Equal(t, c.want, config.Development, c)
	}
}

// TestMisspelled checks which unknown variables are certainly meant for the service.
func TestMisspelled(t *testing.T) {
	for name, want := range map[string]string{
		"SMTP_URI": "SMTP_URL", "smtp_url": "SMTP_URL", "SMTP-URL": "SMTP_URL",
		"OIDC_PROVIDER": "OIDC_PROVIDERS", "OIDC_ACMEE_ISSUER": "OIDC_ACME_ISSUER",
		"OIDC_ACME_CLIENTID": "OIDC_ACME_CLIENT_ID", "oidc_acme_logo": "OIDC_ACME_LOGO",
		"DATABSE_URL": "DATABASE_URL", "SESSION_SECRET": "SESSION_SECRETS", "SMTPURL": "SMTP_URL",
		"AUTHSERVICE_PUBLIC_URL": "PUBLIC_URL", "AUTHSERVICE_LOG_LEVEL": "LOG_LEVEL",
		"AUTHSERVICE_TRUSTED_PROXY": "TRUSTED_PROXIES", "ADDR": "", "PATH": "", "HOME": "", "LOGNAME": "",
		"MAIL": "", "SESSION_MANAGER": "", "AUTHSERVICE_PORT": "", "AUTHSERVICE_SERVICE_HOST": "",
		"PUBLIC": "", "USED_SECRETS": "", "": "",
	} {
		warnings, err := misspelled([]string{name + "=a value"}, []string{"acme"}, []string{"USED_SECRETS"})
		require.Empty(t, warnings, name)
		if want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, "unknown environment variable "+name+"; did you mean "+want+"?")
		require.NotContains(t, err.Error(), "a value", "it may be a secret")
	}
}

// TestMisspelled_Providers checks the errors about the variables of the only provider that earlier
// versions knew, and about a provider if OIDC_PROVIDERS has none.
func TestMisspelled_Providers(t *testing.T) {
	for name, want := range map[string]string{
		"OIDC_ISSUER":        "OIDC_PROVIDERS and variables such as OIDC_ACME_ISSUER replace it",
		"OIDC_CLIENT_ID":     "OIDC_PROVIDERS and variables such as OIDC_ACME_CLIENT_ID replace it",
		"OIDC_CLIENT_SECRET": "OIDC_PROVIDERS and variables such as OIDC_ACME_CLIENT_SECRET replace it",
		"OIDC_GLOBEX_ISSUER": "OIDC_PROVIDERS does not have globex; for example OIDC_PROVIDERS=globex",
	} {
		warnings, err := misspelled([]string{name + "=a value"}, nil, nil)
		require.Empty(t, warnings, name)
		require.ErrorContains(t, err, "unknown environment variable "+name+"; "+want)
		require.NotContains(t, err.Error(), "a value", "it may be a secret")
	}
}

// TestMisspelled_Warnings checks the messages about variables that a platform may set, and about
// providers that were taken out of OIDC_PROVIDERS.
func TestMisspelled_Warnings(t *testing.T) {
	for name, want := range map[string]string{
		"SMTP_HOST":            "did you mean SMTP_URL?",
		"SMTP_PORT":            "did you mean SMTP_URL?",
		"OIDC_SECRET":          "did you mean OIDC_PROVIDERS?",
		"SMPT_URL":             "did you mean SMTP_URL?",
		"SMTP_SSL":             "did you mean SMTP_URL?",
		"ADR":                  "did you mean ADDR?",
		"DATABASE_URL_RO":      "did you mean DATABASE_URL?",
		"TRUSTED_PROXY":        "did you mean TRUSTED_PROXIES?",
		"OIDC_GLOBEX_ISSUER":   "OIDC_PROVIDERS does not have globex; for example OIDC_PROVIDERS=acme,globex",
		"OIDC_AOL_CLIENT_ID":   "OIDC_PROVIDERS does not have aol; for example OIDC_PROVIDERS=acme,aol",
		"OIDC_ACME_ISSUER":     "",
		"OIDC_ACME_CLIENT_ID":  "",
		"OIDC_PROVIDERS":       "",
		"AUTHSERVICE_OIDC_FOO": "did you mean OIDC_PROVIDERS?",
	} {
		got, err := misspelled([]string{name + "=a value"}, []string{"acme"}, nil)
		require.NoError(t, err, name)
		if want == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Len(t, got, 1, name)
		require.Contains(t, got[0], "unknown environment variable "+name+"; "+want)
		require.NotContains(t, got[0], "a value", "it may be a secret")
	}
}

// TestReferenced checks that a variable that auth.yml refers to is not misspelled.
func TestReferenced(t *testing.T) {
	require.Equal(t, []string{"SESSION_SECRET", "OTHER"},
		referenced(withSecrets(t, "${SESSION_SECRET}", "${OTHER}")))
	require.Empty(t, referenced("/nowhere/auth.yml"))
}

// TestVariables checks that each default and each example is valid, after a shell has expanded it.
func TestVariables(t *testing.T) {
	for _, v := range allVariables(exampleProvider) {
		for _, value := range []string{v.fallback, v.example} {
			if value != "" {
				c := config{Providers: []providerConfig{{Key: exampleProvider}}}
				expanded := strings.Replace(value, "$(openssl rand -hex 32)", newSecret(), 1)
				require.NoError(t, v.read(&c, expanded), "%s=%s", v.name, value)
			}
		}
	}
}
