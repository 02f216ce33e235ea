package sqltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
)

// These environment variables make the test binary a service.
const (
	serveSystem = "FLOWHOOK_SQLTEST_SERVE"  // the name of one of systems
	serveSource = "FLOWHOOK_SQLTEST_SOURCE" // the source of a database with the tables
)

// TestMain runs a service if a test has started the binary as one.
func TestMain(m *testing.M) {
	name := os.Getenv(serveSystem)
	if name == "" {
		mysql.SetLogger(&mysql.NopLogger{}) // otherwise it logs each connection that a test cuts
		os.Exit(m.Run())
	}
	i := slices.IndexFunc(systems, func(s system) bool { return s.name == name })
	if i < 0 {
		fmt.Fprintf(os.Stderr, "%s: there is no system %q\n", serveSystem, name)
		os.Exit(2)
	}
	if err := runService(systems[i], os.Getenv(serveSource)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A service is a small auth service. Several processes of it run on one database.
type service struct {
	pool     pool
	store    store
	pipeline *flowhook.Pipeline
	lookups  *lookupCounter

	mu   sync.Mutex
	gate chan struct{} // closed to let transactions continue that hold their first identity
}

// serviceTables are the tables of the service. Redemptions has no key, so a second redemption is
// visible.
var serviceTables = []string{
	"CREATE TABLE users (id varchar(64) PRIMARY KEY, logins integer NOT NULL)",
	"CREATE TABLE redemptions (token varchar(64) NOT NULL, identity_id varchar(64) NOT NULL)",
	"CREATE TABLE crossings (process varchar(64) NOT NULL, identity_id varchar(64) NOT NULL)",
}

// runService writes the address of the service to its standard output. It serves until its standard
// input ends, which happens at the latest when the test's process ends.
func runService(on system, source string) error {
	p, err := on.open(on, source+on.options, 20)
	if err != nil {
		return err
	}
	defer p.close()
	s := &service{pool: p, gate: make(chan struct{})}
	if s.store, err = p.store(0); err != nil {
		return err
	}
	var cfg flowhook.Config
	for _, hook := range []string{"revoke_active_sessions", "session"} {
		cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After, Strategy: flowhook.Password}, hook, nil)
	}
	s.lookups = &lookupCounter{store: s.store}
	if s.pipeline, err = flowhook.New(&cfg, flowhook.Options{
		Store:   s.lookups,
		Secrets: []string{serviceSecret},
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes()}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Close()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("GET /whoami", s.whoami)
	mux.HandleFunc("POST /signout", s.signOutEverywhere)
	mux.HandleFunc("POST /redeem", s.redeem)
	mux.HandleFunc("POST /attempt", s.attempt)
	mux.HandleFunc("POST /cross", s.cross)
	mux.HandleFunc("POST /go", s.open)
	mux.HandleFunc("POST /code", s.code)
	mux.HandleFunc("GET /lookups", s.countLookups)
	return mux
}

// fail answers a conflict with 409, so that a test can tell it apart, and any other error with 500.
func (s *service) fail(w http.ResponseWriter, err error) {
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, sqlstore.ErrConflict) {
		http.Error(w, "conflict", http.StatusConflict)
		return
	}
	http.Error(w, "error", http.StatusInternalServerError)
}

func (s *service) login(w http.ResponseWriter, r *http.Request) {
	x := &flowhook.Exchange{Writer: w, Request: r, Identity: &flowhook.Identity{ID: r.FormValue("name")}}
	ctx := flowhook.NewContext(r.Context(), x)
	_, err := s.pipeline.Complete(ctx, flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		return s.pool.exec(ctx, "UPDATE users SET logins = logins + 1 WHERE id = ?", x.Identity.ID)
	})
	if err != nil {
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *service) whoami(w http.ResponseWriter, r *http.Request) {
	session, err := s.pipeline.Sessions().FromRequest(r)
	switch {
	case errors.Is(err, flowhook.ErrNoSession):
		http.Error(w, "anonymous", http.StatusUnauthorized)
	case err != nil:
		s.fail(w, err)
	default:
		io.WriteString(w, session.IdentityID)
	}
}

func (s *service) signOutEverywhere(w http.ResponseWriter, r *http.Request) {
	session, err := s.pipeline.Sessions().FromRequest(r)
	if err == nil {
		err = s.store.DeleteSessions(r.Context(), session.IdentityID, "")
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *service) redeem(w http.ResponseWriter, r *http.Request) {
	token := r.FormValue("token")
	s.redeemed(w, r, s.pipeline.Redeem(r.Context(), token, s.confirm(token)))
}

// attempt counts an attempt and writes the count.
func (s *service) attempt(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	address := flowhook.Address{Via: "email", Value: name + "@example.org"}
	n, err := s.store.CountAttempt(r.Context(), flowhook.PurposeRecovery, name, address, time.Now())
	if err != nil {
		s.fail(w, err)
		return
	}
	fmt.Fprint(w, n)
}

// cross locks one identity, reports that to the client, waits for the gate, and joins another
// identity.
func (s *service) cross(w http.ResponseWriter, r *http.Request) {
	process, first, second := r.FormValue("process"), r.FormValue("first"), r.FormValue("second")
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	row := func(ctx context.Context, id string) error {
		return s.pool.exec(ctx, "INSERT INTO crossings (process, identity_id) VALUES (?, ?)", process, id)
	}
	err := s.store.Transaction(r.Context(), first, func(ctx context.Context) error {
		if err := row(ctx, first); err != nil {
			return err
		}
		io.WriteString(w, "holding\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.store.Transaction(ctx, second, func(ctx context.Context) error { return row(ctx, second) })
	})
	switch {
	case errors.Is(err, sqlstore.ErrConflict):
		io.WriteString(w, "conflict\n")
	case err != nil:
		io.WriteString(w, "error: "+strings.ReplaceAll(err.Error(), "\n", " ")+"\n")
	default:
		io.WriteString(w, "done\n")
	}
}

// open lets the transactions continue that wait at the gate.
func (s *service) open(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.gate)
	s.gate = make(chan struct{})
	w.WriteHeader(http.StatusNoContent)
}
