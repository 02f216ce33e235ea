package outbox_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/stretchr/testify/require"
)

// TestSecrecy plants canaries and looks for them in the rows of the queue, in the log and in the
// dead letters, before and after the attempts.
func TestSecrecy(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{
			rcpt: func(to string) error { return answer(550, to+" is unknown; token=secret1, canary-code") },
		})
		p := d.process(t, s.url, "", func(o *outbox.Options) {
			o.Deliver = func(_ context.Context, d webhook.Delivery) error {
				dial := &url.Error{Op: "Post", URL: "https://canary-user:canary-password@example.net/?key=canary-key",
					Err: http.ErrHandlerTimeout}
				if d.ID == "msg_1" {
					return fmt.Errorf("%w: %w", webhook.ErrRejected, dial)
				}
				return &webhook.RetryError{Err: dial}
			}
		}).migrate()
		m := message(1)
		m.Subject, m.Code = "canary-subject", "canary-code"
		m.Text += "\nYour code: canary-code\n"
		p.queue(m, hook(1), hook(2))
		p.requireNone("before the first attempt", p.rows())
		require.NoError(t, p.outbox.Start(t.Context()))
		eventually(t, "the attempts", func() bool { return p.jobs("cancelled") == 2 && p.jobs("retryable") == 1 })
		p.stop()
		dead, err := p.outbox.DeadLetters(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, dead, 2)
		require.Contains(t, p.rows(), http.ErrHandlerTimeout.Error(), "the cause is kept")
		p.requireNone("after the attempts", p.rows(), p.log.String(), fmt.Sprint(dead))
	})
}

func (p *process) requireNone(when string, texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		require.NotEmpty(p.t, text)
		for _, canary := range []string{"user1", "secret1", "canary", "verification", testSecret} {
			require.False(p.t, strings.Contains(text, canary), "%s: %s in:\n%s", when, canary, text)
		}
	}
}

// TestSecrets_Rotation checks that emails can be sent that were queued before the secret changed.
func TestSecrets_Rotation(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{})
		use := func(secrets ...string) *process {
			return d.process(t, s.url, "", func(o *outbox.Options) { o.Secrets = secrets })
		}
		use(testSecret).migrate().queue(message(1))
		p := use("the second secret of the service")
		require.NoError(t, p.outbox.Start(t.Context()))
		p.awaitLog("cannot be decrypted")
		eventually(t, "the failure to be recorded", func() bool { return p.jobs("retryable") == 1 })
		p.stop()
		require.Empty(t, s.ids(&s.tried))
		p.exec("UPDATE river_job SET scheduled_at = created_at") // instead of waiting
		p = use("the second secret of the service", testSecret).start()
		p.awaitCompleted()
		require.Len(t, s.ids(&s.taken), 1)
	})
}

// TestSecrets_OtherEmail checks that the content of an email cannot be sent as that of another.
func TestSecrets_OtherEmail(t *testing.T) {
	s := newServer(t, &server{})
	p := onSQLite(t).process(t, s.url, "", nil).migrate()
	p.queue(message(1))
	p.exec(`UPDATE river_job SET args = json_set(args, '$.id', 'other@example.org')`)
	p.start()
	p.awaitLog("cannot be decrypted")
	require.Empty(t, s.ids(&s.tried))
}
