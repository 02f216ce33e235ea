package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"github.com/flowhook/flowhook"
)

type clientKey struct{} // context key of the client's address, a string

// flow adapts flowhook's Middleware to gin. It must be the last middleware before the handler, so
// that x.Writer is the writer that the handler uses. Middleware after it that replaces c.Writer
// must set x.Writer, too.
//
// gin.WrapH is not enough. Gin calls the next handler unless it is told to abort, so flow aborts if
// a hook at before has answered. And gin's writer only records a status until something is written.
// After a hook has answered without a body, such as with a redirect, c.Writer.Written() is still
// false. The next c.JSON would turn the 302 into a 200. So WriteHeaderNow is called wherever a hook
// has answered. Until then gin does not see what hooks write: an answer that is rolled back leaves
// Status, Size and Written unchanged.
//
// Middleware guards the writer that it passes to the handler: it rejects writes while hooks or save
// run. Gin's handlers write to c.Writer instead, which is not guarded. So don't call c.JSON,
// c.Redirect or c.Writer in save: the client would receive that answer even if the run then fails
// and is rolled back.
func (s *service) flow(flow flowhook.Flow) gin.HandlerFunc {
	middleware := s.pipeline.Middleware(flow)
	return func(c *gin.Context) {
		reached := false
		r := c.Request.WithContext(context.WithValue(c.Request.Context(), clientKey{}, c.ClientIP()))
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			reached = true
			c.Request = r // its context has the exchange
			c.Next()
		})).ServeHTTP(c.Writer, r)
		if !reached {
			c.Abort()
			c.Writer.WriteHeaderNow()
		}
	}
}

// recovered replaces gin.Recovery, which logs the request's cookies and turns http.ErrAbortHandler
// into an empty 200.
func recovered(c *gin.Context) {
	defer func() {
		v := recover()
		switch {
		case v == nil:
		case v == http.ErrAbortHandler || c.Writer.Written(): // the response is incomplete
			panic(http.ErrAbortHandler)
		default:
			slog.ErrorContext(c.Request.Context(), "panic", "path", c.FullPath(), "value", v,
				"stack", string(debug.Stack()))
			refuse(c.Writer, http.StatusInternalServerError, "internal", "something went wrong")
			c.Abort()
		}
	}()
	c.Next()
}

// protected rejects cross-site requests of browsers. It does not affect other clients.
func protected(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusForbidden, "cross_origin", "requests from other sites are rejected")
	}))
	return p.Handler(next)
}

// decode decodes the body into v. If the body is invalid, it answers and returns false.
func decode(c *gin.Context, v any) (ok bool) {
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, 4<<10))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return true
		}
	}
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		refuse(c.Writer, http.StatusRequestEntityTooLarge, "too_large", "the body is larger than 4 KiB")
	} else {
		refuse(c.Writer, http.StatusBadRequest, "bad_request",
			"the body must be one JSON object with name and password")
	}
	return false
}

// fail answers after an error. Nothing has been written yet.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	var hook *flowhook.HookError
	switch {
	case errors.Is(err, flowhook.ErrNoSession) && len(r.Header.Values("Authorization")) > 0:
		w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "invalid_token", "the token is invalid, expired or revoked")
		return
	case errors.Is(err, flowhook.ErrNoSession):
		refuse(w, http.StatusUnauthorized, "not_signed_in", "sign in first")
		return
	case errors.As(err, &hook):
		refuse(w, http.StatusInternalServerError, "internal", "something went wrong")
	default: // an error of the store
		refuse(w, http.StatusServiceUnavailable, "unavailable", "the change may not have been saved; try again")
	}
	slog.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
}

// refuse answers with a reason for programs and a message for people. Hooks call it with x.Writer.
// A 401 must name an authentication scheme (RFC 9110, 15.5.2); Bearer does not make browsers ask
// for a password.
func refuse(w http.ResponseWriter, status int, reason, message string) {
	body, err := json.Marshal(gin.H{"error": gin.H{"reason": reason, "message": message}})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="api"`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client has disconnected
}
