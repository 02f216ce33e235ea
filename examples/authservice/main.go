// Authservice is an auth service to copy: users, passwords, sign-in with an OpenID provider,
// sessions, and email. flowhook runs around its flows, as auth.yml configures. To start it, run in
// this directory:
//
//	go run .
//
// It prints its URL, stores everything in the file authservice.db, shows the email it sends at
// /dev/mail/, and includes an OpenID provider for development. "go run . --help" lists its commands
// and the environment variables that change that. README.md says how to deploy and operate it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // as early as possible: an unhandled SIGHUP ends the process
	os.Exit(command(ctx, os.Args[1:], hangups))
}

// The exit codes, as --help explains them.
const (
	exitOK      = 0
	exitFailure = 1 // check found only warnings, or another command failed
	exitErrors  = 2 // check found errors, or the command line is wrong
)

// command runs the command in args, and returns the exit code.
func command(ctx context.Context, args []string, hangups <-chan os.Signal) int {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch {
	case len(args) == 0:
		return serveCommand(ctx, hangups)
	case len(args) == 1 && (name == "help" || name == "--help" || name == "-help" || name == "-h"):
		printHelp(os.Stdout)
		return exitOK
	case len(args) == 1 && (name == "version" || name == "--version"):
		fmt.Println(versionText())
		return exitOK
	case len(args) == 1 && name == "check":
		return check(ctx, os.Getenv, os.Environ(), os.Stdout)
	case len(args) == 2 && name == "audit", len(args) == 3 && name == "audit" && args[1] == "-all":
		limit := auditMax
		if len(args) == 3 {
			limit = math.MaxInt
		}
		if err := auditCommand(ctx, os.Getenv, args[len(args)-1], limit, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "authservice: audit:", err)
			return exitFailure
		}
		return exitOK
	case len(args) == 2 && name == "mail" && (args[1] == "list" || args[1] == "retry"):
		if err := mailCommand(ctx, os.Getenv, args[1] == "retry", os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "authservice: mail:", err)
			return exitFailure
		}
		return exitOK
	case name == "mail":
		fmt.Fprintln(os.Stderr, "authservice: mail takes list or retry")
	case name == "audit":
		fmt.Fprintln(os.Stderr, "authservice: audit takes one email address or user ID, after -all or alone")
	default:
		fmt.Fprintf(os.Stderr, "authservice: unknown arguments %q; authservice --help lists the commands\n", args)
	}
	return exitErrors
}

// serveCommand runs the service until ctx ends.
func serveCommand(ctx context.Context, hangups <-chan os.Signal) int {
	c, err := readConfig(os.Getenv)
	log := newLogger(os.Stderr, c.LogFormat, c.LogLevel)
	unknown, wrong := misspelled(os.Environ(), c.keys(), referenced(c.AuthConfig))
	for _, warning := range unknown {
		log.Warn(warning)
	}
	if err = errors.Join(err, wrong); err == nil {
		var out io.Writer = os.Stdout
		if c.LogFormat == "json" {
			out = io.Discard // nothing but JSON; the log has the URL, too
		}
		err = run(ctx, c, out, log, hangups)
	}
	if err != nil {
		reportErrors(log, c.LogFormat, err)
		return exitFailure
	}
	return exitOK
}

// reportErrors prints each of the errors joined in err: as text for a reader, or to a log in JSON.
func reportErrors(log *slog.Logger, format string, err error) {
	for _, one := range split(err) {
		if format == "json" {
			log.Error("authservice failed", "error", one)
			continue
		}
		fmt.Fprintln(os.Stderr, "authservice:", one)
	}
}

// split returns the errors that are joined in err, one a line.
func split(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var texts []string
	for _, one := range joined.Unwrap() {
		all = append(all, split(one)...)
		texts = append(texts, one.Error())
	}
	if strings.Join(texts, "\n") != err.Error() { // it says more than the errors that it wraps
		return []error{err}
	}
	return all
}
