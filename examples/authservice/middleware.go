package main

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
)

// policy allows only the service's own styles, scripts and images, and forms that post to the
// service. It also blocks a redirect from a POST to another site. If you configure such a redirect,
// add the site to form-action. Signing in with a provider starts with a link for this reason.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

func (s *service) headers(next http.Handler) http.Handler {
	secure := strings.HasPrefix(s.config.PublicURL, "https://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer, with which browsers send "Origin: null" with forms. A token in a link
		// does not leave this site.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// recovering answers a panic with an error page, unless the response has already started.
func (s *service) recovering(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler || sw.status != 0 {
				panic(v) // closes the connection, so that the client sees that the page is incomplete
			}
			s.log.ErrorContext(r.Context(), "panic", "path", r.URL.Path, "stack", string(debug.Stack()))
			s.fail(sw, r, fmt.Errorf("panic: %w", asError(v)))
		}()
		next.ServeHTTP(sw, r)
	})
}

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return errors.New(fmt.Sprint(v))
}

// A statusWriter records the status.
type statusWriter struct {
	http.ResponseWriter
	status int // 0 until something is sent
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard is a ResponseWriter that keeps only the header.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
