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

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// logins compares a sign-in by password that ends the earlier sessions, from when the handler knows
// the user, with the statements that it takes, on the same pool and the same rows.
func logins(d database) measurement {
	return func(t testing.TB, rounds int) (ours, other figures) {
		db := d.open(t, d.migrated(t))
		return calls(t, rounds, timed(flowhookLogin(t, store(t, db, d.dialect))), timed(bareLogin(d, db)))
	}
}

// reads compares the check of a request's session with the SELECT that it takes.
func reads(d database) measurement {
	return func(t testing.TB, rounds int) (ours, other figures) {
		db := d.open(t, d.migrated(t))
		s, r := signedInTo(t, store(t, db, d.dialect))
		return calls(t, rounds, timed(flowhookCheck(s, r)), timed(bareCheck(t, d, db, s, r)))
	}
}

// poolLogins is logins with pgxstore. The bare statements run through database/sql, on the same
// rows.
func poolLogins(t testing.TB, rounds int) (ours, other figures) {
	p := openPools(t)
	return renewed(t, rounds, p.renew, timed(flowhookLogin(t, poolStore(t, p.pool))), timed(bareLogin(postgreSQL, p.db)))
}

// poolReads is reads with pgxstore. The bare SELECT runs through database/sql, on the same row.
func poolReads(t testing.TB, rounds int) (ours, other figures) {
	p := openPools(t)
	s, r := signedInTo(t, poolStore(t, p.pool))
	return renewed(t, rounds, p.renew, timed(flowhookCheck(s, r)), timed(bareCheck(t, postgreSQL, p.db, s, r)))
}

// pools are a pool of pgx and one of database/sql on one database.
type pools struct {
	pool *pgxpool.Pool
	db   *sql.DB
}

func openPools(t testing.TB) pools {
	source := postgreSQL.migrated(t)
	return pools{openPool(t, source), postgreSQL.open(t, source)}
}

func (p pools) renew() {
	p.pool.Reset()
	reconnect(p.db)
}

// signedInTo returns a request with a session that is in the store.
func signedInTo(t testing.TB, s flowhook.Store) (*flowhook.Sessions, *http.Request) {
	p, x := pipeline(t, new(flowhook.Config), flowhook.Options{Store: s, Secrets: []string{secret}}), exchange()
	must(t, p.Sessions().Issue(context.Background(), x))
	return p.Sessions(), signedIn(x.Writer.Header())
}

func flowhookLogin(t testing.TB, s flowhook.Store) func(ctx context.Context) error {
	p := loginPipeline(t, s)
	return func(ctx context.Context) error {
		_, err := p.Complete(flowhook.NewContext(ctx, exchange()), flowhook.Login, flowhook.Password, nil)
		return err
	}
}

// loginPipeline returns a pipeline in which a login ends the earlier sessions.
func loginPipeline(t testing.TB, s flowhook.Store) *flowhook.Pipeline {
	cfg := new(flowhook.Config)
	for _, name := range []string{"revoke_active_sessions", "session"} {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}, name, nil)
	}
	return pipeline(t, cfg, flowhook.Options{Store: s, Secrets: []string{secret}})
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

func bareCheck(
	t testing.TB, d database, db *sql.DB, s *flowhook.Sessions, r *http.Request,
) func(ctx context.Context) error {
	session, err := s.FromRequest(r)
	must(t, err)
	id := session.ID
	query := d.placeholders("SELECT identity_id, authenticated_at, issued_at, expires_at " +
		"FROM flowhook_sessions WHERE id = ?")
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
