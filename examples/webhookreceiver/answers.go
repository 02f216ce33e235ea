package main

import (
	"io"
	"net/http"
	"strings"
)

// answers returns a handler for each way to answer.
func answers() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/allow", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden,
			`{"error": {"code": "blocked_country", "message": "We do not serve your country.", "field": "email"}}`)
	})
	mux.HandleFunc("/messages", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusBadRequest, `{"messages": [{"instance_ptr": "#/traits/email",
			"messages": [{"id": 1234, "text": "This address is taken.", "type": "error"}]}]}`)
	})
	mux.HandleFunc("/identity", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, `{"identity": {"metadata_public": {"plan": "free"}}}`)
	})
	mux.HandleFunc("/unavailable", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/allow", http.StatusSeeOther)
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	})
	return mux
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
