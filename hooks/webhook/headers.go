package webhook

import (
	"errors"
	"fmt"
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
func (c config) headers() (header http.Header, problems []error) {
	header = http.Header{}
	for name, value := range c.Headers {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			problems = append(problems, fmt.Errorf("headers has the name %q, which is not one of HTTP", name))
		case !httpguts.ValidHeaderFieldValue(value):
			problems = append(problems, fmt.Errorf("the header %q has a value that HTTP does not allow", name))
		case slices.Contains(unsendable, canonical):
			problems = append(problems, fmt.Errorf("the header %q cannot be configured; remove it", name))
		case header[canonical] != nil:
			problems = append(problems, fmt.Errorf("the header %q is configured twice; remove one", canonical))
		default:
			header.Set(canonical, value)
		}
	}
	if err := c.Auth.apply(header); err != nil {
		problems = append(problems, err)
	}
	return header, problems
}

// apply adds the credentials to a header.
func (a *auth) apply(header http.Header) error {
	if a == nil {
		return nil
	}
	c := a.Config
	switch a.Type {
	case "basic_auth":
		if c.Name != "" || c.Value != "" || c.In != "" {
			return errors.New("auth of the type \"basic_auth\" has only the keys \"user\" and \"password\"")
		} else if c.User == "" || strings.Contains(c.User, ":") {
			return errors.New("auth of the type \"basic_auth\" needs a user, without a colon")
		}
		r := http.Request{Header: header}
		r.SetBasicAuth(c.User, c.Password)
		return nil
	case "api_key":
		if c.User != "" || c.Password != "" {
			return errors.New("auth of the type \"api_key\" has only the keys \"name\", \"value\" and \"in\"")
		}
		return c.applyKey(header)
	}
	return fmt.Errorf("unknown auth type %q; use \"api_key\" or \"basic_auth\"", a.Type)
}

func (c authConfig) applyKey(header http.Header) error {
	switch {
	case c.Value == "":
		return errors.New("auth of the type \"api_key\" needs a value")
	case !httpguts.ValidHeaderFieldName(c.Name):
		return fmt.Errorf("auth has the name %q, which is not one of HTTP", c.Name)
	case c.In == "cookie":
		cookie := &http.Cookie{Name: c.Name, Value: c.Value}
		if cookie.Valid() != nil {
			return errors.New("auth has a value that a cookie cannot have")
		}
		r := http.Request{Header: header}
		r.AddCookie(cookie)
	case c.In != "header":
		return fmt.Errorf("auth is in %q; use \"header\" or \"cookie\"", c.In)
	case slices.Contains(unsendable, http.CanonicalHeaderKey(c.Name)):
		return fmt.Errorf("auth has the name %q, which cannot be configured", c.Name)
	case !httpguts.ValidHeaderFieldValue(c.Value):
		return errors.New("auth has a value that HTTP does not allow")
	default:
		header.Set(c.Name, c.Value)
	}
	return nil
}

// forwards returns the names of the headers to forward.
func (c config) forwards() (names []string, problems []error) {
	for _, name := range c.ForwardHeaders {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			problems = append(problems, fmt.Errorf("forward_headers has the name %q, which is not one of HTTP", name))
		case slices.Contains(unsendable, canonical) || credential.MatchString(canonical):
			problems = append(problems, fmt.Errorf("forward_headers has %q, which must not leave the service; remove it", name))
		default:
			names = append(names, canonical)
		}
	}
	return names, problems
}

// form reports whether the payload is a form. Kratos has these two types.
func form(header http.Header) (is bool, err error) {
	value := header.Get("Content-Type")
	if value == "" {
		return false, nil
	}
	switch kind, _, _ := mime.ParseMediaType(value); kind {
	case "application/json":
		return false, nil
	case "application/x-www-form-urlencoded":
		return true, nil
	}
	return false, fmt.Errorf("the header \"Content-Type\" is %q; use \"application/json\" or "+
		"\"application/x-www-form-urlencoded\"", value)
}
