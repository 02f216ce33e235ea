package outbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/outbox"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

func TestWebhooks_Commit(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		delivered := make(chan webhook.Delivery, 1)
		p := d.process(t, "smtp://127.0.0.1:1", "", func(o *outbox.Options) {
			o.Deliver = func(_ context.Context, d webhook.Delivery) error { delivered <- d; return nil }
		}).migrate().start()
		want := hook(1)
		want.Forwarded = http.Header{"User-Agent": {"a", "b"}}
		want.Created = time.Date(2026, 11, 29, 12, 0, 0, 5000, time.UTC)
		p.queue(want)
		require.Equal(t, want, <-delivered)
		p.awaitCompleted()
		p.awaitLog("webhook sent")
		require.Contains(t, p.log.String(), "webhook_id=msg_1 hook=crm attempt=1")
	})
}

// TestWebhooks_NoTransaction checks a webhook of a hook at failed, where the transaction is over,
// and one in the transaction of save, which is rolled back.
func TestWebhooks_NoTransaction(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		p := d.process(t, "smtp://127.0.0.1:1", "", nil).migrate()
		config, err := flowhook.LoadConfig("testdata/failed.yml")
		require.NoError(t, err)
		refused := errors.New("refused")
		pipeline, err := flowhook.New(config, flowhook.Options{Store: p.store, Secrets: []string{testSecret},
			Hooks: map[string]flowhook.HookFactory{"notify": func(at flowhook.Point,
				_ func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
					d := hook(1)
					d.Hook = string(at.Phase)
					if err := p.outbox.Webhooks(ctx, d); err != nil || at.Phase == flowhook.Failed {
						return err
					}
					return refused
				}), nil
			}}})
		require.NoError(t, err)
		r := httptest.NewRequest("POST", "/login", nil)
		x := &flowhook.Exchange{Request: r, Writer: httptest.NewRecorder(), Identity: &flowhook.Identity{ID: "a"}}
		ctx := flowhook.NewContext(t.Context(), x)
		_, err = pipeline.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error { return nil })
		require.ErrorIs(t, err, refused)
		require.Equal(t, 1, p.jobs(""))
		require.Contains(t, p.rows(), "failed") // and not "after"
	})
}

// TestWebhooks_OtherStore checks that a webhook is not queued on its own if the context carries the
// transaction of a store that the outbox does not know.
func TestWebhooks_OtherStore(t *testing.T) {
	d := onPostgreSQL(t, "pgx")
	p := d.process(t, "smtp://127.0.0.1:1", "", nil).migrate()
	other, err := sqlstore.New(p.db, sqlstore.PostgreSQL)
	require.NoError(t, err)
	err = other.Transaction(t.Context(), "a", func(ctx context.Context) error {
		return p.outbox.Webhooks(ctx, hook(1))
	})
	require.ErrorContains(t, err, "the transaction is that of another store; set Options.Pool with a pgxstore")
	require.Equal(t, 0, p.jobs(""))
}

// TestWebhooks_Retry checks when a webhook is tried again.
func TestWebhooks_Retry(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		waits := map[string]string{"msg_0": "", "msg_1": "1800", "msg_2": "18000", "msg_3": "5"}
		r := newReceiver(t, &receiver{answer: func(w http.ResponseWriter, id string) {
			w.Header().Set("Retry-After", waits[id])
			w.WriteHeader(http.StatusServiceUnavailable)
		}})
		p := d.process(t, "smtp://127.0.0.1:1", r.url, nil).migrate()
		for n := range waits {
			d := hook(0)
			d.ID = n
			p.queue(d)
		}
		failures := "array_fill(CAST('{}' AS jsonb), ARRAY[6])"
		if d.schema() == sqlstore.SQLite {
			failures = "'[{},{},{},{},{},{}]'"
		}
		p.exec("UPDATE river_job SET errors = " + failures + " WHERE CAST(args AS text) LIKE '%msg_3%'")
		require.NoError(t, p.outbox.Start(t.Context()))
		eventually(t, "the first attempts", func() bool {
			ids, _ := r.received()
			return len(distinct(ids)) == len(waits)
		})
		p.stop()
		for id, want := range map[string][2]float64{ // in seconds
			"msg_0": {0.5, 60}, "msg_1": {1790, 1830}, "msg_2": {3590, 3630}, "msg_3": {2100, 2700},
		} {
			wait := p.wait(id)
			require.GreaterOrEqual(t, wait, want[0], id)
			require.LessOrEqual(t, wait, want[1], id)
		}
		require.Contains(t, p.log.String(), "the receiver answered 503")
	})
}

// wait returns the seconds between the last attempt of a webhook and the next.
func (p *process) wait(id string) (seconds float64) {
	p.t.Helper()
	span := "extract(epoch FROM scheduled_at - attempted_at)"
	if p.d.schema() == sqlstore.SQLite {
		span = "(julianday(scheduled_at) - julianday(attempted_at)) * 86400"
	}
	require.NoError(p.t, p.db.QueryRow("SELECT "+span+" FROM river_job WHERE CAST(args AS text) LIKE '%"+id+"%'").
		Scan(&seconds))
	return seconds
}

// TestWebhooks_SameID checks that the attempts of a webhook are identical.
func TestWebhooks_SameID(t *testing.T) {
	each(t, func(t *testing.T, d database) {
		tries := 0
		r := newReceiver(t, &receiver{answer: func(w http.ResponseWriter, _ string) {
			if tries++; tries < 3 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}})
		p := d.process(t, "smtp://127.0.0.1:1", r.url, nil).migrate().start()
		p.queue(hook(7))
		eventually(t, "the second attempt", func() bool { ids, _ := r.received(); return len(ids) >= 2 })
		eventually(t, "the failure of the second attempt", func() bool { return p.jobs("retryable") == 1 })
		p.exec("UPDATE river_job SET scheduled_at = attempted_at") // instead of waiting
		p.awaitCompleted()
		ids, bodies := r.received()
		require.Equal(t, []string{"msg_7", "msg_7", "msg_7"}, ids)
		require.Equal(t, []string{`{"n":7}`, `{"n":7}`, `{"n":7}`}, bodies)
	})
}

// TestWebhooks_SlowReceiver checks that a receiver that hangs does not delay emails.
func TestWebhooks_SlowReceiver(t *testing.T) {
	s := newServer(t, &server{})
	release := make(chan struct{})
	p := onSQLite(t).process(t, s.url, "", func(o *outbox.Options) {
		o.RescueAfter = 10 * time.Minute
		o.Deliver = func(context.Context, webhook.Delivery) error { <-release; return nil }
	}).migrate().start()
	for n := range 20 {
		p.queue(hook(n))
	}
	p.queue(message(1))
	eventually(t, "the email to be sent", func() bool { return len(s.ids(&s.taken)) == 1 })
	close(release)
	p.awaitCompleted()
}
