package process_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// broken are the inconsistencies that no crash may leave. Each query counts the rows concerned.
var broken = []struct{ what, query string }{
	{"users without the audit row of their registration", `SELECT count(*) FROM users u WHERE 1 <>
		(SELECT count(*) FROM audit a
			WHERE a.user_id = u.id AND a.point = 'registration/after/password' AND a.outcome = 'ok')`},
	{"audit rows of registrations whose user was not saved", `SELECT count(*) FROM audit
		WHERE point LIKE 'registration/after%' AND outcome = 'ok' AND user_id NOT IN (SELECT id FROM users)`},
	{"users without a token for their address", `SELECT count(*) FROM users u WHERE NOT EXISTS
		(SELECT 1 FROM flowhook_verifications v WHERE v.identity_id = u.id AND v.address = u.email)`},
	{"tokens of a user who was not saved", `SELECT count(*) FROM flowhook_verifications
		WHERE identity_id NOT IN (SELECT id FROM users)`},
	{"sessions of a user who was not saved", `SELECT count(*) FROM flowhook_sessions
		WHERE identity_id NOT IN (SELECT id FROM users)`},
	{"devices of a user who was not saved", `SELECT count(*) FROM devices WHERE user_id NOT IN (SELECT id FROM users)`},
	{"sessions without a row in sign_ins", `SELECT count(*) FROM flowhook_sessions
		WHERE id NOT IN (SELECT session_id FROM sign_ins)`},
	{"difference between sign-ins and their audit rows", `SELECT abs((SELECT count(*) FROM sign_ins) -
		(SELECT count(*) FROM audit WHERE point = 'login/after/password' AND outcome = 'ok'))`},
	{"users with different numbers of used tokens and audit rows of confirmations", `SELECT count(*) FROM users u WHERE
		(SELECT count(*) FROM flowhook_verifications v WHERE v.identity_id = u.id AND v.used) <>
		(SELECT count(*) FROM audit a
			WHERE a.user_id = u.id AND a.point = 'verification/after/link' AND a.outcome = 'ok')`},
	{"confirmed addresses without a used token, or used tokens without a confirmed address", `
		SELECT count(*) FROM users u WHERE
		(u.verified_at IS NOT NULL) <> EXISTS
		(SELECT 1 FROM flowhook_verifications v WHERE v.identity_id = u.id AND v.address = u.email AND v.used)`},
	{"emails that were given up", `SELECT count(*) FROM river_job WHERE state IN ('cancelled', 'discarded')`},
}

// unsent counts the emails that the queue has not sent yet.
const unsent = `SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded')`

// drained waits until the queue is empty. An email that a dead copy was sending is rescued by
// River's leader, which looks for such jobs every 30 seconds.
func (l *load) drained(db *sql.DB) {
	l.t.Helper()
	eventually(l.t, 4*time.Minute, func() bool {
		var n int
		require.NoError(l.t, db.QueryRow(unsent).Scan(&n))
		return n == 0
	}, "the queue is not empty")
}

// settle stops the load, waits until all email is sent, and compares the database with the answers
// that people got. All copies must be running.
func (l *load) settle(db *sql.DB, seed uint64) {
	l.t.Helper()
	l.settleAlso(db, seed)
}

// settleAlso is settle for a test that has registered other users itself.
func (l *load) settleAlso(db *sql.DB, seed uint64, others ...string) {
	l.t.Helper()
	l.stop()
	l.drained(db)
	for _, one := range broken {
		var n int
		require.NoError(l.t, db.QueryRow(one.query).Scan(&n), one.what)
		assert.Zero(l.t, n, one.what)
	}
	known := len(others)
	chance := rand.New(rand.NewPCG(seed, 2))
	for _, a := range l.actors {
		for _, p := range a.people {
			if l.settlePerson(db, chance, a, p) {
				known++
			}
		}
	}
	var users int
	require.NoError(l.t, db.QueryRow("SELECT count(*) FROM users").Scan(&users))
	assert.Equal(l.t, known, users, "users in the database")
	l.settleMail(db)
}

// settlePerson checks the account of a person and reports whether it exists.
func (l *load) settlePerson(db *sql.DB, chance *rand.Rand, a *actor, p *person) (exists bool) {
	l.t.Helper()
	var id, name, email string
	found := 0
	for _, address := range addresses(p) {
		err := db.QueryRow("SELECT id, name, email FROM users WHERE email = $1", address).Scan(&id, &name, &email)
		if err == nil {
			found++
		} else {
			require.ErrorIs(l.t, err, sql.ErrNoRows)
		}
	}
	if found == 0 {
		assert.False(l.t, p.told, "a confirmed registration is missing: %s", p.is[0].email)
		return false
	}
	assert.Equal(l.t, 1, found, "a person must have one account: %v", p.is)
	assert.Contains(l.t, p.is, profile{name, email}, "the saved profile is neither confirmed nor possible")
	p.told, p.is = true, []profile{{name, email}}

	// Each link that arrived works exactly once.
	emails := l.mail.emails(email, confirmSubject)
	assert.NotEmpty(l.t, emails, "the verification email is lost: %s", email)
	for _, m := range emails {
		a.redeem(context.Background(), p, m)
		if k := p.tokens[m.token]; k.redeemed == 0 {
			assert.True(l.t, k.doubtful, "a valid link never worked: %s", email)
		}
	}
	var verified bool
	require.NoError(l.t, db.QueryRow("SELECT verified_at IS NOT NULL FROM users WHERE id = $1", id).Scan(&verified))
	assert.True(l.t, verified, "all links are used but the address is not confirmed: %s", email)

	notices := 0
	for _, address := range p.had {
		notices += len(l.mail.emails(address, deviceSubject))
	}
	assert.GreaterOrEqual(l.t, notices, p.notices, "emails about new devices of %s", email)
	assert.LessOrEqual(l.t, notices, p.maxNotices, "emails about new devices of %s", email)

	good, maybe := 0, p.doubtful
	for _, s := range p.sessions {
		l.judge(p, s, l.ask(some(context.Background(), chance, l.d), visitor{sessionCookie: s.cookie}, "GET", "/"))
		switch s.state {
		case live:
			good++
		case doubtful:
			maybe++
		}
	}
	var sessions int
	require.NoError(l.t, db.QueryRow("SELECT count(*) FROM flowhook_sessions WHERE identity_id = $1",
		id).Scan(&sessions))
	assert.GreaterOrEqual(l.t, sessions, good, "sessions of %s in the table", email)
	assert.LessOrEqual(l.t, sessions, good+maybe, "sessions of %s in the table", email)
	return true
}

// addresses returns the addresses that the account of p may have.
func addresses(p *person) (all []string) {
	seen := map[string]bool{}
	for _, one := range p.is {
		if !seen[one.email] {
			all = append(all, one.email)
		}
		seen[one.email] = true
	}
	return all
}

// settleMail checks that exactly the stored tokens were emailed.
func (l *load) settleMail(db *sql.DB) {
	l.t.Helper()
	hashes := map[string]string{} // from the hash of a stored token to its address
	l.each(db, "SELECT hash, address FROM flowhook_verifications", func(rows *sql.Rows) error {
		var hash []byte
		var address string
		err := rows.Scan(&hash, &address)
		hashes[hex.EncodeToString(hash)] = address
		return err
	})
	for _, m := range l.mail.all(confirmSubject) {
		if hashes[m.hash()] != m.to {
			l.fault("an email has a token that was not saved, or a token was sent with two Message-IDs: %s", m.to)
		}
		delete(hashes, m.hash())
	}
	assert.Empty(l.t, hashes, "tokens whose email is lost")

	l.each(db, "SELECT email FROM users WHERE noticed_at IS NOT NULL", func(rows *sql.Rows) error {
		var email string
		err := rows.Scan(&email)
		if len(l.mail.emails(email, takenSubject)) == 0 && l.neverMoved(email) {
			l.fault("the email about a second registration is lost: %s", email)
		}
		return err
	})
}

// neverMoved reports whether an address is the one that its account was registered with.
func (l *load) neverMoved(email string) bool {
	for _, a := range l.actors {
		for _, p := range a.people {
			if p.is[0].email == email {
				return p.first == email
			}
		}
	}
	return false
}

// each calls row for each row of a query.
func (l *load) each(db *sql.DB, query string, row func(rows *sql.Rows) error) {
	l.t.Helper()
	rows, err := db.Query(query)
	require.NoError(l.t, err)
	defer rows.Close()
	for rows.Next() {
		require.NoError(l.t, row(rows))
	}
	require.NoError(l.t, rows.Err())
}

// savedDespite503 counts the registrations that were saved although they were answered with 503:
// the commit succeeded, but its result was lost.
func (l *load) savedDespite503(db *sql.DB) (n int) {
	l.t.Helper()
	for _, a := range l.actors {
		for _, p := range a.people {
			var at int64
			err := db.QueryRow("SELECT created_at FROM users WHERE email = $1", p.is[0].email).Scan(&at)
			if err == nil && !p.failed.IsZero() && time.UnixMicro(at).Before(p.failed) {
				n++
			}
		}
	}
	return n
}

// openDatabase opens the service's database for the test.
func (l *load) openDatabase(url string) *sql.DB {
	l.t.Helper()
	driver := "pgx"
	if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
		driver, url = "sqlite", "file:"+path+"?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(driver, url)
	require.NoError(l.t, err)
	l.t.Cleanup(func() { db.Close() })
	return db
}
