package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

// A message is a delivery. If the entry has a body, it is still to be made. A message holds nothing
// of the exchange.
type message struct {
	hook    *hook
	d       Delivery
	context *bodyContext
}

// payload is the JSON of an entry without a body.
type payload struct {
	Flow     flowhook.Flow     `json:"flow"`
	Phase    flowhook.Phase    `json:"phase"`
	Strategy flowhook.Strategy `json:"strategy,omitempty"`
	Time     time.Time         `json:"time"`
	Identity any               `json:"identity,omitempty"`
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
	if h.body == nil && !h.payload {
		return m, nil
	}
	identity, err := h.describe(ctx, x)
	if err != nil {
		return nil, fmt.Errorf("webhook: Options.Describe: %w", err)
	}
	m.d.ContentType = cmp.Or(h.header.Get("Content-Type"), "application/json")
	if h.body != nil {
		var text json.RawMessage
		if identity != nil { // a copy, which does not change with the exchange
			if text, err = json.Marshal(identity); err != nil {
				return nil, fmt.Errorf("webhook: Options.Describe: %w", err)
			}
		}
		m.context = newBodyContext(m.d.ID, x, text)
		return m, nil
	}
	p := x.Point()
	own := payload{Flow: p.Flow, Phase: p.Phase, Strategy: p.Strategy, Time: now, Identity: identity}
	if p.Phase == flowhook.Failed {
		own.Error = &payloadError{codeOf(x.Err)}
	}
	if m.d.Body, err = json.Marshal(&own); err != nil {
		return nil, fmt.Errorf("webhook: Options.Describe: %w", err)
	}
	return m, nil
}

// delivery makes the body. It may take as long as Options.Body does.
func (m *message) delivery() (Delivery, error) {
	if m.context == nil {
		return m.d, nil
	}
	d := m.d
	body, err := m.hook.body(m.context)
	if errors.Is(err, ErrCanceled) {
		return d, err
	} else if err == nil && m.hook.form {
		body, err = encodeForm(body)
	}
	if err != nil {
		return d, fmt.Errorf("webhook: body: %w", err)
	}
	d.Body = body
	return d, nil
}

// describe returns the identity for encoding/json, or nil if there is none.
func (h *hook) describe(ctx context.Context, x *flowhook.Exchange) (any, error) {
	if x.Identity == nil {
		return nil, nil
	}
	if describe := h.webhook.opts.Describe; describe != nil {
		return describe(ctx, x)
	}
	addresses := make([]address, len(x.Identity.Addresses))
	for i, a := range x.Identity.Addresses {
		addresses[i] = address(a)
	}
	return &identity{x.Identity.ID, addresses}, nil
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

// maxHeaderValue is how much of a header's value leaves the service, in bytes. A client could
// otherwise make a payload too large, and so suppress a webhook about itself.
const maxHeaderValue = 1 << 10

// headerValues returns a copy of the values of a header, cut if they are long. URLs lose their query
// and user.
func headerValues(r *http.Request, name string) []string {
	var values []string
	for _, value := range r.Header[name] {
		if name == "Referer" || strings.HasSuffix(name, "-Uri") || strings.HasSuffix(name, "-Url") {
			u, err := url.Parse(value)
			if err != nil {
				continue
			}
			value = withoutQuery(u).String()
		}
		if len(value) > maxHeaderValue {
			value = strings.ToValidUTF8(value[:maxHeaderValue], "")
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
