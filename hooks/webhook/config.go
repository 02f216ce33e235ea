package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// config is the config of an entry. The first group of keys is that of Kratos.
type config struct {
	URL                string            `yaml:"url"`
	Method             string            `yaml:"method"`
	Body               string            `yaml:"body"`
	Headers            map[string]string `yaml:"headers"`
	Auth               *auth             `yaml:"auth"`
	Response           response          `yaml:"response"`
	CanInterrupt       bool              `yaml:"can_interrupt"`
	ID                 string            `yaml:"id"`
	EmitAnalyticsEvent *bool             `yaml:"emit_analytics_event"`

	Secrets        []string `yaml:"secrets"`
	Mode           string   `yaml:"mode"`
	OnError        string   `yaml:"on_error"`
	Attempts       *int     `yaml:"attempts"`
	ForwardHeaders []string `yaml:"forward_headers"`
}

type response struct {
	Ignore bool `yaml:"ignore"`
	Parse  bool `yaml:"parse"`
}

type auth struct {
	Type   string     `yaml:"type"`
	Config authConfig `yaml:"config"`
}

type authConfig struct {
	Name     string `yaml:"name"`
	Value    string `yaml:"value"`
	In       string `yaml:"in"`
	User     string `yaml:"user"`
	Password string `yaml:"password"`
}

// ownKeys reports whether an entry has a key that Kratos does not know, so that its author knows
// this hook.
func (c config) ownKeys() bool {
	return c.Secrets != nil || c.Mode != "" || c.OnError != "" || c.Attempts != nil || c.ForwardHeaders != nil
}

const (
	defaultAttempts = 3
	maxAttempts     = 10
)

// methods are those that may be configured. Those that come first have a payload even without a
// body.
var methods = []string{
	http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodGet, http.MethodHead, http.MethodOptions,
}

// method returns the method of the requests, and reports whether they have a payload even without a
// body.
func (c config) method() (method string, payload bool, err error) {
	if c.Method == "" {
		return http.MethodPost, true, nil
	}
	method = strings.ToUpper(c.Method)
	i := slices.Index(methods, method)
	if i < 0 {
		return "", false, fmt.Errorf("unknown method %q; use one of %s", c.Method, strings.Join(methods, ", "))
	}
	return method, i < 4, nil
}

// target returns the URL. No error shows it, because it may contain a secret.
func (w *Webhook) target(c config) (*url.URL, error) {
	if c.URL == "" {
		return nil, errors.New("url is missing; write the URL to call")
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, errors.New("url is malformed; write it as in https://hooks.example.com/path")
	case u.Scheme == "http" && !w.opts.Insecure:
		return nil, errors.New("url is plain http; use https, or set Options.Insecure in development")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("url has the scheme %q; use https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("url has no host; write it as in https://hooks.example.com/path")
	case u.User != nil:
		return nil, errors.New("url has a user; use auth with the type \"basic_auth\"")
	case u.Fragment != "":
		return nil, errors.New("url has a fragment, which is never sent; remove it")
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if u.Port() != "" {
		port = u.Port()
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, errors.New("url has a port that is not a number up to 65535")
	}
	if !w.opts.Insecure && !slices.Contains(w.ports(), uint16(number)) {
		return nil, fmt.Errorf("url has the port %q; add it to Options.Ports", port)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case err != nil && numeric(u.Hostname()):
		return nil, errors.New("url has a number for a host, which not every system reads alike; write an address or a name")
	case err == nil && w.guard.SafeAddr(ip) != nil:
		return nil, errors.New("url leads to a private or reserved network; add the network to Options.Allow")
	}
	return u, nil
}

func (w *Webhook) ports() []uint16 {
	if len(w.opts.Ports) == 0 {
		return []uint16{443}
	}
	return w.opts.Ports
}

// numeric reports whether the last label of a host is a number, as in 2130706433 and 0x7f.1, which
// some systems read as an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func numeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if strings.Trim(last, "0123456789") == "" {
		return true
	}
	hex, ok := strings.CutPrefix(last, "0x")
	return ok && strings.Trim(hex, "0123456789abcdef") == ""
}

// signers returns what signs, one for each secret.
func (c config) signers() (signers []*standardwebhooks.Webhook, problems []error) {
	for i, secret := range c.Secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		n := len(strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")) * 3 / 4
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("secrets[%d] is not base64; generate one with: "+
				"echo whsec_$(openssl rand -base64 32)", i))
		case n < 24 || n > 64:
			problems = append(problems, fmt.Errorf("secrets[%d] has %d bytes; want 24 to 64; generate one with: "+
				"echo whsec_$(openssl rand -base64 32)", i, n))
		case slices.Contains(c.Secrets[:i], secret):
			problems = append(problems, fmt.Errorf("secrets[%d] is there twice; remove one", i))
		default:
			signers = append(signers, signer)
		}
	}
	return signers, problems
}
