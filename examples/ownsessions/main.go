// Ownsessions is an auth service that keeps its own sessions, with github.com/alexedwards/scs.
// sessions.go has what flowhook needs for that: Options.Issue and a SessionRevoker. Run it in the
// root of the repository:
//
//	go -C examples/ownsessions run .
//
// It keeps users and sessions in memory or, with -postgres, in a PostgreSQL database. There it
// creates its tables:
//
//	go -C examples/ownsessions run . -postgres postgres://user:password@127.0.0.1:5432/database
package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/flowhook/flowhook"
)

const tour = `Try these commands in another terminal:

  curl -sS -c laptop.jar -d 'name=alice&email=alice@example.org&password=correct-horse' BASE/registration # -> welcome
  curl -sS -b laptop.jar BASE/whoami # -> alice, with the motto ""
  curl -sS -c phone.jar -d 'name=alice&password=correct-horse' BASE/login # -> hello
  curl -sS -b laptop.jar BASE/whoami # -> not signed in
  curl -sSL -b phone.jar -d 'motto=One device at a time' BASE/settings # -> alice, with the motto "One device at a time"
  curl -sS -b phone.jar BASE/visits # -> visit 1
  curl -sS -b phone.jar BASE/visits # -> visit 2

Emails are printed here, each with a command that verifies the address. Press Ctrl-C to stop.
`

// A refusal is an error whose text is shown to the client.
type refusal string

func (r refusal) Error() string { return string(r) }

// A database stores users, sessions and the tokens of emailed links. memory and postgres are
// databases.
type database interface {
	flowhook.Store
	flowhook.TokenStore
	sessionRows

	// User returns a user, or the zero user if there is none.
	User(ctx context.Context, name string) (user, error)

	// SaveUser inserts a user, or replaces the one with this name.
	SaveUser(ctx context.Context, u user) error
}

// A user is a row of the users table. Its name is the ID of the identity.
type user struct {
	Name, Email, Motto string
	Verified           bool
	Salt, Hash         []byte
}

// A store is what flowhook needs: a database whose sessions can be revoked.
type store struct {
	database
	flowhook.SessionRevoker
}

type service struct {
	*flowhook.Pipeline
	db       database
	sessions signIns
}

// newService returns the service with the hooks in cfg.
func newService(cfg *flowhook.Config, db database, base string, courier flowhook.Courier) (*service, error) {
	s := &service{db: db, sessions: newSignIns(db)}
	var err error
	s.Pipeline, err = flowhook.New(cfg, flowhook.Options{
		Store: store{db, s.sessions}, Issue: s.sessions.issue, Courier: courier, VerificationURL: base + "/verification",
		Serves: []flowhook.Point{
			{Flow: flowhook.Registration, Strategy: flowhook.Password},
			{Flow: flowhook.Login, Strategy: flowhook.Password},
			{Flow: flowhook.Settings, Strategy: flowhook.Profile},
			{Flow: flowhook.Verification}, {Flow: flowhook.Logout},
		},
	})
	return s, err
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	post := func(flow flowhook.Flow, serve http.HandlerFunc) {
		mux.Handle("POST /"+string(flow), s.Middleware(flow)(serve))
	}
	post(flowhook.Registration, s.register)
	post(flowhook.Login, s.login)
	post(flowhook.Settings, s.settings)
	post(flowhook.Verification, s.verification)
	// A button, because mail scanners follow links but do not press buttons.
	mux.HandleFunc("GET /verification", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "<!DOCTYPE html><title>Verification</title>"+
			"<form method=post><button>This address is mine</button></form>")
	})
	mux.HandleFunc("GET /whoami", s.whoami)
	mux.HandleFunc("GET /visits", s.visits)
	return http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(s.sessions.LoadAndSave(mux), 1<<16))
}

func (s *service) register(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	u := user{Name: r.PostFormValue("name"), Email: r.PostFormValue("email"), Salt: []byte(rand.Text())}
	u.Hash = hash(r.PostFormValue("password"), u.Salt)
	if u.Name == "" || u.identity().Addresses[0].Check() != nil || len(r.PostFormValue("password")) < 8 {
		answer(w, false, refusal("enter a name, an email address and a password of at least 8 bytes"), "")
		return
	}
	x.Identity = u.identity()
	handled, err := s.Complete(r.Context(), flowhook.Registration, flowhook.Password, func(ctx context.Context) error {
		switch was, err := s.db.User(ctx, u.Name); {
		case err != nil:
			return err
		case was.Name != "":
			return refusal("the name is taken")
		}
		return s.db.SaveUser(ctx, u)
	})
	answer(w, handled, err, "welcome")
}

func (s *service) login(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	// an unknown name is hashed, too, so that it takes as long
	u, err := s.db.User(r.Context(), r.PostFormValue("name"))
	if err == nil && subtle.ConstantTimeCompare(hash(r.PostFormValue("password"), u.Salt), u.Hash) == 0 {
		err = refusal("wrong name or password")
	}
	if err != nil {
		answer(w, false, err, "")
		return
	}
	x.Identity = u.identity()
	handled, err := s.Complete(r.Context(), flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		return s.sessions.issue(ctx, x)
	})
	answer(w, handled, err, "hello")
}

func (s *service) settings(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	session, err := s.sessions.find(r.Context())
	if err != nil {
		answer(w, false, err, "")
		return
	}
	x.Session, x.Identity = session, &flowhook.Identity{ID: session.IdentityID}
	handled, err := s.Complete(r.Context(), flowhook.Settings, flowhook.Profile, func(ctx context.Context) error {
		return s.change(ctx, x, session.IdentityID, func(u *user) error {
			u.Motto = r.PostFormValue("motto")
			return nil
		})
	})
	answer(w, handled, err, "saved")
}

func (s *service) verification(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	handled, err := s.Complete(r.Context(), flowhook.Verification, flowhook.Link, func(ctx context.Context) error {
		return s.Redeem(ctx, r.FormValue("token"), func(ctx context.Context, v flowhook.Token) error {
			return s.change(ctx, x, v.IdentityID, func(u *user) error {
				if u.Email != v.Address.Value {
					return flowhook.ErrBadToken
				}
				u.Verified = true
				return nil
			})
		})
	})
	answer(w, handled, err, "verified")
}

// change modifies a user in the transaction of ctx.
func (s *service) change(ctx context.Context, x *flowhook.Exchange, name string, modify func(u *user) error) error {
	u, err := s.db.User(ctx, name)
	if err != nil {
		return err
	}
	if err := modify(&u); err != nil {
		return err
	}
	x.Identity = u.identity()
	return s.db.SaveUser(ctx, u)
}

func (s *service) whoami(w http.ResponseWriter, r *http.Request) {
	session, err := s.sessions.find(r.Context())
	if err != nil {
		answer(w, false, err, "")
		return
	}
	u, err := s.db.User(r.Context(), session.IdentityID)
	answer(w, false, err, fmt.Sprintf("%s, with the motto %q", u.Name, u.Motto))
}

// visits uses the sessions as any handler with scs does.
func (s *service) visits(w http.ResponseWriter, r *http.Request) {
	n := s.sessions.GetInt(r.Context(), "visits") + 1
	s.sessions.Put(r.Context(), "visits", n)
	answer(w, false, nil, fmt.Sprintf("visit %d", n))
}

func answer(w http.ResponseWriter, handled bool, err error, text string) {
	var no refusal
	status := http.StatusOK
	switch {
	case handled:
		return
	case errors.As(err, &no):
		status, text = http.StatusForbidden, string(no)
	case errors.Is(err, flowhook.ErrNoSession):
		status, text = http.StatusUnauthorized, "not signed in"
	case errors.Is(err, flowhook.ErrBadToken):
		status, text = http.StatusGone, "this link has expired or was already used"
	case err != nil:
		log.Print(err)
		status, text = http.StatusInternalServerError, "something went wrong; nothing was changed"
	}
	http.Error(w, text, status) // plain text, on success, too
}

func (u user) identity() *flowhook.Identity {
	return &flowhook.Identity{
		ID:        u.Name,
		Addresses: []flowhook.Address{{Via: "email", Value: u.Email, Verified: u.Verified}},
	}
}

var iterations = 210_000 // tests use fewer

func hash(password string, salt []byte) []byte {
	key, _ := pbkdf2.Key(sha512.New, password, salt, iterations, 64) // never fails with this hash and length
	return key
}

// terminal is a Courier that prints emails.
type terminal struct{}

func (terminal) Send(_ context.Context, m flowhook.Message) error {
	url, token, _ := strings.Cut(m.Link, "?token=")
	_, err := fmt.Printf("\nTo: %s\nSubject: %s\n\n%s\n  curl -sS -d token=%s %s # -> verified\n",
		m.To, m.Subject, m.Text, token, url)
	return err
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
	url := flag.String("postgres", "", "the URL of a PostgreSQL database; without one, everything is in memory")
	flag.Parse()
	if err := run(*addr, *url); err != nil {
		log.Fatal(err)
	}
}

func run(addr, postgresURL string) error {
	cfg, err := flowhook.LoadConfig("auth.yml")
	if err != nil {
		return err
	}
	db := database(newMemory())
	if postgresURL != "" {
		p, err := openPostgres(context.Background(), postgresURL)
		if err != nil {
			return err
		}
		defer p.db.Close()
		db = p
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	s, err := newService(cfg, db, base, terminal{})
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	stopped := make(chan error)
	context.AfterFunc(ctx, func() { stop(); stopped <- srv.Shutdown(context.Background()) })
	fmt.Print(strings.ReplaceAll(tour, "BASE", base))
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
