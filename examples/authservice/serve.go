package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/flowhook/flowhook/store/sqlstore"
)

// run serves until ctx ends, then finishes the requests in progress. It prints its URL to out. Each
// signal from hangups reloads auth.yml.
func run(ctx context.Context, c config, out io.Writer, log *slog.Logger, hangups <-chan os.Signal) (err error) {
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fault("ADDR", "cannot be used: "+err.Error())
	}
	defer l.Close()
	if err := c.listening(l.Addr()); err != nil {
		return err
	}
	admin, err := listenAdmin(c)
	if err != nil {
		return err
	}
	if admin != nil {
		defer admin.Close()
	}
	for _, warning := range c.warnings() {
		log.Warn(warning)
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

	servers := []endpoint{{newServer(handler, log), l}}
	if admin != nil {
		servers = append(servers, endpoint{newServer(a.service.adminHandler(), log), admin})
	}
	a.service.logStart(l.Addr(), admin)
	at := "http://" + l.Addr().String()
	fmt.Fprintf(out, "authservice listens on %s\n", at)
	if a.service.inbox != nil {
		fmt.Fprintf(out, "its email is at %s/dev/mail/\n", at)
	}
	return serve(ctx, servers, a.service, hangups)
}

// listenAdmin returns the listener of ADMIN_LISTEN, or nil if it is off.
func listenAdmin(c config) (net.Listener, error) {
	if c.Admin == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Admin)
	if err != nil {
		return nil, fault("ADMIN_LISTEN", "cannot be used: "+err.Error()+"; each copy on a machine needs its own, or off")
	}
	return l, nil
}

// warnings returns what is surprising in the environment. It is called after listening.
func (c *config) warnings() (warnings []string) {
	if text := c.developmentText(); text != "" {
		warnings = append(warnings, text)
	}
	if strings.HasPrefix(c.PublicURL, "https://") && len(c.Proxies) == 0 {
		warnings = append(warnings, "TRUSTED_PROXIES does not name the proxy that PUBLIC_URL needs, because the service "+
			"does not speak TLS: all clients of the proxy share one limit on password attempts; for example "+
			"TRUSTED_PROXIES=127.0.0.1")
	}
	return warnings
}

// logStart logs the configuration that the service starts with. No value shows a secret.
func (s *service) logStart(addr net.Addr, admin net.Listener) {
	c, at := s.config, "off"
	if admin != nil {
		at = admin.Addr().String()
	}
	s.log.Info("started", "version", version(), "addr", addr.String(), "public_url", c.PublicURL, "admin", at,
		"database", c.databaseName(), "auth_config", c.authConfigName(), "auth_config_hash", s.pipeline.Plan().Hash(),
		"mail_server", hostOf(c.SMTP), "oidc_providers", issuers(c.Providers), "trusted_proxies", fmt.Sprint(c.Proxies),
		"development", c.Development)
}

// issuers lists providers for messages, as in "acme=https://acme.example.org".
func issuers(all []providerConfig) string {
	var list []string
	for _, p := range all {
		list = append(list, p.Key+"="+p.Issuer)
	}
	return strings.Join(list, ",")
}

// databaseName returns the database for messages, without user and password.
func (c config) databaseName() string {
	if c.Dialect == sqlstore.SQLite {
		return "sqlite:" + c.Database
	}
	u, err := url.Parse(c.Database)
	if err != nil {
		return "PostgreSQL"
	}
	return (&url.URL{Scheme: "postgres", Host: u.Host, Path: u.Path}).String()
}

// hostOf returns host and port of a URL, which may contain a password.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
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

// An endpoint is a server and where it listens.
type endpoint struct {
	*http.Server
	net.Listener
}

// serve runs servers until ctx ends. Then it shuts them down gracefully, in order: the last one
// answers /readyz until the others have finished.
func serve(ctx context.Context, servers []endpoint, s *service, hangups <-chan os.Signal) error {
	served := make(chan error, len(servers))
	for _, one := range servers {
		go func() { served <- one.Serve(one.Listener) }()
	}
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
	s.stopping.Store(true)
	s.log.Info("stopping: finishing the requests in progress", "delay", s.config.ShutdownDelay)
	time.Sleep(s.config.ShutdownDelay)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), handlingTime)
	defer cancel()
	var errs []error
	for _, one := range servers {
		errs = append(errs, one.Shutdown(grace))
	}
	return errors.Join(errs...)
}
