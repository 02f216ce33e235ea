// Minimal is a small auth service with flowhook: users in memory, passwords, and the hooks in
// auth.yml. It prints the curl commands in tour.txt for you to try. Run it in the root of the
// repository:
//
//	go run ./examples/minimal
package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

//go:embed tour.txt
var tour string
var errRefused = errors.New("no") // followed by the reason, for the client

type user struct { // Name is also the ID of the identity
	Name, Motto string
	Email       flowhook.Address
	Salt, Hash  []byte
}

func hash(s string, salt []byte) []byte { return must(pbkdf2.Key(sha512.New, s, salt, 210_000, 64)) }

type service struct {
	*flowhook.Pipeline
	mu    sync.Mutex // held while a flow completes
	users sync.Map   // from name to user
}

func (s *service) user(name string) (u user) { // the zero user if there is none
	v, _ := s.users.Load(name)
	u, _ = v.(user)
	return u
}

// put saves a user. A database would write here, in the transaction of ctx. A map has no
// transactions, so it changes after the commit.
func (s *service) put(x *flowhook.Exchange, u user) error {
	x.Identity = &flowhook.Identity{ID: u.Name, Addresses: []flowhook.Address{u.Email}}
	x.AfterCommit(func(context.Context) error { s.users.Store(u.Name, u); return nil })
	return nil
}

// flow returns the handler of a flow. prepare sets x.Identity and returns the save function.
func (s *service) flow(flow flowhook.Flow, strategy flowhook.Strategy, done string,
	prepare func(r *http.Request, x *flowhook.Exchange) (save func(ctx context.Context) error,
		err error)) http.Handler {
	return s.Middleware(flow)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := flowhook.MustFromContext(r.Context())
		handled := false
		save, err := prepare(r, x)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			handled, err = s.Complete(r.Context(), flow, strategy, save)
		}
		if !handled {
			answer(w, done, err)
		}
	}))
}

func (s *service) register(r *http.Request, x *flowhook.Exchange) (save func(ctx context.Context) error, err error) {
	u := user{Name: r.PostFormValue("name"), Email: flowhook.Address{Via: "email", Value: r.PostFormValue("email")}}
	if u.Name == "" || u.Email.Check() != nil || len(r.PostFormValue("password")) < 8 {
		return nil, fmt.Errorf("%w, enter a name, an email address and a password of at least 8 bytes", errRefused)
	}
	u.Salt = []byte(rand.Text())
	u.Hash = hash(r.PostFormValue("password"), u.Salt)
	x.Identity = &flowhook.Identity{ID: u.Name, Addresses: []flowhook.Address{u.Email}}
	return func(context.Context) error {
		if s.user(u.Name).Name != "" {
			return fmt.Errorf("%w, the name is taken", errRefused)
		}
		return s.put(x, u)
	}, nil
}

func (s *service) login(r *http.Request, x *flowhook.Exchange) (save func(ctx context.Context) error, err error) {
	u := s.user(r.PostFormValue("name")) // an unknown name is hashed, too, so that it takes as long
	if subtle.ConstantTimeCompare(hash(r.PostFormValue("password"), u.Salt), u.Hash) == 0 {
		return nil, fmt.Errorf("%w, wrong name or password", errRefused)
	}
	x.Identity = &flowhook.Identity{ID: u.Name, Addresses: []flowhook.Address{u.Email}}
	return func(ctx context.Context) error { return s.Sessions().Issue(ctx, x) }, nil
}

func (s *service) settings(r *http.Request, x *flowhook.Exchange) (save func(ctx context.Context) error, err error) {
	if x.Session, err = s.Sessions().FromRequest(r); err != nil {
		return nil, err
	}
	x.Identity = &flowhook.Identity{ID: x.Session.IdentityID}
	return func(context.Context) error {
		u := s.user(x.Identity.ID)
		u.Motto = r.PostFormValue("motto")
		return s.put(x, u)
	}, nil
}

func (s *service) verification(r *http.Request, x *flowhook.Exchange) (save func(ctx context.Context) error,
	err error) {
	confirm := func(_ context.Context, v flowhook.Token) error {
		u := s.user(v.IdentityID)
		if u.Email.Value != v.Address.Value {
			return flowhook.ErrBadToken
		}
		u.Email.Verified = true
		return s.put(x, u)
	}
	return func(ctx context.Context) error { return s.Redeem(ctx, r.FormValue("token"), confirm) }, nil
}

func (s *service) logout(_ *http.Request, x *flowhook.Exchange) (save func(ctx context.Context) error, err error) {
	return func(ctx context.Context) error { return s.Sessions().End(ctx, x) }, nil
}

func answer(w http.ResponseWriter, text string, err error) {
	status := http.StatusOK
	if errors.Is(err, errRefused) || errors.Is(err, flowhook.ErrNoSession) || errors.Is(err, flowhook.ErrBadToken) {
		status, text = http.StatusForbidden, err.Error()
	} else if err != nil {
		log.Print(err)
		status, text = http.StatusInternalServerError, "something went wrong; nothing was changed"
	}
	http.Error(w, text, status) // plain text, on success, too
}

// allowDomain is the factory of the service's own hook. The hook lets only users with an address in
// the configured domain register.
func allowDomain(_ flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
	var config struct{ Domain string }
	return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		if x.Identity == nil || len(x.Identity.Addresses) == 0 {
			return flowhook.ErrNoIdentity
		}
		if !strings.HasSuffix(x.Identity.Addresses[0].Value, "@"+config.Domain) {
			http.Error(x.Writer, "no, only addresses at "+config.Domain+" can register here", http.StatusForbidden)
		}
		return nil
	}), decode(&config)
}

// Send makes the service a Courier. It prints the email and a curl command that does what the
// button on the linked page does.
func (s *service) Send(_ context.Context, m flowhook.Message) error {
	url, token, _ := strings.Cut(m.Link, "?token=")
	_, err := fmt.Printf("\nTo: %s\nSubject: %s\n\n%s\n  curl -sS -d token=%s %s # -> verified\n",
		m.To, m.Subject, m.Text, token, url)
	return err
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "the address to listen on")
	file := flag.String("config", "examples/minimal/auth.yml", "the file that configures the hooks")
	flag.Parse()
	l := must(net.Listen("tcp", *addr))
	s, base := &service{}, "http://"+l.Addr().String()
	s.Pipeline = must(flowhook.New(must(flowhook.LoadConfig(*file)), flowhook.Options{Store: memstore.New(), Courier: s,
		VerificationURL: base + "/verification", Hooks: map[string]flowhook.HookFactory{"allow_domain": allowDomain},
		Serves: []flowhook.Point{ // hooks anywhere else are errors at load
			{Flow: flowhook.Registration, Strategy: flowhook.Password},
			{Flow: flowhook.Login, Strategy: flowhook.Password},
			{Flow: flowhook.Settings, Strategy: flowhook.Profile},
			{Flow: flowhook.Verification},
			{Flow: flowhook.Logout}}}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Sessions().FromRequest(r)
		if err != nil {
			session = &flowhook.Session{}
		}
		answer(w, fmt.Sprintf("%s, with the motto %q", session.IdentityID, s.user(session.IdentityID).Motto), err)
	})
	// A button, because mail scanners follow links but do not press buttons.
	mux.HandleFunc("GET /verification", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "<!DOCTYPE html><title>Verification</title>"+
			"<form method=post><button>This address is mine</button></form>")
	})
	mux.Handle("POST /registration", s.flow(flowhook.Registration, flowhook.Password, "welcome", s.register))
	mux.Handle("POST /login", s.flow(flowhook.Login, flowhook.Password, "hello", s.login))
	mux.Handle("POST /settings", s.flow(flowhook.Settings, flowhook.Profile, "saved", s.settings))
	mux.Handle("POST /verification", s.flow(flowhook.Verification, flowhook.Link, "verified", s.verification))
	mux.Handle("POST /logout", s.flow(flowhook.Logout, flowhook.FlowWide, "bye", s.logout))
	srv := &http.Server{Handler: http.NewCrossOriginProtection().Handler(mux), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	stopped := make(chan error)
	context.AfterFunc(ctx, func() { stop(); stopped <- srv.Shutdown(context.Background()) })
	fmt.Print(strings.ReplaceAll(tour, "BASE", base))
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	must(0, <-stopped)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
