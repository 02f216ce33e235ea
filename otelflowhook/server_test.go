package otelflowhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

const (
	canaryAddress  = "canary-address@example.org"
	canaryPassword = "canary-password"
	canarySecret   = "canary-secret-0123456789abcdef"
	canaryToken    = "canary-token"
)

const registration = `
secrets: {session: [` + canarySecret + `]}
selfservice:
  registration:
    before: [{hook: gate}]
    after:
      hooks: [{hook: greet}]
      password: [{hook: session}, {hook: work}]
  login:
    after: [{hook: session}]
  settings:
    after: [{hook: fail}]
    failed: [{hook: burst}]
`

// mails has the addresses to which an email was sent after the commit.
type mails struct{ sent []string }

// service starts a server with registration, login and settings. Each request has a span.
func (r *rig) service(mails *mails) *httptest.Server {
	r.t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(registration))
	require.NoError(r.t, err)
	tracer := r.tracers.Tracer("service")
	inner := func(ctx context.Context, name string) {
		_, span := tracer.Start(ctx, name)
		span.End()
	}
	hooks := map[string]flowhook.Hook{
		"gate": act(nothing),
		"work": act(func(ctx context.Context, x *flowhook.Exchange) error {
			inner(ctx, "statement")
			x.AfterCommit(func(ctx context.Context) error {
				inner(ctx, "mail")
				mails.sent = append(mails.sent, x.Identity.Addresses[0].Value)
				return nil
			})
			return nil
		}),
		"greet": flowhook.Redirect("/welcome?token=" + canaryToken),
		"fail": act(func(_ context.Context, x *flowhook.Exchange) error {
			return &url.Error{Op: "mail", URL: "/?token=" + canaryToken, Err: errors.New(x.Identity.Addresses[0].Value)}
		}),
		"burst": act(func(_ context.Context, x *flowhook.Exchange) error {
			panic(fmt.Errorf("%w, and %s", x.Err, x.Request.FormValue("password")))
		}),
	}
	factories := map[string]flowhook.HookFactory{}
	for name, hook := range hooks {
		factories[name] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return hook, nil }
	}
	pipeline, err := flowhook.New(cfg,
		flowhook.Options{Store: memstore.New(), Hooks: factories, Wrap: r.wrap(), Logger: quiet})
	require.NoError(r.t, err)

	mux := http.NewServeMux()
	for _, flow := range []flowhook.Flow{flowhook.Registration, flowhook.Login, flowhook.Settings} {
		handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			x, _ := flowhook.FromContext(req.Context())
			x.Identity = &flowhook.Identity{ID: "alice",
				Addresses: []flowhook.Address{{Via: "email", Value: req.FormValue("address")}}}
			handled, err := pipeline.Complete(req.Context(), flow, flowhook.Strategy(req.FormValue("strategy")), nil)
			switch {
			case handled:
			case err != nil:
				w.WriteHeader(http.StatusInternalServerError)
			default:
				w.WriteHeader(http.StatusNoContent)
			}
		})
		mux.Handle("POST /"+string(flow), pipeline.Middleware(flow)(handler))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx, span := tracer.Start(req.Context(), "POST")
		defer span.End()
		mux.ServeHTTP(w, req.WithContext(ctx))
	}))
	r.t.Cleanup(server.Close)
	return server
}

// post sends a form and does not follow redirects.
func post(t *testing.T, server *httptest.Server, flow flowhook.Flow, strategy flowhook.Strategy) *http.Response {
	t.Helper()
	client := *server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.PostForm(server.URL+"/"+string(flow),
		url.Values{"address": {canaryAddress}, "password": {canaryPassword}, "strategy": {string(strategy)}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp
}

func TestServer_SpansAreOneTree(t *testing.T) {
	r, sent := newRig(t), &mails{}
	server := r.service(sent)
	resp := post(t, server, flowhook.Registration, flowhook.Password)
	server.Close()
	require.Equal(t, http.StatusFound, resp.StatusCode)
	require.Len(t, resp.Cookies(), 1, "the hooks' contexts carry the transaction")
	require.Equal(t, []string{canaryAddress}, sent.sent)

	below := map[string]string{}
	names := map[string]string{}
	for _, s := range r.spans.GetSpans() {
		names[s.SpanContext.SpanID().String()] = s.Name
		assert.Equal(t, r.span("POST").SpanContext.TraceID(), s.SpanContext.TraceID())
	}
	for _, s := range r.spans.GetSpans() {
		below[s.Name] = names[s.Parent.SpanID().String()]
	}
	assert.Equal(t, map[string]string{"POST": "", "hook gate": "POST", "hook session": "POST", "hook work": "POST",
		"statement": "hook work", "mail": "POST", "hook greet": "POST"}, below)
	assert.Equal(t, map[string]string{"flowhook.flow": "registration", "flowhook.phase": "before",
		"flowhook.hook": "gate", "flowhook.outcome": "passed"}, attributes(r.span("hook gate").Attributes))
	assert.Equal(t, "answered", attributes(r.span("hook greet").Attributes)["flowhook.outcome"])
	work, mail := r.span("hook work"), r.span("mail")
	assert.False(t, mail.StartTime.Before(work.EndTime), "work after the commit is not part of the hook's span")
}

func TestServer_StrategyOfFlowWideHook(t *testing.T) {
	r := newRig(t)
	server := r.service(&mails{})
	for _, strategy := range []flowhook.Strategy{flowhook.Password, flowhook.OIDC, flowhook.FlowWide, flowhook.OIDC} {
		require.Equal(t, http.StatusNoContent, post(t, server, flowhook.Login, strategy).StatusCode)
	}
	server.Close()

	var spans []string
	for _, s := range r.spans.GetSpans() {
		if s.Name == "hook session" {
			strategy, ok := attributes(s.Attributes)["flowhook.strategy"]
			assert.Equal(t, strategy != "", ok, "without a strategy there is no attribute")
			spans = append(spans, strategy)
		}
	}
	assert.Equal(t, []string{"password", "oidc", "", "oidc"}, spans)
	series := map[string]uint64{}
	for _, d := range r.durations() {
		series[attributes(d.Attributes.ToSlice())["flowhook.strategy"]] = d.Count
	}
	assert.Equal(t, map[string]uint64{"password": 1, "oidc": 2, "": 1}, series)
}

func TestServer_RecordsNoPersonalData(t *testing.T) {
	r := newRig(t)
	server := r.service(&mails{})
	resp := post(t, server, flowhook.Registration, flowhook.Password)
	require.Equal(t, "/welcome?token="+canaryToken, resp.Header.Get("Location"))
	require.Equal(t, http.StatusInternalServerError, post(t, server, flowhook.Settings, flowhook.Profile).StatusCode)
	server.Close()

	text := r.text()
	for _, recorded := range []string{"hook session", "hook greet", "hook fail", "hook burst", "panic", "*url.Error"} {
		assert.Contains(t, text, recorded)
	}
	session := resp.Cookies()[0].Value
	for _, canary := range []string{canaryAddress, canaryPassword, canarySecret, canaryToken, "alice", session} {
		require.Greater(t, len(canary), 4)
		assert.NotContains(t, text, canary)
	}
}
