package main

import (
	"cmp"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/check"
)

// The parts of a SARIF 2.1.0 log that GitHub's code scanning reads.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		FullDescription  sarifText `json:"fullDescription"`
		Help             sarifText `json:"help"`
		HelpURI          string    `json:"helpUri"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPlace `json:"physicalLocation"`
	}
	sarifPlace struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

const (
	home     = "https://github.com/flowhook/flowhook"
	ruleHelp = home + "/blob/main/docs/checks.md#rules"
)

// writeSARIF writes a log with one run. GitHub needs a position for each result: a finding without
// one is at the first line of its file.
func writeSARIF(w io.Writer, found []flowhook.Finding) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	driver := &run.Tool.Driver
	driver.Name, driver.InformationURI, driver.Rules = "flowhook", home, []sarifRule{}
	for _, f := range found {
		i := slices.IndexFunc(driver.Rules, func(r sarifRule) bool { return r.ID == f.Rule })
		if i < 0 {
			i = len(driver.Rules)
			driver.Rules = append(driver.Rules, newRule(f.Rule))
		}
		place := sarifPlace{sarifArtifact{uri(f.File)}, sarifRegion{max(f.Line, 1), f.Column}}
		run.Results = append(run.Results, sarifResult{f.Rule, i, f.Severity.String(), sarifText{message(f)},
			[]sarifLocation{{place}}})
	}
	return encode(w, sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

// newRule describes a rule. The errors have the rule invalid, which package check does not know.
func newRule(id string) sarifRule {
	text := sarifText{cmp.Or(check.Describe(id), "The service does not start with this configuration.")}
	return sarifRule{id, text, text, sarifText{"See " + ruleHelp + "."}, ruleHelp}
}

// uri returns a path as a URI. A path in the working directory is relative, because GitHub compares
// it with the files of the repository.
func uri(path string) string {
	if path == stdinName {
		return "stdin"
	}
	if dir, err := os.Getwd(); err == nil && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			path = rel
		}
	}
	u := url.URL{Path: filepath.ToSlash(path)}
	if filepath.IsAbs(path) {
		u.Scheme, u.Path = "file", "/"+strings.TrimPrefix(u.Path, "/") // also for C:/
	}
	return u.String()
}
