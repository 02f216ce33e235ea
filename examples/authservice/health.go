package main

import (
	"fmt"
	"net/http"
)

// addHealth adds the health checks. They are served under any host, because a load balancer uses
// the IP address.
func (s *service) addHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", s.readyz)
}

// livez answers as long as this copy handles requests. It needs nothing else: restarting this copy
// would not bring a database back.
func livez(w http.ResponseWriter, r *http.Request) { healthy(w, "") }

// readyz answers 200 if this copy should get requests, and 503 if it is stopping or if its database
// is not ready.
func (s *service) readyz(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		healthy(w, "shutting down")
		return
	}
	if err := s.db.ready(r.Context()); err != nil {
		s.log.WarnContext(r.Context(), "not ready", "error", err)
		healthy(w, "database not ready")
		return
	}
	healthy(w, "")
}

// healthy answers a health check. problem is empty if there is none.
func healthy(w http.ResponseWriter, problem string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if problem == "" {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, problem)
}
