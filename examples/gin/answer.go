package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
func (s *service) recovered(c *gin.Context) {
	defer func() {
		v := recover()
		switch {
		case v == nil:
		case v == http.ErrAbortHandler || c.Writer.Written(): // the response is incomplete
			panic(http.ErrAbortHandler)
		default:
			s.fail(c, fmt.Errorf("panic at %s: %v\n%s", c.FullPath(), v, debug.Stack()))
			c.Abort()
		}
	}()
	c.Next()
}

// protected rejects cross-site requests of browsers. It does not affect other clients.
func (s *service) protected(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.pipeline.AnswerError(w, r,
			flowhook.Refuse(http.StatusForbidden, "cross_origin", "requests from other sites are rejected"))
	}))
	return p.Handler(next)
}

// decode decodes the body into v. If the body is invalid, it returns a refusal.
func decode(c *gin.Context, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, 4<<10))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
	}
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return flowhook.Refuse(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than 4 KiB")
	}
	return flowhook.Refuse(http.StatusBadRequest, "bad_request",
		"the body must be one JSON object with name and password")
}

// fail answers after an error or a refusal. Nothing has been written yet. A 401 must name an
// authentication scheme (RFC 9110, 15.5.2); Bearer does not make browsers ask for a password.
func (s *service) fail(c *gin.Context, err error) {
	scheme := `Bearer realm="api"`
	if errors.Is(err, flowhook.ErrNoSession) {
		err = flowhook.Refuse(http.StatusUnauthorized, "not_signed_in", "sign in first")
		if len(c.Request.Header.Values("Authorization")) > 0 {
			scheme += `, error="invalid_token"`
			err = flowhook.Refuse(http.StatusUnauthorized, "invalid_token", "the token is invalid, expired or revoked")
		}
	}
	if no := (*flowhook.Refusal)(nil); errors.As(err, &no) && no.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", scheme)
	}
	s.pipeline.AnswerError(c.Writer, c.Request, err)
}
