package process_test

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

// grace is how long a copy may take to stop; its requests alone may take 15 seconds.
const grace = 35 * time.Second

// TestStop stops copies under load. They finish the requests in progress and leave no email to be
// rescued.
func TestStop(t *testing.T) {
	t.Parallel()
	t.Run("PostgreSQL, two copies", func(t *testing.T) {
		t.Parallel()
		testStop(t, testkit.PostgreSQL(t), 2)
	})
	t.Run("SQLite, one copy", func(t *testing.T) {
		t.Parallel()
		testStop(t, "sqlite:"+filepath.Join(t.TempDir(), "authservice.db"), 1)
	})
}

func testStop(t *testing.T, database string, copies int) {
	stops, seed := times(t, 40, 2), newSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	box := newMailbox(t, seed)
	l := &load{checkedClient: newCheckedClient(t), d: deploy(t, database, box.url, copies), mail: box}
	l.mayBreak = true // requests that arrive after the copy has stopped listening
	l.d.start()
	l.start(6, seed)
	l.warmUp()
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
			finish = append(finish, l.begin(r, "/register", "name", "Held", "email", others[len(others)-1],
				"password", password))
		}
		code, took := r.stop(grace, func() {
			var all sync.WaitGroup
			for _, finish := range finish {
				all.Go(func() {
					if answer := finish(); !answer.is("/register/sent") {
						l.fault("a request in progress during the stop was answered %d: %s", answer.status, answer.body)
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
			require.Zero(t, running, "emails left to be rescued")
		}
		eventually(t, 10*time.Second, func() bool { return r.handled() <= l.answersOf(base) },
			"%s handled requests without answering them", r.name)
		require.Equal(t, l.answersOf(base), r.handled(), "answers of %s, compared with its log", r.name)
		handled += r.handled()
		l.forget(base)
		r.start()
	}
	l.settleAlso(db, seed, others...)
	for _, address := range others {
		require.Len(t, box.emails(address, confirmSubject), 1)
	}
	emails, duplicates := box.count()
	require.Zero(t, duplicates, "emails that were sent twice")
	t.Logf("stopped %d times under load, each with %d half-sent requests: exit code 0 within %s; all %d accepted "+
		"requests were answered (%d were not accepted); %s; %d emails, none lost, none twice (seed %d)",
		stops, held, slowest.Round(10*time.Millisecond), handled, l.broken, &l.told, emails, seed)
}

// answersOf returns the number of answers from a process.
func (p *checkedClient) answersOf(base string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered[base]
}

// forget resets the count of a process that has stopped, because another may get its port.
func (p *checkedClient) forget(base string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.answered, base)
}

// begin sends the first half of a form and returns when the handler reads it. finish sends the rest
// and returns the answer.
func (p *checkedClient) begin(r *replica, path string, values ...string) (finish func() answer) {
	p.t.Helper()
	base, form := r.address(), encode(values)
	reader, writer := io.Pipe()
	request, err := http.NewRequest("POST", base+path, reader)
	require.NoError(p.t, err)
	request.ContentLength = int64(len(form))
	request.Header.Set("Expect", "100-continue")
	asked := make(chan struct{})
	request = request.WithContext(httptrace.WithClientTrace(p.t.Context(),
		&httptrace.ClientTrace{Got100Continue: func() { close(asked) }}))
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
		io.WriteString(writer, form[len(form)/2:]) // an error also fails the answer
		writer.Close()
		return <-came
	}
}
