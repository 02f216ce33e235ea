package main

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/flowhook/flowhook/hookpage"
)

// debugPath is the page of what is configured, and how often it has run. It stands outside of ownHost, so that
// "curl http://127.0.0.1:8080/debug/hooks" works whatever PUBLIC_URL is; and for everybody else it is a page that is not there.
const debugPath = "/debug/hooks"

func (s *service) debug(next http.Handler) http.Handler {
	page := hookpage.Handler(s.pipeline, hookpage.Options{Title: "Hooks of authservice", Recorder: s.recorder, File: s.config.AuthConfig}) // it sets a policy of its own
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == debugPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) && onThisMachine(r) {
			page.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onThisMachine says whether a request was made on this machine, and meant for it.
//
//   - It comes from a loopback address.
//   - It names one. A page of another site, whose owner lets its name point to 127.0.0.1, is in a browser on this machine,
//     and could read what is shown here; but the browser says which name it was.
//   - No proxy says that it has passed it on: behind a proxy on the same machine, everybody comes from loopback. One that
//     neither says so nor passes the header Host on cannot be told from a client here; but in front of a public service it
//     is of no use (see ownHost).
func onThisMachine(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().IsLoopback() || !loopback((&url.URL{Host: r.Host}).Hostname()) {
		return false
	}
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return false
		}
	}
	return true
}
