package main

import (
	"encoding/json"
	"io"

	"github.com/flowhook/flowhook"
)

// A jsonFinding is a finding in the format json.
type jsonFinding struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // from 1; 0: unknown
	Column   int    `json:"column"` // from 1, in characters; 0: unknown
	Path     string `json:"path"`
	Severity string `json:"severity"`
	Rule     string `json:"rule"`
	Problem  string `json:"problem"`
	Hint     string `json:"hint"`
}

// writeJSON writes a list of objects, which is empty without findings.
func writeJSON(w io.Writer, found []flowhook.Finding) error {
	list := make([]jsonFinding, len(found))
	for i, f := range found {
		list[i] = jsonFinding{f.File, f.Line, f.Column, f.Path, f.Severity.String(), f.Rule, f.Problem, f.Hint}
	}
	return encode(w, list)
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
