package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/flowhook/flowhook"
)

// The escapes of GitHub's workflow commands.
var (
	escapeMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

var githubLevels = map[flowhook.Severity]string{
	flowhook.SeverityNote: "notice", flowhook.SeverityWarning: "warning", flowhook.SeverityError: "error",
}

// writeGitHub writes annotations for a pull request in GitHub Actions.
func writeGitHub(w io.Writer, found []flowhook.Finding) error {
	for _, f := range found {
		var at []string
		if f.File != stdinName {
			at = append(at, "file="+escapeProperty.Replace(filepath.ToSlash(f.File)))
		}
		if f.Line > 0 {
			at = append(at, fmt.Sprintf("line=%d", f.Line))
		}
		if f.Column > 0 {
			at = append(at, fmt.Sprintf("col=%d", f.Column))
		}
		at = append(at, "title="+escapeProperty.Replace("flowhook: "+f.Rule))
		level, text := githubLevels[f.Severity], escapeMessage.Replace(message(f))
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", level, strings.Join(at, ","), text); err != nil {
			return err
		}
	}
	return nil
}

// message returns the problem and the fix.
func message(f flowhook.Finding) string {
	if f.Hint == "" {
		return f.Problem
	}
	return f.Problem + "; " + f.Hint
}
