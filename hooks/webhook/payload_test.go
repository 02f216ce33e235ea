package webhook_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/stretchr/testify/require"
)

var signedInAt = time.Date(2026, 7, 1, 12, 0, 0, 0, time.FixedZone("", 7200))

// visit is an exchange with a request and a session.
func visit(t *testing.T) *flowhook.Exchange {
	x := alice()
	r, err := http.NewRequest(http.MethodPost, "/login/step%2Ftwo?return_to=/secret&token=t", nil)
	require.NoError(t, err)
	r.Host = "auth.example.org"
	r.TLS = &tls.ConnectionState{}
	r.Header = http.Header{
		"Accept": {"text/html", "*/*"}, "Authorization": {"Bearer token"}, "Cookie": {"a=b"}, "User-Agent": {"curl"},
		"Referer": {"https://u:p@auth.example.org/login?token=t#f", "%zz"}, "X-Other": {"x"}, "Forwarded": {"for=1.2.3.4"},
		"X-Csrf-Token": {"t"},
	}
	x.Request = r
	x.Session = &flowhook.Session{ID: "session-id", IdentityID: "alice", AuthenticatedAt: signedInAt, IssuedAt: signedInAt,
		ExpiresAt: signedInAt.Add(time.Hour)}
	return x
}

// sent runs the hook of an entry at a point, and returns the request.
func sent(t *testing.T, change func(o *webhook.Options), p flowhook.Point, x *flowhook.Exchange, keys string) call {
	t.Helper()
	r := receive(t, nil)
	hooks := r.hooks(t, func(o *webhook.Options) {
		if change != nil {
			change(o)
		}
	})
	hooks.SetNow(func() time.Time { return signedInAt })
	rig := pipeline(t, hooks, loginFile(string(p.Phase), r.entry(keys)))
	fresh := &flowhook.Exchange{Request: x.Request, Identity: x.Identity, Session: x.Session} // for this pipeline
	require.NoError(t, rig.Run(p, fresh).Err)
	calls := r.take()
	require.Len(t, calls, 1)
	return calls[0]
}

// showContext is a body that shows its ctx.
func showContext(o *webhook.Options) {
	o.Body = func(string) (func(any) ([]byte, error), error) { return json.Marshal, nil }
}

var loginAfter = flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}

func TestPayload_Own(t *testing.T) {
	c := sent(t, nil, loginAfter, visit(t), "mode: notify")
	require.JSONEq(t, `{"flow": "login", "phase": "after", "strategy": "password", "time": "2026-07-01T10:00:00Z",
		"identity": {"id": "alice", "addresses": [{"via": "email", "value": "alice@example.org", "verified": true}]}}`,
		c.body)
	require.Equal(t, "application/json", c.Header.Get("Content-Type"))
	require.Equal(t, "flowhook", c.Header.Get("User-Agent"))
	require.Equal(t, http.MethodPost, c.Method)
	require.Equal(t, "/hook?key=in-url", c.RequestURI)

	before := flowhook.Point{Flow: flowhook.Login, Phase: flowhook.Before}
	c = sent(t, nil, before, &flowhook.Exchange{}, "mode: gate, method: put")
	require.JSONEq(t, `{"flow": "login", "phase": "before", "time": "2026-07-01T10:00:00Z"}`, c.body)
	require.Equal(t, http.MethodPut, c.Method)
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "new"}}
	c = sent(t, nil, before, x, "mode: gate")
	require.Contains(t, c.body, `"identity":{"id":"new","addresses":[]}`)
}

func TestPayload_NoBody(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		c := sent(t, nil, loginAfter, visit(t), "mode: notify, method: "+method)
		require.Equal(t, method, c.Method)
		require.Empty(t, c.body)
		require.NotContains(t, c.Header, "Content-Type")
	}
	c := sent(t, func(o *webhook.Options) {
		o.Body = func(string) (func(any) ([]byte, error), error) {
			return func(any) ([]byte, error) { return []byte("{}"), nil }, nil
		}
	}, loginAfter, visit(t), "mode: notify, method: GET, body: x")
	require.Equal(t, "{}", c.body)
}

func TestPayload_Describe(t *testing.T) {
	describe := func(_ context.Context, x *flowhook.Exchange) (any, error) {
		return map[string]any{"traits": map[string]string{"name": "Alice"}, "id": x.Identity.ID}, nil
	}
	c := sent(t, func(o *webhook.Options) { o.Describe = describe }, loginAfter, visit(t), "mode: notify")
	require.Contains(t, c.body, `"identity":{"id":"alice","traits":{"name":"Alice"}}`)
}

// TestPayload_Context pins what a body gets. Nothing of it is a secret of the request.
func TestPayload_Context(t *testing.T) {
	c := sent(t, showContext, loginAfter, visit(t), "mode: notify, body: x")
	require.JSONEq(t, `{
		"flow": {"id": "`+c.Header.Get("webhook-id")+`", "name": "login", "phase": "after", "type": "browser",
			"active": "password", "request_url": "https://auth.example.org/login/step%2Ftwo"},
		"request_headers": {"Accept": ["text/html", "*/*"], "User-Agent": ["curl"],
			"Referer": ["https://auth.example.org/login"]},
		"request_method": "POST",
		"request_url": "https://auth.example.org/login/step%2Ftwo",
		"request_cookies": {},
		"identity": {"id": "alice", "addresses": [{"via": "email", "value": "alice@example.org", "verified": true}]},
		"session": {"active": true, "authenticated_at": "2026-07-01T10:00:00Z", "issued_at": "2026-07-01T10:00:00Z",
			"expires_at": "2026-07-01T11:00:00Z",
			"identity": {"id": "alice", "addresses": [{"via": "email", "value": "alice@example.org", "verified": true}]}}
	}`, c.body)

	x := visit(t)
	x.Request.TLS, x.Identity, x.Session = nil, nil, nil
	c = sent(t, showContext, loginAfter, x, "mode: notify, body: x")
	require.Contains(t, c.body, `"request_url":"http://auth.example.org/login/step%2Ftwo"`)
	require.NotContains(t, c.body, "identity")
	require.NotContains(t, c.body, "session")
	x.Request.Header.Set("X-Forwarded-Proto", "https")
	c = sent(t, showContext, loginAfter, x, "mode: notify, body: x")
	require.Contains(t, c.body, `"request_url":"https://auth.example.org/login/step%2Ftwo"`)
}

// TestPayload_ClientAddress asserts that the address of the client is sent if the entry forwards it,
// and only then.
func TestPayload_ClientAddress(t *testing.T) {
	x := visit(t)
	x.Request.RemoteAddr = "192.0.2.7:1234"
	x.Request.Header.Set("X-Forwarded-For", "192.0.2.8")
	c := sent(t, showContext, loginAfter, x, "mode: notify, body: x, forward_headers: [X-Forwarded-For]")
	require.Equal(t, []string{"192.0.2.8"}, c.Header["X-Forwarded-For"])
	require.NotContains(t, c.body, "192.0.2.")
	c = sent(t, nil, loginAfter, x, "mode: notify")
	require.Empty(t, c.Header["X-Forwarded-For"])
	require.NotContains(t, c.body, "192.0.2.")
}

// TestPayload_LongHeaders asserts that a client cannot make a payload large, and so suppress it.
func TestPayload_LongHeaders(t *testing.T) {
	x := visit(t)
	x.Request.Header.Set("User-Agent", strings.Repeat("<", 1023)+"äx")
	x.Request.Header.Set("X-Request-Id", strings.Repeat("x", 2000))
	x.Request.Header.Set("X-Original-Uri", "/recovery?token=secret")
	c := sent(t, showContext, loginAfter, x, "mode: notify, body: x, forward_headers: [X-Request-Id, X-Original-Uri]")
	var ctx struct {
		RequestHeaders http.Header `json:"request_headers"`
	}
	require.NoError(t, json.Unmarshal([]byte(c.body), &ctx))
	require.Equal(t, strings.Repeat("<", 1023), ctx.RequestHeaders.Get("User-Agent"), "cut at a character")
	require.Equal(t, strings.Repeat("x", 1024), c.Header.Get("X-Request-Id"))
	require.Equal(t, "/recovery", c.Header.Get("X-Original-Uri"))
}

// TestPayload_NoRequest sends a payload for an exchange without a request, such as an import.
func TestPayload_NoRequest(t *testing.T) {
	r := receive(t, nil)
	hooks := r.hooks(t, showContext)
	p, err := flowhook.New(parse(t, loginFile("after", r.entry("mode: notify, body: x, forward_headers: [X-A]"))),
		options(hooks))
	require.NoError(t, err)
	_, err = p.Complete(flowhook.NewContext(t.Context(), alice()), flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	body := r.take()[0].body
	require.Contains(t, body, `"type":"api"`)
	require.Contains(t, body, `"request_headers":{}`)
}

// TestPayload_Form sends what a body makes as a form.
func TestPayload_Form(t *testing.T) {
	text := `{"b": "2 & 3", "a": "ü"}`
	change := func(o *webhook.Options) {
		o.Body = func(string) (func(any) ([]byte, error), error) {
			return func(any) ([]byte, error) { return []byte(text), nil }, nil
		}
	}
	const keys = "body: x, headers: {Content-Type: application/x-www-form-urlencoded; charset=utf-8}, mode: "
	c := sent(t, change, loginAfter, visit(t), keys+"notify")
	require.Equal(t, "a=%C3%BC&b=2+%26+3", c.body)
	require.Equal(t, "application/x-www-form-urlencoded; charset=utf-8", c.Header.Get("Content-Type"))

	text = `{"a": 1}`
	r := receive(t, nil)
	got := login(pipeline(t, r.hooks(t, change), loginFile("before", r.entry(keys+"gate"))))
	require.ErrorContains(t, got.Err, "an object of strings")
	require.Empty(t, r.take())
}

// TestPayload_BodyFails asserts that a body that fails stops a gate, and fails no user after the
// commit.
func TestPayload_BodyFails(t *testing.T) {
	broken := errors.New("field does not exist")
	r := receive(t, nil)
	change := func(o *webhook.Options) {
		o.Body = func(string) (func(any) ([]byte, error), error) {
			return func(any) ([]byte, error) { return nil, broken }, nil
		}
	}
	got := login(pipeline(t, r.hooks(t, change), loginFile("before", r.entry("mode: gate, on_error: continue, body: x"))))
	require.ErrorIs(t, got.Err, broken)
	got = login(pipeline(t, r.hooks(t, change), loginFile("after", r.entry("mode: notify, body: x"))))
	require.NoError(t, got.Err)
	require.Contains(t, got.Log, broken.Error())
	outbox := func(o *webhook.Options) {
		o.Outbox = func(context.Context, webhook.Delivery) error { t.Error("queued"); return nil }
	}
	got = login(pipeline(t, r.hooks(t, change, outbox), loginFile("after", r.entry("mode: notify, body: x"))))
	require.ErrorIs(t, got.Err, broken)
	require.Empty(t, r.take())
}

// TestPayload_Cancel skips calls that the body cancels.
func TestPayload_Cancel(t *testing.T) {
	r := receive(t, nil)
	change := func(o *webhook.Options) {
		o.Body = func(string) (func(any) ([]byte, error), error) {
			return func(any) ([]byte, error) { return nil, errors.Join(errors.New("line 1"), webhook.ErrCanceled) }, nil
		}
	}
	for _, keys := range []string{"mode: gate, body: x", "mode: notify, body: x"} {
		got := login(pipeline(t, r.hooks(t, change), loginFile("after", r.entry(keys))))
		require.NoError(t, got.Err)
		require.Empty(t, got.Log)
	}
	require.Empty(t, r.take())
}

// TestPayload_Headers asserts which headers a request has.
func TestPayload_Headers(t *testing.T) {
	x := visit(t)
	x.Request.Header.Set("X-Request-Id", "1")
	c := sent(t, nil, loginAfter, x, `mode: notify, headers: {x-other: mine, Cookie: c=d, User-Agent: crm},
		auth: {type: api_key, config: {name: key, value: v, in: cookie}}, forward_headers: [x-other, x-request-id, X-None]`)
	require.Equal(t, []string{"mine"}, c.Header["X-Other"], "the entry's own wins")
	require.Equal(t, []string{"1"}, c.Header["X-Request-Id"])
	require.Equal(t, "c=d; key=v", c.Header.Get("Cookie"))
	require.Equal(t, "crm", c.Header.Get("User-Agent"))
	require.NotContains(t, c.Header, "X-None")
	require.NotContains(t, c.Header, "Authorization")
	c = sent(t, nil, loginAfter, x, "mode: notify, auth: {type: api_key, config: {name: x-key, value: v, in: header}}")
	require.Equal(t, "v", c.Header.Get("X-Key"))
	c = sent(t, nil, loginAfter, x, "mode: notify, auth: {type: basic_auth, config: {user: u, password: 'p:w'}}")
	user, password, _ := c.BasicAuth()
	require.Equal(t, "u p:w", user+" "+password)
}

// TestPayload_Copy asserts that a notification shows the exchange as it was when the hook ran.
func TestPayload_Copy(t *testing.T) {
	r := receive(t, nil)
	x := visit(t)
	opts := options(r.hooks(t, showContext))
	text := loginFile("after", r.entry("mode: notify, body: x"))
	cfg := parse(t, text)
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "change",
		flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
			x.Identity.Addresses[0].Value = "changed@example.org"
			x.Request.Header.Set("User-Agent", "changed")
			x.Request.Header["Accept"][0] = "changed"
			x.Session.ExpiresAt = time.Time{}
			return nil
		}))
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	x.Request = x.Request.WithContext(t.Context())
	_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.NotContains(t, r.take()[0].body, "changed")
}
