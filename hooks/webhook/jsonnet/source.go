package jsonnet

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	maxSnippet = 32 << 10
	fetchLimit = 10 * time.Second
)

// scheme is that of a URL.
var scheme = regexp.MustCompile(`^([a-z][a-z0-9+.-]*)://`)

// load returns the snippet and, for error texts, the scheme of its source, or "" for the snippet
// itself.
func load(source string) (where, text string, err error) {
	if strings.HasSuffix(source, ".jsonnet") && !scheme.MatchString(source) {
		return "", "", errors.New("a path without a scheme; write file://PATH")
	}
	switch m := scheme.FindString(source); m {
	case "":
		text, err = capped(strings.NewReader(source))
	case "base64://":
		where = "base64"
		text, err = decodeBase64(source[len(m):])
	case "https://":
		where = "https"
		text, err = fetch(source)
	case "http://":
		return "http", "", errors.New("plain http is not allowed; use https")
	default:
		return "", "", errors.New("unknown scheme; use file, base64 or https")
	}
	return where, text, err
}

func decodeBase64(s string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("not standard base64 with padding: %w", err)
	}
	return capped(strings.NewReader(string(text)))
}

// fetch calls the transport itself. An http.Client would follow redirects, and its errors would
// quote the URL, which may have a token in its query.
func fetch(source string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchLimit)
	defer cancel()
	u, err := url.Parse(source)
	if err != nil || u.Host == "" {
		return "", errors.New("not a URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", errors.New("not a URL")
	}
	if u.User != nil {
		password, _ := u.User.Password()
		req.SetBasicAuth(u.User.Username(), password)
	}
	transport := http.DefaultTransport
	if t, ok := transport.(*http.Transport); ok {
		t = t.Clone()
		t.Proxy = nil // as for the calls of web_hook
		defer t.CloseIdleConnections()
		transport = t
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("fetch the snippet from %q: %w", u.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%q answers with status %d instead of 200", u.Host, resp.StatusCode)
	}
	return capped(resp.Body)
}

// capped reads a snippet, but not more than is allowed.
func capped(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSnippet+1))
	if err != nil {
		return "", fmt.Errorf("read the snippet: %w", err)
	}
	if len(text) > maxSnippet {
		return "", fmt.Errorf("the snippet is larger than %d KiB", maxSnippet>>10)
	}
	return string(text), nil
}
