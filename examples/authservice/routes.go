package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/flowhook/flowhook"
)

const (
	bodyMax     = 64 << 10
	requestTime = 15 * time.Second // for all that a request does; then it is 503
)

// handler gives all routes. The middleware of a flow stands innermost.
func (s *service) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	in := func(pattern string, flow flowhook.Flow, h http.HandlerFunc) {
		mux.Handle(pattern, s.pipeline.Middleware(flow)(h))
	}
	mux.HandleFunc("GET /{$}", s.home)
	in("GET /register", flowhook.Registration, s.registerPage)
	in("POST /register", flowhook.Registration, s.register)
	mux.HandleFunc("GET /register/sent", s.registered)
	in("GET /login", flowhook.Login, s.signInPage)
	in("POST /login", flowhook.Login, s.signIn)
	if s.oidc != nil {
		in("GET /login/oidc", flowhook.Login, s.startOIDC)
		in("GET /login/oidc/callback", flowhook.Login, s.finishOIDC)
	}
	in("POST /logout", flowhook.Logout, s.signOut)
	in("GET /verify", flowhook.Verification, s.verifyPage)
	in("POST /verify", flowhook.Verification, s.verify)
	mux.HandleFunc("GET /verify/done", s.verified)
	in("GET /settings", flowhook.Settings, s.settingsPage)
	in("POST /settings/profile", flowhook.Settings, s.saveProfile)
	in("POST /settings/password", flowhook.Settings, s.savePassword)
	in("POST /settings/confirm", confirmAddress, s.confirmAgain)
	mux.HandleFunc("GET /settings/sent", s.confirmationSent)
	mux.HandleFunc("GET /sessions", s.sessionsPage)
	in("POST /sessions/end", flowhook.Logout, s.endSession)
	in("POST /sessions/end-all", signOutEverywhere, s.signOutEverywhere)
	// A form that was refused, or a failure, leaves its own path in the address bar. Who opens that gets the page with the form.
	for path, form := range map[string]string{"/settings/profile": "/settings", "/settings/password": "/settings",
		"/settings/confirm": "/settings", "/sessions/end": "/sessions", "/sessions/end-all": "/sessions", "/logout": "/"} {
		mux.Handle("GET "+path, http.RedirectHandler(form, http.StatusSeeOther))
	}
	mux.HandleFunc("GET /maintenance", s.maintenance)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /static/{name}", static)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/static/favicon.svg", http.StatusMovedPermanently)
	})
	if s.inbox != nil {
		mux.Handle("GET /dev/mail/", http.StripPrefix("/dev/mail", s.inbox)) // it sets a policy of its own
	}

	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(s.config.PublicURL); err != nil { // behind a proxy, Host may say something else
		return nil, fmt.Errorf("PUBLIC_URL as an origin: %w", err)
	}
	protection.SetDenyHandler(http.HandlerFunc(s.crossOrigin))
	own, err := s.ownHost(limited(braked(protection.Handler(s.parsed(s.ownPages(mux))))))
	if err != nil {
		return nil, err
	}
	return s.logRequests(s.headers(s.recovering(s.debug(own)))), nil
}

// ownPages answers with a page of the service's where the mux finds nothing, or nothing for the method. Its other answers, the
// redirects to a clean path, stay as they are.
func (s *service) ownPages(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, pattern := mux.Handler(r); pattern == "" {
			probe := &statusWriter{ResponseWriter: discard{http.Header{}}}
			h.ServeHTTP(probe, r)
			switch probe.status {
			case http.StatusNotFound:
				s.notFound(w, r)
				return
			case http.StatusMethodNotAllowed:
				w.Header().Set("Allow", probe.Header().Get("Allow"))
				s.methodNotAllowed(w, r)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// limited bounds what a request may send and how long it may take.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		next.ServeHTTP(w, r)
	})
}

// parsed reads the form, so that no handler takes one that could not be read for an empty one.
func (s *service) parsed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseForm()
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			s.show(w, r, http.StatusRequestEntityTooLarge, "error", page{Title: "Too much", Data: "This is more than the form takes."})
		case err != nil:
			s.show(w, r, http.StatusBadRequest, "error", page{Title: "Not understood", Data: "This request could not be read."})
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// healthz is for whoever watches over the copies: 200 where this one can serve.
func (s *service) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := s.db.PingContext(ctx); err != nil {
		s.log.WarnContext(r.Context(), "not healthy", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "no database")
		return
	}
	fmt.Fprintln(w, "ok")
}
