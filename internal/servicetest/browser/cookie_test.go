package browser_test

import (
	"context"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// cookies checks the attributes of the browser's cookies, and whether there is a session cookie.
func (v *visitor) cookies(signedIn bool) *visitor {
	v.t.Helper()
	kept := run(v, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{v.base}})
	})
	lifetimes := map[string]time.Duration{"__Host-session": 24 * time.Hour, "__Host-device": 400 * 24 * time.Hour,
		"__Host-notice": 30 * time.Minute, "__Host-fresh": 10 * time.Minute, "signed_in": 30 * 24 * time.Hour}
	found := map[string]bool{}
	for _, c := range kept.Cookies {
		found[c.Name] = true
		lifetime, known := lifetimes[c.Name]
		require.True(v.t, known, "unexpected cookie %s", c.Name)
		require.Equal(v.t, c.Name != "signed_in", c.Secure, c.Name) // a browser that refuses Secure cookies must keep it
		require.True(v.t, c.HTTPOnly, c.Name)
		require.Equal(v.t, network.CookieSameSiteLax, c.SameSite, c.Name)
		require.Equal(v.t, "/", c.Path, c.Name)
		require.Equal(v.t, "127.0.0.1", c.Domain, "%s: a Domain attribute would add a leading dot", c.Name)
		require.False(v.t, c.Session, "%s must outlive the browser", c.Name)
		require.WithinDuration(v.t, time.Now().Add(lifetime), time.Unix(int64(c.Expires), 0), 12*time.Minute, c.Name)
		v.report.cookies++
	}
	require.Equal(v.t, signedIn, found["__Host-session"], "session cookie")
	return v
}
