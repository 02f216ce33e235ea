// Authservice is an auth service to copy: users, passwords, sign-in with an OpenID provider,
// sessions, and email. flowhook runs around its flows, as auth.yml configures. To start it, run in
// this directory:
//
//	go run .
//
// It prints its URL, stores everything in the file authservice.db, shows the email it sends at
// /dev/mail/, and includes an OpenID provider for development. These environment variables change
// that. All are optional; defaults are in parentheses.
//
//	ADDR               where to listen (127.0.0.1:8080)
//	PUBLIC_URL         the URL that users see, such as https://accounts.example.org
//	                   (http://ADDR); requests to another host are redirected there,
//	                   so a proxy in front must pass the Host header on
//	DATABASE_URL       postgres://... or sqlite:path (sqlite:authservice.db)
//	SESSION_SECRETS    the secrets that sign sessions and encrypt queued email, separated by
//	                   commas: the first signs, all verify (with SQLite, a generated one
//	                   in a file next to the database; required with PostgreSQL, the same
//	                   for all copies)
//	AUTH_CONFIG        the file that configures the hooks (auth.yml)
//	TRUSTED_PROXIES    addresses and networks of the proxies in front, separated by
//	                   commas (none); if one of them connects, X-Forwarded-For names the
//	                   client; otherwise all clients behind a proxy count as one
//	SMTP_URL           smtp://user:password@host:port or smtps://... (the development inbox)
//	MAIL_FROM          the sender (authservice@localhost)
//	MAIL_RESCUE_AFTER  how long until another copy sends the email that a dead copy was
//	                   sending (2m)
//	BRAND_NAME         the name on the pages and in the emails (Accounts)
//	BRAND_LOGO         a file with an image, such as logo.svg, at most 256 KiB
//	BRAND_ACCENT       the color of buttons and links, such as #4f46e5; it is made darker or
//	                   lighter where it would be hard to read
//	OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET (the development provider)
//
// The development inbox and the development provider exist only if both ADDR and PUBLIC_URL are
// loopback addresses.
//
// Before you run several copies: each uses up to 20 PostgreSQL connections, for requests and for
// the mail queue. max_connections must be large enough for all of them. Without SMTP_URL, each
// copy on one PostgreSQL database has its own inbox. Any copy may send the email that another
// queued, so look in all inboxes.
//
// On SIGHUP, the service reloads AUTH_CONFIG. If the file has errors, they are logged and nothing
// changes. The session secrets can be in that file, as "secrets", instead of in SESSION_SECRETS;
// then a reload changes them, too. Put a new secret first, and keep the old one after it until the
// sessions it signed have expired (see session.lifespan).
//
//	secrets:
//	  session:
//	    - file:/run/secrets/session-new
//	    - ${SESSION_SECRET}
//
// Users can recover their accounts by email, change their addresses, and delete their accounts. With
// "use: code" under verification and recovery in AUTH_CONFIG, the emails have codes instead of
// links. The owner of an address takes over an account that someone else has registered with it and
// never confirmed; see takeover.go.
//
// The hook rate_limit slows down guessing and floods of emails; see ratelimit.go. Each copy counts on
// its own, so divide the limits in auth.yml by the number of copies.
//
// "go run . audit ADDRESS" prints the attempts on the account with that email address, where they
// came from, and their outcomes. Requests from this machine can see the configured hooks at
// /debug/hooks.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // as early as possible: an unhandled SIGHUP ends the process
	c, err := readConfig(os.Getenv)
	switch {
	case err != nil:
	case len(os.Args) == 3 && os.Args[1] == "audit":
		err = printAudit(ctx, c, os.Args[2], os.Stdout)
	case len(os.Args) > 1:
		err = errors.New("unknown arguments; run it without arguments, or with audit and an email address")
	default:
		err = run(ctx, c, os.Stdout, log, hangups)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "authservice:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then finishes the requests in progress. It prints its URL to out. Each
// signal from hangups reloads auth.yml.
func run(ctx context.Context, c config, out io.Writer, log *slog.Logger, hangups <-chan os.Signal) (err error) {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("ADDR: %w", err)
	}
	defer l.Close()
	if err := c.listening(l.Addr()); err != nil {
		return err
	}
	if len(c.Proxies) == 0 && !c.Development && loopback(l.Addr().(*net.TCPAddr).IP.String()) {
		log.Warn("TRUSTED_PROXIES does not name the proxy on this machine: all its clients share one limit on " +
			"password attempts")
	}
	a, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	handler, err := a.service.handler()
	if err != nil {
		return err
	}
	if err := a.start(ctx); err != nil {
		return err
	}

	url := "http://" + l.Addr().String()
	fmt.Fprintf(out, "authservice listens on %s\n", url)
	if a.service.inbox != nil {
		fmt.Fprintf(out, "its email is at %s/dev/mail/\n", url)
	}
	return serve(ctx, l, newServer(handler, log), a.service, hangups)
}

func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    32 << 10,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       handlingTime, // it also ends a request's context, so it is well after requestTime
		WriteTimeout:      handlingTime + sendTime,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serve runs server until ctx ends, then shuts it down gracefully.
func serve(ctx context.Context, l net.Listener, server *http.Server, s *service, hangups <-chan os.Signal) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	for serving := true; serving; {
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case <-hangups:
			s.reload(ctx)
		case <-ctx.Done():
			serving = false
		}
	}
	s.log.Info("stopping: finishing the requests in progress")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), handlingTime)
	defer cancel()
	return server.Shutdown(grace)
}
