package main

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfig(t *testing.T) {
	const postgres = "postgres://somebody:hunter2@db.example/accounts"
	for _, c := range []struct {
		what  string
		pairs []string // of the environment
		says  string   // empty: it is fine
	}{
		{"nothing set", []string{"DATABASE_URL", "", "SESSION_SECRETS", ""}, ""},
		{"SQLite by path", []string{"DATABASE_URL", "sqlite:/tmp/a file.db"}, ""},
		{"PostgreSQL", []string{"DATABASE_URL", postgres}, ""},
		{"PostgreSQL without secrets", []string{"DATABASE_URL", postgres, "SESSION_SECRETS", " , "}, "SESSION_SECRETS is missing"},
		{"a short secret", []string{"SESSION_SECRETS", testSecret + ",hunter2"}, "less than 16"},
		{"a secret twice", []string{"SESSION_SECRETS", "hunter2-hunter2-hunter2," + testSecret + ", hunter2-hunter2-hunter2"}, "SESSION_SECRETS has one twice"},
		{"another database", []string{"DATABASE_URL", "mysql://somebody:hunter2@db.example/accounts"}, "DATABASE_URL begins with"},
		{"no path", []string{"DATABASE_URL", "sqlite:"}, "DATABASE_URL begins with"},
		{"a URL with a path", []string{"PUBLIC_URL", "https://accounts.example/auth"}, "PUBLIC_URL must be"},
		{"http for others", []string{"PUBLIC_URL", "http://accounts.example", "SMTP_URL", "smtp://mail.example"}, "the https URL"},
		{"no scheme", []string{"PUBLIC_URL", "accounts.example"}, "PUBLIC_URL must be"},
		{"a provider without a client", []string{"OIDC_ISSUER", "https://provider.example"}, "OIDC_CLIENT_ID is missing"},
		{"a public URL without a mail server", []string{"PUBLIC_URL", "https://accounts.example"}, "SMTP_URL is missing"},
		{"a public URL with one", []string{"PUBLIC_URL", "https://accounts.example", "SMTP_URL", "smtp://mail.example"}, ""},
		{"proxies", []string{"TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1"}, ""},
		{"a proxy by its name", []string{"TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"}, `TRUSTED_PROXIES has "proxy.example"`},
		{"everybody a proxy", []string{"TRUSTED_PROXIES", "::/0"}, "TRUSTED_PROXIES trusts everybody"},
		{"secrets in the file", []string{"AUTH_CONFIG", withSecrets(t, testSecret), "SESSION_SECRETS", ""}, ""},
		{"secrets in the file, with PostgreSQL", []string{"DATABASE_URL", postgres, "AUTH_CONFIG", withSecrets(t, testSecret), "SESSION_SECRETS", ""}, ""},
		{"secrets twice", []string{"AUTH_CONFIG", withSecrets(t, testSecret), "SESSION_SECRETS", "hunter2-hunter2-hunter2"}, "SESSION_SECRETS is set, and AUTH_CONFIG has secrets too"},
		{"a short rescue", []string{"MAIL_RESCUE_AFTER", "2"}, "MAIL_RESCUE_AFTER must be"},
	} {
		t.Run(c.what, func(t *testing.T) {
			config, err := readConfig(environment("sqlite:db", c.pairs...))
			if err == nil {
				err = config.listening(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
			}
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// TestDevelopment: the inbox and the provider that everybody can use are only there for a browser on this machine.
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
		config := config{PublicURL: c.public, SMTP: "smtp://mail.example"}
		require.NoError(t, config.listening(&net.TCPAddr{IP: net.ParseIP(c.listening), Port: 8080}))
		require.Equal(t, c.want, config.Development, c)
	}
}
