package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// defaultTimeout is the budget of an entry without a timeout.
const defaultTimeout = 5 * time.Second

// ErrUnavailable means that a gate has no usable answer: all attempts have failed. The flow does
// not go on, unless the entry has on_error: continue. It is not a Refusal, because the failure is
// the service's, and not the user's.
var ErrUnavailable = errors.New("webhook: no usable answer")

// A hook is one entry. It never changes, so that all requests can share it.
type hook struct {
	webhook  *Webhook
	config   config
	name     string // Delivery.Hook
	gate     bool
	resumes  bool // on_error: continue
	attempts int
	payload  bool // without a body, the requests have flowhook's own
	form     bool
	body     func(ctx any) ([]byte, error) // nil for flowhook's own

	// What the requests have in common.
	blank    *http.Request // the method and the URL
	header   http.Header   // with the credentials
	forwards []string
	signers  []*standardwebhooks.Webhook
}

// newHook returns the hook of an entry, or everything that is wrong with it.
func (w *Webhook) newHook(p flowhook.Point, c config) (*hook, problems) {
	h := &hook{webhook: w, config: c, attempts: defaultAttempts, resumes: c.OnError == "continue"}
	wrong := &problems{}
	url := w.target(c, wrong)
	method, payload := c.method(wrong)
	h.payload = payload
	h.header = c.headers(wrong)
	h.form = form(h.header, wrong)
	h.forwards = c.forwards(wrong)
	h.signers = c.signers(wrong)
	h.gate = c.isGate(p, wrong)
	if c.Attempts != nil {
		if h.attempts = *c.Attempts; h.attempts < 1 || h.attempts > maxAttempts {
			wrong.add("attempts", "correct it", "attempts is %d; want 1 to %d", h.attempts, maxAttempts)
		}
	}
	if c.Response.Parse && w.opts.Apply == nil {
		wrong.add("response.parse", "set it, or remove response.parse", "response.parse needs webhook.Options.Apply")
	}
	h.body = w.compile(c, wrong)
	if h.form && c.Body == "" && h.payload {
		wrong.add("headers", "write a body", "flowhook's own payload is JSON, and the header asks for a form")
	}
	if len(*wrong) > 0 {
		return nil, *wrong
	}
	if h.header["User-Agent"] == nil {
		h.header.Set("User-Agent", "flowhook")
	}
	h.blank = &http.Request{Method: method, URL: url, Host: url.Host}
	sum := sha256.Sum256([]byte(method + "\n" + c.URL))
	h.name = p.String() + " " + cmp.Or(c.ID, hex.EncodeToString(sum[:16]))
	return h, nil
}

// compile returns what makes the payload, or nil if there is no body.
func (w *Webhook) compile(c config, wrong *problems) func(ctx any) ([]byte, error) {
	switch {
	case c.Body == "":
		return nil
	case w.opts.Body == nil:
		wrong.add("body", "set it to jsonnet.Body, or remove body", "body needs webhook.Options.Body")
		return nil
	}
	body, err := w.opts.Body(c.Body)
	if err != nil {
		wrong.add("body", "", "%v", err)
	} else if body == nil {
		wrong.add("body", "", "webhook.Options.Body returned no function")
	}
	return body
}

// isGate reports whether an entry is a gate, and what in it contradicts that.
func (c config) isGate(p flowhook.Point, wrong *problems) bool {
	key := ""
	switch {
	case c.Response.Parse:
		key = "response.parse"
	case c.CanInterrupt:
		key = "can_interrupt"
	}
	switch {
	case c.Mode != "" && c.Mode != "gate" && c.Mode != "notify":
		wrong.add("mode", `use "gate" or "notify"`, "unknown mode %q", c.Mode)
	case c.Response.Ignore && key != "":
		wrong.add(key, "remove one", "response.ignore contradicts %s", key)
	case c.Mode == "gate" && c.Response.Ignore:
		wrong.add("mode", "remove one", "response.ignore contradicts mode: gate")
	case c.Mode == "notify" && key != "":
		wrong.add("mode", "remove one", "%s contradicts mode: notify", key)
	}
	gate := c.Mode == "gate" || key != "" || c.Mode == "" && !c.Response.Ignore && p.Phase == flowhook.Before
	switch {
	case c.OnError != "" && c.OnError != "refuse" && c.OnError != "continue":
		wrong.add("on_error", `use "refuse" or "continue"`, "unknown on_error %q", c.OnError)
	case c.OnError != "" && !gate:
		wrong.add("on_error", "remove it, or write mode: gate",
			"on_error is for gates, and nothing waits for a notification")
	}
	if gate && p.Phase == flowhook.Failed {
		wrong.add(cmp.Or(key, "mode"), "write mode: notify", "a gate cannot be at failed, because the flow has failed already")
	}
	return gate
}

// Key implements [flowhook.Keyer]: Deliver finds an entry by its name.
func (h *hook) Key() (key, hint string) {
	if h.gate {
		return "", ""
	}
	return h.name, "give each an id of its own"
}

// Started implements [flowhook.Starter]. From now on, deliveries have the settings of this entry.
func (h *hook) Started() {
	if !h.gate {
		h.webhook.known.put(h)
	}
}

// Run calls the receiver and waits for its answer, or sends a notification.
func (h *hook) Run(ctx context.Context, x *flowhook.Exchange) error {
	if !h.gate {
		return h.notify(ctx, x)
	}
	if x.Point().Phase == flowhook.After {
		return errors.New("webhook: a gate in the transaction; write phase: before_persist")
	}
	return h.ask(ctx, x)
}

// notify sends a notification as late as the point allows.
func (h *hook) notify(ctx context.Context, x *flowhook.Exchange) error {
	w := h.webhook
	m, err := h.message(ctx, x)
	if err != nil {
		return err
	}
	limit := budget(ctx)
	send := func(ctx context.Context) error {
		d, err := m.delivery()
		switch {
		case errors.Is(err, ErrCanceled):
			return nil
		case err != nil:
			return err
		case w.opts.Outbox != nil:
			return w.opts.Outbox(ctx, d)
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		_, err = h.send(ctx, d)
		return err
	}
	phase := x.Point().Phase
	if phase == flowhook.Failed || phase == flowhook.After && w.opts.Outbox != nil {
		return send(ctx)
	}
	x.AfterCommit(send)
	return nil
}

// ask calls the receiver of a gate.
func (h *hook) ask(ctx context.Context, x *flowhook.Exchange) error {
	m, err := h.message(ctx, x)
	if err != nil {
		return err
	}
	d, err := m.delivery()
	if errors.Is(err, ErrCanceled) {
		return nil
	} else if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, budget(ctx))
	defer cancel()
	body, err := h.send(limited, d)
	var identity []byte
	if err == nil && h.config.Response.Parse {
		identity, err = identityIn(body)
	}
	var rejected *rejection
	switch {
	case err == nil:
		if identity == nil || x.Point().Phase != flowhook.BeforePersist {
			return nil
		}
		return h.webhook.opts.Apply(ctx, x, identity)
	case ctx.Err() != nil: // the client has gone
		return ctx.Err()
	case errors.As(err, &rejected) && rejected.no():
		if r := rejected.refusal(); r != nil {
			return r
		}
	case h.resumes:
		slog.WarnContext(ctx, "webhook: going on without an answer", "hook", h.name,
			"point", x.Point().String(), "at", x.Position().String(), "error", err)
		return nil
	}
	return &unavailable{err}
}

// budget returns how long a hook may take: what is left until ctx ends, less a margin, so that the
// hook still decides about a late answer itself; or 5 seconds.
func budget(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return defaultTimeout
	}
	left := time.Until(deadline)
	return left - min(left/10, 200*time.Millisecond)
}

// newID returns a webhook-id.
func newID() string { return "msg_" + rand.Text() }
