package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/flowhook/flowhook"
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

// problems are what is wrong with an entry. They are its hook, too, which only reports them.
type problems []flowhook.Finding

// Findings implements [flowhook.Finder].
func (p problems) Findings(flowhook.Point) []flowhook.Finding { return p }

// Run fails. No pipeline runs a hook that has errors.
func (p problems) Run(context.Context, *flowhook.Exchange) error {
	return errors.New("webhook: the entry has errors")
}

// add adds a problem at a key, with what to do about it.
func (p *problems) add(key, hint, format string, args ...any) {
	*p = append(*p, flowhook.Finding{Severity: flowhook.SeverityError, Rule: "invalid", Path: key,
		Problem: fmt.Sprintf(format, args...), Hint: hint})
}

// method returns the method of the requests, and reports whether they have a payload even without a
// body.
func (c config) method(wrong *problems) (method string, payload bool) {
	if c.Method == "" {
		return http.MethodPost, true
	}
	method = strings.ToUpper(c.Method)
	i := slices.Index(methods, method)
	if i < 0 {
		wrong.add("method", "use one of "+strings.Join(methods, ", "), "unknown method %q", c.Method)
	}
	return method, i < 4
}

const urlHint = "write it as in https://hooks.example.com/path"

// target returns the URL, or nil. No problem quotes it, because it may contain a secret.
func (w *Webhook) target(c config, wrong *problems) *url.URL {
	before := len(*wrong)
	refuse := func(hint, format string, args ...any) { wrong.add("url", hint, format, args...) }
	u, err := url.Parse(c.URL)
	plain := err == nil && u.Scheme == "http" && !w.opts.Insecure
	if plain { // so that a private network is reported with it
		refuse("use https, or set webhook.Options.Insecure in development", "url is plain http")
	}
	switch {
	case c.URL == "":
		refuse(urlHint, "url is missing")
	case err != nil:
		refuse(urlHint, "url is malformed")
	case u.Scheme != "https" && u.Scheme != "http":
		refuse("use https", "url has the scheme %q", u.Scheme)
	case u.Hostname() == "":
		refuse(urlHint, "url has no host")
	case u.User != nil:
		refuse(`use auth with the type "basic_auth"`, "url has a user")
	case u.Fragment != "":
		refuse("remove it", "url has a fragment, which is never sent")
	default:
		w.reachable(u, plain, refuse)
	}
	if len(*wrong) > before {
		return nil
	}
	return u
}

// reachable refuses a URL that the guard would not let through. The port of plain http, which was
// refused already, does not matter.
func (w *Webhook) reachable(u *url.URL, plain bool, refuse func(hint, format string, args ...any)) {
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		refuse("write a number up to 65535", "url has the port %q", port)
		return
	}
	if !w.opts.Insecure && !plain && !slices.Contains(w.ports(), uint16(number)) {
		refuse("add it to webhook.Options.Ports", "url has the port %q", port)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	switch {
	case err != nil && numeric(u.Hostname()):
		refuse("write an address or a name", "url has a number for a host, which not every system reads alike")
	case err == nil && w.guard.SafeAddr(ip) != nil:
		refuse("add the network to webhook.Options.Allow", "url leads to a private or reserved network")
	}
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

const secretHint = "generate one with: echo whsec_$(openssl rand -base64 32)"

// signers returns what signs, one for each secret.
func (c config) signers(wrong *problems) (signers []*standardwebhooks.Webhook) {
	if c.Secrets != nil && len(c.Secrets) == 0 {
		wrong.add("secrets", "add one, or remove secrets", "secrets is empty")
	}
	for i, secret := range c.Secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		n := len(strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")) * 3 / 4
		switch {
		case err != nil:
			wrong.add("secrets", secretHint, "secrets[%d] is not base64", i)
		case n < 24 || n > 64:
			wrong.add("secrets", secretHint, "secrets[%d] has %d bytes; want 24 to 64", i, n)
		case slices.Contains(c.Secrets[:i], secret):
			wrong.add("secrets", "remove one", "secrets[%d] is there twice", i)
		default:
			signers = append(signers, signer)
		}
	}
	return signers
}
