package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// auditMax is the maximum number of rows that "authservice audit" prints without -all.
const auditMax = 500

// userID matches the IDs of newUserID.
var userID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// auditCommand implements "authservice audit". It reads only DATABASE_URL, and prints at most limit rows.
func auditCommand(ctx context.Context, getenv func(string) string, who string, limit int, out io.Writer) error {
	c, err := databaseConfig(getenv)
	if err != nil {
		return err
	}
	return printAudit(ctx, c, who, limit, out)
}

// databaseConfig reads only DATABASE_URL.
func databaseConfig(getenv func(string) string) (c config, err error) {
	for _, v := range variables {
		if v.name != "DATABASE_URL" {
			continue
		}
		if err := v.read(&c, cmp.Or(strings.TrimSpace(getenv(v.name)), v.fallback)); err != nil {
			return config{}, v.fault(err.Error())
		}
	}
	return c, nil
}

// auditQuery selects the newest rows about users, oldest first. The users are the one with the ID
// $3, the one whose address is $2 now, and all about whom there is a row with the address $1, so
// that a change of the address hides nothing. The rows are those of the users, under any address,
// and those of nobody under an address that one of them had. Each row has the number of all.
const auditQuery = `WITH users_asked AS (
	SELECT CAST($3 AS TEXT) AS id
	UNION SELECT id FROM users WHERE email_key = $2
	UNION SELECT user_id FROM audit WHERE account = $1 AND user_id IS NOT NULL
), rows_asked AS (
	SELECT * FROM audit WHERE user_id IN (SELECT id FROM users_asked)
	UNION SELECT * FROM audit WHERE account = $1
	UNION SELECT * FROM audit WHERE user_id IS NULL AND account IN (
		SELECT account FROM audit WHERE user_id IN (SELECT id FROM users_asked) AND account IS NOT NULL)
)
SELECT total, at, point, outcome, user_id, account, address, client FROM (
	SELECT count(*) OVER () AS total, id, at, point, outcome, COALESCE(user_id, 'unknown') AS user_id, account,
		COALESCE(address, 'deleted') AS address, client
	FROM rows_asked ORDER BY id DESC LIMIT $4
) AS newest ORDER BY id`

// printAudit prints the newest audit rows about a user, at most limit: when, what, with which outcome,
// under which email address, and from where. The user is given by the ID or by any address that the
// user ever had. The log has no addresses, so those that are neither asked for nor in use now are
// numbered. An address or ID without an account and without rows is an error.
func printAudit(ctx context.Context, c config, who string, limit int, out io.Writer) (err error) {
	email, isEmail := normalizeEmail(who)
	if !isEmail && !userID.MatchString(who) {
		return errors.New("not an email address, and not a user ID")
	}
	db, err := openExisting(ctx, c)
	if err != nil {
		return fault("DATABASE_URL", "does not lead to a database: "+err.Error())
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	key, err := db.serviceKey(ctx, auditKeyName)
	if err != nil {
		return err
	}
	var id any // NULL unless the user is given by the ID
	if !isEmail {
		id = who
	}
	var rows []auditLine
	var total int // with those beyond the limit
	err = db.rows(ctx, func(scan scanFunc) error {
		var r auditLine
		err := scan(&total, &r.at, &r.point, &r.outcome, &r.user, &r.account, &r.from, &r.by)
		rows = append(rows, r)
		return err
	}, auditQuery, accountHash(key, email), emailKey(email), id, limit)
	if err != nil {
		return fmt.Errorf("reading the audit log: %w", err)
	}
	if total == 0 {
		if _, err := db.userBy(ctx, "email_key = $1 OR id = $2", emailKey(email), id); errors.Is(err, errNoUser) {
			return fmt.Errorf("nothing is known about %q: %w", who, err)
		} else if err != nil {
			return fmt.Errorf("reading the users: %w", err)
		}
	}
	names := addressNames{key: key, known: map[string]string{}}
	names.add(email)
	for _, r := range rows {
		if u, err := db.userByID(ctx, r.user); err == nil {
			names.add(u.Email)
		} else if !errors.Is(err, errNoUser) {
			return fmt.Errorf("reading the users: %w", err)
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHEN\tWHAT\tOUTCOME\tUSER\tADDRESS\tFROM\tBY")
	for _, r := range rows {
		fmt.Fprintln(table, strings.Join([]string{time.UnixMicro(r.at).UTC().Format(time.RFC3339), r.point, r.outcome,
			r.user, names.of(r.account), r.from, r.by}, "\t"))
	}
	if err := table.Flush(); err != nil || len(rows) == total {
		return err
	}
	_, err = fmt.Fprintf(out, "%d older entries are not shown; audit -all prints them, too\n", total-len(rows))
	return err
}

// An auditLine is a row of the table audit.
type auditLine struct {
	at                             int64  // microseconds since 1970
	account                        []byte // the keyed hash of the email address
	point, outcome, user, from, by string
}

// addressNames names the addresses of rows, which have only keyed hashes of them.
type addressNames struct {
	key    []byte
	known  map[string]string // by hash
	others int
}

func (n *addressNames) add(email string) {
	if hash, ok := accountHash(n.key, email).([]byte); ok {
		n.known[string(hash)] = email
	}
}

// of returns the address with a hash or, if it is not known, a number.
func (n *addressNames) of(hash []byte) string {
	if hash == nil {
		return "none"
	}
	name, ok := n.known[string(hash)]
	if !ok {
		n.others++
		name = fmt.Sprintf("other-%d", n.others)
		n.known[string(hash)] = name
	}
	return name
}
