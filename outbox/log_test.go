package outbox_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook/outbox"
	"github.com/stretchr/testify/require"
)

// TestLog checks that River's log contains errors, but no starts, stops and migrations.
func TestLog(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		s := newServer(t, &server{})
		p := d.process(t, s.url, "", nil).migrate()
		require.NoError(t, p.outbox.Start(t.Context()))
		p.queue(message(1))
		eventually(t, "the email to be sent", func() bool { return p.jobs("completed") == 1 })
		require.NoError(t, p.outbox.Stop(t.Context()))
		require.Equal(t, 1, strings.Count(p.log.String(), "\n"), "%s", p.log)
		require.Contains(t, p.log.String(), "email sent")
	})
	d := onSQLite(t)
	p := d.process(t, "smtp://127.0.0.1:25", "", nil).migrate().start()
	_, err := p.db.Exec("ALTER TABLE river_job RENAME TO gone")
	require.NoError(t, err)
	eventually(t, "an error in the log", func() bool { return strings.Contains(p.log.String(), "level=ERROR") })
}

// counted counts the records that are offered to a handler.
type counted struct {
	slog.Handler
	n *atomic.Int64
}

func (c counted) Enabled(ctx context.Context, level slog.Level) bool {
	c.n.Add(1)
	return c.Handler.Enabled(ctx, level)
}

// TestLog_Outage checks that River does not fill the log while the database fails. The error of one
// queue does not hide that of the other.
func TestLog_Outage(t *testing.T) {
	var offered atomic.Int64
	p := onSQLite(t).process(t, "smtp://127.0.0.1:25", "", func(o *outbox.Options) {
		o.Logger = slog.New(counted{o.Logger.Handler(), &offered})
	}).migrate().start()
	_, err := p.db.Exec("ALTER TABLE river_job RENAME TO gone")
	require.NoError(t, err)
	const line = "Error fetching jobs"
	logged := func(queue string) (n int) {
		for entry := range strings.Lines(p.log.String()) {
			if strings.Contains(entry, line) && strings.Contains(entry, "queue="+queue) {
				n++
			}
		}
		return n
	}
	for _, queue := range []string{"flowhook_email", "flowhook_webhook"} {
		eventually(t, "an error of "+queue, func() bool { return logged(queue) > 0 })
	}
	before := offered.Load()
	eventually(t, "more errors", func() bool { return offered.Load() >= before+8 })
	require.Equal(t, 1, logged("flowhook_email"), "%s", p.log)
	require.Equal(t, 1, logged("flowhook_webhook"), "%s", p.log)
	require.Contains(t, p.log.String(), " error=")
	require.NotContains(t, p.log.String(), " err=")
}
