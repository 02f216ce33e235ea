package outbox_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/flowhook/flowhook/outbox"
	"github.com/stretchr/testify/require"
)

func TestSeveralWorkers(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, r := newServer(t, &server{}), newReceiver(t, &receiver{})
		p := d.process(t, s.url, r.url, nil).migrate()
		for range 2 {
			d.process(t, s.url, r.url, nil).start()
		}
		const each = 10
		transactions := testkit.Times(t, 300)
		for i := range transactions {
			var all []any
			for n := i * each; n < (i+1)*each; n++ {
				all = append(all, message(n), hook(n))
			}
			p.queue(all...)
		}
		p.awaitCompleted()
		mails := s.ids(&s.taken)
		require.Len(t, mails, transactions*each)
		require.Len(t, distinct(mails), transactions*each)
		hooks, _ := r.received()
		require.Len(t, hooks, transactions*each)
		require.Len(t, distinct(hooks), transactions*each)
		t.Logf("two workers: each of %d emails and %d webhooks was delivered once", len(mails), len(hooks))
	})
}

// TestWorkers_OfOneKind checks that a process leaves the jobs alone that it is not configured for,
// also those of a dead worker.
func TestWorkers_OfOneKind(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s, r := newServer(t, &server{}), newReceiver(t, &receiver{})
		p := d.process(t, s.url, r.url, nil).migrate()
		p.queue(message(1), hook(1))
		p.exec("UPDATE river_job SET state = 'running', attempt = 1, attempted_at = '2020-01-01 00:00:00' " +
			"WHERE kind = 'flowhook_email'") // a worker took the email and died
		d.process(t, "", r.url, func(o *outbox.Options) { o.SMTP, o.From, o.HelloHost = "", "", "" }).start()
		eventually(t, "the rescue of the email", func() bool {
			return p.jobs("running") == 0 && p.jobs("completed") == 1
		})
		require.Equal(t, 2, p.jobs(""), "the email waits for a worker for emails")
		require.Zero(t, p.jobs("discarded"))
		require.Empty(t, s.ids(&s.tried))
		d.process(t, s.url, "", func(o *outbox.Options) { o.Deliver = nil }).start()
		p.awaitCompleted()
		require.Len(t, s.ids(&s.taken), 1)
	})
}

// TestServersDown checks that jobs outlast servers that are down.
func TestServersDown(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		free := func() string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			return l.Addr().String()
		}
		mailAddr, hookAddr := free(), free()
		p := d.process(t, "smtp://"+mailAddr, "http://"+hookAddr, nil).migrate().start()
		p.queue(message(1), hook(1))
		p.awaitLog("an email could not be sent and will be retried")
		p.awaitLog("a webhook could not be sent and will be retried")
		require.Contains(t, p.log.String(), "connection refused")
		require.Zero(t, p.jobs("cancelled")+p.jobs("discarded")+p.jobs("completed"))
		require.Equal(t, 2, p.jobs(""))

		s, r := &server{}, &receiver{}
		s.listen(t, mailAddr)
		l, err := net.Listen("tcp", hookAddr)
		require.NoError(t, err)
		web := &http.Server{Handler: r}
		go web.Serve(l)
		t.Cleanup(func() { web.Close() })
		p.awaitCompleted()
		require.Len(t, s.ids(&s.taken), 1)
		ids, _ := r.received()
		require.Equal(t, []string{"msg_1"}, ids)
	})
}
