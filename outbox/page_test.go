package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/pgxstore"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// The functions below, up to TestPage, are the code in docs/outbox.md.

func onPgx(pool *pgxpool.Pool) (flowhook.Store, outbox.Options, error) {
	store, err := pgxstore.New(pool)
	return store, outbox.Options{Pool: pool}, err
}

func onSQL(db *sql.DB, dialect sqlstore.Dialect) (flowhook.Store, outbox.Options, error) {
	store, err := sqlstore.New(db, dialect) // sqlstore.PostgreSQL or sqlstore.SQLite
	return store, outbox.Options{DB: db, Dialect: dialect}, err
}

func newOutbox(
	o outbox.Options, deliver func(ctx context.Context, d webhook.Delivery) error,
) (*outbox.Outbox, error) {
	o.SMTP = os.Getenv("SMTP_URL") // smtp://user:password@host:port
	o.From = "Example <accounts@example.org>"
	o.Secrets = strings.Split(os.Getenv("SESSION_SECRETS"), ",")
	o.Deliver = deliver
	return outbox.New(o)
}

func newPipeline(cfg *flowhook.Config, store flowhook.Store, out *outbox.Outbox) (*flowhook.Pipeline, error) {
	return flowhook.New(cfg, flowhook.Options{Store: store, Courier: out.Courier(), Outbox: true})
}

func serve(ctx context.Context, out *outbox.Outbox, server *http.Server) error {
	if err := out.Start(ctx); err != nil {
		return err
	}
	defer func() { // after the last request
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := out.Stop(ctx); err != nil { // nothing is lost
			slog.WarnContext(ctx, "stopping the outbox", "error", err)
		}
	}()
	return server.ListenAndServe()
}

func resendAll(ctx context.Context, out *outbox.Outbox) error {
	after := int64(0)
	for {
		dead, err := out.DeadLetters(ctx, after, 100)
		if err != nil || len(dead) == 0 {
			return err
		}
		for _, letter := range dead {
			slog.InfoContext(ctx, "resending", "id", letter.ID, "message_id", letter.MessageID, "reason", letter.Reason)
			if err := out.Resend(ctx, letter.ID); err != nil && !errors.Is(err, outbox.ErrNotFound) {
				return err
			}
			after = letter.ID
		}
	}
}

// TestPage checks that docs/outbox.md has the code above, each function once.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../docs/outbox.md")
	require.NoError(t, err)
	file, err := os.ReadFile("page_test.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(file), "docs/outbox.md.\n\n")
	code, _, _ = strings.Cut(code, "// TestPage")
	parts := strings.Split("\n"+string(page), "\n```")
	var shown []string
	for i := 1; i < len(parts); i += 2 {
		language, block, _ := strings.Cut(parts[i], "\n")
		require.Equal(t, "go", language)
		shown = append(shown, block+"\n")
	}
	require.Equal(t, strings.TrimSpace(code), strings.TrimSpace(strings.Join(shown, "\n")))
}

// TestPage_Code runs the code of docs/outbox.md.
func TestPage_Code(t *testing.T) {
	s := newServer(t, &server{})
	t.Setenv("SMTP_URL", s.url)
	t.Setenv("SESSION_SECRETS", testSecret+",another "+testSecret)
	for _, d := range []database{onSQLite(t), onPostgreSQL(t, "pgx"), onPostgreSQL(t, "sql")} {
		gone := true
		p := d.process(t, s.url, "", nil).migrate()
		store, o, err := onSQL(p.db, d.Dialect)
		if d.Dialect == "" {
			store, o, err = onPgx(p.o.Pool)
		}
		require.NoError(t, err)
		out, err := newOutbox(o, func(context.Context, webhook.Delivery) error {
			if gone {
				return webhook.ErrRejected
			}
			return nil
		})
		require.NoError(t, err)
		config, err := flowhook.LoadConfig("testdata/verify.yml")
		require.NoError(t, err)
		pipeline, err := newPipeline(config, store, out)
		require.NoError(t, err)
		require.Empty(t, pipeline.Plan().Findings())

		require.NoError(t, out.Webhooks(t.Context(), hook(1)))
		closed := &http.Server{}
		require.NoError(t, closed.Close())
		require.NoError(t, out.Start(t.Context()))
		eventually(t, "a dead letter", func() bool { return p.jobs("cancelled") == 1 })
		gone = false
		require.NoError(t, resendAll(t.Context(), out))
		p.awaitCompleted()
		require.NoError(t, out.Stop(t.Context()))
		require.ErrorIs(t, serve(t.Context(), out, closed), http.ErrServerClosed)
	}
}
