package outbox_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

func TestDeadLetters(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		var up atomic.Bool
		s := newServer(t, &server{rcpt: func(string) error {
			if up.Load() {
				return nil
			}
			return answer(550, "no such user: user1@example.org")
		}})
		r := newReceiver(t, &receiver{answer: func(w http.ResponseWriter, id string) {
			switch {
			case up.Load():
			case id == "msg_1":
				w.WriteHeader(http.StatusGone)
			default:
				w.WriteHeader(http.StatusBadGateway)
			}
		}})
		p := d.process(t, s.url, r.url, nil).migrate()
		p.queue(message(1), hook(1), hook(2))
		p.exec("UPDATE river_job SET max_attempts = 1 WHERE CAST(args AS text) LIKE '%msg_2%'")
		p.start()
		eventually(t, "three dead letters", func() bool { return p.jobs("cancelled")+p.jobs("discarded") == 3 })
		require.Equal(t, 1, p.jobs("discarded"), "no attempt is left")

		dead, err := p.outbox.DeadLetters(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Len(t, dead, 3)
		require.Regexp(t, `^[a-z2-7]{26}@example\.org$`, dead[0].MessageID)
		require.Empty(t, dead[0].Hook)
		require.Equal(t, "sending SMTP RCPT TO command: the server answered 550 5.7.1", dead[0].Reason)
		require.Equal(t, "msg_1", dead[1].MessageID)
		require.Equal(t, "crm", dead[1].Hook)
		require.Equal(t, "webhook: rejected: the receiver answered 410", dead[1].Reason)
		require.Equal(t, "msg_2", dead[2].MessageID)
		require.Equal(t, "the receiver answered 502", dead[2].Reason)
		for i, one := range dead {
			require.Equal(t, 1, one.Attempts)
			require.WithinDuration(t, time.Now(), one.Created, time.Minute)
			require.WithinRange(t, one.Died, one.Created, time.Now().Add(time.Second))
			page, err := p.outbox.DeadLetters(t.Context(), one.ID-1, 1)
			require.NoError(t, err)
			require.Equal(t, dead[i:i+1], page)
		}
		page, err := p.outbox.DeadLetters(t.Context(), dead[2].ID, 10)
		require.NoError(t, err)
		require.Empty(t, page)

		up.Store(true)
		for _, one := range dead {
			require.NoError(t, p.outbox.Resend(t.Context(), one.ID))
		}
		p.awaitCompleted()
		mails := s.ids(&s.taken)
		require.Equal(t, []string{"<" + dead[0].MessageID + ">"}, mails)
		ids, _ := r.received()
		require.Equal(t, map[string]int{"msg_1": 2, "msg_2": 2}, distinct(ids))
		page, err = p.outbox.DeadLetters(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Empty(t, page)
		require.ErrorIs(t, p.outbox.Resend(t.Context(), dead[0].ID), outbox.ErrNotFound, "it is done")
		require.ErrorIs(t, p.outbox.Resend(t.Context(), 1<<40), outbox.ErrNotFound)
	})
}

// TestDeadLetters_OfOthers checks that other jobs in River's tables are not taken for dead letters.
func TestDeadLetters_OfOthers(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", "", nil).migrate()
		p.queue(hook(1))
		p.exec("UPDATE river_job SET kind = 'other', state = 'discarded', finalized_at = created_at")
		dead, err := p.outbox.DeadLetters(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Empty(t, dead)
		require.ErrorIs(t, p.outbox.Resend(t.Context(), 1), outbox.ErrNotFound)
		require.Equal(t, 1, p.jobs("discarded"))
		for _, limit := range []int{-1, 0, 10_001} {
			_, err = p.outbox.DeadLetters(t.Context(), 0, limit)
			require.ErrorContains(t, err, "use one from 1 to 10,000")
		}
	})
}

// TestRetention checks how long jobs are kept that are done or given up.
func TestRetention(t *testing.T) {
	for name, row := range map[string]struct {
		keepDead time.Duration
		kept     int // days; one more is too long
	}{"default": {0, 6}, "KeepDead": {48 * time.Hour, 1}} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, d database) {
				p := d.process(t, "smtp://127.0.0.1:1", "", func(o *outbox.Options) { o.KeepDead = row.keepDead }).migrate()
				var all []any
				for n := range 6 {
					all = append(all, hook(n))
				}
				p.queue(all...)
				for n, one := range []struct {
					state string
					age   time.Duration
				}{
					{"completed", 0}, {"completed", 2 * time.Minute},
					{"discarded", days(row.kept)}, {"discarded", days(row.kept + 2)},
					{"cancelled", days(row.kept)}, {"cancelled", days(row.kept + 2)},
				} {
					at := time.Now().Add(-one.age).UTC()
					var stamp any = at
					if d.schema() == sqlstore.SQLite {
						stamp = at.Format("2006-01-02 15:04:05.000")
					}
					_, err := p.db.Exec("UPDATE river_job SET state = '"+one.state+"', finalized_at = $1 WHERE id = $2",
						stamp, n+1)
					require.NoError(t, err)
				}
				p.start()
				eventually(t, "the old jobs to be deleted", func() bool { return p.jobs("") == 3 })
				require.Equal(t, []int{1, 1, 1}, []int{p.jobs("completed"), p.jobs("discarded"), p.jobs("cancelled")})
			})
		})
	}
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
