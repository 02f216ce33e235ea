// Package webhook is the web_hook hook: it tells another service about a flow, or asks it whether
// the flow may go on. It reads the config that Ory Kratos has for the hook.
//
//	hooks, err := webhook.New(webhook.Options{})
//	...
//	flowhook.Options{Hooks: map[string]flowhook.HookFactory{"web_hook": hooks.Factory}}
//
// An entry is a gate or a notification. A gate runs before anything is saved, outside the
// transaction, and waits for the answer, which may refuse the flow. A notification is sent after
// the commit, or by an outbox. Requests are signed as Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), and
// never reach a private network that [Options.Allow] does not name.
package webhook

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"time"

	"code.dny.dev/ssrf"
	"github.com/cenkalti/backoff/v5"
	"github.com/flowhook/flowhook"
)

// Options are what the file cannot say. The zero Options call public https addresses at port 443.
type Options struct {
	// Allow lists the private networks that may be called. Loopback, private, link-local,
	// metadata, NAT64 and mapped addresses are refused otherwise, after DNS. Default: none.
	Allow []netip.Prefix

	// Ports are the ports that may be called. Default: 443.
	Ports []uint16

	// Insecure allows plain http and every port, whatever Ports has. It is for development. Allow
	// still decides about networks.
	Insecure bool

	// Describe returns the identity in the payload, a value for encoding/json. It is called only if
	// x.Identity is not nil, and for notifications at After in the transaction. Its error fails the
	// hook. Default: the ID and the addresses.
	Describe func(ctx context.Context, x *flowhook.Exchange) (any, error)

	// Apply does what an entry with response.parse asks for: it receives the identity in the answer
	// and changes x.Identity. It is called at BeforePersist, on the goroutine of the run. Its error
	// fails the hook. Default: none, and response.parse is an error at load.
	Apply func(ctx context.Context, x *flowhook.Exchange, identity json.RawMessage) error

	// Outbox puts a notification into a queue whose worker calls Deliver. At After, ctx carries the
	// transaction, and the error fails the hook. At Failed, there is no transaction. At Before and
	// BeforePersist, Outbox is called after the commit. Default: none, and a notification is sent
	// after the commit, best effort.
	Outbox func(ctx context.Context, d Delivery) error

	// Body compiles the body of an entry, such as jsonnet.Body. What it returns is called with the
	// value that Kratos calls ctx, concurrently, and may return an error that is ErrCanceled.
	// Default: none, and a body is an error at load.
	Body func(source string) (func(ctx any) ([]byte, error), error)

	// Client is for tests. Only its Transport is used: a nil one or an *http.Transport, such as
	// that of httptest. Its TLS settings stay, but it dials through the guard of Allow and Ports.
	Client *http.Client
}

// A Webhook makes the web_hook hooks of a pipeline and sends their requests. Create one for each
// pipeline: Deliver finds an entry by its name, and that of another pipeline may have the same. It is
// safe for concurrent use. Its connections are kept for reuse and close when idle.
type Webhook struct {
	opts   Options
	guard  *ssrf.Guardian
	dialer *net.Dialer
	client *http.Client
	known  registry
	now    func() time.Time
	wait   func() backoff.BackOff
}

// New returns a Webhook. It returns an error if an option makes no sense.
func New(opts Options) (*Webhook, error) {
	guard, err := newGuard(opts)
	if err != nil {
		return nil, err
	}
	dialer := newDialer(guard)
	client, err := newClient(opts.Client, dialer)
	if err != nil {
		return nil, err
	}
	return &Webhook{opts: opts, guard: guard, dialer: dialer, client: client, now: time.Now, wait: newWait}, nil
}

// Factory returns the hook of one entry. It is for Options.Hooks["web_hook"] of the pipeline, and for
// no second name, because queued deliveries of the two would be mixed up. What is wrong with an entry
// is a finding of its hook, at the key: an error of [flowhook.New].
func (w *Webhook) Factory(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	var c config
	if err := decode(&c); err != nil {
		return nil, err
	}
	h, wrong := w.newHook(p, c)
	if len(wrong) > 0 {
		return wrong, nil
	}
	return h, nil
}
