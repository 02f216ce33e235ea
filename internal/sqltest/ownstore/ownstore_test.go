package ownstore_test

import (
	"crypto/rand"
	"database/sql"
	_ "embed"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/sqltest/ownstore"
	"github.com/flowhook/flowhook/internal/testdb"
	"github.com/flowhook/flowhook/store/storetest"
)

//go:embed schema.sql
var schema string

func open(t *testing.T) *ownstore.Store {
	t.Helper()
	db, err := sql.Open("pgx", testdb.PostgreSQL(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(40)
	_, err = db.Exec(schema)
	require.NoError(t, err)
	return &ownstore.Store{DB: db}
}

func TestConformance(t *testing.T) {
	s := open(t)
	storetest.Run(t, func(t *testing.T) (flowhook.Store, func() string) {
		return s, func() string {
			id, err := s.CreateUser(t.Context(), rand.Text()+"@example.org")
			require.NoError(t, err)
			return id
		}
	})
}
