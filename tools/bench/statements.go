package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// logins compares a sign-in by password that ends the earlier sessions, from when the handler knows
// the user, with the statements that it takes, on the same pool and the same rows.
func logins(d database) measurement {
	return func(t testing.TB, rounds int) (ours, other figures) {
		db := d.open(t)
		return calls(t, rounds, timed(flowhookLogin(t, d, db)), timed(bareLogin(d, db)))
	}
}

// reads compares the check of a request's session with the SELECT that it takes.
func reads(d database) measurement {
	return func(t testing.TB, rounds int) (ours, other figures) {
		db := d.open(t)
		opts := flowhook.Options{Store: store(t, db, d.dialect), Secrets: []string{secret}}
		s, x := pipeline(t, new(flowhook.Config), opts).Sessions(), exchange()
		must(t, s.Issue(context.Background(), x))
		return calls(t, rounds, timed(flowhookCheck(s, signedIn(x.Writer.Header()))), timed(bareCheck(d, db, x.Session.ID)))
	}
}

// A call does the work of one request and returns how long it took.
type call func(ctx context.Context) (took time.Duration, err error)

func timed(work func(ctx context.Context) error) call {
	return func(ctx context.Context) (took time.Duration, err error) {
		began := time.Now()
		err = work(ctx)
		return time.Since(began), err
	}
}

// calls measures single calls, which take turns, so that occasional work of the database, such as a
// checkpoint, affects few of them. A tenth as many calls warm up. The context can be canceled, as
// that of a request can.
func calls(t testing.TB, rounds int, ours, other call) (left, right figures) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	times := callsPerRound * rounds
	var took [2][]figures
	for i := range times + times/10 {
		for side, one := range []call{ours, other} {
			d, err := one(ctx)
			must(t, err)
			if i >= times/10 {
				took[side] = append(took[side], figures{ns: float64(d.Nanoseconds()), allocs: unknown})
			}
		}
	}
	return median(took[0]), median(took[1])
}

func flowhookLogin(t testing.TB, d database, db *sql.DB) func(ctx context.Context) error {
	cfg := new(flowhook.Config)
	for _, name := range []string{"revoke_active_sessions", "session"} {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}, name, nil)
	}
	p := pipeline(t, cfg, flowhook.Options{Store: store(t, db, d.dialect), Secrets: []string{secret}})
	return func(ctx context.Context) error {
		_, err := p.Complete(flowhook.NewContext(ctx, exchange()), flowhook.Login, flowhook.Password, nil)
		return err
	}
}

// bareLogin is a sign-in written with database/sql: begin, wait for the lock (on SQLite, the DSN's
// BEGIN IMMEDIATE does), delete, insert, commit, and a cookie, which is not even signed.
func bareLogin(d database, db *sql.DB) func(ctx context.Context) error {
	lock := ""
	revoke := d.placeholders("DELETE FROM flowhook_sessions WHERE identity_id = ?")
	create := d.placeholders("INSERT INTO flowhook_sessions " +
		"(id, identity_id, authenticated_at, issued_at, expires_at) VALUES (?, ?, ?, ?, ?)")
	if d.dialect == sqlstore.PostgreSQL {
		lock = "SELECT pg_advisory_xact_lock($1)"
	}
	return func(ctx context.Context) error {
		x := exchange()
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: d.isolation})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if lock != "" {
			sum := sha256.Sum256([]byte(x.Identity.ID))
			if _, err := tx.ExecContext(ctx, lock, int64(binary.BigEndian.Uint64(sum[:8]))); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, revoke, x.Identity.ID); err != nil {
			return err
		}
		id, now := rand.Text(), time.Now()
		ends := now.Add(24 * time.Hour).UnixMicro()
		if _, err := tx.ExecContext(ctx, create, id, x.Identity.ID, now.UnixMicro(), now.UnixMicro(), ends); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		http.SetCookie(x.Writer, &http.Cookie{Name: cookieName, Value: id, Path: "/",
			Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		return nil
	}
}

const callsPerRound = 40

var errWrong = errors.New("not the session that was asked for")

func flowhookCheck(s *flowhook.Sessions, r *http.Request) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		found, err := s.FromRequest(r.WithContext(ctx))
		if err == nil && found.IdentityID != identityID {
			err = errWrong
		}
		return err
	}
}

func bareCheck(d database, db *sql.DB, id string) func(ctx context.Context) error {
	query := d.placeholders("SELECT identity_id, authenticated_at, issued_at, expires_at FROM flowhook_sessions WHERE id = ?")
	return func(ctx context.Context) error {
		var identity string
		var authenticated, issued, expires int64
		err := db.QueryRowContext(ctx, query, id).Scan(&identity, &authenticated, &issued, &expires)
		if err == nil && (identity != identityID || time.Now().UnixMicro() >= expires) {
			err = errWrong
		}
		return err
	}
}
