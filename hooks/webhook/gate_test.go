package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// A countingStore counts the transactions that are open and that have begun.
type countingStore struct {
	*memstore.Store
	open, begun atomic.Int64
}

func (s *countingStore) Transaction(ctx context.Context, id string, fn func(ctx context.Context) error) error {
	s.open.Add(1)
	s.begun.Add(1)
	defer s.open.Add(-1)
	return s.Store.Transaction(ctx, id, fn)
}

// TestGate_NoTransaction asserts that no transaction is open while a receiver answers a gate,
// wherever the gate is written.
func TestGate_NoTransaction(t *testing.T) {
	store := &countingStore{Store: memstore.New()}
	var open, saved atomic.Int64
	r := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		open.Add(store.open.Load())
		open.Add(saved.Load())
		w.WriteHeader(http.StatusNoContent)
	})
	apply := func(context.Context, *flowhook.Exchange, json.RawMessage) error { return nil }
	hooks := r.hooks(t, func(o *webhook.Options) { o.Apply = apply })
	for _, c := range []struct{ phase, rest string }{
		{"before", r.entry("mode: gate")},
		{"after", r.entry("mode: gate")},
		{"after", r.entry("response: {parse: true}")},
		{"after", r.entry("can_interrupt: true")},
		{"after", "phase: before_persist, " + r.entry("mode: gate")},
	} {
		saved.Store(0)
		opts := options(hooks)
		opts.Store = store
		rig := hooktest.NewWith(t, parse(t, loginFile(c.phase, c.rest)), opts)
		got := rig.Complete(flowhook.Login, flowhook.Password, alice(), func(context.Context) error {
			saved.Store(1)
			require.EqualValues(t, 1, store.open.Load())
			return nil
		})
		require.NoError(t, got.Err)
		require.Len(t, r.take(), 1)
		require.EqualValues(t, 1, saved.Load())
	}
	require.Zero(t, open.Load(), "a transaction was open, or save had run")
	require.EqualValues(t, 5, store.begun.Load())
}

// TestGate_Refusal asserts that a refusal of the receiver keeps everything from being saved.
func TestGate_Refusal(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want flowhook.Refusal
	}{
		"messages of Kratos": {
			`{"messages": [{"instance_ptr": "#/traits/email", "messages": [{"id": 1234, "text": "The address is taken.",
			"type": "error", "context": {"a": 1}}]}]}`,
			flowhook.Refusal{Status: 422, Code: "1234", Text: "The address is taken.", Field: "traits.email"},
		},
		"two messages": {
			`{"messages": [{"messages": [{"id": 7, "text": "One."}]}, {"instance_ptr": "#/b", "messages": [{"id": 8, "text": ""},
			{"id": 9, "text": "Two."}]}]}`,
			flowhook.Refusal{Status: 422, Code: "7", Text: "One. Two."},
		},
		"message without an ID": {
			`{"messages": [{"instance_ptr": "#/a~1b/c~0d", "messages": [{"text": "No."}]}]}`,
			flowhook.Refusal{Status: 422, Code: "webhook_refused", Text: "No.", Field: "a/b.c~d"},
		},
		"error": {
			`{"error": {"code": "too_young", "message": "You are too young.", "field": "birthday"}}`,
			flowhook.Refusal{Status: 422, Code: "too_young", Text: "You are too young.", Field: "birthday"},
		},
		"only a code": {`{"error": {"code": "no"}}`, flowhook.Refusal{Status: 422, Code: "no"}},
		"only a message": {`{"error": {"message": "No."}}`,
			flowhook.Refusal{Status: 422, Code: "webhook_refused", Text: "No."}},
		"unclean": {
			`{"error": {"code": "a b<", "message": "  a\u0000b\r\n\tc\u202Ed\u2066e\u2028f\u0007  ", "field": "x\u001b[1m"}}`,
			flowhook.Refusal{Status: 422, Code: "webhook_refused", Text: "a b cde f", Field: "x [1m"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := receive(t, status(422, c.body))
			rig := pipeline(t, r.hooks(t), loginFile("after", r.entry("mode: gate, on_error: continue")))
			got := rig.Complete(flowhook.Login, flowhook.Password, alice(), func(context.Context) error {
				t.Error("saved")
				return nil
			})
			require.NotNil(t, got.Refusal, "%v", got.Err)
			require.ErrorIs(t, got.Refusal.Err, webhook.ErrRejected)
			c.want.Err = got.Refusal.Err
			require.Equal(t, c.want, *got.Refusal)
			require.Len(t, r.take(), 1)
		})
	}
}

// TestGate_LongText asserts that a text for the user is cut.
func TestGate_LongText(t *testing.T) {
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'x'
	}
	r := receive(t, status(400, `{"error": {"code": "`+string(long)+`", "message": "`+string(long)+`", "field": "`+
		string(long)+`"}}`))
	got := login(pipeline(t, r.hooks(t), loginFile("before", r.entry("mode: gate"))))
	require.Len(t, got.Refusal.Text, 500)
	require.Len(t, got.Refusal.Field, 100)
	require.Equal(t, "webhook_refused", got.Refusal.Code)
}

// TestGate_NoText asserts that a 4xx without a text is a failure, and that on_error: continue does
// not turn a no into a yes.
func TestGate_NoText(t *testing.T) {
	for _, body := range []string{
		"", "no", "{}", "null", "[]", `{"error": "no"}`, `{"error": {}}`, `{"messages": []}`,
		`{"messages": [{"messages": []}]}`,
		`{"messages": [{"messages": [{"id": 3, "text": " "}]}]}`, `{"error": {"message": "cut`,
	} {
		r := receive(t, status(403, body))
		for _, keys := range []string{"mode: gate", "on_error: continue", "on_error: refuse"} {
			got := login(pipeline(t, r.hooks(t), loginFile("before", r.entry(keys))))
			require.ErrorIs(t, got.Err, webhook.ErrUnavailable, body)
			require.ErrorIs(t, got.Err, webhook.ErrRejected, body)
			require.Nil(t, got.Refusal, body)
		}
		require.Len(t, r.take(), 3, "one call each")
	}
}

// TestGate_Parse hands the identity in the answer to Apply.
func TestGate_Parse(t *testing.T) {
	errApply := errors.New("apply has failed")
	for name, c := range map[string]struct {
		status  int
		body    string
		applied string
		err     error
	}{
		"identity":    {200, `{"identity": {"metadata_public": {"plan": 1}}}`, `{"metadata_public": {"plan": 1}}`, nil},
		"created":     {201, `{"identity": "any JSON"}`, `"any JSON"`, nil},
		"null":        {200, `{"identity": null}`, "", nil},
		"none":        {200, `{}`, "", nil},
		"no body":     {200, "", "", nil},
		"no content":  {204, "", "", nil},
		"not JSON":    {200, "ok", "", webhook.ErrUnavailable},
		"cut":         {200, `{"identity": {`, "", webhook.ErrUnavailable},
		"Apply fails": {200, `{"identity": 1}`, "1", errApply},
	} {
		t.Run(name, func(t *testing.T) {
			r := receive(t, status(c.status, c.body))
			applied := ""
			hooks := r.hooks(t, func(o *webhook.Options) {
				o.Apply = func(ctx context.Context, x *flowhook.Exchange, identity json.RawMessage) error {
					applied = string(identity)
					x.Identity.Data = applied
					require.NoError(t, ctx.Err())
					if c.err != nil {
						return c.err
					}
					return nil
				}
			})
			x := alice()
			rig := pipeline(t, hooks, loginFile("after", r.entry("response: {parse: true}")))
			got := rig.Complete(flowhook.Login, flowhook.Password, x, func(context.Context) error {
				require.Equal(t, c.applied, applied, "before save")
				return nil
			})
			require.ErrorIs(t, got.Err, c.err)
			require.Equal(t, c.applied, applied)
			if c.err == nil && c.applied != "" {
				require.Equal(t, c.applied, x.Identity.Data)
			}
		})
	}
}

// TestGate_ParseBefore asserts that there is nothing to apply at before.
func TestGate_ParseBefore(t *testing.T) {
	r := receive(t, status(200, `{"identity": {}}`))
	hooks := r.hooks(t, func(o *webhook.Options) {
		o.Apply = func(context.Context, *flowhook.Exchange, json.RawMessage) error {
			t.Error("applied")
			return nil
		}
	})
	require.NoError(t, login(pipeline(t, hooks, loginFile("before", r.entry("response: {parse: true}")))).Err)
	require.Len(t, r.take(), 1)
}

// TestGate_Unavailable stops the receiver.
func TestGate_Unavailable(t *testing.T) {
	r := receive(t, nil)
	hooks := r.hooks(t)
	refuse := pipeline(t, hooks, loginFile("before", r.entry("mode: gate")))
	resume := pipeline(t, hooks, loginFile("before", r.entry("on_error: continue")))
	require.NoError(t, login(refuse).Err)
	r.Close()
	got := login(refuse)
	require.ErrorIs(t, got.Err, webhook.ErrUnavailable)
	require.ErrorContains(t, got.Err, "connection refused")
	require.NoError(t, login(resume).Err)
}

// TestGate_Describe lets Describe fail.
func TestGate_Describe(t *testing.T) {
	r := receive(t, nil)
	errDescribe := errors.New("no such user")
	for _, c := range []struct {
		value any
		err   error
	}{{nil, errDescribe}, {make(chan int), nil}} {
		hooks := r.hooks(t, func(o *webhook.Options) {
			o.Describe = func(context.Context, *flowhook.Exchange) (any, error) { return c.value, c.err }
		})
		for _, keys := range []string{"mode: gate", "mode: notify"} {
			got := login(pipeline(t, hooks, loginFile("after", r.entry(keys))))
			require.ErrorContains(t, got.Err, "Options.Describe")
			require.Equal(t, c.err != nil, errors.Is(got.Err, errDescribe))
		}
	}
	require.Empty(t, r.take())
}
