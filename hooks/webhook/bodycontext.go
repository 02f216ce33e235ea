package webhook

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
)

// bodyContext is what a body gets as its ctx, with the names that Kratos has
// (https://www.ory.sh/docs/guides/integrate-with-ory-cloud-through-webhooks#jsonnet-templating).
// Cookies, tokens, the query string and the session's ID are not in it.
type bodyContext struct {
	Flow           bodyFlow          `json:"flow"`
	RequestHeaders http.Header       `json:"request_headers"`
	RequestMethod  string            `json:"request_method"`
	RequestURL     string            `json:"request_url"`
	RequestCookies map[string]string `json:"request_cookies"` // always empty
	Identity       json.RawMessage   `json:"identity,omitempty"`
	Session        *bodySession      `json:"session,omitempty"`
}

// bodyFlow is the flow. flowhook stores no flows, so that the ID is that of the message.
type bodyFlow struct {
	ID         string            `json:"id"`
	Name       flowhook.Flow     `json:"name"`
	Phase      flowhook.Phase    `json:"phase"`
	Type       string            `json:"type"`
	Active     flowhook.Strategy `json:"active,omitempty"`
	RequestURL string            `json:"request_url"`
}

type bodySession struct {
	Active          bool            `json:"active"`
	AuthenticatedAt time.Time       `json:"authenticated_at"`
	IssuedAt        time.Time       `json:"issued_at"`
	ExpiresAt       time.Time       `json:"expires_at"`
	Identity        json.RawMessage `json:"identity,omitempty"`
}

// contextHeaders are the headers of the request that Kratos shows to a body.
var contextHeaders = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Content-Length", "Content-Type", "Origin", "Priority", "Referer",
	"Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "True-Client-Ip", "User-Agent",
}

// newBodyContext returns the ctx for one call.
func newBodyContext(id string, x *flowhook.Exchange, identity json.RawMessage) *bodyContext {
	p := x.Point()
	c := &bodyContext{
		Flow:           bodyFlow{ID: id, Name: p.Flow, Phase: p.Phase, Type: "browser", Active: p.Strategy},
		RequestHeaders: http.Header{},
		RequestCookies: map[string]string{},
		Identity:       identity,
	}
	if s := x.Session; s != nil {
		c.Session = &bodySession{true, s.AuthenticatedAt.UTC(), s.IssuedAt.UTC(), s.ExpiresAt.UTC(), identity}
	}
	r := x.Request
	if r == nil {
		c.Flow.Type = "api"
		return c
	}
	for _, name := range contextHeaders {
		if values := headerValues(r, name); len(values) > 0 {
			c.RequestHeaders[name] = values
		}
	}
	u := withoutQuery(r.URL)
	u.Scheme, u.Host = "http", r.Host
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		u.Scheme = "https"
	}
	c.RequestMethod, c.RequestURL, c.Flow.RequestURL = r.Method, u.String(), u.String()
	return c
}
