package browser_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/flowhook/flowhook/examples/dev/idp"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestProviders connects and disconnects providers, and looks at the pages with one, two and five of
// them.
func TestProviders(t *testing.T) {
	path := testkit.Chromium(t)
	s, report := newService(t), newReport()
	silent := silentProvider(t)
	keys := []string{"acme", "globex", "initech", "long", "arabic"}
	env := []string{"OIDC_ACME_NAME", "Acme", "OIDC_ACME_LOGO", "static/logo.svg", "OIDC_GLOBEX_NAME", "Globex",
		"OIDC_GLOBEX_LOGO", "static/logo.svg", "OIDC_INITECH_NAME", "Initech", "OIDC_LONG_NAME",
		"Rindfleischetikettierungsüberwachungs-ID", "OIDC_ARABIC_NAME", "شركة المثال"}
	for _, key := range keys {
		name := "OIDC_" + strings.ToUpper(key)
		issuer := silent
		if key != "initech" {
			p, err := idp.Start(idp.Options{ClientID: "client", ClientSecret: "secret",
				RedirectURI: s.url + "/login/oidc/" + key + "/callback"})
			require.NoError(t, err)
			t.Cleanup(func() { p.Close() })
			issuer = p.Issuer()
		}
		env = append(env, name+"_ISSUER", issuer, name+"_CLIENT_ID", "client", name+"_CLIENT_SECRET", "secret")
	}
	restart := func(providers ...string) {
		s.restart(append(env, "OIDC_PROVIDERS", strings.Join(providers, ","))...)
	}

	restart(keys[0])
	v := newVisitor(t, path, "Carol", s.url, report)
	v.open("/login").look("login-1-provider")
	restart(keys...)
	v.open("/login").look("login-5-providers").open("/register").look("register-5-providers")
	restart(keys[:2]...)
	v.open("/login").look("login-2-providers")
	signIn := func(by string) {
		t.Helper()
		v.follow(by).at("/authorize", "Sign in")
		v.fill("Name", "Carol", "Email address", "carol@example.org").press("Sign in")
	}
	signIn("Continue with Acme")
	v.open("/settings").sees("This is your only way to sign in").look("methods-last")
	signIn("Continue with Acme")
	v.at("/settings", "Settings").look("methods-fresh")
	v.press("Connect Globex").arrives("/authorize")
	v.fill("Name", "Carol", "Email address", "carol@globex.example").press("Sign in")
	v.at("/settings", "Settings").sees("You can now sign in with Globex.").look("methods-connected")
	v.fill("New password", password).press("Set password").at("/settings", "Settings")

	restart(keys...)
	v.open("/settings").look("methods-5-providers")
	v.open("/settings").opensForm("Disconnect Globex").look("methods-open")
	v.open("/settings").opensForm("Disconnect Globex").fill("Current password to disconnect Globex", "not the password")
	v.presses(422, "Disconnect Globex").sees("This is not your current password.").look("methods-error")
	v.fill("Current password to disconnect Globex", password).press("Disconnect Globex").at("/settings", "Settings").
		sees("You can no longer sign in with Globex.").look("methods-disconnected")
	v.open("/settings").opensForm("Connect Globex").fill("Current password to connect Globex", password).press("Connect Globex")
	v.arrives("/authorize").presses(403, "Cancel").at("/login/oidc/globex/callback", "Not connected").
		sees("You canceled the sign-in at Globex.").look("not-connected")
	w := &walk{t: t, report: report, elsewhere: v}
	w.emails()
	require.Contains(t, report.emails, "email-a-sign-in-method-was-removed")
	v.open("/settings").opensForm("Connect Initech").fill("Current password to connect Initech", password)
	run(v, chromedp.Click(having("button", "Connect Initech"), chromedp.NodeVisible))
	run(v, chromedp.WaitVisible(having("h1", "Continue to Initech")))
	require.True(t, v.watch.settle("", 0), "the page leads on by itself, but the provider shows nothing")
	v.at("/settings/providers/initech/connect", "Continue to Initech").look("continue")
	report.log(t, v)
}

// opensForm opens the form of a provider, by its button.
func (v *visitor) opensForm(button string) *visitor {
	v.t.Helper()
	run(v, chromedp.Click(chromedp.Search("//summary[@aria-label="+quoted(button)+"]"), chromedp.NodeVisible))
	return v
}

// arrives waits until a page has led the browser to a path of a provider.
func (v *visitor) arrives(path string) *visitor {
	v.t.Helper()
	run(v, chromedp.WaitVisible(having("h1", "Sign in")))
	if at := js[string](v, "location.pathname"); at != path {
		v.fatal("at %s, want %s", at, path)
	}
	return v
}

// silentProvider returns a provider without a sign-in page: the browser stays where it is.
func silentProvider(t *testing.T) (issuer string) {
	mux := http.NewServeMux()
	p := httptest.NewServer(mux)
	t.Cleanup(p.Close)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize",
			"token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return p.URL
}
