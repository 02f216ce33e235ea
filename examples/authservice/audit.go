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

// newAudit makes the hook audit: a row in the table audit. At after, the row is part of the transaction: it stands if and
// only if what it tells of does. At failed there is no transaction any more, and the row is one of its own.
func (s *service) newAudit(p flowhook.Point, _ func(v any) error) (flowhook.Hook, error) {
	if p.Phase != flowhook.After && p.Phase != flowhook.Failed {
		return nil, errors.New("it tells what has happened; it stands at after and at failed")
	}
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		var who any                                                                                // NULL
		if x.Identity != nil && !(p.Flow == flowhook.Registration && p.Phase == flowhook.Failed) { // that one was not saved
			who = x.Identity.ID
		}
		if p.Phase == flowhook.After {
			return s.auditRow(ctx, x, who, subject(x), reason(x.Err))
		}
		return s.transaction(ctx, "", func(ctx context.Context) error { // in the store's queue of writers, which SQLite needs
			return s.auditRow(ctx, x, who, subject(x), reason(x.Err))
		})
	}), nil
}

// subject gives the address that an exchange is about: that of who it is or, where nobody has it, the one that was typed.
func subject(x *flowhook.Exchange) string {
	if x.Identity != nil && len(x.Identity.Addresses) > 0 {
		return x.Identity.Addresses[0].Value
	}
	if x.Point().Flow == flowhook.Login {
		return x.Request.PostFormValue("email")
	}
	return ""
}

// auditRow writes the row of an exchange. who is the user's ID, or nil.
func (s *service) auditRow(ctx context.Context, x *flowhook.Exchange, who any, address, outcome string) error {
	var from any
	if peer := s.config.peer(x.Request); peer.IsValid() {
		from = peer.String()
	}
	_, err := s.db.exec(ctx, "INSERT INTO audit (at, point, outcome, user_id, account, address, client) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		s.now().UnixMicro(), x.Point().String(), outcome, who, accountHash(s.config.AuditKey, address), from, client(x.Request))
	return err
}

// accountHash gives what the log has in place of an email address: whether there is an account or not, one finds again what was
// tried on an address that one knows, and reads no address off the log. It is NULL for what is no address: people type their
// password into the wrong field.
func accountHash(key []byte, address string) any {
	email, ok := normaliseEmail(address)
	if !ok {
		return nil
	}
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(emailKey(email)))
	return sum.Sum(nil)
}

// auditMax is how many rows the command audit prints: the newest.
const auditMax = 500

// printAudit prints what the log has on an address, the oldest first: who tried to sign in as them, from where, when, and what
// came of it. It is "authservice audit ADDRESS".
func printAudit(ctx context.Context, c config, address string, out io.Writer) (err error) {
	email, ok := normaliseEmail(address)
	if !ok {
		return errors.New("audit: that is not an email address")
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
	rows, err := db.QueryContext(ctx, `SELECT at, point, outcome, user_id, address, client FROM (
		SELECT id, at, point, outcome, COALESCE(user_id, 'nobody known') AS user_id, COALESCE(address, 'not kept') AS address, client
		FROM audit WHERE account = $1 OR user_id = (SELECT id FROM users WHERE email_key = $2) ORDER BY id DESC LIMIT $3
	) AS newest ORDER BY id`, accountHash(key, email), emailKey(email), auditMax)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	defer rows.Close()
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHEN\tWHAT\tOUTCOME\tUSER\tFROM\tBY")
	for rows.Next() {
		var at int64
		var cells [5]string
		if err := rows.Scan(&at, &cells[0], &cells[1], &cells[2], &cells[3], &cells[4]); err != nil {
			return fmt.Errorf("reading the audit log: %w", err)
		}
		fmt.Fprintf(table, "%s\t%s\n", time.UnixMicro(at).UTC().Format(time.RFC3339), strings.Join(cells[:], "\t"))
	}
	return errors.Join(rows.Err(), table.Flush())
}
