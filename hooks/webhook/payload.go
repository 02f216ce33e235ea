package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/flowhook/flowhook"
)

// A message is a delivery whose body is still to be made. It holds nothing of the exchange.
type message struct {
	hook    *hook
	d       Delivery
	payload *payload
	context *bodyContext
}

// payload is the JSON of an entry without a body.
type payload struct {
	Flow     flowhook.Flow     `json:"flow"`
	Phase    flowhook.Phase    `json:"phase"`
	Strategy flowhook.Strategy `json:"strategy,omitempty"`
	Time     time.Time         `json:"time"`
	Identity json.RawMessage   `json:"identity,omitempty"`
	Error    *payloadError     `json:"error,omitempty"`
}

// payloadError is why a flow failed. It has a code for programs, and no text.
type payloadError struct {
	Code string `json:"code"`
}

// identity is the identity in a payload, unless Options.Describe has another.
type identity struct {
	ID        string    `json:"id"`
	Addresses []address `json:"addresses"`
}

type address struct {
	Via      string `json:"via"`
	Value    string `json:"value"`
	Verified bool   `json:"verified"`
}

// message takes what a request needs from the exchange.
func (h *hook) message(ctx context.Context, x *flowhook.Exchange) (*message, error) {
	now := h.webhook.now().UTC()
	m := &message{hook: h, d: Delivery{ID: newID(), Hook: h.name, Created: now, Forwarded: h.forwarded(x.Request)}}
	identity, err := h.describe(ctx, x)
	if err != nil {
		return nil, err
	}
	switch {
	case h.body != nil:
		m.context = newBodyContext(m.d.ID, x, identity)
	case h.payload:
		p := x.Point()
		m.payload = &payload{Flow: p.Flow, Phase: p.Phase, Strategy: p.Strategy, Time: now, Identity: identity}
		if p.Phase == flowhook.Failed {
			m.payload.Error = &payloadError{codeOf(x.Err)}
		}
	}
	return m, nil
}

// delivery makes the body. It may take as long as Options.Body does.
func (m *message) delivery() (Delivery, error) {
	d, err := m.d, error(nil)
	switch {
	case m.context != nil:
		d.Body, err = m.hook.body(m.context)
		if errors.Is(err, ErrCanceled) {
			return d, err
		} else if err == nil && m.hook.form {
			d.Body, err = encodeForm(d.Body)
		}
		if err != nil {
			return d, fmt.Errorf("webhook: body: %w", err)
		}
	case m.payload != nil:
		if d.Body, err = json.Marshal(m.payload); err != nil {
			return d, fmt.Errorf("webhook: payload: %w", err)
		}
	default:
		return d, nil
	}
	d.ContentType = cmp.Or(m.hook.header.Get("Content-Type"), "application/json")
	return d, nil
}

// describe returns the identity as JSON, or nil if there is none. JSON is a copy, so that it does not
// change with the exchange.
func (h *hook) describe(ctx context.Context, x *flowhook.Exchange) (json.RawMessage, error) {
	if x.Identity == nil {
		return nil, nil
	}
	var described any
	if describe := h.webhook.opts.Describe; describe != nil {
		var err error
		if described, err = describe(ctx, x); err != nil {
			return nil, fmt.Errorf("webhook: Options.Describe: %w", err)
		}
	} else {
		addresses := make([]address, len(x.Identity.Addresses))
		for i, a := range x.Identity.Addresses {
			addresses[i] = address(a)
		}
		described = identity{x.Identity.ID, addresses}
	}
	text, err := json.Marshal(described)
	if err != nil {
		return nil, fmt.Errorf("webhook: Options.Describe: %w", err)
	}
	return text, nil
}

// forwarded returns the headers of the request that the entry forwards.
func (h *hook) forwarded(r *http.Request) http.Header {
	var header http.Header
	if r == nil {
		return nil
	}
	for _, name := range h.forwards {
		if values := headerValues(r, name); len(values) > 0 {
			if header == nil {
				header = http.Header{}
			}
			header[name] = values
		}
	}
	return header
}

// headerValues returns a copy of the values of a header. URLs lose their query and user.
func headerValues(r *http.Request, name string) []string {
	var values []string
	for _, value := range r.Header[name] {
		if name == "Referer" {
			u, err := url.Parse(value)
			if err != nil {
				continue
			}
			value = withoutQuery(u).String()
		}
		values = append(values, value)
	}
	return values
}

// withoutQuery returns the part of a URL that holds no secrets.
func withoutQuery(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
}

// codeOf returns a code for why a flow failed.
func codeOf(err error) string {
	var refused *flowhook.Refusal
	switch {
	case errors.As(err, &refused):
		return cmp.Or(refused.Code, "refused")
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "internal"
}

// encodeForm returns a JSON object of strings as a form, as Kratos does.
func encodeForm(body []byte) ([]byte, error) {
	var values map[string]string
	if json.Unmarshal(body, &values) != nil {
		return nil, errors.New("not an object of strings, which a form needs")
	}
	form := url.Values{}
	for key, value := range values {
		form.Set(key, value)
	}
	return []byte(form.Encode()), nil
}
