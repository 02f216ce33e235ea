package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// mailCommand implements "authservice mail": it prints the emails that were given up and, with retry,
// queues them again. It reads only DATABASE_URL, and does not decrypt the emails.
func mailCommand(ctx context.Context, getenv func(string) string, retry bool, out io.Writer) (err error) {
	c, err := databaseConfig(getenv)
	if err != nil {
		return err
	}
	if c.Dialect == sqlstore.SQLite { // opening it would create it
		if _, err := os.Stat(c.Database); err != nil {
			return fault("DATABASE_URL", "does not lead to a database: "+err.Error())
		}
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	o := db.outboxOptions()
	o.Deliver = func(context.Context, webhook.Delivery) error { return nil } // an outbox sends something; there is no worker
	queue, err := outbox.New(o)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer func() { err = errors.Join(err, table.Flush()) }()
	fmt.Fprintln(table, "JOB\tQUEUED\tGIVEN UP\tATTEMPTS\tREASON")
	for last := int64(0); ; {
		letters, err := queue.DeadLetters(ctx, last, 100)
		if err != nil || len(letters) == 0 {
			return err
		}
		for _, l := range letters {
			last = l.ID
			if retry {
				if err := queue.Resend(ctx, l.ID); err != nil && !errors.Is(err, outbox.ErrNotFound) {
					return err
				}
			}
			fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%s\n", l.ID, l.Created.UTC().Format(time.RFC3339),
				l.Died.UTC().Format(time.RFC3339), l.Attempts, l.Reason)
		}
	}
}
