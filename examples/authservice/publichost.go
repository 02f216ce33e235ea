package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// publicHost serves only requests to the host of PUBLIC_URL. It redirects a GET to another host and
// refuses everything else with 421. There are two reasons. Cookies belong to a host, so a sign-in
// that starts at http://localhost would fail if the provider sends the browser back to
// http://127.0.0.1. And another site whose name resolves to this machine (DNS rebinding) could read
// pages such as the development inbox.
//
// The port may differ: cookies ignore it, and with port forwarding this process does not know it.
// Health checks, which use the IP address, and the static files, which the page of the 421 needs,
// are served under any host.
//
// The redirect is 307, not 308: browsers would remember a permanent redirect even after a wrong
// PUBLIC_URL was corrected.
func (s *service) publicHost(next http.Handler) (http.Handler, error) {
	public, err := url.Parse(s.config.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("PUBLIC_URL: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		switch {
		case strings.EqualFold(host, public.Hostname()), quiet(r.URL.Path):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			to := url.URL{Scheme: public.Scheme, Host: public.Host,
				Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
		default:
			s.pages.render(w, r, http.StatusMisdirectedRequest, "error", page{Title: "Wrong address",
				Data: "This service is at " + s.config.PublicURL +
					". Open the page there and try again. Nothing was changed."})
		}
	}), nil
}
