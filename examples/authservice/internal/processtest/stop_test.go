package processtest_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// grace is how long a copy may take to stop: its requests may take 15 seconds, and so on.
const grace = 35 * time.Second

// TestStopped asks copies to stop, under load: what they have begun they finish, and they leave nothing to be rescued.
func TestStopped(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL, two copies", func(t *testing.T) {
		t.Parallel()
		stopped(t, testkit.PostgreSQL(t), 2)
	})
	t.Run("SQLite, one copy", func(t *testing.T) {
		t.Parallel()
		stopped(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), 1)
	})
}

func stopped(t *testing.T, database string, copies int) {
	stops, seed := times(t, 40, 2), newSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	box := newMailbox(t, seed)
	l := &load{public: newPublic(t), d: deploy(t, database, box.url, copies), mail: box}
	l.mayBreak = true // who comes when the copy takes no more requests
	l.d.start()
	l.start(6, seed)
	l.under()
	db := l.openDatabase(database)

	const held = 4
	var others []string
	var slowest time.Duration
	handled := 0
	for n := range stops {
		pause(t.Context(), between(chance, 20*time.Millisecond, 800*time.Millisecond))
		r := l.d.copies[chance.IntN(copies)]
		base := r.address()
		var finish []func() answer
		for i := range held {
			others = append(others, fmt.Sprintf("held-%d-%d@example.org", n, i))
			finish = append(finish, l.begin(r, "/register", "name", "Held", "email", others[len(others)-1], "password", password))
		}
		code, took := r.stop(grace, func() {
			var all sync.WaitGroup
			for _, finish := range finish {
				all.Go(func() {
					if answer := finish(); !answer.is("/register/sent") {
						l.fault("a request that was under way when the copy was asked to stop was answered %d: %s", answer.status, answer.body)
					}
				})
			}
			all.Wait()
		})
		require.Zero(t, code, "exit code; see %s", tail(r.log))
		slowest = max(slowest, took)
		if copies == 1 {
			var running int
			require.NoError(t, db.QueryRow("SELECT count(*) FROM river_job WHERE state = 'running'").Scan(&running))
			require.Zero(t, running, "mails that are left to be rescued")
		}
		eventually(t, 10*time.Second, func() bool { return r.handled() <= l.answersOf(base) }, "requests of %s were handled and not answered", r.name)
		require.Equal(t, l.answersOf(base), r.handled(), "answers that came from %s, by its own count", r.name)
		handled += r.handled()
		l.forget(base)
		r.start()
	}
	l.settleAlso(db, seed, others...)
	for _, address := range others {
		require.Len(t, box.letters(address, confirmSubject), 1)
	}
	mails, again := box.count()
	require.Zero(t, again, "mails that were sent twice: a copy did not finish what it had begun")
	t.Logf("asked to stop %d times under load, each with %d requests half sent: exit code 0 after %s at most; all %d requests that were taken were answered (%d found it closed); %s; %d mails, none lost, none twice (seed %d)",
		stops, held, slowest.Round(10*time.Millisecond), handled, l.broken, &l.told, mails, seed)
}

func (p *public) answersOf(base string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered[base]
}

// forget is for a process that has ended: another may get its port.
func (p *public) forget(base string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.answered, base)
}

// begin sends the first half of a form, and comes back when the handler has asked for it. finish sends the rest.
func (p *public) begin(r *replica, path string, values ...string) (finish func() answer) {
	p.t.Helper()
	base, form := r.address(), encode(values)
	reader, writer := io.Pipe()
	request, err := http.NewRequest("POST", base+path, reader)
	require.NoError(p.t, err)
	request.ContentLength = int64(len(form))
	request.Header.Set("Expect", "100-continue")
	asked := make(chan struct{})
	request = request.WithContext(httptrace.WithClientTrace(p.t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(asked) }}))
	came := make(chan answer, 1)
	go func() { came <- p.send(r, base, nil, request) }()
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		require.FailNow(p.t, "the handler does not read the form")
	}
	_, err = io.WriteString(writer, form[:len(form)/2])
	require.NoError(p.t, err)
	return func() answer {
		io.WriteString(writer, form[len(form)/2:]) // an error is one of the answer, too
		writer.Close()
		return <-came
	}
}
