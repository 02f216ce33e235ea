package outbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/outbox"
	"github.com/stretchr/testify/require"
)

// childVar makes the test binary run a worker. Its value is a child in JSON.
const childVar = "FLOWHOOK_OUTBOX_CHILD"

type child struct {
	Database    database
	SMTP, Hooks string
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
	o, _, err := c.Database.open()
	if err != nil {
		return err
	}
	setEmail(&o, c.SMTP)
	o.Deliver, o.RescueAfter = deliverTo(c.Hooks), 8*time.Second
	out, err := outbox.New(o)
	if err != nil {
		return err
	}
	if err := out.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println("started")
	select {} // until the test kills the process
}

func startChild(t *testing.T, d database, smtp, hooks string) *exec.Cmd {
	v, err := json.Marshal(child{d, smtp, hooks})
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+string(v))
	cmd.Stderr = &logged{}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "%s", cmd.Stderr)
	require.Equal(t, "started\n", line)
	return cmd
}

// A killer kills a worker when a server has accepted something from it, and before the worker has
// recorded that.
type killer struct {
	mu     sync.Mutex
	kind   string // what to count
	left   int    // until the kill
	victim *exec.Cmd
	killed chan struct{} // closed by the kill
}

func (k *killer) aim(kind string, left int, victim *exec.Cmd) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kind, k.left, k.victim, k.killed = kind, left, victim, make(chan struct{})
	return k.killed
}

// accepted reports whether it has killed the worker.
func (k *killer) accepted(kind string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.victim == nil || kind != k.kind {
		return false
	}
	if k.left--; k.left > 0 {
		return false
	}
	k.victim.Process.Kill()
	k.victim.Wait()
	k.victim = nil
	close(k.killed)
	return true
}

// TestKilled kills a worker under load, again and again: after the commit and before the sending of
// many jobs, and after a server has accepted one of them and before the worker has recorded that.
// No job is lost, each attempt has the same ID, and nothing is sent that was rolled back.
func TestKilled(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		const loaders, perLoader = 2, 12 // transactions of each round; every third is rolled back
		const committed = loaders * perLoader * 2 / 3
		rounds := testkit.Times(t, 100)
		var k killer
		mails := newServer(t, &server{hangUp: func(int) bool { return k.accepted("email") }})
		hooks := newReceiver(t, &receiver{answer: func(w http.ResponseWriter, _ string) {
			if k.accepted("webhook") {
				panic(http.ErrAbortHandler)
			}
		}})
		p := d.process(t, mails.url, hooks.url, nil).migrate()
		rolledBack := errors.New("rolled back")
		for round := range rounds {
			kind := []string{"email", "webhook"}[round%2]
			killed := k.aim(kind, committed/3, startChild(t, d, mails.url, hooks.url))
			var loading sync.WaitGroup
			for loader := range loaders {
				loading.Go(func() {
					for i := range perLoader {
						n := (round*loaders+loader)*perLoader + i
						err := p.store.Transaction(t.Context(), fmt.Sprint(loader), func(ctx context.Context) error {
							if err := p.queueIn(ctx, message(n), hook(n)); err != nil || i%3 > 0 {
								return err
							}
							return rolledBack
						})
						if i%3 > 0 && err != nil || i%3 == 0 && !errors.Is(err, rolledBack) {
							t.Errorf("transaction %d: %v", n, err)
						}
					}
				})
			}
			loading.Wait()
			select {
			case <-killed:
			case <-time.After(2 * time.Minute):
				t.Fatalf("round %d: the worker was not killed", round)
			}
		}
		require.NotZero(t, p.jobs("running"), "the killed workers must not have recorded what was accepted")
		startChild(t, d, mails.url, hooks.url)
		p.awaitCompleted()

		want := committed * rounds
		sent := mails.ids(&mails.taken)
		byID := distinct(sent)
		require.Len(t, byID, want, "each email has one Message-ID")
		recipients := map[string]string{}
		mails.mu.Lock()
		for _, m := range mails.taken {
			to, id := m.Header.Get("To"), m.Header.Get("Message-ID")
			if before, again := recipients[to]; again {
				require.Equal(t, before, id, "another Message-ID for the same email")
			}
			recipients[to] = id
		}
		mails.mu.Unlock()
		require.Len(t, recipients, want)
		ids, bodies := hooks.received()
		byWebhookID := map[string]string{}
		for i, id := range ids {
			if before, again := byWebhookID[id]; again {
				require.Equal(t, before, bodies[i], "another body with the same webhook-id")
			}
			byWebhookID[id] = bodies[i]
		}
		require.Len(t, byWebhookID, want)
		for n := range rounds * loaders * perLoader {
			_, hooked := byWebhookID[fmt.Sprintf("msg_%d", n)]
			_, mailed := recipients[fmt.Sprintf("<user%d@example.org>", n)]
			require.Equal(t, n%perLoader%3 > 0, hooked, "webhook %d", n)
			require.Equal(t, n%perLoader%3 > 0, mailed, "email %d", n)
		}
		require.Greater(t, len(sent)+len(ids), 2*want, "what was being delivered at a kill is sent again")
		t.Logf("%d workers killed: %d of %d emails arrived, %d copies; %d of %d webhooks arrived, %d copies",
			rounds, len(byID), want, len(sent)-want, len(byWebhookID), want, len(ids)-want)
	})
}
