package idp

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

var (
	//go:embed page.css
	css string
	//go:embed page.html
	source string

	pages = template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(css) },
	}).Parse(source))

	styleHash = func() string {
		sum := sha256.Sum256([]byte(css))
		return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	}()
)

// A page is the login form or an error.
type page struct {
	Form    *form
	Problem string
}

type form struct {
	Fields                    [][2]string
	Name, Email               string
	Verified                  bool
	NameProblem, EmailProblem string
}

func (p *Provider) page(w http.ResponseWriter, status int, v page) {
	var body bytes.Buffer
	if err := pages.Execute(&body, v); err != nil {
		p.o.Logger.Error("rendering a page failed", "error", err)
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}
