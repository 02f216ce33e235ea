package browser_test

import (
	"context"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// cookies checks what the browser keeps: Secure cookies over http://127.0.0.1, which no script and no other host gets.
func (v *visitor) cookies(signedIn bool) *visitor {
	v.t.Helper()
	kept := run(v, func(ctx context.Context, t *chromedp.Target) (network.GetCookiesResult, error) {
		return cdp.Call(ctx, t, network.GetCookies, network.GetCookiesParams{URLs: []string{v.base}})
	})
	lifetimes := map[string]time.Duration{"__Host-session": 24 * time.Hour, "__Host-device": 400 * 24 * time.Hour}
	found := map[string]bool{}
	for _, c := range kept.Cookies {
		found[c.Name] = true
		lifetime, known := lifetimes[c.Name]
		require.True(v.t, known, "a cookie that nobody told of: %s", c.Name)
		require.True(v.t, c.Secure, c.Name)
		require.True(v.t, c.HTTPOnly, c.Name)
		require.Equal(v.t, network.CookieSameSiteLax, c.SameSite, c.Name)
		require.Equal(v.t, "/", c.Path, c.Name)
		require.Equal(v.t, "127.0.0.1", c.Domain, "%s: a domain attribute would put a dot in front", c.Name)
		require.False(v.t, c.Session, "%s does not outlive the browser", c.Name)
		require.WithinDuration(v.t, time.Now().Add(lifetime), time.Unix(int64(c.Expires), 0), 10*time.Minute, c.Name)
		v.report.cookies++
	}
	require.Equal(v.t, signedIn, found["__Host-session"], "the session's cookie")
	return v
}
