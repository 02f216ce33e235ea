package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
)

const commands = `Authservice is an auth service with hooks that a file configures.

Usage:

  authservice             serve until SIGINT or SIGTERM; SIGHUP reloads AUTH_CONFIG
  authservice check       check the environment, the hooks, the database, the mail server and the
                          OpenID providers; it changes nothing
  authservice audit USER  print what happened on an account, and from where; USER is a user ID or
                          any email address that the user ever had. It prints the last 500
                          entries or, with -all before USER, all. It needs only DATABASE_URL.
  authservice mail list   print the emails that were given up, and why, without their content. It needs
                          only DATABASE_URL.
  authservice mail retry  the same, and queue them again
  authservice version     print the version
  authservice --help      print this text

Exit codes: 0 if all is well, 1 if check has only warnings or if another command fails, 2 if check
finds an error or if the command line is wrong.

Environment variables (all are optional; defaults are in parentheses):
`

// printHelp prints the commands and the variables.
func printHelp(out io.Writer) {
	fmt.Fprint(out, commands)
	for _, v := range allVariables(exampleProvider) {
		fmt.Fprintf(out, "\n  %s\n%s      for example %s=%s\n", v.name, wrapped(v.text(), 6, 94), v.name, v.example)
	}
}

// text returns what v is about, with its default.
func (v variable) text() string {
	if v.fallback == "" {
		return v.about
	}
	return v.about + " (" + v.fallback + ")"
}

// wrapped breaks text into lines of at most width characters, after an indent.
func wrapped(text string, indent, width int) string {
	var b strings.Builder
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
	return b.String()
}

// release is the version, if the build sets it:
//
//	go build -ldflags "-X main.release=v1.2.3"
var release string

// version returns the version of the program: release, or what go build knows.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(release, "unknown")
	}
	return cmp.Or(release, info.Main.Version, "unknown")
}

func versionText() string {
	return fmt.Sprintf("authservice %s %s %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
