package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/flowhook/flowhook"
)

// newAudit is the factory of the audit hook, which inserts a row into the table audit. At after,
// the row is part of the transaction and exists only if the change was saved. At failed, the
// transaction has been rolled back, so the hook uses one of its own.
func (s *service) newAudit(p flowhook.Point, _ func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.After && p.Phase != flowhook.Failed {
		return nil, errors.New("audit records what has happened, so it is allowed only at after and failed")
	}
	return described{"Records the event in the audit log.", func(ctx context.Context, x *flowhook.Exchange) error {
		var userID any // NULL if unknown
		// that user was not saved
		if x.Identity != nil && !(p.Flow == flowhook.Registration && p.Phase == flowhook.Failed) {
			userID = x.Identity.ID
		}
		if p.Phase == flowhook.After {
			return s.auditRow(ctx, x, x.Point(), userID, subject(x), reason(x.Err))
		}
		// flowhook gives the hooks at failed 10 seconds of their own, which is more than fits into
		// handlingTime.
		ctx, cancel := context.WithTimeout(ctx, s.config.Limits.audit)
		defer cancel()
		// the store serializes writers, which SQLite needs
		return s.transaction(ctx, "", func(ctx context.Context) error {
			return s.auditRow(ctx, x, x.Point(), userID, subject(x), reason(x.Err))
		})
	}}, nil
}

// subject returns the address that an exchange is about: the identity's or, without an identity,
// the one that was typed to sign in, to recover an account, or with a code.
func subject(x *flowhook.Exchange) string {
	if x.Identity != nil && len(x.Identity.Addresses) > 0 {
		return x.Identity.Addresses[0].Value
	}
	switch x.Point().Flow {
	case flowhook.Login, flowhook.Recovery, flowhook.Verification:
		return x.Request.PostFormValue("email")
	}
	return ""
}

// auditRow inserts the row of an exchange. userID is a string, or nil if the user is unknown.
func (s *service) auditRow(ctx context.Context, x *flowhook.Exchange, p flowhook.Point, userID any, address, outcome string) error {
	var from any
	if peer := s.config.peer(x.Request); peer.IsValid() {
		from = peer.String()
	}
	_, err := s.db.exec(ctx, `INSERT INTO audit (at, point, outcome, user_id, account, address, client)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		s.now().UnixMicro(), p.String(), outcome, userID, accountHash(s.config.AuditKey, address),
		from, client(x.Request))
	return err
}

// accountHash returns the keyed hash that the log stores instead of an email address. With it, the
// attempts on a known address can be found, but the log reveals no addresses. It returns nil for an
// invalid address, because users type passwords into the wrong field.
func accountHash(key []byte, address string) any {
	email, ok := normalizeEmail(address)
	if !ok {
		return nil
	}
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(emailKey(email)))
	return sum.Sum(nil)
}

// auditMax is the maximum number of rows that "authservice audit" prints.
const auditMax = 500

// printAudit prints the newest audit rows about an email address, oldest first: when, what, with
// which outcome, and from where. It implements "authservice audit ADDRESS".
func printAudit(ctx context.Context, c config, address string, out io.Writer) (err error) {
	email, ok := normalizeEmail(address)
	if !ok {
		return errors.New("audit: not an email address")
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	key, err := db.serviceKey(ctx, auditKeyName)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHEN\tWHAT\tOUTCOME\tUSER\tFROM\tBY")
	err = db.rows(ctx, func(scan scanFunc) error {
		var at int64
		var cells [5]string
		if err := scan(&at, &cells[0], &cells[1], &cells[2], &cells[3], &cells[4]); err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\n", time.UnixMicro(at).UTC().Format(time.RFC3339), strings.Join(cells[:], "\t"))
		return nil
	}, `SELECT at, point, outcome, user_id, address, client FROM (
		SELECT id, at, point, outcome, COALESCE(user_id, 'unknown') AS user_id,
			COALESCE(address, 'deleted') AS address, client
		FROM audit WHERE account = $1 OR user_id = (SELECT id FROM users WHERE email_key = $2) ORDER BY id DESC LIMIT $3
	) AS newest ORDER BY id`, accountHash(key, email), emailKey(email), auditMax)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	return table.Flush()
}
