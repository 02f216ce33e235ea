// Authservice is an auth service to copy from: users, passwords, sign-in by an OpenID provider, sessions, mail, with
// flowhook around its flows. What runs around them stands in auth.yml. In this directory:
//
//	go run .
//
// It prints its URL, keeps everything in the file authservice.db, shows its mail at /dev/mail/, and brings an OpenID
// provider for development along. The environment changes that, and all of it is optional:
//
//	ADDR               where to listen (127.0.0.1:8080)
//	PUBLIC_URL         what users see, such as https://accounts.example.org (http://ADDR); under another host they are sent
//	                   there, so a proxy in front has to pass the header Host on
//	DATABASE_URL       postgres://... or sqlite:path (sqlite:authservice.db)
//	SESSION_SECRETS    sign sessions, separated by commas: the first signs, all verify (one is made and kept beside the
//	                   SQLite file; PostgreSQL needs it, the same for all copies)
//	AUTH_CONFIG        what runs around the flows (auth.yml)
//	TRUSTED_PROXIES    addresses and networks of the proxies in front, separated by commas (none): where one of them is
//	                   connected, the client is who X-Forwarded-For says. Without it, all behind a proxy are one client
//	SMTP_URL           smtp://user:password@host:port or smtps://... (the development inbox)
//	MAIL_FROM          the sender (authservice@localhost)
//	MAIL_RESCUE_AFTER  when mail that a dead copy was sending is taken over by another (2m)
//	OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET (the development provider)
//
// Where ADDR or PUBLIC_URL is not on this machine alone, there is no development inbox and no development provider.
//
// What to know before there are several copies: each takes up to 20 connections of PostgreSQL, 16 for requests and 4 for the
// mail queue, so max_connections has to suffice for all of them. Without SMTP_URL, copies on one PostgreSQL have a mailbox
// each, and any of them sends the mail that another has queued: it is in the mailbox of whichever did.
//
// On SIGHUP, AUTH_CONFIG is read again: what is wrong in it is logged, and changes nothing. The secrets of the sessions may
// stand there too, as "secrets", instead of in SESSION_SECRETS: then a reload changes them. A new one goes first, and the old
// one stays behind it until the sessions that it has signed are over, which session.lifespan says.
//
//	secrets:
//	  session:
//	    - file:/run/secrets/session-new
//	    - ${SESSION_SECRET}
//
// Guessing passwords is slowed down by the hook brake, see brake.go. Each copy counts for itself, so with several of them
// divide the limits in auth.yml by their number.
//
// "go run . audit ADDRESS" prints what was tried on the account of an email address, by whom, and what came of it. On this
// machine, and only there, /debug/hooks shows what is configured, and how often it has run.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/flowhook/flowhook/examples/authservice/internal/devoidc"
	"github.com/flowhook/flowhook/examples/authservice/internal/mail"
	"github.com/flowhook/flowhook/store/sqlstore"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP) // before anything else: without this it would end the process
	c, err := readConfig(os.Getenv)
	switch {
	case err != nil:
	case len(os.Args) == 3 && os.Args[1] == "audit":
		err = printAudit(ctx, c, os.Args[2], os.Stdout)
	case len(os.Args) > 1:
		err = errors.New("it takes no arguments, or audit and an email address")
	default:
		err = run(ctx, c, os.Stdout, log, again)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "authservice:", err)
		os.Exit(1)
	}
}

// mailTime is how long a mail that is being sent may keep the process. Requests may take requestTime and 5 seconds more,
// then come this, what the queue needs to cancel it (2), and the database's end (2): 30 seconds in all.
const mailTime = 6 * time.Second

// run serves until ctx ends, then finishes what it has begun. It prints its URL to out. Whatever comes from again has it read
// auth.yml again.
func run(ctx context.Context, c config, out io.Writer, log *slog.Logger, again <-chan os.Signal) (err error) {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("ADDR: %w", err)
	}
	defer l.Close()
	if err := c.listening(l.Addr()); err != nil {
		return err
	}
	if len(c.Proxies) == 0 && !c.Development && loopback(l.Addr().(*net.TCPAddr).IP.String()) {
		log.Warn("there has to be a proxy on this machine, and TRUSTED_PROXIES does not name it: all its clients count as one where passwords are guessed")
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

	server := &http.Server{
		Handler: handler, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintf(out, "authservice listens on %s\n", "http://"+l.Addr().String())
	if a.service.inbox != nil {
		fmt.Fprintf(out, "its mail is at %s/dev/mail/\n", "http://"+l.Addr().String())
	}
	for serving := true; serving; {
		select {
		case err := <-served:
			return fmt.Errorf("serving: %w", err)
		case <-again:
			a.service.reload(ctx)
		case <-ctx.Done():
			serving = false
		}
	}
	log.Info("stopping: finishing the requests that are under way")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTime+5*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}

// An app is a service with all that it stands on, each to be closed in the opposite order.
type app struct {
	service *service
	queue   *mail.Queue
	inbox   *mail.Inbox // nil: there is a mail server
	closers []func() error
}

// open opens everything, and brings the tables up to date.
func open(ctx context.Context, c config, log *slog.Logger) (a *app, err error) {
	a = &app{}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	db, err := openDatabase(ctx, c)
	if err != nil {
		return a, err
	}
	a.closers = append(a.closers, db.Close)

	var inboxPages http.Handler
	if c.SMTP == "" {
		if a.inbox, err = mail.OpenInbox(log); err != nil {
			return a, fmt.Errorf("the development inbox: %w", err)
		}
		a.closers = append(a.closers, a.inbox.Close)
		c.SMTP, inboxPages = a.inbox.URL(), a.inbox.Handler("/")
	}
	queue := mail.Options{DB: db.DB, Dialect: db.dialect, Pool: db.pool, SMTP: c.SMTP, From: c.MailFrom, RescueAfter: c.MailRescue, Logger: log}
	if err := db.alone(ctx, func(ctx context.Context) error {
		if len(c.Secrets) == 0 && !c.SecretsThere && db.dialect == sqlstore.SQLite {
			secret, err := ownSecret(db.file)
			if err != nil {
				return err
			}
			c.Secrets = []string{secret}
		}
		if err := db.migrate(ctx, queue); err != nil {
			return err
		}
		return db.makeKey(ctx)
	}); err != nil {
		return a, err
	}
	if c.AuditKey, err = db.serviceKey(ctx, auditKeyName); err != nil {
		return a, err
	}
	if a.queue, err = mail.Open(queue); err != nil {
		return a, fmt.Errorf("the mail queue: %w", err)
	}

	key := c.OIDCIssuer
	if key == "" && c.Development {
		c.OIDCClientID, c.OIDCClientSecret, key = "authservice", rand.Text(), developmentKey
		development, err := devoidc.Start(devoidc.Options{ClientID: c.OIDCClientID, ClientSecret: c.OIDCClientSecret,
			RedirectURI: c.PublicURL + callbackPath, Logger: log})
		if err != nil {
			return a, fmt.Errorf("the development provider: %w", err)
		}
		a.closers = append(a.closers, development.Close)
		c.OIDCIssuer = development.Issuer()
	}
	var oidc *provider
	if key != "" {
		keys, err := db.serviceKey(ctx, oidcKeyName)
		if err != nil {
			return a, err
		}
		oidc = newProvider(c, key, keys)
	}
	a.service, err = newService(c, db, a.queue, oidc, inboxPages, log)
	return a, err
}

// start starts what runs beside the requests: the queue's worker and the clean-up.
func (a *app) start(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // they end when the last request has
	if err := a.queue.Start(ctx); err != nil {
		return fmt.Errorf("starting the mail queue: %w", err)
	}
	a.closers = append(a.closers, func() error {
		ctx, cancel := context.WithTimeout(ctx, mailTime)
		defer cancel()
		if err := a.queue.Stop(ctx); err != nil { // no fault of this program: nothing is lost
			a.service.log.Warn("stopping: gave up waiting for a mail that is being sent; it will be sent again", "error", err)
		}
		return nil
	})
	cleaning, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.service.keepClean(cleaning) })
	a.closers = append(a.closers, func() error { stop(); running.Wait(); return nil })
	return nil
}

func (a *app) close() error {
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i]())
	}
	a.closers = nil
	return errors.Join(errs...)
}
