package main

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// A wire counts round trips: how often a write is followed by a read.
type wire struct {
	net.Conn
	turns *atomic.Int64
	sent  atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	w.sent.Store(true)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	if w.sent.CompareAndSwap(true, false) {
		w.turns.Add(1)
	}
	return w.Conn.Read(b)
}

func TestRoundTrips(t *testing.T) {
	const times = 100
	source := testkit.PostgreSQL(t)
	migrate(t, postgreSQL, source)
	config, err := pgx.ParseConfig(source)
	must(t, err)
	var turns atomic.Int64
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &wire{Conn: conn, turns: &turns}, err
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { db.Close() })
	s := store(t, db, sqlstore.PostgreSQL)
	sessions, x := pipeline(t, new(flowhook.Config), flowhook.Options{Store: s, Secrets: []string{secret}}).Sessions(), exchange()
	must(t, sessions.Issue(context.Background(), x))

	// count returns the round trips of one call after the driver has prepared its statements.
	count := func(work func(ctx context.Context) error) float64 {
		t.Helper()
		must(t, work(context.Background()))
		turns.Store(0)
		for range times {
			must(t, work(context.Background()))
		}
		return float64(turns.Load()) / times
	}
	if n := count(func(ctx context.Context) error { _, err := db.ExecContext(ctx, "SELECT 1"); return err }); n != 1 {
		t.Fatalf("one statement is counted as %v round trips", n)
	}
	if n := count(bareLogin(postgreSQL, db)); n != 5 {
		t.Errorf("begin, lock, delete, insert and commit take %v round trips", n)
	}
	if n := count(flowhookLogin(t, postgreSQL, db)); n != 5 {
		t.Errorf("a sign-in that revokes takes %v round trips, want begin, lock, delete, insert and commit", n)
	}
	must(t, sessions.Issue(context.Background(), x))
	if n := count(flowhookCheck(sessions, signedIn(x.Writer.Header()))); n != 1 {
		t.Errorf("FromRequest takes %v round trips", n)
	}
	t.Logf("FromRequest on PostgreSQL is one round trip, a sign-in that revokes is five: %d calls each", times)
}
