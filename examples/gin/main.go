// Gin is a JSON API with flowhook and github.com/gin-gonic/gin. A single-page app signs in at POST
// /session and gets a cookie. A mobile client signs in at POST /token and gets a bearer token.
// DELETE /session signs out, and GET /me returns the user. Users are in memory. Run it in the root
// of the repository:
//
//	go -C examples/gin run .
package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"flag"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// rounds is what OWASP recommends for PBKDF2 with SHA-512. Tests use fewer.
var rounds = 210_000

type user struct{ salt, hash []byte }

func newUser(password string) user {
	u := user{salt: []byte(rand.Text())}
	u.hash = u.hashed(password)
	return u
}

func (u user) hashed(password string) []byte {
	key, err := pbkdf2.Key(sha512.New, password, u.salt, rounds, 64)
	if err != nil { // only for an invalid length
		panic(err)
	}
	return key
}

type service struct {
	pipeline *flowhook.Pipeline
	users    map[string]user // by name, which is also the ID of the identity
	nobody   user            // checked instead of an unknown user, so that it takes as long
}

func newService(cfg *flowhook.Config, now func() time.Time) (s *service, err error) {
	s = &service{
		users:  map[string]user{"alice": newUser("correct horse"), "bob": newUser("battery staple")},
		nobody: newUser(rand.Text()),
	}
	limit, err := newRateLimit(now)
	if err != nil {
		return nil, err
	}
	s.pipeline, err = flowhook.New(cfg, flowhook.Options{
		Store: memstore.New(),
		Issue: s.issue,
		Now:   now,
		Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory},
		JSON:  func(*http.Request) bool { return true }, // all clients are programs
	})
	return s, err
}

// engine returns the routes. outer is middleware around them, such as a logger. Answers contain
// tokens, so caches must not store them (RFC 6750, 5.3).
func (s *service) engine(outer ...gin.HandlerFunc) *gin.Engine {
	e := gin.New()
	_ = e.SetTrustedProxies(nil) // gin trusts everyone's X-Forwarded-For by default; list your proxies here
	e.HandleMethodNotAllowed, e.RedirectTrailingSlash = true, false
	e.NoRoute(gin.WrapF(s.refuser(http.StatusNotFound, "not_found", "no such page")))
	e.NoMethod(gin.WrapF(s.refuser(http.StatusMethodNotAllowed, "method_not_allowed",
		"method not allowed; see the Allow header")))
	e.Use(outer...)
	e.Use(func(c *gin.Context) { c.Header("Cache-Control", "no-store") }, s.recovered)
	e.POST("/session", s.credentials, s.flow(flowhook.Login), s.login)
	e.POST("/token", s.credentials, s.flow(flowhook.Login), s.login)
	e.DELETE("/session", s.flow(flowhook.Logout), s.logout)
	e.GET("/me", s.me)
	return e
}

type credentials struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

type credentialsKey struct{} // context key of the credentials that a client sends

// credentials is middleware that decodes the body. It goes before flow, because the hook rate_limit
// at before needs the name.
func (s *service) credentials(c *gin.Context) {
	var in credentials
	if err := decode(c, &in); err != nil {
		s.fail(c.Writer, c.Request, err)
		c.Abort()
		return
	}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), credentialsKey{}, in))
}

type tokenKey struct{} // context key of a *string that receives the bearer token

// login checks the password. The session hook at after issues the session. No transaction is open
// while the password is hashed.
func (s *service) login(c *gin.Context) {
	ctx := c.Request.Context() // don't pass c on: gin reuses it after this request
	x, in := flowhook.MustFromContext(ctx), ctx.Value(credentialsKey{}).(credentials)
	u, known := s.users[in.Name]
	if !known {
		u = s.nobody
	}
	if subtle.ConstantTimeCompare(u.hashed(in.Password), u.hash) == 0 || !known {
		s.fail(c.Writer, c.Request, errWrongCredentials)
		return
	}
	x.Identity = &flowhook.Identity{ID: in.Name}
	answer, token := gin.H{"name": in.Name}, ""
	if c.FullPath() == "/token" {
		ctx = context.WithValue(ctx, tokenKey{}, &token)
	}
	handled, err := s.pipeline.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	if err == nil && token != "" { // RFC 6749, 5.1
		answer["access_token"], answer["token_type"] = token, "Bearer"
		answer["expires_in"] = int(x.Session.ExpiresAt.Sub(x.Session.IssuedAt).Seconds())
	}
	s.done(c, handled, err, answer)
}

// issue implements the session hook. It returns the token either in the answer or in a cookie,
// never in both: a token in a cookie is out of reach of scripts, and a token in the answer cannot
// be used for cross-site requests.
func (s *service) issue(ctx context.Context, x *flowhook.Exchange) (err error) {
	if token, ok := ctx.Value(tokenKey{}).(*string); ok {
		*token, err = s.pipeline.Sessions().Create(ctx, x)
		return err
	}
	return s.pipeline.Sessions().Issue(ctx, x)
}

// session returns the session of the bearer token or, without an Authorization header, of the
// cookie. A valid cookie does not make up for an invalid token.
func (s *service) session(r *http.Request) (*flowhook.Session, error) {
	if len(r.Header.Values("Authorization")) == 0 {
		return s.pipeline.Sessions().FromRequest(r)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, flowhook.ErrNoSession
	}
	return s.pipeline.Sessions().FromToken(r.Context(), token)
}

func (s *service) me(c *gin.Context) {
	session, err := s.session(c.Request)
	if err != nil {
		s.fail(c.Writer, c.Request, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"name": session.IdentityID, "expires_at": session.ExpiresAt})
}

func (s *service) logout(c *gin.Context) {
	x := flowhook.MustFromContext(c.Request.Context())
	session, err := s.session(c.Request)
	if err != nil {
		s.fail(c.Writer, c.Request, err)
		return
	}
	x.Session, x.Identity = session, &flowhook.Identity{ID: session.IdentityID}
	handled, err := s.pipeline.Complete(c.Request.Context(), flowhook.Logout, flowhook.FlowWide,
		func(ctx context.Context) error {
			return s.pipeline.Sessions().End(ctx, x) // ends x.Session, whether it came by token or by cookie
		})
	s.done(c, handled, err, gin.H{})
}

// done answers after the hooks have run.
func (s *service) done(c *gin.Context, handled bool, err error, answer gin.H) {
	switch {
	case handled:
		c.Writer.WriteHeaderNow() // see flow
	case err != nil:
		s.fail(c.Writer, c.Request, err)
	default:
		c.JSON(http.StatusOK, answer)
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
	flag.Parse()
	gin.SetMode(gin.ReleaseMode)
	cfg, err := flowhook.LoadConfig("auth.yml")
	if err != nil {
		log.Fatal(err)
	}
	s, err := newService(cfg, time.Now)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf(`Try: curl -d '{"name":"alice","password":"correct horse"}' http://%s/token`, l.Addr())
	server := &http.Server{Handler: s.protected(s.engine()), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}
