package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"

	"github.com/flowhook/flowhook"
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// A page is the data of a template.
type page struct {
	Title string
	User  *user // the signed-in user; nil if there is none or it does not matter
	Data  any
}

// A form is a form of labeled fields.
type form struct {
	Action, Submit string
	Fields         []field
	Problem        string // an error that concerns the whole form
	Intro          string // shown before the form
	Token          string // of the link that leads to the form; a hidden field
}

// A field is an input with its label.
type field struct {
	Name, Label, Type, Autocomplete string
	Value, Hint, Error              string
	Optional                        bool
	MaxLength                       int // 0 for none; not for passwords, because browsers truncate pasted text
}

// refuse adds a refusal to its field or, if there is none, to the form.
func (f *form) refuse(no *flowhook.Refusal) {
	for i := range f.Fields {
		if f.Fields[i].Name == no.Field {
			f.Fields[i].Error = no.Text
			return
		}
	}
	f.Problem = no.Text
}

// Bad reports whether the form has an error.
func (f form) Bad() bool { return f.Problem != "" || f.FirstError() != "" }

// FirstError returns the name of the first field with an error. That field gets the focus, so that
// a screen reader announces its error.
func (f form) FirstError() string {
	for _, field := range f.Fields {
		if field.Error != "" {
			return field.Name
		}
	}
	return ""
}

// pages renders templates.
type pages struct {
	log       *slog.Logger
	templates map[string]*template.Template
	version   string // of the static files; their URLs contain it, so that browsers may cache them
}

func newPages(log *slog.Logger, functions template.FuncMap) (*pages, error) {
	version, err := staticVersion()
	if err != nil {
		return nil, fmt.Errorf("reading the static files: %w", err)
	}
	p := &pages{log: log, templates: map[string]*template.Template{}, version: version}
	base, err := template.New("").Funcs(functions).
		Funcs(template.FuncMap{"version": func() string { return version }}).
		ParseFS(templateFiles, "templates/layout.html", "templates/form.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the templates: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the templates: %w", err)
	}
	for _, name := range names {
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(templateFiles, name)
		}
		if err != nil {
			return nil, fmt.Errorf("parsing the templates: %w", err)
		}
		p.templates[strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")] = t
	}
	return p, nil
}

// staticVersion returns a hash of the static files.
func staticVersion() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(staticFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := staticFiles.ReadFile(path)
		sum.Write(data)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

// render sends a page. If the template fails, it sends a plain 500 instead of part of a page.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, name string, data page) {
	var b bytes.Buffer
	t, ok := p.templates[name]
	if !ok {
		p.log.ErrorContext(r.Context(), "no such template", "name", name)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	if err := t.ExecuteTemplate(&b, "layout", data); err != nil {
		p.log.ErrorContext(r.Context(), "executing a template failed", "name", name, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // pages depend on who is signed in
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes()) // fails only if the client has disconnected
	}
}

// static serves the files of the folder static.
func static(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=86400")
	http.ServeFileFS(w, r, staticFiles, "static/"+r.PathValue("name"))
}
