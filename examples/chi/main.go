// Chi is a login with flowhook and github.com/go-chi/chi/v5, with server-rendered pages. Users are
// in memory. Run it in the root of the repository:
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

// newHandler returns the service. timeout limits each request.
func newHandler(cfg *flowhook.Config, timeout time.Duration) (*chi.Mux, error) {
	s := &service{
		users:  map[string]user{"alice": newUser("correct horse"), "bob": newUser("battery staple")},
		nobody: newUser(rand.Text()),
	}
	var err error
	s.pipeline, err = flowhook.New(cfg, flowhook.Options{
		Store:  memstore.New(),
		Serves: []flowhook.Point{{Flow: flowhook.Login, Strategy: flowhook.Password}, {Flow: flowhook.Logout}},
		OnError: func(w http.ResponseWriter, r *http.Request, err error) { // after an error of a hook at before
			s.fail(w, r, err)
		},
	})
	if err != nil {
		return nil, err
	}

	r := chi.NewRouter()
	// This middleware applies to all routes and is outside flowhook. Recoverer handles the panics
	// of handlers and of save; the panic of a hook is an error, which fail answers. Timeout ends
	// the request's context, which Complete checks between hooks, and answers 504. Compress
	// replaces the writer.
	r.Use(middleware.Recoverer, middleware.Timeout(timeout), middleware.Compress(5),
		http.NewCrossOriginProtection().Handler)
	r.Get("/", s.home)
	r.Get("/maintenance", func(w http.ResponseWriter, r *http.Request) {
		s.render(w, http.StatusServiceUnavailable, page{Title: "Back soon"})
	})
	// Each flow is a group, so that its Middleware is the last one before the handlers. Then
	// x.Writer is the writer that they use. If Compress were inside, a hook's answer would bypass
	// it, and the handlers would have to set x.Writer = w.
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
		s.render(w, http.StatusForbidden, page{Title: "Sign in", Form: true, Problem: "Wrong name or password."})
		return
	}
	x.Identity = &flowhook.Identity{ID: name}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password,
		func(ctx context.Context) error {
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
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Logout, flowhook.FlowWide,
		func(ctx context.Context) error {
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

// fail answers after an error. Nothing has been written yet.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	slog.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	if r.Context().Err() != nil {
		return // the client has disconnected, or Timeout answers 504
	}
	s.render(w, http.StatusInternalServerError, page{Title: "Something went wrong",
		Problem: "Your changes may not have been saved. Please try again."})
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
	if err := pages.Execute(&b, p); err != nil { // before the status is written
		panic(err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w) // fails only if the client has disconnected
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
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
	log.Printf("Open http://%s/login and sign in as alice with the password \"correct horse\".", l.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(l))
}
