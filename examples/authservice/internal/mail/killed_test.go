package mail_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

// childVar makes the test binary run a worker. Its value is a child in JSON.
const childVar = "FLOWHOOK_MAIL_CHILD"

type child struct {
	Dialect    sqlstore.Dialect
	Where, URL string
}

func TestMain(m *testing.M) {
	if v := os.Getenv(childVar); v != "" {
		fmt.Fprintln(os.Stderr, beChild(v))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func beChild(v string) error {
	var c child
	if err := json.Unmarshal([]byte(v), &c); err != nil {
		return err
	}
	o, _, err := database{c.Dialect, c.Where}.open()
	if err != nil {
		return err
	}
	o.SMTP, o.From, o.RescueAfter = c.URL, "service@example.org", 8*time.Second
	q, err := mail.Open(o)
	if err != nil {
		return err
	}
	if err := q.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println("started")
	time.Sleep(time.Hour) // until the test kills the process
	return nil
}

func startChild(t *testing.T, d database, url string) *exec.Cmd {
	v, err := json.Marshal(child{d.dialect, d.where, url})
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+string(v))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "started\n", line)
	return cmd
}

// TestQueue_KilledAfterDelivery kills a worker after the server has accepted an email and before
// the worker has recorded that. No email is lost, and duplicates have the same Message-ID.
func TestQueue_KilledAfterDelivery(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const mails = 20
		rounds := testkit.Times(t, 10)
		var mu sync.Mutex
		var victim *exec.Cmd
		taken := 0
		s := newServer(t, &server{hangUp: func(int) bool {
			mu.Lock()
			defer mu.Unlock()
			if taken++; victim != nil && taken%mails == mails/2 {
				victim.Process.Kill()
				victim.Wait()
				victim = nil
				return true
			}
			return false
		}})
		p := d.process(t, s.url, nil).migrate()
		for round := range rounds {
			mu.Lock()
			taken = 0
			victim = startChild(t, d, s.url)
			mu.Unlock()
			var all []flowhook.Message
			for i := range mails {
				all = append(all, message(mails*round+i))
			}
			p.send(all...)
			eventually(t, "the worker to be killed", func() bool { mu.Lock(); defer mu.Unlock(); return victim == nil })
			require.NotZero(t, p.jobs("running"), "the killed worker must not have recorded the job")
			second := startChild(t, d, s.url)
			eventually(t, "all jobs to be completed", func() bool { return p.jobs("completed") == p.jobs("") })
			second.Process.Kill()
			second.Wait()
		}
		ids := s.ids(&s.taken)
		n := distinct(ids)
		require.Len(t, n, mails*rounds, "each email has one Message-ID")
		require.Greater(t, len(ids), mails*rounds, "the email that was being delivered is sent again")
		t.Logf("%s: %d workers killed after the server had accepted an email: %d of %d emails arrived, %d of them "+
			"twice, each with one Message-ID",
			d.dialect, rounds, len(n), mails*rounds, len(ids)-len(n))
	})
}
