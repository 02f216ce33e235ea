package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ownHost lets in what is for the host of PUBLIC_URL. Cookies belong to a host, so a sign-in that begins at http://localhost
// does not end at http://127.0.0.1, where the provider sends it back to; and a page of another site, whose name its owner lets
// point to this machine, could read what is shown here, such as the development inbox.
//
// The port may be another: cookies know none, a name that is pointed here is another name whatever its port, and who forwards
// ports has one that this process does not know. What asks for the process rather than for the site may come by any name: the
// probes of a load balancer, which use the IP, and the files that a page of 421 itself needs.
//
// The redirect is 307, not 308: browsers keep a permanent one, also where PUBLIC_URL was a mistake and has been corrected.
func (s *service) ownHost(next http.Handler) (http.Handler, error) {
	public, err := url.Parse(s.config.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("PUBLIC_URL: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		switch {
		case strings.EqualFold(host, public.Hostname()), r.URL.Path == "/healthz", strings.HasPrefix(r.URL.Path, "/static/"):
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet, r.Method == http.MethodHead:
			to := url.URL{Scheme: public.Scheme, Host: public.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
		default:
			s.pages.render(w, r, http.StatusMisdirectedRequest, "error", page{Title: "Not at this address",
				Data: "This service is at " + s.config.PublicURL + ". Open the page there and try again. Nothing was done."})
		}
	}), nil
}
