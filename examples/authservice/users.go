package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/flowhook/flowhook"
)

// A user is a row of the table users.
type user struct {
	ID           string
	Email        string // normalized
	Name         string
	PasswordHash string // empty if the user signs in only with a provider
	Verified     bool   // whether Email is confirmed
}

var (
	errNoUser = errors.New("no such user")
	errTaken  = refuse("email", "address_taken", "This address cannot be used.")
	errOften  = refuse("email", "too_many_changes",
		"You have changed your email address too often. Please try again in an hour.")
)

// identity returns the user as flowhook's identity.
func (u user) identity() *flowhook.Identity {
	return &flowhook.Identity{
		ID:        u.ID,
		Addresses: []flowhook.Address{{Via: "email", Value: u.Email, Verified: u.Verified}},
	}
}

// newUserID returns a new random ID. It is not a number, so that it does not reveal how many users
// there are.
func newUserID() string { return rand.Text() }

func (d *database) userBy(ctx context.Context, where string, args ...any) (u user, err error) {
	err = d.row(ctx, []any{&u.ID, &u.Email, &u.Name, &u.PasswordHash, &u.Verified},
		"SELECT id, email, name, COALESCE(password_hash, ''), verified_at IS NOT NULL FROM users WHERE "+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return user{}, errNoUser
	}
	return u, err
}

func (d *database) userByID(ctx context.Context, id string) (user, error) {
	return d.userBy(ctx, "id = $1", id)
}

func (d *database) userByEmail(ctx context.Context, email string) (user, error) {
	return d.userBy(ctx, "email_key = $1", emailKey(email))
}

// userByOIDC finds a user by the provider's issuer and subject, never by the address.
func (d *database) userByOIDC(ctx context.Context, issuer, subject string) (user, error) {
	return d.userBy(ctx, "id = (SELECT user_id FROM oidc_identities WHERE issuer = $1 AND subject = $2)",
		issuer, subject)
}

// insertUser inserts u. It returns errTaken if another user has the address. Checking first would
// be a race.
func (d *database) insertUser(ctx context.Context, u user, now time.Time) error {
	var hash sql.NullString
	if u.PasswordHash != "" {
		hash = sql.NullString{String: u.PasswordHash, Valid: true}
	}
	n, err := d.exec(ctx, `INSERT INTO users (id, email, email_key, name, password_hash, verified_at, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email_key) DO NOTHING`,
		u.ID, u.Email, emailKey(u.Email), u.Name, hash, verifiedAt(u, now), now.UnixMicro())
	if err == nil && n == 0 {
		return errTaken
	}
	return err
}

// insertOIDC inserts the identity of a user at a provider. It reports false if a user has it already.
func (d *database) insertOIDC(ctx context.Context, issuer, subject, userID string, now time.Time) (inserted bool,
	err error) {
	n, err := d.exec(ctx, `INSERT INTO oidc_identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (issuer, subject) DO NOTHING`, issuer, subject, userID, now.UnixMicro())
	return n == 1, err
}

// updateProfile saves the name and the address and returns the updated user. A new address is
// unconfirmed; with verify_new_address in auth.yml, there is none before its link is opened. It
// returns errTaken if another user has the address.
func (d *database) updateProfile(ctx context.Context, id, name, email string) (user, error) {
	_, err := d.exec(ctx, `UPDATE users SET name = $2, email = $3, email_key = $4,
		verified_at = CASE WHEN email = $3 THEN verified_at END WHERE id = $1`, id, name, email, emailKey(email))
	if duplicate(err) {
		return user{}, errTaken
	}
	if err != nil {
		return user{}, err
	}
	return d.userByID(ctx, id)
}

// An account may change its address changesAtOnce times, then once more each time changesEvery has
// passed. Each change sends an email to the address that was typed, which may be a stranger's.
const (
	changesAtOnce = 5
	changesEvery  = time.Hour
)

// countChange counts a change of the account's address that the user asks for, in the transaction
// that sends the emails: a request that fails does not count. It returns errOften if there were too
// many. The database keeps the count, so that all copies of the service share it.
func (d *database) countChange(ctx context.Context, id string, now time.Time) error {
	var micros int64
	if err := d.row(ctx, []any{&micros}, "SELECT COALESCE(changes_until, 0) FROM users WHERE id = $1", id); err != nil {
		return err
	}
	until, latest := time.UnixMicro(micros), now.Add(changesAtOnce*changesEvery)
	if until.Before(now) || until.After(latest.Add(time.Minute)) { // the latter if a clock was ahead
		until = now
	}
	if until = until.Add(changesEvery); until.After(latest) {
		return errOften
	}
	_, err := d.exec(ctx, "UPDATE users SET changes_until = $2 WHERE id = $1", id, until.UnixMicro())
	return err
}

// setAddress makes email the address of an account, confirmed. It returns errAddressTaken if
// another account has it.
func (d *database) setAddress(ctx context.Context, id, email string, now time.Time) error {
	_, err := d.exec(ctx, "UPDATE users SET email = $2, email_key = $3, verified_at = $4 WHERE id = $1",
		id, email, emailKey(email), now.UnixMicro())
	if duplicate(err) {
		return errAddressTaken
	}
	return err
}

// recoverUser saves the password and confirms the address of u.
func (d *database) recoverUser(ctx context.Context, u user, now time.Time) error {
	_, err := d.exec(ctx, "UPDATE users SET password_hash = $2, verified_at = $3 WHERE id = $1",
		u.ID, u.PasswordHash, now.UnixMicro())
	return err
}

// claimUser saves the name of u and its address, confirmed, which differs from the saved one at most
// in case.
func (d *database) claimUser(ctx context.Context, u user, now time.Time) error {
	_, err := d.exec(ctx, "UPDATE users SET name = $2, email = $3, verified_at = $4 WHERE id = $1",
		u.ID, u.Name, u.Email, now.UnixMicro())
	return err
}

// deleteUnconfirmed deletes an account unless its address is confirmed.
func (d *database) deleteUnconfirmed(ctx context.Context, id string) error {
	_, err := d.exec(ctx, "DELETE FROM users WHERE id = $1 AND verified_at IS NULL", id)
	return err
}

// updatePassword changes the password if its hash is still was, which is empty if there is none.
func (d *database) updatePassword(ctx context.Context, id, hash, was string) (changed bool, err error) {
	n, err := d.exec(ctx, "UPDATE users SET password_hash = $2 WHERE id = $1 AND COALESCE(password_hash, '') = $3", id, hash, was)
	return n == 1, err
}

// confirmEmail marks the address as confirmed if it is still the user's.
func (d *database) confirmEmail(ctx context.Context, id, email string, now time.Time) (confirmed bool, err error) {
	n, err := d.exec(ctx, "UPDATE users SET verified_at = $3 WHERE id = $1 AND email = $2", id, email, now.UnixMicro())
	return n == 1, err
}

// notice reports whether the owner of an address is due an email about a registration with it, and
// records that it is sent. It is due at most once a minute.
func (d *database) notice(ctx context.Context, id string, now time.Time) (due bool, err error) {
	n, err := d.exec(ctx, "UPDATE users SET noticed_at = $2 WHERE id = $1 AND COALESCE(noticed_at, 0) <= $3",
		id, now.UnixMicro(), now.Add(-time.Minute).UnixMicro())
	return n == 1, err
}

func verifiedAt(u user, now time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: now.UnixMicro(), Valid: u.Verified}
}
