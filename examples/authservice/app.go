package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/flowhook/flowhook/outbox"
)

// An app is the service with everything it depends on. It is closed in reverse order.
type app struct {
	service *service
	outbox  *outbox.Outbox
	inbox   http.Handler // shows the email in development; nil if there is a mail server
	closers []func() error
}

// open opens everything and migrates the tables, after it has checked auth.yml: a service that
// cannot start does not change the database. It returns an error if the database ignores the locks
// that flowhook needs.
func open(ctx context.Context, c config, log *slog.Logger) (a *app, err error) {
	a = &app{}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	plan, err := c.checkHooks()
	if err != nil {
		return a, err
	}
	for _, warning := range missingHooks(plan) { // newService logs the findings
		log.Warn(warning)
	}
	db, err := openDatabase(ctx, c)
	if err != nil {
		return a, err
	}
	a.closers = append(a.closers, db.Close)
	if err := a.openDevelopment(&c, log); err != nil {
		return a, err
	}
	queue := db.outboxOptions()
	queue.SMTP, queue.From, queue.RescueAfter, queue.Logger = c.SMTP, c.MailFrom, c.MailRescue, log
	if err := db.alone(ctx, log, func(ctx context.Context) error { return prepare(ctx, &c, db, queue, log) }); err != nil {
		return a, err
	}
	if c.AuditKey, err = db.serviceKey(ctx, auditKeyName); err != nil {
		return a, err
	}
	if c.KeptKey, err = db.serviceKey(ctx, keptKeyName); err != nil {
		return a, err
	}
	if c.OIDCKey, err = db.serviceKey(ctx, oidcKeyName); err != nil {
		return a, err
	}
	if queue.Secrets, err = db.mailSecrets(ctx, c.Secrets); err != nil {
		return a, err
	}
	if a.outbox, err = outbox.New(queue); err != nil {
		return a, err
	}
	if a.service, err = newService(c, db, a.outbox.Courier(), a.inbox, log); err != nil {
		return a, err
	}
	return a, a.service.store.Verify(ctx)
}

// prepare creates what the copies of the service share. The caller holds the startup lock.
func prepare(ctx context.Context, c *config, db *database, queue outbox.Options, log *slog.Logger) error {
	if err := db.migrate(ctx, queue, log); err != nil {
		return err
	}
	if path := c.secretFile(); path != "" {
		secret, created, err := fileSecret(path)
		if err != nil {
			return err
		}
		c.Secrets = []string{secret}
		signedIn := false
		if created {
			err = db.row(ctx, []any{&signedIn}, "SELECT EXISTS (SELECT 1 FROM flowhook_sessions)")
		}
		if err != nil {
			return fmt.Errorf("looking for sessions: %w", err)
		}
		if signedIn {
			log.Warn("the file with the session secret is new, but the database has sessions: their users are signed out; "+
				"to keep them, stop the service and restore the file", "file", path)
		}
	}
	return db.makeKey(ctx)
}

// start starts the background work: the outbox's worker and the cleanup.
func (a *app) start(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // they stop after the last request
	if err := a.outbox.Start(ctx); err != nil {
		return err
	}
	cleaning, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { a.service.keepClean(cleaning) })
	a.closers = append(a.closers, func() error {
		stop()
		defer running.Wait() // for at most answerTime
		ctx, cancel := context.WithTimeout(ctx, mailTime)
		defer cancel()
		a.service.recoveries.Wait()                // for at most recoveryTime and answerTime
		if err := a.outbox.Stop(ctx); err != nil { // not an error: nothing is lost
			a.service.log.Warn("stopping: gave up waiting for an email that is being sent; it will be sent again",
				"error", err)
		}
		return nil
	})
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
