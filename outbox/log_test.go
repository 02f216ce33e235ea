package outbox_test

import (
	"strings"
	"testing"

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
