package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/sqlstore"
	_ "modernc.org/sqlite"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "example.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	if err != nil {
		panic(err)
	}
	defer db.Close()

	sent := make(chan string)
	options := outbox.Options{
		DB:      db,
		Dialect: sqlstore.SQLite,
		Deliver: func(_ context.Context, d webhook.Delivery) error { // usually the method of a webhook.Webhook
			sent <- fmt.Sprintf("%s of the hook %s: %s", d.ID, d.Hook, d.Body)
			return nil
		},
	}
	ctx := context.Background()
	if err := outbox.Migrate(ctx, options); err != nil {
		panic(err)
	}
	out, err := outbox.New(options)
	if err != nil {
		panic(err)
	}
	if err := out.Start(ctx); err != nil {
		panic(err)
	}
	// A pipeline calls this in its transaction. Without one, the webhook is queued at once.
	err = out.Webhooks(ctx, webhook.Delivery{ID: "msg_1", Hook: "crm", Body: []byte(`{"event":"login"}`)})
	if err != nil {
		panic(err)
	}
	fmt.Println(<-sent)
	if err := out.Stop(ctx); err != nil {
		panic(err)
	}
	// Output: msg_1 of the hook crm: {"event":"login"}
}
