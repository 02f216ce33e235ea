// Chi is a login around flowhook in github.com/go-chi/chi/v5, with pages that the server renders. Users are in memory.
// From the root of the repository:
//
//	go -C examples/chi run .
package main

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"flag"
	"html/template"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

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

// newHandler makes the service. timeout is how long a request may take.
func newHandler(cfg *flowhook.Config, timeout time.Duration) (*chi.Mux, error) {
	s := &service{users: map[string]user{"alice": newUser("correct horse"), "bob": newUser("battery staple")}, nobody: newUser(rand.Text())}
	var err error
	s.pipeline, err = flowhook.New(cfg, flowhook.Options{
		Store:  memstore.New(),
		Serves: []flowhook.Point{{Flow: flowhook.Login, Strategy: flowhook.Password}, {Flow: flowhook.Logout}},
		OnError: func(w http.ResponseWriter, r *http.Request, err error) { // a hook at before has failed
			s.fail(w, r, err)
		},
	})
	if err != nil {
		return nil, err
	}

	r := chi.NewRouter()
	// What stands here is around all routes, and outside of flowhook. Recoverer gets the panics of handlers and of save; that
	// of a hook is an error, and comes to fail. Timeout ends the request's context, which Complete looks at between hooks, and
	// answers 504 itself. Compress has a writer of its own.
	r.Use(middleware.Recoverer, middleware.Timeout(timeout), middleware.Compress(5), http.NewCrossOriginProtection().Handler)
	r.Get("/", s.home)
	r.Get("/maintenance", func(w http.ResponseWriter, r *http.Request) {
		s.render(w, http.StatusServiceUnavailable, page{Title: "Back soon"})
	})
	// Each flow is a group, so that its Middleware is the last one before the handlers, whatever stands above: the exchange
	// then holds the writer that they write to. Were Compress inside, a hook's answer would go past it, and a handler would
	// have to set x.Writer = w.
	r.Group(func(r chi.Router) {
		r.Use(s.pipeline.Middleware(flowhook.Login))
		r.Get("/login", func(w http.ResponseWriter, r *http.Request) {
			s.render(w, http.StatusOK, page{Title: "Sign in", Form: true})
		})
		r.Post("/login", s.login)
	})
	r.Group(func(r chi.Router) {
		r.Use(s.pipeline.Middleware(flowhook.Logout))
		r.Post("/logout", s.logout)
	})
	return r, nil
}

func (s *service) login(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	name := r.PostFormValue("name")
	u, known := s.users[name]
	if !known {
		u = s.nobody
	}
	if subtle.ConstantTimeCompare(u.hashed(r.PostFormValue("password")), u.hash) == 0 || !known {
		s.render(w, http.StatusForbidden, page{Title: "Sign in", Form: true, Problem: "The name or the password is wrong."})
		return
	}
	x.Identity = &flowhook.Identity{ID: name}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		return s.pipeline.Sessions().Issue(ctx, x)
	})
	switch {
	case handled: // a hook has answered; write nothing more
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *service) logout(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Logout, flowhook.FlowWide, func(ctx context.Context) error {
		return s.pipeline.Sessions().End(ctx, x)
	})
	switch {
	case handled:
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (s *service) home(w http.ResponseWriter, r *http.Request) {
	session, err := s.pipeline.Sessions().FromRequest(r)
	switch {
	case errors.Is(err, flowhook.ErrNoSession):
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.render(w, http.StatusOK, page{Title: "Hello", Name: session.IdentityID})
	}
}

// fail answers after an error, with nothing saved and the writer as it was.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	if r.Context().Err() != nil {
		return // the client is gone, or Timeout answers: what is written here would only get in front of its 504
	}
	s.render(w, http.StatusInternalServerError, page{Title: "Something went wrong", Problem: "It may not have been saved. Please try again."})
}

type page struct {
	Title, Name, Problem string
	Form                 bool
}

var pages = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title>
<h1>{{.Title}}{{with .Name}}, {{.}}{{end}}</h1>
{{with .Problem}}<p role="alert">{{.}}</p>{{end}}
{{if .Form}}<form method="post" action="/login">
<p><label>Name <input name="name" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<button>Sign in</button></form>{{end}}
{{if .Name}}<form method="post" action="/logout"><button>Sign out</button></form>{{end}}
</html>
`))

func (s *service) render(w http.ResponseWriter, status int, p page) {
	var b bytes.Buffer
	if err := pages.Execute(&b, p); err != nil { // before the status is out
		panic(err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // the client may be gone
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "where to listen")
	flag.Parse()
	cfg, err := flowhook.LoadConfig("auth.yml")
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newHandler(cfg, 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("http://%s/login: alice, with the password \"correct horse\"", l.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}
