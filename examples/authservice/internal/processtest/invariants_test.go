package processtest_test

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

// broken are the states that no moment of any crash may leave behind. Each query counts them.
var broken = []struct{ what, query string }{
	{"users without the audit row of their registration", `SELECT count(*) FROM users u WHERE 1 <>
		(SELECT count(*) FROM audit a WHERE a.user_id = u.id AND a.point = 'registration/after/password' AND a.outcome = 'ok')`},
	{"audit rows of registrations whose user was not saved", `SELECT count(*) FROM audit
		WHERE point LIKE 'registration/after%' AND outcome = 'ok' AND user_id NOT IN (SELECT id FROM users)`},
	{"users without a token for their address", `SELECT count(*) FROM users u WHERE NOT EXISTS
		(SELECT 1 FROM flowhook_verifications v WHERE v.identity_id = u.id AND v.address = u.email)`},
	{"tokens of a user who was not saved", `SELECT count(*) FROM flowhook_verifications WHERE identity_id NOT IN (SELECT id FROM users)`},
	{"sessions of a user who was not saved", `SELECT count(*) FROM flowhook_sessions WHERE identity_id NOT IN (SELECT id FROM users)`},
	{"devices of a user who was not saved", `SELECT count(*) FROM devices WHERE user_id NOT IN (SELECT id FROM users)`},
	{"sessions without the row of their sign-in", `SELECT count(*) FROM flowhook_sessions WHERE id NOT IN (SELECT session_id FROM sign_ins)`},
	{"sign-ins more, or fewer, than audit rows of them", `SELECT abs((SELECT count(*) FROM sign_ins) -
		(SELECT count(*) FROM audit WHERE point = 'login/after/password' AND outcome = 'ok'))`},
	{"users with more, or fewer, used tokens than audit rows of a confirmation", `SELECT count(*) FROM users u WHERE
		(SELECT count(*) FROM flowhook_verifications v WHERE v.identity_id = u.id AND v.used) <>
		(SELECT count(*) FROM audit a WHERE a.user_id = u.id AND a.point = 'verification/after/link' AND a.outcome = 'ok')`},
	{"confirmed addresses without a used token, or used tokens without a confirmed address", `SELECT count(*) FROM users u WHERE
		(u.verified_at IS NOT NULL) <> EXISTS (SELECT 1 FROM flowhook_verifications v WHERE v.identity_id = u.id AND v.address = u.email AND v.used)`},
	{"mails that were given up", `SELECT count(*) FROM river_job WHERE state IN ('cancelled', 'discarded')`},
}

// unsent counts the mails that the queue has yet to send.
const unsent = `SELECT count(*) FROM river_job WHERE state NOT IN ('completed', 'cancelled', 'discarded')`

// drained waits until the queue has sent everything: a mail that a dead copy had taken is sent when the copy that has become
// the leader finds it, which River looks for every half minute.
func (l *load) drained(db *sql.DB) {
	l.t.Helper()
	eventually(l.t, 4*time.Minute, func() bool {
		var n int
		require.NoError(l.t, db.QueryRow(unsent).Scan(&n))
		return n == 0
	}, "there are mails to send")
}

// settle stops the load, waits until all mail is out, and checks everything that is left against what people were told.
// All copies have to run.
func (l *load) settle(db *sql.DB, seed uint64) {
	l.t.Helper()
	l.settleAlso(db, seed)
}

// settleAlso is settle where the test itself has registered others.
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
	assert.Equal(l.t, known, users, "users whom nobody has registered")
	l.settleMail(db)
}

// settlePerson checks one account, and says whether there is one.
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
		assert.False(l.t, p.told, "who was told to be registered is not: %s", p.is[0].email)
		return false
	}
	assert.Equal(l.t, 1, found, "one account has become two: %v", p.is)
	assert.Contains(l.t, p.is, profile{name, email}, "what is saved is neither what was told nor what was doubtful")
	p.told, p.is = true, []profile{{name, email}}

	// Each link that came to the address was, or is now, of use: once.
	letters := l.mail.letters(email, confirmSubject)
	assert.NotEmpty(l.t, letters, "an address whose mail is lost: %s", email)
	for _, letter := range letters {
		a.redeem(context.Background(), p, letter)
		if k := p.tokens[letter.token]; k.redeemed == 0 {
			assert.True(l.t, k.doubtful, "a good link was never of use: %s", email)
		}
	}
	var verified bool
	require.NoError(l.t, db.QueryRow("SELECT verified_at IS NOT NULL FROM users WHERE id = $1", id).Scan(&verified))
	assert.True(l.t, verified, "the links of an address are used up, and it is not confirmed: %s", email)

	news := 0
	for _, address := range p.had {
		news += len(l.mail.letters(address, deviceSubject))
	}
	assert.GreaterOrEqual(l.t, news, p.news, "mails about new devices of %s", email)
	assert.LessOrEqual(l.t, news, p.newsMax, "mails about new devices of %s", email)

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
	require.NoError(l.t, db.QueryRow("SELECT count(*) FROM flowhook_sessions WHERE identity_id = $1", id).Scan(&sessions))
	assert.GreaterOrEqual(l.t, sessions, good, "sessions of %s in the table", email)
	assert.LessOrEqual(l.t, sessions, good+maybe, "sessions of %s in the table", email)
	return true
}

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

// settleMail checks that each token was mailed, and no other.
func (l *load) settleMail(db *sql.DB) {
	l.t.Helper()
	hashes := map[string]string{} // of tokens that are stored, with their address
	l.each(db, "SELECT hash, address FROM flowhook_verifications", func(rows *sql.Rows) error {
		var hash []byte
		var address string
		err := rows.Scan(&hash, &address)
		hashes[hex.EncodeToString(hash)] = address
		return err
	})
	for _, letter := range l.mail.all(confirmSubject) {
		if hashes[letter.hash()] != letter.to {
			l.fault("a mail went out for what was not saved, or a link twice under two Message-IDs: %s", letter.to)
		}
		delete(hashes, letter.hash())
	}
	assert.Empty(l.t, hashes, "tokens whose mail is lost")

	l.each(db, "SELECT email FROM users WHERE noticed_at IS NOT NULL", func(rows *sql.Rows) error {
		var email string
		err := rows.Scan(&email)
		if len(l.mail.letters(email, takenSubject)) == 0 && l.neverMoved(email) {
			l.fault("the mail about a second registration is lost: %s", email)
		}
		return err
	})
}

// neverMoved says that an address is the one that its account was made with.
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

// savedBehind503 counts the registrations that were saved though the last answer before the one that told so, or the only
// one, was a 503: the commit came to pass and its answer did not.
func (l *load) savedBehind503(db *sql.DB) (n int) {
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

// openDatabase opens the service's database beside it.
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
