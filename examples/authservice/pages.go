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
)

//go:embed templates
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// A page is what every template gets.
type page struct {
	Title string
	User  *user // who is signed in; nil: nobody, or it does not matter
	Data  any
}

// A form is a form of labelled fields.
type form struct {
	Action, Submit string
	Fields         []field
	Problem        string // with the whole of it
}

// A field is an input with its label.
type field struct {
	Name, Label, Type, Autocomplete string
	Value, Hint, Error              string
	MaxLength                       int // 0: none. Not for passwords: a browser would cut what is pasted
}

// refuse puts a refusal where it belongs.
func (f *form) refuse(no *refusal) {
	for i := range f.Fields {
		if f.Fields[i].Name == no.Field {
			f.Fields[i].Error = no.Text
			return
		}
	}
	f.Problem = no.Text
}

// Bad says whether anything is wrong.
func (f form) Bad() bool { return f.Problem != "" || f.FirstError() != "" }

// FirstError gives the name of the first field that is wrong: it gets the focus, so that a screen reader reads out what.
func (f form) FirstError() string {
	for _, field := range f.Fields {
		if field.Error != "" {
			return field.Name
		}
	}
	return ""
}

// pages renders. A page goes out whole or not at all.
type pages struct {
	log       *slog.Logger
	templates map[string]*template.Template
	version   string // of the static files: it is in their URL, so browsers may keep them
}

func newPages(log *slog.Logger, functions template.FuncMap) (*pages, error) {
	p := &pages{log: log, templates: map[string]*template.Template{}}
	sum := sha256.New()
	err := fs.WalkDir(staticFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := staticFiles.ReadFile(path)
		sum.Write(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the static files: %w", err)
	}
	p.version = hex.EncodeToString(sum.Sum(nil)[:8])

	base, err := template.New("").Funcs(functions).Funcs(template.FuncMap{"version": func() string { return p.version }}).
		ParseFS(templateFiles, "templates/layout.html", "templates/form.html")
	if err != nil {
		return nil, fmt.Errorf("the templates: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("the templates: %w", err)
	}
	for _, name := range names {
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(templateFiles, name)
		}
		if err != nil {
			return nil, fmt.Errorf("the templates: %w", err)
		}
		p.templates[strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")] = t
	}
	return p, nil
}

// render sends a page.
func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, name string, data page) {
	var b bytes.Buffer
	t, ok := p.templates[name]
	if !ok {
		p.log.ErrorContext(r.Context(), "there is no such template", "name", name)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	if err := t.ExecuteTemplate(&b, "layout", data); err != nil {
		p.log.ErrorContext(r.Context(), "a template failed", "name", name, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // pages depend on who is signed in
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes()) // an error means that the client has gone
	}
}

// static serves the files of the folder static.
func static(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=86400")
	http.ServeFileFS(w, r, staticFiles, "static/"+r.PathValue("name"))
}
