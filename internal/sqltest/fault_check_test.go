package sqltest

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

func newID() string { return rand.Text() }

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// contents is all rows of all tables, with names for what is random in them, sorted.
type contents []string

// contents reads on a connection in which nothing goes wrong.
func (h *host) contents() (c contents) {
	h.t.Helper()
	read := func(query string, columns int, line func(v []string) string) {
		rows, err := h.clean.Query(query)
		require.NoError(h.t, err)
		defer rows.Close()
		for rows.Next() {
			v, into := make([]string, columns), make([]any, columns)
			for i := range v {
				into[i] = &v[i]
			}
			require.NoError(h.t, rows.Scan(into...))
			c = append(c, line(v))
		}
		require.NoError(h.t, rows.Err())
	}
	truth := func(s string) string {
		if s == "1" || s == "true" {
			return "yes"
		}
		return "no"
	}
	read("SELECT id, name, verified FROM users", 3, func(v []string) string { return "user " + v[0] + ": " + v[1] + ", verified: " + truth(v[2]) })
	read("SELECT user_id FROM audit", 1, func(v []string) string { return "audit of " + v[0] })
	read("SELECT id, identity_id FROM flowhook_sessions", 2, func(v []string) string {
		name := map[string]string{h.came.ID: "came", "old": "old", "bobs": "bobs"}[v[0]]
		if name == "" {
			name = "fresh"
		}
		return "session " + name + " of " + v[1]
	})
	fresh := map[string]bool{}
	read("SELECT hash, identity_id, address, used FROM flowhook_verifications", 4, func(v []string) string {
		name := map[string]string{string(hashOf(redeemed)): "old", string(hashOf("bobs")): "old"}[v[0]]
		if name == "" {
			name, fresh[v[0]] = "fresh", true
		}
		return "token " + name + " of " + v[1] + " at " + v[2] + ", used: " + truth(v[3])
	})
	read("SELECT recipient, link FROM outbox", 2, func(v []string) string {
		link, err := url.Parse(v[1])
		require.NoError(h.t, err)
		if fresh[string(hashOf(link.Query().Get("token")))] {
			return "mail to " + v[0]
		}
		return "mail to " + v[0] + " with a link that verifies nothing"
	})
	slices.Sort(c)
	return c
}

// before is what a request finds, and done what it leaves where nothing goes wrong.
func (p plan) before() contents {
	return p.rows("alice", func(string) bool { return false })
}

func (p plan) done() contents {
	who := "alice"
	if p.flow == flowhook.Registration {
		who = "carol"
	}
	return p.rows(who, func(effect string) bool {
		issues, revokes := p.issues || p.has("session"), p.has("revoke_active_sessions")
		return map[string]bool{
			"saved":    p.flow != flowhook.Logout && !p.redeem,
			"redeemed": p.redeem,
			"audit":    p.has(audit) || p.redeem,
			"came":     issues || p.flow == flowhook.Logout || revokes && p.flow != flowhook.Settings,
			"old":      revokes,
			"fresh":    issues,
			"mail":     p.has("verify"),
		}[effect]
	})
}

// rows are the tables' contents with these effects on one user.
func (p plan) rows(who string, has func(effect string) bool) contents {
	alice, token := "user alice: as it was, verified: no", "token old of alice at alice@example.org, used: no"
	if has("redeemed") {
		alice, token = "user alice: as it was, verified: yes", "token old of alice at alice@example.org, used: yes"
	}
	if has("saved") && who == "alice" {
		alice = "user alice: saved, verified: no"
	}
	c := contents{alice, token, "user bob: bob, verified: yes", "token old of bob at bob@example.org, used: no", "session bobs of bob"}
	add := func(when bool, rows ...string) {
		if when {
			c = append(c, rows...)
		}
	}
	add(has("saved") && who != "alice", "user "+who+": saved, verified: no")
	add(has("audit"), "audit of "+who)
	add(!has("came"), "session came of alice")
	add(!has("old"), "session old of alice")
	add(has("fresh"), "session fresh of "+who)
	add(has("mail"), "token fresh of "+who+" at "+who+"@example.org, used: no", "mail to "+who+"@example.org")
	slices.Sort(c)
	return c
}

// requireSuccess asserts that the client got all of a success, and the store has all of it.
func (h *host) requireSuccess(name string, a answer) {
	h.t.Helper()
	require.Less(h.t, a.status, 400, "%s: %v", name, h.lastError())
	require.Equal(h.t, h.done(), h.contents(), name)
	status, body, location := http.StatusOK, "done", ""
	if h.has("redirect") {
		status, body, location = http.StatusFound, "", landing
	}
	require.Equal(h.t, status, a.status, name)
	require.Equal(h.t, body, a.body, name)
	require.Equal(h.t, location, a.header.Get("Location"), name)
	require.Equal(h.t, !h.redeem, a.header.Get("X-Save") == "staged", name)
	switch {
	case h.issues || h.has("session"):
		require.Len(h.t, a.sessions, 1, name)
		s, err := h.pipeline.Sessions().FromToken(h.t.Context(), a.sessions[0])
		require.NoError(h.t, err, name)
		require.NotContains(h.t, []string{h.came.ID, "old", "bobs"}, s.ID, name)
	case h.flow == flowhook.Logout:
		require.Equal(h.t, []string{""}, a.sessions, name)
	default:
		require.Empty(h.t, a.header["Set-Cookie"], name)
	}
}

// requireRefused asserts that the client got the host's plain error page.
func (h *host) requireRefused(name string, a answer) {
	h.t.Helper()
	require.Equal(h.t, http.StatusInternalServerError, a.status, name)
	require.Equal(h.t, errorPage+"\n", a.body, name)
	require.Empty(h.t, a.header["Set-Cookie"], name)
	require.Empty(h.t, a.header["Location"], name)
	require.Empty(h.t, a.header["X-Save"], name)
	require.Equal(h.t, []string{"kept"}, a.header["X-Host"], name)
}

// ending is how a request ended in which something went wrong.
type ending string

const (
	rolledBack ending = "rolled back"
	absorbed   ending = "absorbed"
	stands     ending = "committed, with an error"
)

// ended asserts that all of the request's effects are there or none, and that the client was told so. An error of a
// commit that took effect (mayStand) is the one exception.
func (h *host) ended(name string, a answer, mayStand bool) ending {
	h.t.Helper()
	h.requireQuiet(name)
	if a.status < 400 {
		h.requireSuccess(name, a)
		return absorbed
	}
	h.requireRefused(name, a)
	is := h.contents()
	if mayStand && slices.Equal(is, h.done()) {
		return stands
	}
	require.Equal(h.t, h.before(), is, "%s: %v", name, h.lastError())
	return rolledBack
}

// requireQuiet asserts that nothing is left open: no connection in use, and no transaction in the database.
func (h *host) requireQuiet(name string) {
	h.t.Helper()
	open := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
		sqlstore.MariaDB: "SELECT count(*) FROM information_schema.innodb_trx AS t " +
			"JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id WHERE p.db = database()",
	}[h.database.dialect]
	waitUntil(h.t, func() string {
		n := 0
		if open != "" {
			require.NoError(h.t, h.clean.QueryRow(open).Scan(&n))
		}
		if used := h.db.Stats().InUse; n > 0 || used > 0 {
			return fmt.Sprintf("%s: %d transactions are open, %d connections in use (%v)", name, n, used, h.lastError())
		}
		return ""
	})
	if h.database.dialect == sqlstore.MariaDB {
		var autocommit int
		require.NoError(h.t, h.db.QueryRow("SELECT @@autocommit").Scan(&autocommit), name)
		require.Equal(h.t, 1, autocommit, name)
	}
}

// waitUntil waits for something that another goroutine or process does. wrong says what is not as it should be yet.
func waitUntil(t testing.TB, wrong func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		what := wrong()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// canConflict says that an operation is one in which a database may meet a conflict.
func canConflict(op string) bool {
	return op != "Connect" && !strings.Contains(op, "SAVEPOINT") && !strings.Contains(op, "autocommit")
}
