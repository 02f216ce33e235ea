package process_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waitingRegistrations counts the commits that wait for a standby after a change to the table
// users. The mail queue commits, too, but does not lock that table.
const waitingRegistrations = `SELECT count(*) FROM pg_stat_activity AS a
	WHERE a.wait_event = 'SyncRep' AND a.query ILIKE 'commit%' AND EXISTS
	(SELECT 1 FROM pg_locks AS l WHERE l.pid = a.pid AND l.relation = 'users'::regclass)`

// TestDatabaseDown_CommitInDoubt crashes the database after a commit is durable and before it is
// confirmed. The answer must not claim that nothing was changed, and the change must be complete.
//
// To get there, the commit waits for a standby that does not exist.
func TestDatabaseDown_CommitInDoubt(t *testing.T) {
	t.Parallel()
	crashes, seed := times(t, 10, 1), newSeed(t)
	server := newCluster(t)
	box := newMailbox(t, seed)
	l := &load{checkedClient: newCheckedClient(t), d: deploy(t, server.url(), box.url, 1), mail: box}
	l.d.start()
	r := l.d.copies[0]

	for n := range crashes {
		a := &actor{load: l, n: n}
		person := []string{"name", "Alice", "email", a.address(), "password", password}
		func() {
			db := l.openDatabase(server.url())
			defer db.Close()
			for _, statement := range []string{"CREATE TABLE IF NOT EXISTS probe (n int)", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
				"SELECT pg_reload_conf()"} {
				_, err := db.Exec(statement)
				require.NoError(t, err)
			}
			eventually(t, 8*time.Second, func() bool { // PostgreSQL reloads its settings in the background
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := db.ExecContext(ctx, "INSERT INTO probe VALUES (1)")
				return err != nil
			}, "commits do not wait for the standby")
			back := l.databaseDown()
			defer back()
			came := make(chan answer, 1)
			go func() { came <- l.ask(r, nil, "POST", "/register", person...) }()
			eventually(t, 8*time.Second, func() bool { // the service waits at most 3 seconds for a commit
				var waiting int
				require.NoError(t, db.QueryRow(waitingRegistrations).Scan(&waiting))
				return waiting > 0
			}, "no commit is waiting")
			server.stop("immediate")
			answer := <-came
			require.Equal(t, 503, answer.status, answer.body)
			require.NotContains(t, answer.body, "Nothing was changed")
			server.resetSettings()
			server.start()
			eventually(t, recovery, func() bool { return l.ask(r, nil, "GET", "/readyz").status == 200 },
				"the copy does not recover")
		}()

		db := l.openDatabase(server.url())
		for _, one := range broken {
			var found int
			require.NoError(t, db.QueryRow(one.query).Scan(&found), one.what)
			require.Zero(t, found, one.what)
		}
		var users int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM users WHERE email = $1", a.address()).Scan(&users))
		require.Equal(t, 1, users, "the durable registration is missing")
		require.True(t, l.ask(r, nil, "POST", "/register", person...).is("/register/sent"), "retrying the registration")
		l.drained(db)
		require.Len(t, box.emails(a.address(), confirmSubject), 1)
		require.Len(t, box.emails(a.address(), takenSubject), 1)
		token := box.emails(a.address(), confirmSubject)[0].token
		require.True(t, l.ask(r, nil, "POST", "/verify", "token", token).is("/verify/done"))
	}
	t.Logf("the database crashed %d times after an unconfirmed commit: the answer was 503 and did not claim that "+
		"nothing was changed; the change was complete, its email arrived, and a retry worked", crashes)
}
