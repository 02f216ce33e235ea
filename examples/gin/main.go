// Gin is a JSON API around flowhook in github.com/gin-gonic/gin. A single-page app signs in at POST /session, with a cookie; a
// mobile client at POST /token, with a bearer token. DELETE /session signs out, GET /me says who asks. Users are in memory.
// From the root of the repository:
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

// rounds are OWASP's for PBKDF2 with SHA-512. Tests have fewer.
var rounds = 210_000

type user struct{ salt, hash []byte }

func newUser(password string) user {
	u := user{salt: []byte(rand.Text())}
	u.hash = u.hashed(password)
	return u
}

func (u user) hashed(password string) []byte {
	key, err := pbkdf2.Key(sha512.New, password, u.salt, rounds, 64)
	if err != nil { // only for lengths that are not allowed
		panic(err)
	}
	return key
}

type service struct {
	pipeline *flowhook.Pipeline
	users    map[string]user // by name, which is also the identity's ID
	nobody   user            // whose password is checked where there is no such user: that takes as long
}

func newService(cfg *flowhook.Config, now func() time.Time) (s *service, err error) {
	s = &service{users: map[string]user{"alice": newUser("correct horse"), "bob": newUser("battery staple")}, nobody: newUser(rand.Text())}
	s.pipeline, err = flowhook.New(cfg, flowhook.Options{
		Store:   memstore.New(),
		Issue:   s.issue,
		Now:     now,
		Hooks:   map[string]flowhook.HookFactory{"rate_limit": newRateLimit(now)},
		OnError: fail, // a hook at before has failed
	})
	return s, err
}

// engine gives the routes, with what is to stand around them, such as a logger. No cache may keep what they answer: there are
// tokens in it (RFC 6750, 5.3).
func (s *service) engine(around ...gin.HandlerFunc) *gin.Engine {
	e := gin.New()
	_ = e.SetTrustedProxies(nil) // gin takes X-Forwarded-For from everybody unless it is told whom to trust: name your proxies here
	e.HandleMethodNotAllowed, e.RedirectTrailingSlash = true, false
	e.NoRoute(func(c *gin.Context) { refuse(c.Writer, http.StatusNotFound, "not_found", "there is nothing here") })
	e.NoMethod(func(c *gin.Context) { refuse(c.Writer, http.StatusMethodNotAllowed, "method_not_allowed", "see Allow") })
	e.Use(around...)
	e.Use(func(c *gin.Context) { c.Header("Cache-Control", "no-store") }, recovered)
	e.POST("/session", s.flow(flowhook.Login), s.login)
	e.POST("/token", s.flow(flowhook.Login), s.login)
	e.DELETE("/session", s.flow(flowhook.Logout), s.logout)
	e.GET("/me", s.me)
	return e
}

type credentials struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

type tokenKey struct{} // of a *string, for the token of a client that carries it itself

// login calls Run twice, not Complete: the gate at before_persist has to stand in front of the password check, for a limit
// that meets only those who know the password limits nobody. Nothing is saved between the two, and no transaction is open
// while a password is hashed: the session is made at after, by the session hook.
func (s *service) login(c *gin.Context) {
	ctx := c.Request.Context() // c itself is not to be passed on: gin uses it again when this request is over
	x := flowhook.MustFromContext(ctx)
	var in credentials
	if !decode(c, &in) {
		return
	}
	x.Identity = &flowhook.Identity{ID: in.Name} // as claimed: it may be nobody's
	handled, err := s.pipeline.Run(ctx, flowhook.Login, flowhook.BeforePersist, flowhook.Password)
	if handled || err != nil {
		s.done(c, handled, err, nil)
		return
	}
	u, known := s.users[in.Name]
	if !known {
		u = s.nobody
	}
	if subtle.ConstantTimeCompare(u.hashed(in.Password), u.hash) == 0 || !known {
		refuse(c.Writer, http.StatusUnauthorized, "wrong_credentials", "the name or the password is wrong")
		return
	}
	answer, token := gin.H{"name": in.Name}, ""
	if c.FullPath() == "/token" {
		ctx = context.WithValue(ctx, tokenKey{}, &token)
	}
	handled, err = s.pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
	if err == nil && token != "" { // RFC 6749, 5.1
		answer["access_token"], answer["token_type"] = token, "Bearer"
		answer["expires_in"] = int(x.Session.ExpiresAt.Sub(x.Session.IssuedAt).Seconds())
	}
	s.done(c, handled, err, answer)
}

// issue is what the session hook does. A token that is in the answer is in no cookie: a client that has both, and a browser
// that sends one of them by itself, would be open to what the other is made to keep out.
func (s *service) issue(ctx context.Context, x *flowhook.Exchange) (err error) {
	if token, ok := ctx.Value(tokenKey{}).(*string); ok {
		*token, err = s.pipeline.Sessions().Create(ctx, x)
		return err
	}
	return s.pipeline.Sessions().Issue(ctx, x)
}

// session gives the session of the bearer token or, where there is no Authorization, of the cookie. A good cookie does not
// help a bad token.
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
		fail(c.Writer, c.Request, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"name": session.IdentityID, "expires_at": session.ExpiresAt})
}

func (s *service) logout(c *gin.Context) {
	x := flowhook.MustFromContext(c.Request.Context())
	session, err := s.session(c.Request)
	if err != nil {
		fail(c.Writer, c.Request, err)
		return
	}
	x.Session, x.Identity = session, &flowhook.Identity{ID: session.IdentityID}
	handled, err := s.pipeline.Complete(c.Request.Context(), flowhook.Logout, flowhook.FlowWide, func(ctx context.Context) error {
		return s.pipeline.Sessions().End(ctx, x) // by x.Session, so it ends a token's session as it does a cookie's
	})
	s.done(c, handled, err, gin.H{})
}

// done answers after a run.
func (s *service) done(c *gin.Context, handled bool, err error, answer gin.H) {
	switch {
	case handled:
		c.Writer.WriteHeaderNow() // see flow
	case err != nil:
		fail(c.Writer, c.Request, err)
	default:
		c.JSON(http.StatusOK, answer)
	}
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
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
	log.Printf(`try: curl -d '{"name":"alice","password":"correct horse"}' http://%s/token`, l.Addr())
	server := &http.Server{Handler: protected(s.engine()), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}
