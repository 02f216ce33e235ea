package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// A request is what the log and the metrics say about a request, in addition to its URL.
type request struct {
	id    string
	route string                 // the pattern of the mux; empty if none matches
	user  atomic.Pointer[string] // set by handlers and by hooks, which may run in a goroutine
}

type requestKey struct{}

// requestOf returns the request of a context, or nil.
func requestOf(ctx context.Context) *request {
	q, _ := ctx.Value(requestKey{}).(*request)
	return q
}

// setUser records the ID of the signed-in user of a request.
func setUser(ctx context.Context, id string) {
	if q := requestOf(ctx); q != nil {
		q.user.Store(&id)
	}
}

// setRoute records the route of a request, such as "POST /login".
func setRoute(ctx context.Context, pattern string) {
	if q := requestOf(ctx); q != nil {
		q.route = pattern
	}
}

const requestIDHeader = "X-Request-Id"

// requestID matches the IDs that are taken from a proxy. Anything else could forge log lines, or
// fill them.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._=/+-]{1,128}$`)

// observed adds an ID to each request, sends it back, and logs and measures the request. The ID
// is that of a trusted proxy or, without one, random. The log does not have the query, which may
// contain a token. A request whose handler panics after the response has begun has a line, too.
// Health checks and static files are neither logged nor measured.
func (s *service) observed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		q := &request{id: r.Header.Get(requestIDHeader)}
		if !s.config.fromProxy(r) || !requestID.MatchString(q.id) {
			q.id = rand.Text()
		}
		w.Header().Set(requestIDHeader, q.id)
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
		if quiet(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		sw := &statusWriter{ResponseWriter: w}
		defer func() {
			v := recover() // recovering has answered it, unless the response had begun
			s.observe(r, q, sw.status, time.Since(began), v)
			if v != nil {
				panic(v)
			}
		}()
		next.ServeHTTP(sw, r)
	})
}

// observe logs and measures a request that is finished, with the status that was sent. panicked is
// the value of a panic that cut the response off, or nil. At most once a minute, it warns of a proxy
// that is not trusted.
func (s *service) observe(r *http.Request, q *request, status int, took time.Duration, panicked any) {
	s.metrics.request(r, q.route, status, took, panicked != nil)
	if r.Header.Get("X-Forwarded-For") != "" && !s.config.fromProxy(r) && s.proxyWarnings.Allow() {
		s.log.WarnContext(r.Context(), "ignored X-Forwarded-For: TRUSTED_PROXIES does not have the address that sent it; "+
			"if it is a proxy, all its clients share one limit on password attempts", "sender", r.RemoteAddr)
	}
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Duration("took", took)}
	if peer := s.config.peer(r); peer.IsValid() {
		attrs = append(attrs, slog.String("client", peer.String()))
	}
	if user := q.user.Load(); user != nil {
		attrs = append(attrs, slog.String("user", *user))
	}
	level := slog.LevelInfo
	if panicked != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", "panic: "+asError(panicked).Error()))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// quiet reports whether a path is that of a health check or a static file.
func quiet(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/favicon.ico" || strings.HasPrefix(path, "/static/")
}
