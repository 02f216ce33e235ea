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

type clientKey struct{} // of the client's address, a string

// flow is flowhook's Middleware in a chain of gin's. It stands last before the handler, so that the exchange holds the writer
// that the handler writes to; something behind it that replaces c.Writer would have to set x.Writer too.
//
// gin.WrapH does not do for this. Gin goes on to the next handler unless it is told to abort, so it is told where a hook
// at before has answered. And gin's writer only notes a status until something is written: behind a hook that has answered
// without a body, such as a redirect, c.Writer.Written() is still false, and the next c.JSON would turn the 302 into a 200.
// So WriteHeaderNow follows wherever a hook has answered. Until then gin knows nothing of what hooks write: an answer that
// is rolled back leaves Status, Size and Written as they were.
//
// Middleware guards the writer that it passes to the handler: while hooks or save run, it refuses writes. gin's handlers
// write to c.Writer instead, which is not guarded. So do not call c.JSON, c.Redirect or c.Writer in save: the client would
// read that answer even if the run then fails and is rolled back.
func (s *service) flow(flow flowhook.Flow) gin.HandlerFunc {
	around := s.pipeline.Middleware(flow)
	return func(c *gin.Context) {
		reached := false
		r := c.Request.WithContext(context.WithValue(c.Request.Context(), clientKey{}, c.ClientIP()))
		around(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
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

// recovered is instead of gin.Recovery, which writes the request's cookies into its log, and makes an empty 200 of
// http.ErrAbortHandler.
func recovered(c *gin.Context) {
	defer func() {
		v := recover()
		switch {
		case v == nil:
		case v == http.ErrAbortHandler || c.Writer.Written(): // half an answer is none
			panic(http.ErrAbortHandler)
		default:
			slog.ErrorContext(c.Request.Context(), "panic", "path", c.FullPath(), "value", v, "stack", string(debug.Stack()))
			refuse(c.Writer, http.StatusInternalServerError, "internal", "something went wrong")
			c.Abort()
		}
	}()
	c.Next()
}

// protected refuses what a browser sends from other sites. Clients that are no browsers are not concerned.
func protected(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusForbidden, "cross_origin", "requests from other sites are refused")
	}))
	return p.Handler(next)
}

// decode reads the body, or refuses it.
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
		refuse(c.Writer, http.StatusRequestEntityTooLarge, "too_large", "the body is over 4 KiB")
	} else {
		refuse(c.Writer, http.StatusBadRequest, "bad_request", "the body is to be one JSON object with name and password")
	}
	return false
}

// fail answers an error, with nothing saved and the writer as it was.
func fail(w http.ResponseWriter, r *http.Request, err error) {
	var hook *flowhook.HookError
	switch {
	case errors.Is(err, flowhook.ErrNoSession) && len(r.Header.Values("Authorization")) > 0:
		w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
		refuse(w, http.StatusUnauthorized, "invalid_token", "the token is expired, revoked or not genuine")
		return
	case errors.Is(err, flowhook.ErrNoSession):
		refuse(w, http.StatusUnauthorized, "not_signed_in", "sign in first")
		return
	case errors.As(err, &hook):
		refuse(w, http.StatusInternalServerError, "internal", "something went wrong")
	default: // the store
		refuse(w, http.StatusServiceUnavailable, "unavailable", "it may not have been done; try again")
	}
	slog.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
}

// refuse answers with a reason for programs and a message for people. Hooks call it with x.Writer. A 401 has to name a way
// to authenticate (RFC 9110, 15.5.2), and Bearer is not one that makes browsers ask for a password.
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
	_, _ = w.Write(body) // the client may be gone
}
