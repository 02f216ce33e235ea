package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"net/http"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// flowhookLogin is a sign-in by password with the chain [revoke_active_sessions, session], from the moment when the
// handler knows who it is. Each ends the session of the one before.
func flowhookLogin(t testing.TB, d database, db *sql.DB) func() error {
	var cfg flowhook.Config
	for _, name := range []string{"revoke_active_sessions", "session"} {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}, name, nil)
	}
	p, err := flowhook.New(&cfg, flowhook.Options{Store: store(t, db, d.dialect), Secrets: []string{secret}})
	must(t, err)
	return func() error {
		x := exchange()
		ctx := flowhook.NewContext(context.Background(), x)
		_, err := p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		return err
	}
}

// bareLogin is the same as somebody would write it who has database/sql and knows what it takes: the statements, and a
// cookie, which is not signed.
func bareLogin(_ testing.TB, d database, db *sql.DB) func() error {
	lock, revoke, create := "", "DELETE FROM flowhook_sessions WHERE identity_id = ?",
		"INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) VALUES (?, ?, ?, ?, ?)"
	if d.dialect == sqlstore.PostgreSQL {
		lock, revoke, create = "SELECT pg_advisory_xact_lock($1)", "DELETE FROM flowhook_sessions WHERE identity_id = $1",
			"INSERT INTO flowhook_sessions (id, identity_id, authenticated_at, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)"
	}
	signIn := func(ctx context.Context, w http.ResponseWriter, identityID string) error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: d.begin})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if lock != "" { // on SQLite, BEGIN IMMEDIATE is one
			sum := sha256.Sum256([]byte(identityID))
			if _, err := tx.ExecContext(ctx, lock, int64(binary.BigEndian.Uint64(sum[:8]))); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, revoke, identityID); err != nil {
			return err
		}
		id, now := rand.Text(), time.Now()
		if _, err := tx.ExecContext(ctx, create, id, identityID, now.UnixMicro(), now.UnixMicro(), now.Add(24*time.Hour).UnixMicro()); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		return nil
	}
	return func() error {
		x := exchange()
		return signIn(context.Background(), x.Writer, x.Identity.ID)
	}
}
