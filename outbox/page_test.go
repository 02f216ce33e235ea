package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
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

func newPipeline(
	cfg *flowhook.Config, store flowhook.Store, o outbox.Options,
) (*flowhook.Pipeline, *outbox.Outbox, error) {
	var hooks *webhook.Webhook // the outbox does not call it before Start
	out, err := newOutbox(o, func(ctx context.Context, d webhook.Delivery) error { return hooks.Deliver(ctx, d) })
	if err != nil {
		return nil, nil, err
	}
	if hooks, err = webhook.New(webhook.Options{Outbox: out.Webhooks}); err != nil {
		return nil, nil, err
	}
	pipeline, err := flowhook.New(cfg, flowhook.Options{
		Store:   store,
		Courier: out.Courier(),
		Outbox:  true, // emails are queued in the transaction
		Hooks:   map[string]flowhook.HookFactory{"web_hook": hooks.Factory},
	})
	return pipeline, out, err
}

// serve runs until the process is told to stop.
func serve(ctx context.Context, out *outbox.Outbox, server *http.Server) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := out.Start(ctx); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	err = errors.Join(err, server.Shutdown(ctx))  // ListenAndServe does not wait for running requests
	if stopped := out.Stop(ctx); stopped != nil { // nothing is lost
		slog.WarnContext(ctx, "stopping the outbox", "error", stopped)
	}
	return err
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
		pipeline, _, err := newPipeline(config, store, o)
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

// TestPage_Pipeline runs the pipeline of the page: its webhook is queued, and sent after Start. serve
// waits for a request that runs while the service is told to stop.
func TestPage_Pipeline(t *testing.T) {
	s := newServer(t, &server{})
	t.Setenv("SMTP_URL", s.url)
	t.Setenv("SESSION_SECRETS", testSecret)
	p := onSQLite(t).process(t, s.url, "", nil).migrate()
	store, o, err := onSQL(p.db, sqlstore.SQLite)
	require.NoError(t, err)
	o.Logger = slog.New(slog.NewTextHandler(p.log, nil))
	config, err := flowhook.ParseConfig([]byte(`selfservice: {flows: {login: {after: {hooks: [{hook: web_hook,
		config: {id: crm, url: "https://127.0.0.1/", mode: notify, secrets: ["` + hookSecret + `"]}}]}}}}`))
	require.NoError(t, err)
	_, _, err = newPipeline(config, store, o)
	require.ErrorContains(t, err, "url leads to a private or reserved network")
	config, err = flowhook.ParseConfig([]byte(`selfservice: {flows: {login: {after: {hooks: [{hook: web_hook,
		config: {id: crm, url: "https://localhost/", mode: notify, secrets: ["` + hookSecret + `"]}}]}}}}`))
	require.NoError(t, err)
	pipeline, out, err := newPipeline(config, store, o)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	stopping, addr := make(chan struct{}), make(chan string, 1)
	var done atomic.Bool
	server := &http.Server{
		Addr: "127.0.0.1:0",
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-stopping
			x := &flowhook.Exchange{Request: r, Writer: httptest.NewRecorder(), Identity: &flowhook.Identity{ID: "ada"}}
			_, err := pipeline.Complete(flowhook.NewContext(r.Context(), x), flowhook.Login, flowhook.Password, nil)
			done.Store(err == nil)
		}),
		BaseContext: func(l net.Listener) context.Context { addr <- l.Addr().String(); return context.Background() },
	}
	server.RegisterOnShutdown(func() { close(stopping) })
	served := make(chan error, 1)
	go func() { served <- serve(ctx, out, server) }()
	res, err := http.Get("http://" + <-addr)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.NoError(t, <-served)
	require.True(t, done.Load(), "the request was served")
	require.Equal(t, 1, p.jobs(""), "the webhook is in the queue")

	require.NoError(t, out.Start(t.Context()))
	eventually(t, "the webhook to be rejected, because it is not allowed to call this machine", func() bool {
		return p.jobs("cancelled") == 1
	})
	require.NoError(t, out.Stop(t.Context()))
	require.Contains(t, p.log.String(), `hook="login/after crm"`)
	require.Contains(t, p.log.String(), "the host is in a private or reserved network")
}
