package processtest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCommitInDoubt has the database crash when it has committed and not yet said so. Nobody can know then: the answer must
// not say that nothing was changed, and what was done has to be done whole.
//
// A commit that waits for a standby that does not exist is durable, and not answered.
func TestCommitInDoubt(t *testing.T) {
	t.Parallel()
	crashes, seed := times(t, 10, 1), newSeed(t)
	server := newCluster(t)
	box := newMailbox(t, seed)
	l := &load{public: newPublic(t), d: deploy(t, server.url(), box.url, 1), mail: box}
	l.d.start()
	r := l.d.copies[0]

	for n := range crashes {
		a := &actor{load: l, n: n}
		person := []string{"name", "Alice", "email", a.address(), "password", password}
		func() {
			db := l.openDatabase(server.url())
			defer db.Close()
			for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"} {
				_, err := db.Exec(statement)
				require.NoError(t, err)
			}
			back := l.goesAway()
			defer back()
			came := make(chan answer, 1)
			go func() { came <- l.ask(r, nil, "POST", "/register", person...) }()
			eventually(t, 8*time.Second, func() bool { // the service waits for a commit no longer than 10
				var waiting int
				require.NoError(t, db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ILIKE 'commit%'").Scan(&waiting))
				return waiting > 0
			}, "no commit waits")
			server.stop("immediate")
			answer := <-came
			require.Equal(t, 503, answer.status, answer.body)
			require.NotContains(t, answer.body, "Nothing was changed")
			server.alone()
			server.start()
			eventually(t, recovery, func() bool { return l.ask(r, nil, "GET", "/healthz").status == 200 }, "the copy does not recover")
		}()

		db := l.openDatabase(server.url())
		for _, one := range broken {
			var found int
			require.NoError(t, db.QueryRow(one.query).Scan(&found), one.what)
			require.Zero(t, found, one.what)
		}
		var users int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM users WHERE email = $1", a.address()).Scan(&users))
		require.Equal(t, 1, users, "the registration was not committed, though its commit was on disk")
		require.True(t, l.ask(r, nil, "POST", "/register", person...).is("/register/sent"), "trying again")
		l.drained(db)
		require.Len(t, box.letters(a.address(), confirmSubject), 1)
		require.Len(t, box.letters(a.address(), takenSubject), 1)
		token := box.letters(a.address(), confirmSubject)[0].token
		require.True(t, l.ask(r, nil, "POST", "/verify", "token", token).is("/verify/done"))
	}
	t.Logf("the database crashed %d times behind a commit that it had not yet answered: 503, which does not say that nothing was changed; it was done whole, its mail came, and trying again was right", crashes)
}
