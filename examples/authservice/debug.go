package main

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/flowhook/flowhook/hookpage"
)

// debugPath is the path of the page with the configured hooks. It is served outside publicHost, so
// that "curl http://127.0.0.1:8080/debug/hooks" works whatever PUBLIC_URL is. For requests from
// other machines, the page does not exist.
const debugPath = "/debug/hooks"

func (s *service) debug(next http.Handler) http.Handler {
	page := hookpage.Handler(s.pipeline, hookpage.Options{ // it sets a policy of its own
		Title:    "Hooks of authservice",
		Recorder: s.recorder,
		File:     s.config.AuthConfig,
		Load:     s.loadConfig,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == debugPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) && onThisMachine(r) {
			page.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onThisMachine reports whether a request was made on this machine and meant for it:
//
//   - It comes from a loopback address.
//   - Its Host is a loopback address or localhost. Another site whose name resolves to 127.0.0.1
//     (DNS rebinding) could otherwise read the page in a browser on this machine.
//   - No header says that a proxy forwarded it. Behind a proxy on this machine, all requests come
//     from loopback. A proxy that sets no such header and does not pass the Host header on looks
//     like a local client. But the service does not work behind such a proxy anyway (see
//     publicHost).
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
