package sqltest

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	osexec "os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// process is a service that runs in a process of its own.
type process struct {
	t      *testing.T
	name   string
	url    string
	client *http.Client
}

// start starts a service. It ends with the test.
func (d database) start(t *testing.T, name, source string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := osexec.Command(self)
	cmd.Env = append(os.Environ(), serveDatabase+"="+d.name, serveSource+"="+source)
	var log bytes.Buffer
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process of %s ended: %v", name, err)
		}
		if t.Failed() {
			t.Logf("the process of %s says:\n%s", name, log.String())
		}
	}
	t.Cleanup(stop)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		t.Fatalf("the process of %s gave no address: %v\n%s", name, err, log.String())
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &process{t: t, name: name, url: "http://" + strings.TrimSpace(address), client: &http.Client{Transport: transport, Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// reply is what a process answered.
type reply struct {
	status int
	body   string
	cookie string // the session's
	err    error
}

func (p *process) do(method, path, cookie string, form url.Values) (a reply) {
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return reply{err: err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != "" {
		r.Header.Set("Cookie", "__Host-session="+cookie)
	}
	res, err := p.client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a = reply{status: res.StatusCode, body: strings.TrimSpace(string(body)), err: err}
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			a.cookie = c.Value
		}
	}
	return a
}

func (p *process) login(cookie string) reply {
	return p.do(http.MethodPost, "/login", cookie, url.Values{"name": {"alice"}})
}

// whoami asks who a cookie stands for: "anonymous" for nobody.
func (p *process) whoami(cookie string) string {
	p.t.Helper()
	a := p.do(http.MethodGet, "/whoami", cookie, nil)
	require.NoError(p.t, a.err)
	require.Contains(p.t, []int{http.StatusOK, http.StatusUnauthorized}, a.status, a.body)
	return a.body
}

// two starts two processes on one new database.
func (d database) two(t *testing.T) (db *sql.DB, both [2]*process) {
	t.Helper()
	source := d.migrated(t)
	db = d.connect(t, source)
	db.SetMaxOpenConns(4)
	for _, statement := range serviceTables {
		_, err := db.Exec(statement)
		require.NoError(t, err)
	}
	_, err := db.Exec("INSERT INTO users (id, logins) VALUES ('alice', 0)")
	require.NoError(t, err)
	return db, [2]*process{d.start(t, "A", source), d.start(t, "B", source)}
}

func count(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(query).Scan(&n))
	return n
}

// At one time 64 browsers log the same user in, at two processes.
func TestProcessesLogIn(t *testing.T) {
	const browsers = 64
	each(t, func(t *testing.T, d database) {
		db, both := d.two(t)
		rounds, winner, winners := testkit.Times(t, 100), "", [2]int{}
		for round := range rounds {
			var replies [browsers]reply
			var ready, done sync.WaitGroup
			start := make(chan struct{})
			for i := range browsers {
				ready.Add(1)
				done.Go(func() {
					cookie := ""
					if i%4 >= 2 { // at both processes, some bring the session of the round before
						cookie = winner
					}
					ready.Done()
					<-start
					replies[i] = both[i%2].login(cookie)
				})
			}
			ready.Wait()
			close(start)
			done.Wait()

			before := winner
			winner = ""
			for i, a := range replies {
				require.NoError(t, a.err)
				require.Equal(t, http.StatusSeeOther, a.status, "round %d, browser %d: %s", round, i, a.body)
				require.NotEmpty(t, a.cookie)
				at := [2]string{both[0].whoami(a.cookie), both[1].whoami(a.cookie)}
				require.Equal(t, at[0], at[1], "round %d: the processes do not agree", round)
				if at[0] == "alice" {
					require.Empty(t, winner, "round %d: a second session is alive", round)
					winner = a.cookie
					winners[i%2]++
				}
			}
			require.NotEmpty(t, winner, "round %d: no session is alive", round)
			if before != "" {
				require.Equal(t, "anonymous", both[0].whoami(before), "round %d: the session of the round before is alive", round)
			}
			require.Equal(t, 1, count(t, db, "SELECT count(*) FROM flowhook_sessions"), "round %d", round)
			require.Equal(t, (round+1)*browsers, count(t, db, "SELECT logins FROM users"), "round %d: what save did", round)
		}
		t.Logf("two processes on one %s: %d times %d logins of one user at once, all of them a success, no conflict, exactly one session left and one cookie signed in (%d times A's, %d times B's)",
			d.name, rounds, browsers, winners[0], winners[1])
	})
}

// What one process does with a session, the other knows at the next request.
func TestProcessesShareSessions(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		_, both := d.two(t)
		rounds := testkit.Times(t, 100)
		for round := range rounds {
			a, b := both[round%2], both[(round+1)%2]
			in := a.login("")
			require.Equal(t, http.StatusSeeOther, in.status, in.body)
			require.Equal(t, "alice", b.whoami(in.cookie))
			require.Equal(t, "alice", a.whoami(in.cookie))
			out := b.do(http.MethodPost, "/signout", in.cookie, nil)
			require.Equal(t, http.StatusSeeOther, out.status, out.body)
			require.Equal(t, "anonymous", a.whoami(in.cookie))
			require.Equal(t, "anonymous", b.whoami(in.cookie))
		}
		t.Logf("two processes on one %s: %d times signed in at one, signed in at the other, signed out everywhere there, anonymous at the first at its next request", d.name, rounds)
	})
}

// Eight go through the same links at two processes, in the same order, so that they meet at each.
func TestProcessesRedeem(t *testing.T) {
	const redeemers = 8
	each(t, func(t *testing.T, d database) {
		db, both := d.two(t)
		s, err := sqlstore.New(db, d.dialect)
		require.NoError(t, err)
		n := testkit.Times(t, 1000)
		tokens := make([]string, n)
		now := time.Now()
		for i := range tokens {
			tokens[i] = fmt.Sprintf("%043d", i)
			created, err := s.CreateVerification(t.Context(), flowhook.VerificationToken{Hash: hashOf(tokens[i]), IdentityID: fmt.Sprint("user-", i%10),
				Address: flowhook.Address{Via: "email", Value: fmt.Sprintf("%d@example.org", i)}, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}, now)
			require.NoError(t, err)
			require.True(t, created)
		}
		replies := make([][redeemers]reply, n)
		var done sync.WaitGroup
		for i := range redeemers {
			done.Go(func() {
				for k, token := range tokens {
					replies[k][i] = both[i%2].do(http.MethodPost, "/redeem", "", url.Values{"token": {token}})
				}
			})
		}
		done.Wait()
		byProcess := [2]int{}
		for k := range replies {
			redeemed := 0
			for i, a := range replies[k] {
				require.NoError(t, a.err)
				require.Contains(t, []int{http.StatusSeeOther, http.StatusGone}, a.status, a.body)
				if a.status == http.StatusSeeOther {
					redeemed++
					byProcess[i%2]++
				}
			}
			require.Equal(t, 1, redeemed, "how often token %d was redeemed", k)
		}
		require.Equal(t, n, count(t, db, "SELECT count(*) FROM redemptions"))
		require.Equal(t, n, count(t, db, "SELECT count(DISTINCT token) FROM redemptions"))
		require.Zero(t, count(t, db, "SELECT count(*) FROM flowhook_verifications WHERE used = false"))
		t.Logf("two processes on one %s: %d verification tokens, each tried by %d redeemers, each redeemed exactly once (%d at A, %d at B)", d.name, n, redeemers, byProcess[0], byProcess[1])
	})
}

// crossing is a transaction that waits in a process for its second identity.
type crossing struct {
	lines *bufio.Reader
	close func()
}

func (p *process) cross(t *testing.T, ctx context.Context, first, second string) *crossing {
	form := url.Values{"process": {p.name}, "first": {first}, "second": {second}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/cross?"+form.Encode(), nil)
	require.NoError(t, err)
	c := &crossing{}
	ready := make(chan struct{})
	body, write := io.Pipe()
	go func() { // the answer begins when the first identity is held
		defer close(ready)
		res, err := p.client.Do(r)
		if err != nil {
			write.CloseWithError(err)
			return
		}
		go func() {
			defer res.Body.Close()
			_, err := io.Copy(write, res.Body)
			write.CloseWithError(err)
		}()
	}()
	c.lines = bufio.NewReader(body)
	c.close = func() { body.Close(); <-ready }
	return c
}

func (c *crossing) line(t *testing.T) string {
	t.Helper()
	line, err := c.lines.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// A has identity 1 and wants 2, B has 2 and wants 1.
func TestProcessesCross(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		db, both := d.two(t)
		rounds, conflicts := testkit.Times(t, 20), 0
		for round := range rounds {
			_, err := db.Exec("DELETE FROM crossings")
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // nobody waits that long
			c := [2]*crossing{both[0].cross(t, ctx, "1", "2"), both[1].cross(t, ctx, "2", "1")}
			var is [2]string
			goOn := func(i int) {
				a := both[i].do(http.MethodPost, "/go", "", nil)
				require.Equal(t, http.StatusNoContent, a.status)
			}
			if d.dialect == sqlstore.SQLite { // one of them has both, and the other has not begun
				is = oneBehindTheOther(t, c, goOn)
			} else {
				for i := range c {
					require.Equal(t, "holding", c[i].line(t))
				}
				goOn(0)
				goOn(1)
				is = [2]string{c[0].line(t), c[1].line(t)}
			}
			c[0].close()
			c[1].close()
			cancel()

			done := 0
			for i, how := range is {
				rows := count(t, db, "SELECT count(*) FROM crossings WHERE process = '"+both[i].name+"'")
				switch how {
				case "done":
					done++
					require.Equal(t, 2, rows, "round %d: the transaction of %s is half done", round, both[i].name)
				case "conflict":
					conflicts++
					require.Zero(t, rows, "round %d: of the transaction of %s something is left", round, both[i].name)
				default:
					t.Fatalf("round %d: %s: %s", round, both[i].name, how)
				}
			}
			if d.dialect == sqlstore.SQLite {
				require.Equal(t, 2, done, "round %d", round)
			} else {
				require.Equal(t, 1, done, "round %d: who was given up has made way for the other: %v", round, is)
			}
		}
		t.Logf("two processes on one %s: %d times two transactions that join each other's identities: %d conflicts, the rest done, none half done, none waits forever", d.name, rounds, conflicts)
	})
}

// oneBehindTheOther lets the crossing go on that holds something, and then the other.
func oneBehindTheOther(t *testing.T, c [2]*crossing, goOn func(i int)) (is [2]string) {
	type held struct {
		i    int
		line string
		err  error
	}
	holding := make(chan held, 2)
	for i := range c {
		go func() {
			line, err := c[i].lines.ReadString('\n')
			holding <- held{i, strings.TrimSpace(line), err}
		}()
	}
	for range c {
		h := <-holding
		require.NoError(t, h.err)
		require.Equal(t, "holding", h.line)
		goOn(h.i)
		is[h.i] = c[h.i].line(t)
	}
	return is
}
