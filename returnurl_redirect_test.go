package flowhook_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

const asksYAML = `
selfservice:
  allowed_return_urls: [https://www.example.org/app]
  flows:
    login:
      before: {hooks: [{hook: note}]}
      after: {password: {hooks: [{hook: note}, {hook: redirect, config: {to: /home, allow_user_defined_redirect: true}}]}}
      failed: [{hook: note}]
    settings: {after: [{hook: redirect, config: {to: /settings}}]}
`

// A redirect that goes where the request says: over a real server, as the client sees it.
func TestARedirectGoesWhereTheRequestSays(t *testing.T) {
	const good, bad = "https://www.example.org/app/x?y=z", "https://www.example.org.evil.example/app"
	for _, row := range []struct {
		name, path, form string
		status           int
		location         string
		ran              int // the note hook
		saved            bool
	}{
		{"nothing named", "/login", "", http.StatusFound, "/home", 2, true},
		{"a good one", "/login?return_to=" + url.QueryEscape(good), "", http.StatusFound, good, 2, true},
		{"a good one in the form", "/login", "return_to=" + url.QueryEscape(good), http.StatusFound, good, 2, true},
		{"a bad one is refused before anything runs", "/login?return_to=" + url.QueryEscape(bad), "", http.StatusBadRequest, "", 0, false},
		{"a bad one in the form", "/login", "return_to=" + url.QueryEscape(bad), http.StatusBadRequest, "", 0, false},
		{"two of them", "/login?return_to=" + url.QueryEscape(good), "return_to=" + url.QueryEscape(bad), http.StatusBadRequest, "", 0, false},
		{"a flow whose redirect does not ask", "/settings?return_to=" + url.QueryEscape(bad), "", http.StatusFound, "/settings", 0, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var ran []string
			saved := false
			opts := noting(&ran)
			opts.Store = memstore.New()
			p, err := flowhook.New(flowtest.Parse(t, asksYAML), opts)
			require.NoError(t, err)
			mux := http.NewServeMux()
			for path, flow := range map[string]flowhook.Flow{"/login": flowhook.Login, "/settings": flowhook.Settings} {
				mux.Handle(path, p.Middleware(flow)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					handled, err := p.Run(r.Context(), flow, flowhook.BeforePersist, flowhook.Password)
					require.NoError(t, err)
					require.False(t, handled)
					saved = true
					if handled, err = p.Run(r.Context(), flow, flowhook.After, flowhook.Password); err != nil || !handled {
						http.Error(w, "not as expected", http.StatusTeapot)
					}
				})))
			}
			srv := httptest.NewServer(mux)
			defer srv.Close()
			client := srv.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res, err := client.Post(srv.URL+row.path, "application/x-www-form-urlencoded", strings.NewReader(row.form))
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, row.status, res.StatusCode)
			require.Equal(t, row.location, res.Header.Get("Location"))
			require.NotContains(t, string(body), "evil")
			require.Equal(t, row.saved, saved)
			require.Len(t, ran, row.ran)
		})
	}
}

// Without Middleware, Complete is the first to look. Nothing is saved, and it is no failed attempt.
func TestCompleteRefusesABadReturnURLBeforeItSaves(t *testing.T) {
	var ran []string
	yaml := strings.Replace(asksYAML, "before: {hooks: [{hook: note}]}", "", 1)
	opts := noting(&ran)
	opts.Store = memstore.New()
	p, err := flowhook.New(flowtest.Parse(t, yaml), opts)
	require.NoError(t, err)
	complete := func(to string) (*flowhook.Exchange, *httptest.ResponseRecorder, bool, error) {
		rec := httptest.NewRecorder()
		x := &flowhook.Exchange{Writer: rec, Request: httptest.NewRequest("POST", "/?return_to="+url.QueryEscape(to), nil)}
		saved := false
		_, err := p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, func(context.Context) error {
			saved = true
			return nil
		})
		return x, rec, saved, err
	}
	for _, run := range []flowhook.Phase{flowhook.BeforePersist, flowhook.After} {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/?return_to=//evil.example", nil)}
		_, err := p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, run, flowhook.Password)
		require.ErrorIs(t, err, flowhook.ErrBadReturnURL, "%s", run)
	}
	_, rec, saved, err := complete("https://evil.example/")
	require.ErrorIs(t, err, flowhook.ErrBadReturnURL)
	require.False(t, saved)
	require.Empty(t, rec.Header())
	require.Empty(t, ran, "a hook has run, be it at failed")

	x, rec, saved, err := complete("https://www.example.org/app")
	require.NoError(t, err)
	require.True(t, saved)
	require.Equal(t, "https://www.example.org/app", rec.Header().Get("Location"))
	require.Equal(t, 302, rec.Code)
	require.True(t, x.Answered())
}

// What a hook does to the form has no effect: where the user goes is decided before anything is saved.
func TestTheReturnURLIsDecidedAtTheBeginning(t *testing.T) {
	for name, change := range map[string]string{"another good one": "https://www.example.org/app/other", "a bad one": "https://evil.example/"} {
		t.Run(name, func(t *testing.T) {
			p, err := flowhook.New(flowtest.Parse(t, strings.ReplaceAll(asksYAML, "note", "change")), flowhook.Options{
				Hooks: map[string]flowhook.HookFactory{"change": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
					return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
						x.Request.Form.Set("return_to", change)
						return nil
					}), nil
				}}})
			require.NoError(t, err)
			rec := httptest.NewRecorder()
			x := &flowhook.Exchange{Writer: rec, Request: httptest.NewRequest("POST", "/?return_to=https://www.example.org/app/mine", nil)}
			ctx := flowhook.NewContext(t.Context(), x)
			handled, err := p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			require.NoError(t, err)
			require.False(t, handled)
			x.Request.Form.Set("return_to", "https://www.example.org/app/mine")
			handled, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
			require.NoError(t, err)
			require.True(t, handled)
			require.Equal(t, "https://www.example.org/app/mine", rec.Header().Get("Location"))
		})
	}
}

// Behind a failure, the user goes where the file says, if where the request says is not allowed.
func TestARedirectAtFailedNeverFailsForAReturnURL(t *testing.T) {
	for to, want := range map[string]string{"": "/again", "https://www.example.org/app/x": "https://www.example.org/app/x", "https://evil.example": "/again"} {
		p, err := flowhook.New(flowtest.Parse(t, `
selfservice:
  allowed_return_urls: [https://www.example.org/app]
  login: {failed: [{hook: redirect, config: {to: /again, allow_user_defined_redirect: true}}]}
`), flowhook.Options{})
		require.NoError(t, err)
		rec := httptest.NewRecorder()
		x := &flowhook.Exchange{Writer: rec, Request: httptest.NewRequest("POST", "/?return_to="+url.QueryEscape(to), nil), Err: errors.New("wrong password")}
		handled, err := p.Run(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Failed, flowhook.Password)
		require.NoError(t, err)
		require.True(t, handled)
		require.Equal(t, want, rec.Header().Get("Location"))
	}
}
