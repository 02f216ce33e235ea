package main

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// missing ends a test because the machine lacks something: it skips the test, or fails it if
// FLOWHOOK_NO_SKIP is set.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("FLOWHOOK_NO_SKIP") != "" {
		t.Fatal(what + " is missing, and nothing may be skipped")
	}
	t.Skip(what + " is missing")
}

// newPostgreSQL returns the URL of a new, empty database on the server of FLOWHOOK_POSTGRES, whose
// user must be allowed to create databases. The database is dropped after the test.
func newPostgreSQL(t *testing.T) string {
	t.Helper()
	server := os.Getenv("FLOWHOOK_POSTGRES")
	if server == "" {
		missing(t, "the environment variable FLOWHOOK_POSTGRES")
	}
	u, err := url.Parse(server)
	require.NoError(t, err, "FLOWHOOK_POSTGRES")
	run := func(statement string) {
		ctx := context.WithoutCancel(t.Context()) // which has ended when the test cleans up
		conn, err := pgx.Connect(ctx, server)
		require.NoError(t, err, "FLOWHOOK_POSTGRES")
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	u.Path = "/authservice_" + strings.ToLower(rand.Text())
	run("CREATE DATABASE " + u.Path[1:])
	t.Cleanup(func() { run("DROP DATABASE " + u.Path[1:] + " WITH (FORCE)") }) // connections may be open
	return u.String()
}
