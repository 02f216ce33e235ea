package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/flowhook/flowhook"
)

const bodyMax = 64 << 10

// handler returns all routes. The Middleware of a flow is innermost.
func (s *service) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	in := func(pattern string, flow flowhook.Flow, h http.HandlerFunc) {
		mux.Handle(pattern, s.pipeline.Middleware(flow)(h))
	}
	mux.HandleFunc("GET /{$}", s.home)
	in("GET /register", flowhook.Registration, s.registerPage)
	in("POST /register", flowhook.Registration, s.register)
	mux.HandleFunc("GET /register/sent", s.registered)
	mux.HandleFunc("POST /register/again", s.registerAgain)
	in("GET /login", flowhook.Login, s.signInPage)
	in("POST /login", flowhook.Login, s.signIn)
	in("GET /login/oidc/{provider}", flowhook.Login, s.startOIDC)
	in("GET "+callbackPath("{provider}"), flowhook.Login, s.finishOIDC)
	in("POST /logout", flowhook.Logout, s.signOut)
	in("GET /verify", flowhook.Verification, s.verifyPage)
	in("POST /verify", flowhook.Verification, s.verify)
	mux.HandleFunc("GET /verify/done", s.verified)
	in("GET /recovery", flowhook.Recovery, s.recoveryPage)
	in("POST /recovery", flowhook.Recovery, s.requestRecovery)
	mux.HandleFunc("GET /recovery/sent", s.recoverySent)
	in("GET /recovery/new", flowhook.Recovery, s.newPasswordPage)
	in("POST /recovery/new", flowhook.Recovery, s.recoverByLink)
	in("GET /recovery/code", flowhook.Recovery, s.codePage)
	in("POST /recovery/code", flowhook.Recovery, s.recoverByCode)
	mux.HandleFunc("GET /recovery/done", s.recovered)
	in("GET /settings", flowhook.Settings, s.settingsPage)
	in("POST /settings/profile", flowhook.Settings, s.saveProfile)
	in("POST /settings/email", flowhook.Settings, s.saveEmail)
	in("POST /settings/password", flowhook.Settings, s.savePassword)
	in("POST "+methodPath("{provider}", "connect"), flowhook.Settings, s.connect)
	in("POST "+methodPath("{provider}", "disconnect"), flowhook.Settings, s.disconnect)
	in("POST /settings/delete", deleteAccount, s.deleteAccount)
	mux.HandleFunc("GET /settings/deleted", s.accountDeleted)
	in("POST /settings/confirm", confirmAddress, s.confirmAgain)
	mux.HandleFunc("GET /settings/sent", s.confirmationSent)
	mux.HandleFunc("GET /settings/pending", s.changePending)
	mux.HandleFunc("GET /sessions", s.sessionsPage)
	in("POST /sessions/end", flowhook.Logout, s.endSession)
	in("POST /sessions/end-all", signOutEverywhere, s.signOutEverywhere)
	// After a rejected form, the address bar has the path of the POST. A GET there redirects to the
	// page with the form.
	for path, form := range map[string]string{
		"/settings/profile":                    "/settings",
		"/settings/email":                      "/settings",
		"/settings/password":                   "/settings",
		methodPath("{provider}", "connect"):    "/settings",
		methodPath("{provider}", "disconnect"): "/settings",
		"/settings/delete":                     "/settings",
		"/settings/confirm":                    "/settings",
		"/register/again":                      "/register/sent",
		"/sessions/end":                        "/sessions",
		"/sessions/end-all":                    "/sessions",
		"/logout":                              "/",
	} {
		mux.Handle("GET "+path, http.RedirectHandler(form, http.StatusSeeOther))
	}
	mux.HandleFunc("GET /maintenance", s.maintenance)
	s.addHealth(mux)
	mux.HandleFunc("GET /static/{name}", s.pages.static)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.pages.files["logo"].path, http.StatusFound)
	})
	if s.inbox != nil {
		mux.Handle("GET /dev/mail/", http.StripPrefix("/dev/mail", s.inbox)) // it sets its own policy
	}

	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(s.config.PublicURL); err != nil { // behind a proxy, Host may differ
		return nil, fmt.Errorf("PUBLIC_URL as an origin: %w", err)
	}
	protection.SetDenyHandler(http.HandlerFunc(s.crossOrigin))
	public, err := s.publicHost(s.limited(protection.Handler(s.parsed(s.errorPages(mux)))))
	if err != nil {
		return nil, err
	}
	return s.observed(s.headers(s.recovering(s.debug(public)))), nil
}

// errorPages replaces the mux's plain-text 404 and 405 with pages of the service. It leaves the
// mux's redirects alone.
func (s *service) errorPages(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		setRoute(r.Context(), pattern)
		if pattern == "" {
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

// limited bounds the size of a request and the time to handle it.
func (s *service) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.config.Limits.request)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		next.ServeHTTP(w, r)
	})
}

// parsed reads the form, so that no handler mistakes an unreadable form for an empty one.
func (s *service) parsed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := r.ParseForm()
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			s.show(w, r, http.StatusRequestEntityTooLarge, "error",
				page{Title: "Too much data", Data: "What you entered is too long. Go back and shorten it."})
		// ReadTimeout also cancels the context
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(context.Cause(r.Context()), context.DeadlineExceeded):
			s.pages.render(w, r, http.StatusRequestTimeout, "error",
				page{Title: "That took too long", Data: "What you entered did not arrive in time, so nothing was changed. Check " +
					"your connection and try again."})
		case r.Context().Err() != nil: // the client disconnected
			s.fail(w, r, r.Context().Err())
		case err != nil:
			s.show(w, r, http.StatusBadRequest, "error",
				page{Title: "Request not understood", Data: notUnderstood})
		default:
			next.ServeHTTP(w, r)
		}
	})
}
