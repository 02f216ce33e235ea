package outbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

func TestNew_BadOptions(t *testing.T) {
	d := onSQLite(t)
	good, db, err := d.open()
	require.NoError(t, err)
	defer db.Close()
	setEmail(&good, "smtp://127.0.0.1:25")
	_, err = outbox.New(good)
	require.NoError(t, err)
	for _, smtp := range []string{"smtp://mail.example.org", "smtps://user:pass@mail.example.org:465/",
		"smtp://user%40example.org:p%2Fq@localhost:2525", "smtp://[::1]:25"} {
		o := good
		o.SMTP = smtp
		_, err := outbox.New(o)
		require.NoError(t, err, smtp)
	}
	for name, change := range map[string]func(o *outbox.Options){
		"no server":     func(o *outbox.Options) { o.SMTP = "" },
		"no host":       func(o *outbox.Options) { o.SMTP = "smtp://:hunter2@" },
		"other scheme":  func(o *outbox.Options) { o.SMTP = "http://user:hunter2@mail.example.org" },
		"path":          func(o *outbox.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org/x" },
		"query":         func(o *outbox.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org?x" },
		"no URL":        func(o *outbox.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org:port" },
		"port 0":        func(o *outbox.Options) { o.SMTP = "smtp://user:hunter2@mail.example.org:0" },
		"no password":   func(o *outbox.Options) { o.SMTP = "smtp://hunter2@mail.example.org" },
		"no sender":     func(o *outbox.Options) { o.From = "" },
		"two senders":   func(o *outbox.Options) { o.From = "a@hunter2.org, b@hunter2.org" },
		"no secret":     func(o *outbox.Options) { o.Secrets = nil },
		"short secret":  func(o *outbox.Options) { o.Secrets = []string{testSecret, "hunter2"} },
		"nothing":       func(o *outbox.Options) { o.SMTP, o.From, o.HelloHost = "", "", "" },
		"only a sender": func(o *outbox.Options) { o.SMTP, o.HelloHost = "", "" },
		"only a host":   func(o *outbox.Options) { o.SMTP, o.From = "", "" },
		"no database":   func(o *outbox.Options) { o.DB = nil },
		"two databases": func(o *outbox.Options) { o.Pool = &pgxpool.Pool{} },

		"no dialect in the database":      func(o *outbox.Options) { o.Dialect = "" },
		"MariaDB as the database":         func(o *outbox.Options) { o.Dialect = sqlstore.MariaDB },
		"dialect of a pool as a database": func(o *outbox.Options) { o.DB, o.Pool = nil, &pgxpool.Pool{} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			_, err := outbox.New(o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
			if strings.Contains(name, "database") {
				require.Error(t, outbox.Migrate(t.Context(), o))
			}
		})
	}
}

// TestNew_HalfEmail checks that an error names the option for email that is missing.
func TestNew_HalfEmail(t *testing.T) {
	o, db, err := onSQLite(t).open()
	require.NoError(t, err)
	defer db.Close()
	for _, c := range []struct{ smtp, from, host, want string }{
		{"smtp://127.0.0.1", "", "", "outbox: Options.From is missing; SMTP needs it"},
		{"", "a@example.org", "", "outbox: Options.SMTP is empty, but Options.From is set; set both or neither"},
		{"", "", "host", "outbox: Options.SMTP is empty, but Options.HelloHost is set; set both or neither"},
	} {
		o.SMTP, o.From, o.HelloHost, o.Secrets = c.smtp, c.from, c.host, []string{testSecret}
		_, err := outbox.New(o)
		require.EqualError(t, err, c.want)
	}
}

// TestUnmigrated checks that each method says what is missing in a database without River's tables.
func TestUnmigrated(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", "", func(o *outbox.Options) {
			o.Deliver = func(context.Context, webhook.Delivery) error { return nil }
		})
		p.migrateStore()
		_, err := p.outbox.DeadLetters(t.Context(), 0, 1)
		for what, err := range map[string]error{
			"start":        p.outbox.Start(t.Context()),
			"webhook":      p.outbox.Webhooks(t.Context(), hook(1)),
			"dead letters": err,
			"resend":       p.outbox.Resend(t.Context(), 1),
			"email":        p.transaction(func(ctx context.Context) error { return p.queueIn(ctx, message(1)) }),
		} {
			require.ErrorContains(t, err, "; call outbox.Migrate first", what)
		}
	})
}

// TestNew_OneKind checks an outbox that is only for emails or only for webhooks.
func TestNew_OneKind(t *testing.T) {
	o, db, err := onSQLite(t).open()
	require.NoError(t, err)
	defer db.Close()
	o.Deliver = func(context.Context, webhook.Delivery) error { return nil }
	out, err := outbox.New(o)
	require.NoError(t, err)
	require.Nil(t, out.Courier(), "flowhook.New reports hooks that need a courier")

	o.Deliver = nil
	setEmail(&o, "smtp://127.0.0.1:25")
	out, err = outbox.New(o)
	require.NoError(t, err)
	require.ErrorContains(t, out.Webhooks(t.Context(), hook(1)), "set Options.Deliver")
}
