package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// TestNotify_AfterCommit asserts that a notification is sent once, after the commit.
func TestNotify_AfterCommit(t *testing.T) {
	store := &countingStore{Store: memstore.New()}
	var open, saved, early atomic.Int64
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		open.Add(store.open.Load())
		early.Add(1 - saved.Load())
		w.WriteHeader(http.StatusNoContent)
	})
	hooks := r.hooks(t)
	for _, c := range []struct{ phase, rest string }{
		{"after", r.entry("mode: notify")},
		{"after", "phase: after, " + r.entry("response: {ignore: true}")},
		{"after", r.entry("method: POST")},
		{"after", "phase: before_persist, " + r.entry("mode: notify")},
	} {
		saved.Store(0)
		opts := options(hooks)
		opts.Store = store
		rig := hooktest.NewWith(t, parse(t, loginFile(c.phase, c.rest)), opts)
		save := func(context.Context) error { saved.Store(1); return nil }
		require.NoError(t, rig.Complete(flowhook.Login, flowhook.Password, alice(), save).Err)
		require.Len(t, r.take(), 1)
	}
	require.Zero(t, open.Load(), "a transaction was open")
	require.Zero(t, early.Load(), "save had not run")
}

// TestNotify_Rollback asserts that nothing is sent if the flow fails.
func TestNotify_Rollback(t *testing.T) {
	r := receive(t, nil)
	rig := pipeline(t, r.hooks(t), loginFile("after", r.entry("mode: notify")))
	failed := errors.New("save has failed")
	got := rig.Complete(flowhook.Login, flowhook.Password, alice(), func(context.Context) error { return failed })
	require.ErrorIs(t, got.Err, failed)
	require.Empty(t, r.take())
}

// TestNotify_Failure asserts that a notification that fails is repeated and logged, and fails
// nothing.
func TestNotify_Failure(t *testing.T) {
	for code, calls := range map[int]int{503: 3, 429: 3, 404: 1, 302: 1} {
		r := receive(t, status(code, ""))
		got := login(pipeline(t, r.hooks(t), loginFile("after", r.entry("mode: notify"))))
		require.NoError(t, got.Err)
		require.Len(t, r.take(), calls)
		require.Contains(t, got.Log, "failed after the commit")
	}
}

// TestNotify_Late asserts that a notification keeps to the timeout of its entry after the commit.
func TestNotify_Late(t *testing.T) {
	r := receive(t, func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	got := login(pipeline(t, r.hooks(t), loginFile("after", "timeout: 1s, "+r.entry("mode: notify"))))
	require.NoError(t, got.Err)
	require.Contains(t, got.Log, "no answer in time")
	require.Len(t, r.take(), 1)
}

// TestNotify_Failed sends a notification about a failure.
func TestNotify_Failed(t *testing.T) {
	r := receive(t, nil)
	rig := pipeline(t, r.hooks(t), loginFile("failed", r.entry("mode: notify")))
	for _, c := range []struct {
		err  error
		code string
	}{
		{flowhook.Refuse(403, "wrong_password", "Wrong."), "wrong_password"},
		{&flowhook.Refusal{}, "refused"},
		{errors.New("a secret of the database"), "internal"},
		{context.Canceled, "canceled"},
	} {
		got := rig.Complete(flowhook.Login, flowhook.Password, alice(), func(context.Context) error { return c.err })
		require.ErrorIs(t, got.Err, c.err)
		calls := r.take()
		require.Len(t, calls, 1)
		var sent struct {
			Phase string
			Error struct{ Code string }
		}
		require.NoError(t, json.Unmarshal([]byte(calls[0].body), &sent))
		require.Equal(t, c.code, sent.Error.Code)
		require.Equal(t, "failed", sent.Phase)
	}
}

// TestNotify_Before sends what Kratos sends in the background.
func TestNotify_Before(t *testing.T) {
	r := receive(t, status(500, ""))
	got := login(pipeline(t, r.hooks(t), loginFile("before", r.entry("response: {ignore: true}"))))
	require.NoError(t, got.Err)
	require.Len(t, r.take(), 3)
}

type txKey struct{}

// markingStore marks the context of its transactions.
type markingStore struct{ *memstore.Store }

func (s markingStore) Transaction(ctx context.Context, id string, fn func(ctx context.Context) error) error {
	return s.Store.Transaction(ctx, id, func(ctx context.Context) error {
		return fn(context.WithValue(ctx, txKey{}, true))
	})
}

// TestOutbox asserts where a notification is put into the outbox, and that the request is what
// Deliver sends.
func TestOutbox(t *testing.T) {
	r := receive(t, nil)
	type queuing struct {
		delivery webhook.Delivery
		inTx     bool
	}
	var queue []queuing
	var fail error
	hooks := r.hooks(t, func(o *webhook.Options) {
		o.Outbox = func(ctx context.Context, d webhook.Delivery) error {
			queue = append(queue, queuing{d, ctx.Value(txKey{}) != nil})
			return fail
		}
	})
	for _, c := range []struct {
		phase, rest string
		inTx        bool
	}{
		{"after", r.entry("mode: notify, secrets: [" + secretOne + "], forward_headers: [X-Request-Id, Referer]"), true},
		{"after", "phase: before_persist, " + r.entry("mode: notify"), false},
		{"before", r.entry("mode: notify"), false},
	} {
		queue, fail = nil, nil
		opts := options(hooks)
		opts.Store = markingStore{memstore.New()}
		rig := hooktest.NewWith(t, parse(t, loginFile(c.phase, c.rest)), opts)
		x := alice()
		x.Request, _ = http.NewRequest(http.MethodPost, "https://auth.example/login", nil)
		x.Request.Header.Set("X-Request-Id", "request-1")
		x.Request.Header.Set("Referer", "https://u:p@auth.example/login?token=t#f")
		require.NoError(t, rig.Complete(flowhook.Login, flowhook.Password, x, nil).Err)
		require.Empty(t, r.take())
		require.Len(t, queue, 1)
		require.Equal(t, c.inTx, queue[0].inTx)

		text, err := json.Marshal(queue[0].delivery)
		require.NoError(t, err)
		var d webhook.Delivery
		require.NoError(t, json.Unmarshal(text, &d))
		require.NoError(t, hooks.Deliver(t.Context(), d))
		require.NoError(t, hooks.Deliver(t.Context(), d))
		calls := r.take()
		require.Len(t, calls, 2)
		require.Equal(t, calls[0].Header.Get("webhook-id"), calls[1].Header.Get("webhook-id"))
		require.Equal(t, string(d.Body), calls[0].body)
		require.Equal(t, "application/json", calls[0].Header.Get("Content-Type"))
		if strings.Contains(c.rest, "forward_headers") {
			require.Equal(t, "request-1", calls[0].Header.Get("X-Request-Id"))
			require.Equal(t, "https://auth.example/login", calls[0].Header.Get("Referer"))
			require.NotEmpty(t, calls[0].Header.Get("webhook-signature"))
		}

		fail = errors.New("the queue is full")
		got := rig.Complete(flowhook.Login, flowhook.Password, alice(), nil)
		require.Equal(t, c.inTx, errors.Is(got.Err, fail), "%v", got.Err)
		require.Equal(t, !c.inTx, strings.Contains(got.Log, "the queue is full"))
	}
}

// TestOutbox_Failed asserts that the outbox is asked at failed, too, without a transaction.
func TestOutbox_Failed(t *testing.T) {
	r := receive(t, nil)
	var queue []webhook.Delivery
	hooks := r.hooks(t, func(o *webhook.Options) {
		o.Outbox = func(ctx context.Context, d webhook.Delivery) error {
			require.Nil(t, ctx.Value(txKey{}))
			queue = append(queue, d)
			return errors.New("the queue is full")
		}
	})
	opts := options(hooks)
	opts.Store = markingStore{memstore.New()}
	rig := hooktest.NewWith(t, parse(t, loginFile("failed", r.entry("mode: notify"))), opts)
	failed := errors.New("save has failed")
	got := rig.Complete(flowhook.Login, flowhook.Password, alice(), func(context.Context) error { return failed })
	require.ErrorIs(t, got.Err, failed)
	require.Contains(t, got.Log, "the queue is full")
	require.Len(t, queue, 1)
	require.Empty(t, r.take())
}

// TestOutbox_Gate asserts that a gate does not use the outbox.
func TestOutbox_Gate(t *testing.T) {
	r := receive(t, nil)
	hooks := r.hooks(t, func(o *webhook.Options) {
		o.Outbox = func(context.Context, webhook.Delivery) error {
			t.Error("queued")
			return nil
		}
	})
	require.NoError(t, login(pipeline(t, hooks, loginFile("after", r.entry("mode: gate")))).Err)
	require.Len(t, r.take(), 1)
}

// TestDeliver_Unknown delivers for an entry that the file does not have. Another process may have it,
// so another attempt may help.
func TestDeliver_Unknown(t *testing.T) {
	err := newHooks(t, webhook.Options{}).Deliver(t.Context(), webhook.Delivery{Hook: "removed"})
	var retry *webhook.RetryError
	require.ErrorAs(t, err, &retry)
	require.NotErrorIs(t, err, webhook.ErrRejected)
	require.ErrorContains(t, err, `"removed"`)
}

// TestDeliver_Settings asserts whose settings a delivery gets: those of the configuration that was
// accepted last, whether or not a hook has run.
func TestDeliver_Settings(t *testing.T) {
	r := receive(t, nil)
	hooks := r.hooks(t)
	file := func(version string) string {
		return loginFile("after", r.entry("id: crm, mode: notify, headers: {X-Version: "+version+"}"))
	}
	delivery := webhook.Delivery{ID: "msg_1", Hook: "login/after crm"}
	version := func() string {
		t.Helper()
		require.NoError(t, hooks.Deliver(t.Context(), delivery))
		return r.take()[0].Header.Get("X-Version")
	}
	parse(t, file("checked")).Check(options(hooks))
	require.ErrorContains(t, hooks.Deliver(t.Context(), delivery), "no entry", "the file was only checked")
	p, err := flowhook.New(parse(t, file("one")), options(hooks))
	require.NoError(t, err)
	require.Equal(t, "one", version())
	parse(t, file("checked")).Check(options(hooks))
	require.Error(t, p.Reload(parse(t, loginFile("after", r.entry("id: crm, mode: notify, attempts: 99")))))
	require.Equal(t, "one", version())
	require.NoError(t, p.Reload(parse(t, file("two"))))
	require.Equal(t, "two", version(), "although it has not run")
}

// TestDeliver_Names asserts that entries at different points have different names, also with one id,
// and the same names in the next process.
func TestDeliver_Names(t *testing.T) {
	r := receive(t, nil)
	names := func() (list []string) {
		hooks := r.hooks(t, func(o *webhook.Options) {
			o.Outbox = func(_ context.Context, d webhook.Delivery) error {
				list = append(list, d.Hook)
				return nil
			}
		})
		for _, phase := range []string{"before", "after", "failed"} {
			for _, keys := range []string{"mode: notify", "mode: notify, method: PUT", "mode: notify, id: crm"} {
				rig := pipeline(t, hooks, loginFile(phase, r.entry(keys)))
				rig.Complete(flowhook.Login, flowhook.Password, alice(), func(context.Context) error {
					if phase == "failed" {
						return errors.New("failed")
					}
					return nil
				})
			}
		}
		return list
	}
	one, distinct := names(), map[string]bool{}
	for _, name := range one {
		distinct[name] = true
		require.NotContains(t, name, "in-url")
	}
	require.Len(t, distinct, 9)
	require.Equal(t, one, names())
}
