package webhook

import (
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// unsendable are headers that belong to the connection, or to the signature.
var unsendable = []string{
	"Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
}

// credential is in the name of a header of a client's request that is a credential, or that holds
// one.
var credential = regexp.MustCompile(`(?i)auth|cookie|csrf|jwt|key|oidc|secret|session|token`)

// headers returns the headers of the requests, with the credentials.
func (c config) headers(wrong *problems) http.Header {
	header := http.Header{}
	for name, value := range c.Headers {
		canonical, key := http.CanonicalHeaderKey(name), "headers."+name
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			wrong.add(key, "correct it", "the header %q has a name that HTTP does not allow", name)
		case !httpguts.ValidHeaderFieldValue(value):
			wrong.add(key, "remove line breaks and control characters",
				"the header %q has a value that HTTP does not allow", name)
		case slices.Contains(unsendable, canonical):
			wrong.add(key, "remove it", "the header %q cannot be configured", name)
		case header[canonical] != nil:
			wrong.add(key, "remove one", "the header %q is configured twice", canonical)
		default:
			header.Set(canonical, value)
		}
	}
	c.Auth.apply(header, wrong)
	return header
}

// apply adds the credentials to a header.
func (a *auth) apply(header http.Header, wrong *problems) {
	if a == nil {
		return
	}
	c := a.Config
	switch {
	case a.Type == "basic_auth" && (c.Name != "" || c.Value != "" || c.In != ""):
		wrong.add("auth.config", "remove the others", `auth of the type "basic_auth" has only the keys "user" and "password"`)
	case a.Type == "basic_auth" && (c.User == "" || strings.Contains(c.User, ":")):
		wrong.add("auth.config.user", "write one", `auth of the type "basic_auth" needs a user, without a colon`)
	case a.Type == "basic_auth":
		r := http.Request{Header: header}
		r.SetBasicAuth(c.User, c.Password)
	case a.Type == "api_key" && (c.User != "" || c.Password != ""):
		wrong.add("auth.config", "remove the others", `auth of the type "api_key" has only the keys "name", "value" and "in"`)
	case a.Type == "api_key":
		c.applyKey(header, wrong)
	default:
		wrong.add("auth.type", `use "api_key" or "basic_auth"`, "unknown auth type %q", a.Type)
	}
}

func (c authConfig) applyKey(header http.Header, wrong *problems) {
	switch {
	case c.Value == "":
		wrong.add("auth.config.value", "write one", `auth of the type "api_key" needs a value`)
	case !httpguts.ValidHeaderFieldName(c.Name):
		wrong.add("auth.config.name", "write the name of a header or cookie", "auth has the name %q, which is not one of HTTP", c.Name)
	case c.In == "cookie":
		cookie := &http.Cookie{Name: c.Name, Value: c.Value}
		if cookie.Valid() != nil {
			wrong.add("auth.config.value", "encode it, or use in: header", "auth has a value that a cookie cannot have")
		}
		r := http.Request{Header: header}
		r.AddCookie(cookie)
	case c.In != "header":
		wrong.add("auth.config.in", `use "header" or "cookie"`, "auth is in %q", c.In)
	case slices.Contains(unsendable, http.CanonicalHeaderKey(c.Name)):
		wrong.add("auth.config.name", "use another", "auth has the name %q, which cannot be configured", c.Name)
	case !httpguts.ValidHeaderFieldValue(c.Value):
		wrong.add("auth.config.value", "remove line breaks and control characters", "auth has a value that HTTP does not allow")
	default:
		header.Set(c.Name, c.Value)
	}
}

// forwards returns the names of the headers to forward.
func (c config) forwards(wrong *problems) (names []string) {
	for _, name := range c.ForwardHeaders {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			wrong.add("forward_headers", "correct it", "forward_headers has the name %q, which is not one of HTTP", name)
		case slices.Contains(unsendable, canonical) || credential.MatchString(canonical):
			wrong.add("forward_headers", "remove it", "forward_headers has %q, which must not leave the service", name)
		default:
			names = append(names, canonical)
		}
	}
	return names
}

// form reports whether the payload is a form. Kratos has these two types.
func form(header http.Header, wrong *problems) bool {
	value := header.Get("Content-Type")
	if value == "" {
		return false
	}
	switch kind, _, _ := mime.ParseMediaType(value); kind {
	case "application/json":
		return false
	case "application/x-www-form-urlencoded":
		return true
	}
	wrong.add("headers.Content-Type", `use "application/json" or "application/x-www-form-urlencoded"`,
		"the header \"Content-Type\" is %q", value)
	return false
}
