package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/stretchr/testify/require"
)

// anything has every option that an entry may need.
func anything(o *webhook.Options) {
	o.Apply = func(context.Context, *flowhook.Exchange, json.RawMessage) error { return nil }
	o.Body = func(source string) (func(any) ([]byte, error), error) {
		switch source {
		case "broken":
			return nil, errors.New("line 1: syntax")
		case "nothing":
			return nil, nil
		}
		return func(any) ([]byte, error) { return []byte(source), nil }, nil
	}
}

// TestConfig_Errors loads entries that are wrong. Each names what is wrong, at the entry.
func TestConfig_Errors(t *testing.T) {
	const url = "url: https://hooks.example.com/"
	for _, c := range [][2]string{
		{"mode: gate", "url is missing"},
		{"url: ''", "url is missing"},
		{"url: 'https://a b/'", "url is malformed"},
		{"url: 'https://a/%zz'", "url is malformed"},
		{"url: http://hooks.example.com/", "plain http; use https, or set webhook.Options.Insecure in development"},
		{"url: ftp://hooks.example.com/", `scheme "ftp"`},
		{"url: hooks.example.com", `scheme ""`},
		{"url: 'https:///path'", "no host"},
		{"url: https://user:hunter2@hooks.example.com/", "url has a user"},
		{"url: 'https://hooks.example.com/#fragment'", "fragment"},
		{"url: https://hooks.example.com:8443/", `port "8443"; add it to webhook.Options.Ports`},
		{"url: https://hooks.example.com:99999/", "65535"},
		{"url: https://10.0.0.1/", "private or reserved network; add the network to webhook.Options.Allow"},
		{"url: 'https://[::1]/'", "private or reserved network"},
		{"url: https://2130706433/", "a number for a host"},
		{url + ", method: TRACE", `unknown method "TRACE"`},
		{url + ", method: 'GET /'", "unknown method"},
		{url + ", body: broken", "config.body: line 1: syntax"},
		{url + ", body: nothing", "webhook.Options.Body returned no function"},
		{url + ", headers: {'a b': c}", `the header "a b" has a name`},
		{url + ", headers: {a: \"b\\nc\"}", `the header "a" has a value`},
		{url + ", headers: {content-length: '1'}", `"content-length" cannot be configured`},
		{url + ", headers: {Webhook-Signature: x}", "cannot be configured"},
		{url + ", headers: {host: x}", "cannot be configured"},
		{url + ", headers: {x-a: '1', X-A: '2'}", "configured twice"},
		{url + ", headers: {Content-Type: text/plain}", `"Content-Type" is "text/plain"`},
		{url + ", headers: {Content-Type: application/x-www-form-urlencoded}", "asks for a form; write a body"},
		{url + ", auth: {type: bearer, config: {value: x}}", `unknown auth type "bearer"`},
		{url + ", auth: {type: basic_auth, config: {password: x}}", "needs a user"},
		{url + ", auth: {type: basic_auth, config: {user: 'a:b', password: x}}", "without a colon"},
		{url + ", auth: {type: basic_auth, config: {user: a, name: x}}", "has only the keys"},
		{url + ", auth: {type: api_key, config: {user: a}}", "has only the keys"},
		{url + ", auth: {type: api_key, config: {name: a, in: header}}", "needs a value"},
		{url + ", auth: {type: api_key, config: {value: a, in: header}}", `the name ""`},
		{url + ", auth: {type: api_key, config: {name: a, value: b}}", `auth is in ""`},
		{url + ", auth: {type: api_key, config: {name: a, value: b, in: query}}", `auth is in "query"`},
		{url + ", auth: {type: api_key, config: {name: Host, value: b, in: header}}", "cannot be configured"},
		{url + ", auth: {type: api_key, config: {name: a, value: 'b;c', in: cookie}}", "a cookie cannot have"},
		{url + ", auth: {type: api_key, config: {name: a, value: \"b\\nc\", in: header}}", "HTTP does not allow"},
		{url + ", response: {ignore: true, parse: true}", "response.ignore contradicts response.parse"},
		{url + ", response: {ignore: true}, can_interrupt: true", "response.ignore contradicts can_interrupt"},
		{url + ", response: {ignore: true}, mode: gate", "response.ignore contradicts mode: gate"},
		{url + ", response: {parse: true}, mode: notify", "response.parse contradicts mode: notify"},
		{url + ", can_interrupt: true, mode: notify", "can_interrupt contradicts mode: notify"},
		{url + ", mode: async", `unknown mode "async"`},
		{url + ", mode: gate, on_error: ignore", `unknown on_error "ignore"`},
		{url + ", mode: notify, on_error: continue", "on_error is for gates"},
		{url + ", attempts: 0", "attempts is 0; want 1 to 10"},
		{url + ", attempts: 11", "attempts is 11"},
		{url + ", secrets: []", "secrets is empty; add one"},
		{url + ", secrets: ['whsec_!']", "secrets[0] is not base64"},
		{url + ", secrets: ['whsec_c2hvcnQ=']", "secrets[0] has 5 bytes"},
		{url + ", secrets: [" + secretOne + ", " + secretOne + "]", "secrets[1] is there twice"},
		{url + ", forward_headers: [Cookie]", `"Cookie", which must not leave`},
		{url + ", forward_headers: [authorization]", `"authorization", which must not leave`},
		{url + ", forward_headers: [Proxy-Authorization]", "must not leave"},
		{url + ", forward_headers: [Set-Cookie]", "must not leave"},
		{url + ", forward_headers: [X-Session-Token]", "must not leave"},
		{url + ", forward_headers: [X-Api-Key]", "must not leave"},
		{url + ", forward_headers: [X-Forwarded-Access-Token]", "must not leave"},
		{url + ", forward_headers: [X-Amzn-Oidc-Data]", "must not leave"},
		{url + ", forward_headers: [Connection]", "must not leave"},
		{url + ", forward_headers: [Transfer-Encoding]", "must not leave"},
		{url + ", forward_headers: ['a b']", `the name "a b"`},
		{url + ", unknown: 1", `unknown key "unknown"`},
		{url + ", response: {pars: true}", `did you mean "parse"`},
		{url + ", attempts: many", "expected int"},
	} {
		config, problem := c[0], c[1]
		t.Run(config, func(t *testing.T) {
			hooks := newHooks(t, webhook.Options{}, anything)
			text := loadError(t, hooks, loginFile("after", "config: {"+config+"}"))
			require.Contains(t, text, problem)
			require.Contains(t, text, "1:", "a position")
			require.NotContains(t, text, "hunter2")
		})
	}
}

// TestConfig_AllErrors asserts that all errors of an entry are reported at once.
func TestConfig_AllErrors(t *testing.T) {
	text := loadError(t, newHooks(t, webhook.Options{}), loginFile("after",
		"config: {method: X, body: b, attempts: 0, response: {parse: true}, forward_headers: [Cookie]}"))
	for _, problem := range []string{"url is missing", "unknown method", "attempts is 0",
		"response.parse needs webhook.Options.Apply", "body needs webhook.Options.Body; set it to jsonnet.Body", `"Cookie"`} {
		require.Contains(t, text, problem)
	}
	require.Len(t, strings.Split(text, "\n"), 6, "a line for each")
}

// TestConfig_PlainPrivate asserts that plain http and a private network are reported at once, and
// that the port of plain http is not reported.
func TestConfig_PlainPrivate(t *testing.T) {
	hooks := newHooks(t, webhook.Options{})
	text := loadError(t, hooks, loginFile("after", "config: {url: 'http://10.0.0.1:8085/', mode: notify}"))
	require.Len(t, strings.Split(text, "\n"), 2, text)
	require.Contains(t, text, "url is plain http")
	require.Contains(t, text, "url leads to a private or reserved network")
	text = loadError(t, hooks, loginFile("after", "config: {url: 'http://example.com:8085/', mode: notify}"))
	require.Len(t, strings.Split(text, "\n"), 1, text)
	require.Contains(t, text, "url is plain http")
}

// TestConfig_ErrorPlaces asserts that an error is at the key that is wrong, and else at the hook.
func TestConfig_ErrorPlaces(t *testing.T) {
	const url = "url: https://hooks.example.com/, "
	for config, place := range map[string]string{
		"mode: gate":               "hooks[0].hook: url is missing",
		"url: ftp://example.com":   "hooks[0].config.url: url has",
		url + "method: X":          "config.method: unknown method",
		url + "attempts: 0":        "config.attempts: attempts is 0",
		url + "secrets: [x]":       "config.secrets: secrets[0]",
		url + "auth: {type: x}":    "config.auth.type: unknown auth type",
		url + "headers: {Host: x}": "config.headers.Host: the header",
		url + "auth: {type: basic_auth, config: {user: 'a:b'}}":        "config.auth.config.user: auth of",
		url + "auth: {type: basic_auth, config: {password: x}}":        "config.auth.config: auth of",
		url + "response: {ignore: true, parse: true}":                  "config.response.parse: response.ignore contradicts",
		url + "mode: notify, on_error: continue":                       "config.on_error: on_error is for gates",
		url + "response: {ignore: false, parse: true}, mode: 'notify'": "config.mode: response.parse contradicts",
	} {
		hooks := newHooks(t, webhook.Options{}, anything)
		require.Contains(t, loadError(t, hooks, loginFile("after", "config: {"+config+"}")), place, config)
	}
}

// TestConfig_Place loads gates and notifications everywhere.
func TestConfig_Place(t *testing.T) {
	hooks := newHooks(t, webhook.Options{}, anything)
	for _, c := range []struct{ phase, rest, want string }{
		{"before", "mode: gate", "login/before"},
		{"before", "method: POST", "login/before"},
		{"before", "mode: notify", "login/before"},
		{"after", "mode: gate", "login/before_persist"},
		{"after", "response: {parse: true}", "login/before_persist"},
		{"after", "can_interrupt: true", "login/before_persist"},
		{"after", "can_interrupt: false", "login/after"},
		{"after", "response: {ignore: true}", "login/after"},
		{"after", "method: POST", "login/after"},
		{"after", "mode: notify", "login/after"},
		{"failed", "mode: notify", "login/failed"},
		{"failed", "method: POST", "login/failed"},
		{"failed", "mode: gate", "a gate cannot be at failed"},
		{"failed", "can_interrupt: true", "a gate cannot be at failed"},
	} {
		cfg := parse(t, loginFile(c.phase, "config: {url: https://hooks.example.com/, "+c.rest+"}"))
		p, err := flowhook.New(cfg, options(hooks))
		if err != nil {
			require.ErrorContains(t, err, c.want)
			continue
		}
		for point := range p.Plan().Points() {
			require.Equal(t, c.want, point.String(), c.rest)
		}
	}
}

// TestConfig_LateGate asserts that a gate at an explicit phase: after does not load.
func TestConfig_LateGate(t *testing.T) {
	hooks := newHooks(t, webhook.Options{}, anything)
	for _, rest := range []string{"mode: gate", "response: {parse: true}", "can_interrupt: true"} {
		text := loadError(t, hooks, loginFile("after", "phase: after, config: {url: https://hooks.example.com/, "+rest+"}"))
		require.Contains(t, text, "everything is saved")
		require.Contains(t, text, "write phase: before_persist")
	}
	text := loadError(t, hooks,
		loginFile("after", "phase: before_persist, config: {url: https://hooks.example.com/, mode: gate}"))
	require.Empty(t, text)
}

// TestConfig_SameName loads entries that a queue could not tell apart.
func TestConfig_SameName(t *testing.T) {
	const one, two = "url: https://hooks.example.com/", "url: https://other.example.com/"
	for _, c := range []struct {
		first, second string
		fails         bool
	}{
		{one + ", id: a, mode: notify", two + ", id: a, mode: notify", true},
		{one + ", mode: notify", one + ", mode: notify", true},
		{one + ", mode: notify", two + ", mode: notify", false},
		{one + ", mode: notify, method: PUT", one + ", mode: notify", false},
		{one + ", id: a, mode: notify", one + ", id: b, mode: notify", false},
		{one + ", id: a, mode: gate", two + ", id: a, mode: gate", false},
	} {
		text := "selfservice: {login: {after: [{hook: web_hook, config: {" + c.first + "}}, {hook: web_hook, config: {" +
			c.second + "}}]}}"
		want := ""
		if c.fails {
			want = `has the same key as the one at 1:38; give each an id of its own`
		}
		require.Contains(t, loadError(t, newHooks(t, webhook.Options{}), text), want, text)
		require.Equal(t, c.fails, loadError(t, newHooks(t, webhook.Options{}), text) != "", text)
	}
}

// TestFindings asserts which findings an entry has.
func TestFindings(t *testing.T) {
	outbox := func(o *webhook.Options) {
		o.Outbox = func(context.Context, webhook.Delivery) error { return nil }
	}
	for _, c := range []struct {
		phase, rest string
		change      func(o *webhook.Options)
		want        []string
	}{
		{"after", "mode: notify, secrets: [" + secretOne + "]", nil, []string{}},
		{"after", "mode: gate, secrets: [" + secretOne + "]", nil, []string{}},
		{"before", "secrets: [" + secretOne + "]", nil, []string{}},
		{"failed", "secrets: [" + secretOne + "]", nil, []string{}},
		{"after", "secrets: [" + secretOne + "]", nil, []string{"warning not-awaited hook"}},
		{"after", "mode: notify", nil, []string{"note unsigned hook"}},
		{"before", "mode: notify, secrets: [" + secretOne + "]", outbox, []string{"warning not-durable hook"}},
		{"before", "mode: notify, secrets: [" + secretOne + "]", nil, []string{}},
		{"before", "mode: gate, secrets: [" + secretOne + "]", outbox, []string{}},
		{"failed", "mode: notify, secrets: [" + secretOne + "]", outbox, []string{}},
		{"after", "mode: notify, attempts: 2, secrets: [" + secretOne + "]", outbox,
			[]string{"note attempts config.attempts"}},
		{"after", "mode: gate, attempts: 2, secrets: [" + secretOne + "]", outbox, []string{}},
		{"after", "mode: notify, emit_analytics_event: true, secrets: [" + secretOne + "]", nil,
			[]string{"note analytics config.emit_analytics_event"}},
		{"after", "method: POST, body: x", nil,
			[]string{"warning not-awaited hook", "note unsigned hook", "note kratos-body config.body"}},
		{"after", "method: POST", nil,
			[]string{"warning not-awaited hook", "note unsigned hook", "note kratos-body hook"}},
		{"after", "method: GET, response: {ignore: true}", nil,
			[]string{"note unsigned hook", "note kratos-ignore config.response.ignore"}},
		{"after", "method: GET, response: {ignore: true}", outbox,
			[]string{"note unsigned hook", "note kratos-ignore config.response.ignore"}},
		{"after", "method: GET, response: {parse: true}", nil,
			[]string{"note unsigned hook", "note kratos-gate config.response.parse", "note kratos-parse config.response.parse"}},
		{"before", "method: GET, response: {parse: true}", nil,
			[]string{"note unsigned hook", "note kratos-gate config.response.parse", "note kratos-parse config.response.parse"}},
		{"after", "method: GET, can_interrupt: true", nil,
			[]string{"note unsigned hook", "note kratos-gate config.can_interrupt"}},
		{"before", "method: GET", nil, []string{"note unsigned hook"}},
	} {
		hooks := newHooks(t, webhook.Options{}, anything, func(o *webhook.Options) {
			if c.change != nil {
				c.change(o)
			}
		})
		text := loginFile(c.phase, "config: {url: https://hooks.example.com/, "+c.rest+"}")
		require.ElementsMatch(t, c.want, rules(t, hooks, text), "%s: %s", c.phase, c.rest)
	}
}

// TestDescribe asserts that the description has the host, and nothing else of the URL.
func TestDescribe(t *testing.T) {
	hooks := newHooks(t, webhook.Options{})
	for rest, want := range map[string]string{
		"mode: gate": "Asks hooks.example.com whether the flow may go on.",
		"mode: gate, on_error: continue": "Asks hooks.example.com whether the flow may go on, " +
			"and goes on without an answer.",
		"mode: notify, secrets: [" + secretOne + "]": "Notifies hooks.example.com.",
	} {
		p, err := flowhook.New(parse(t, loginFile("after", "config: {url: 'https://hooks.example.com/p?q=s', "+rest+"}")),
			options(hooks))
		require.NoError(t, err)
		for _, list := range p.Plan().Points() {
			require.Equal(t, want, list[0].Description)
		}
	}
}

// TestConfig_References resolves references in every kind of value.
func TestConfig_References(t *testing.T) {
	r := receive(t, nil)
	t.Setenv("HOOK_URL", r.URL+"/referred")
	t.Setenv("HOOK_SECRET", secretOne)
	t.Setenv("HOOK_KEY", "the key")
	rig := pipeline(t, r.hooks(t), loginFile("before", `config: {url: "${HOOK_URL}", secrets: ["${HOOK_SECRET}"],
		headers: {X-Key: "${HOOK_KEY}"}, auth: {type: basic_auth, config: {user: u, password: "${HOOK_KEY}"}}}`))
	require.NoError(t, login(rig).Err)
	c := r.take()[0]
	require.Equal(t, "/referred", c.URL.Path)
	require.Equal(t, "the key", c.Header.Get("X-Key"))
	_, password, _ := c.BasicAuth()
	require.Equal(t, "the key", password)
	require.NotEmpty(t, c.Header.Get("webhook-signature"))
}
