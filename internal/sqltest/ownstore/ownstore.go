// Package ownstore keeps users, their sessions and their tokens in PostgreSQL.
package ownstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/flowhook/flowhook"
)

// A Store is a flowhook.Store with all optional methods.
type Store struct{ DB *sql.DB }

var _ flowhook.SessionStore = (*Store)(nil)
var _ flowhook.TokenStore = (*Store)(nil)

// A transaction is carried by a context.
type transaction struct {
	*sql.Tx
	doomed atomic.Bool // a call that joined it has failed
}

type transactionKey struct{ *Store }

func (s *Store) Transaction(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if tx, ok := ctx.Value(transactionKey{s}).(*transaction); ok { // this call joins it
		err := errors.New("store: a joined transaction did not return")
		defer func() {
			if err != nil { // also after a panic
				tx.doomed.Store(true)
			}
		}()
		err = tx.run(ctx, identityID, fn)
		return err
	}
	conn, err := s.DB.Conn(ctx)
	if err != nil {
		return fmt.Errorf("store: connect: %w", err)
	}
	defer conn.Close()
	sqlTx, err := conn.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("store: begin: %w", err)
	}
	defer sqlTx.Rollback() // does nothing after a commit
	tx := &transaction{Tx: sqlTx}
	if err := tx.run(context.WithValue(ctx, transactionKey{s}, tx), identityID, fn); err != nil {
		return err
	}
	if tx.doomed.Load() {
		return errors.New("store: a joined transaction has failed")
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store: commit: %w", err)
	}
	return nil
}

// run waits for the lock of the identity, and calls fn.
func (tx *transaction) run(ctx context.Context, identityID string, fn func(ctx context.Context) error) error {
	if identityID != "" {
		sum := sha256.Sum256([]byte(identityID))
		key := int64(binary.BigEndian.Uint64(sum[:8]))
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", key); err != nil {
			return fmt.Errorf("store: lock an identity: %w", err)
		}
	}
	if err := fn(ctx); err != nil {
		return err
	}
	return ctx.Err()
}

// A querier is a *sql.Tx or a *sql.DB.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// on returns the transaction that ctx carries, or the database if it carries none.
func (s *Store) on(ctx context.Context) querier {
	if tx, ok := ctx.Value(transactionKey{s}).(*transaction); ok {
		return tx
	}
	return s.DB
}

func (s *Store) exec(ctx context.Context, what, query string, args ...any) (rows int64, err error) {
	result, err := s.on(ctx).ExecContext(ctx, query, args...)
	if err == nil {
		rows, err = result.RowsAffected()
	}
	if err != nil {
		return 0, fmt.Errorf("store: %s: %w", what, err)
	}
	return rows, nil
}

// row reads one row into vars. Without a row, it returns ErrNotFound.
func (s *Store) row(ctx context.Context, what, query string, args []any, vars ...any) error {
	err := s.on(ctx).QueryRowContext(ctx, query, args...).Scan(vars...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return flowhook.ErrNotFound
	case err != nil:
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return nil
}

// micro truncates a time to microseconds, as flowhook does. A driver might round it.
func micro(t time.Time) time.Time { return t.Truncate(time.Microsecond) }

func (s *Store) CreateSession(ctx context.Context, v flowhook.Session) error {
	_, err := s.exec(ctx, "create a session", `INSERT INTO sessions (id, user_id, authenticated_at, issued_at, expires_at)
		VALUES ($1, $2, $3, $4, $5)`, v.ID, v.IdentityID, micro(v.AuthenticatedAt), micro(v.IssuedAt), micro(v.ExpiresAt))
	return err
}

func (s *Store) FindSession(ctx context.Context, id string) (v flowhook.Session, err error) {
	err = s.row(ctx, "find a session", `SELECT id, user_id, authenticated_at, issued_at, expires_at FROM sessions
		WHERE id = $1`, []any{id}, &v.ID, &v.IdentityID, &v.AuthenticatedAt, &v.IssuedAt, &v.ExpiresAt)
	return v, err
}

func (s *Store) DeleteSession(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "delete a session", "DELETE FROM sessions WHERE id = $1", id)
	return err
}

func (s *Store) DeleteSessions(ctx context.Context, userID, exceptID string) error {
	const what = "delete a user's sessions"
	return s.Transaction(ctx, userID, func(ctx context.Context) error {
		if exceptID != "" {
			if err := s.row(ctx, what, "SELECT id FROM sessions WHERE id = $1 AND user_id = $2 FOR UPDATE",
				[]any{exceptID, userID}, new(string)); err != nil {
				return err
			}
		}
		_, err := s.exec(ctx, what, "DELETE FROM sessions WHERE user_id = $1 AND id <> $2", userID, exceptID)
		return err
	})
}

func (s *Store) CreateToken(ctx context.Context, v flowhook.Token, notSince time.Time) (created bool, err error) {
	rows, err := s.exec(ctx, "create a token", `INSERT INTO tokens
		(hash, purpose, user_id, via, address, address_key, verified, issued_at, expires_at, data)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
		WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE purpose = $2 AND user_id = $3 AND via = $4 AND address_key = $6
			AND issued_at > $11 AND issued_at <= $12)`,
		v.Hash, v.Purpose, v.IdentityID, v.Address.Via, v.Address.Value, v.Address.Key(), v.Address.Verified,
		micro(v.IssuedAt), micro(v.ExpiresAt), v.Data, micro(notSince), micro(v.IssuedAt.Add(time.Minute)))
	return rows == 1, err
}

// ConsumeToken skips a token that another transaction is using, as if it were unknown.
func (s *Store) ConsumeToken(
	ctx context.Context, p flowhook.Purpose, hash []byte, now time.Time,
) (v flowhook.Token, err error) {
	key := []any{hash, p, micro(now)}
	err = s.row(ctx, "consume a token", `UPDATE tokens SET used = true WHERE hash = (SELECT hash FROM tokens
		WHERE hash = $1 AND purpose = $2 AND expires_at > $3 AND NOT used FOR UPDATE SKIP LOCKED)
		RETURNING hash, purpose, user_id, via, address, verified, issued_at, expires_at, data`, key, &v.Hash, &v.Purpose,
		&v.IdentityID, &v.Address.Via, &v.Address.Value, &v.Address.Verified, &v.IssuedAt, &v.ExpiresAt, &v.Data)
	if !errors.Is(err, flowhook.ErrNotFound) {
		return v, err
	}
	err = s.row(ctx, "find a used token", `SELECT hash FROM tokens
		WHERE hash = $1 AND purpose = $2 AND expires_at > $3 AND used`, key, new([]byte))
	if err == nil {
		err = flowhook.ErrUsedToken
	}
	return flowhook.Token{}, err
}

// DeleteToken skips it, too: the link is in use, so the email has been sent.
func (s *Store) DeleteToken(ctx context.Context, hash []byte) error {
	_, err := s.exec(ctx, "delete a token", `DELETE FROM tokens WHERE hash = (SELECT hash FROM tokens
		WHERE hash = $1 FOR UPDATE SKIP LOCKED)`, hash)
	return err
}

// CountAttempt runs one statement, which commits by itself.
func (s *Store) CountAttempt(
	ctx context.Context, p flowhook.Purpose, userID string, a flowhook.Address, now time.Time,
) (n int, err error) {
	if _, ok := ctx.Value(transactionKey{s}).(*transaction); ok {
		return 0, errors.New("store: count an attempt: a rollback of the transaction would undo it")
	}
	err = s.row(ctx, "count an attempt", `INSERT INTO attempts AS old (user_id, purpose, via, address_key, since, attempts)
		SELECT $1, $2, $3, $4, COALESCE(max(issued_at), '-infinity'), 1 FROM tokens
		WHERE user_id = $1 AND purpose = $2 AND via = $3 AND address_key = $4 AND expires_at > $5
		ON CONFLICT (user_id, purpose, via, address_key) DO UPDATE SET since = greatest(old.since, excluded.since),
			attempts = CASE WHEN excluded.since > old.since THEN 1 ELSE old.attempts + 1 END
		RETURNING attempts`, []any{userID, p, a.Via, a.Key(), micro(now)}, &n)
	return n, err
}

// CreateUser belongs to the service. In save, with save's ctx, it is part of the transaction.
func (s *Store) CreateUser(ctx context.Context, id, email string) error {
	_, err := s.exec(ctx, "create a user", "INSERT INTO users (id, email) VALUES ($1, $2)", id, email)
	return err
}

// DeleteUser belongs to the service. ON DELETE CASCADE deletes the user's sessions and tokens.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	return s.Transaction(ctx, id, func(ctx context.Context) error {
		_, err := s.exec(ctx, "delete a user", "DELETE FROM users WHERE id = $1", id)
		return err
	})
}

// VerifyEmail belongs to the service, for Redeem. It returns ErrBadToken if the user is gone or has
// another address by now.
func (s *Store) VerifyEmail(ctx context.Context, v flowhook.Token) error {
	rows, err := s.exec(ctx, "verify an address", "UPDATE users SET verified = true WHERE id = $1 AND email = $2",
		v.IdentityID, v.Address.Value)
	if err == nil && rows == 0 {
		err = flowhook.ErrBadToken
	}
	return err
}
