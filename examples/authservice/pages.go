package main

import (
	"bytes"
	"embed"
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
	Hidden         []hidden
	Problem        string // an error that concerns the whole form
	Again          string // where a second button asks for a new code; empty without one
	Suspect        string // the field that a Problem is probably about; empty for the first one
	Notice         string // what has happened before, shown first
	Intro          string // shown before the form
	Danger         bool   // the button destroys something
	Quiet          bool   // the form is one of many
}

// A hidden is a hidden field.
type hidden struct{ Name, Value string }

// A field is an input with its label. It has no maximum length, because browsers truncate pasted text
// without a word. An error is shown instead of the hint.
type field struct {
	Name, Label, Type, Autocomplete string
	Purpose                         string // follows the label for screen readers, which may list fields alone
	Value, Hint, Error              string
	Optional                        bool
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

// ID returns the prefix of the IDs of the form's elements.
func (f form) ID() string { return strings.ReplaceAll(strings.Trim(f.Action, "/"), "/", "-") }

// Bad reports whether the form has an error.
func (f form) Bad() bool { return f.Problem != "" || len(f.Wrong()) > 0 }

// Wrong returns the fields with an error.
func (f form) Wrong() (wrong []field) {
	for _, one := range f.Fields {
		if one.Error != "" {
			wrong = append(wrong, one)
		}
	}
	return wrong
}

// Focus returns the name of the field that gets the focus because of an error, so that a screen
// reader announces the error. It is empty without one.
func (f form) Focus() string {
	switch wrong := f.Wrong(); {
	case len(wrong) > 0 && f.Problem == "":
		return wrong[0].Name
	case f.Problem != "" && f.Suspect != "":
		return f.Suspect
	case f.Problem != "" && len(f.Fields) > 0:
		return f.Fields[0].Name
	}
	return ""
}

// Invalid reports whether a field is marked as wrong.
func (f form) Invalid(one field) bool {
	return one.Error != "" || f.Problem != "" && one.Name == f.Suspect
}

// DescribedBy returns the IDs of the elements that describe a field, for aria-describedby.
func (f form) DescribedBy(one field) string {
	var ids []string
	if f.Problem != "" && one.Name == f.Focus() {
		ids = append(ids, f.ID()+"-problem")
	}
	switch {
	case one.Error != "":
		ids = append(ids, f.ID()+"-"+one.Name+"-error")
	case one.Hint != "":
		ids = append(ids, f.ID()+"-"+one.Name+"-hint")
	}
	return strings.Join(ids, " ")
}

// value returns the value of a hidden field.
func (f form) value(name string) string {
	for _, one := range f.Hidden {
		if one.Name == name {
			return one.Value
		}
	}
	return ""
}

// pages renders templates.
type pages struct {
	log       *slog.Logger
	templates map[string]*template.Template
	files     map[string]file // the static files, by the name that templates use
}

func newPages(log *slog.Logger, b brand, providers []*provider, functions template.FuncMap) (*pages, error) {
	files, err := newFiles(b, providers)
	if err != nil {
		return nil, fmt.Errorf("reading the static files: %w", err)
	}
	p := &pages{log: log, templates: map[string]*template.Template{}, files: files}
	base, err := template.New("").Funcs(functions).
		Funcs(template.FuncMap{"brand": func() string { return b.Name }, "file": p.url}).
		ParseFS(templateFiles, "templates/layout.html", "templates/form.html",
			"templates/providers.html")
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
