package mail

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed inbox.css
	inboxCSS string
	//go:embed inbox.html
	inboxHTML string

	inboxPages = template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(inboxCSS) },
		"clock": func(t time.Time) string { return t.Format("2006-01-02 15:04:05") },
		"join":  func(s []string) string { return strings.Join(s, ", ") },
	}).Parse(inboxHTML))

	inboxPolicy = func() string {
		sum := sha256.Sum256([]byte(inboxCSS))
		return "default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// Handler serves the emails: GET / lists them, and GET /{id} shows one. Its links are relative, so
// that it can be mounted with http.StripPrefix at a path that ends in a slash. home is the URL of
// the service's home page. Anyone who can reach the handler can read all email.
func (in *Inbox) Handler(home string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, "list", list{home, in.Mails()})
	})
	mux.HandleFunc("GET /{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		m, ok := in.mail(id)
		if !ok {
			show(w, http.StatusNotFound, "gone", nil)
			return
		}
		show(w, http.StatusOK, "mail", shown{m})
	})
	return mux
}

func show(w http.ResponseWriter, status int, page string, data any) {
	var body bytes.Buffer
	if err := inboxPages.ExecuteTemplate(&body, page, data); err != nil {
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", inboxPolicy)
	h.Set("Referrer-Policy", "no-referrer") // keeps tokens in URLs out of the logs of other sites
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

type list struct {
	Home  string
	Mails []Mail
}

// shown is an email with the methods that its page needs.
type shown struct{ Mail }

// Fields returns the fields of the header, sorted.
func (m shown) Fields() (fields [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, value := range m.Header[name] {
			fields = append(fields, [2]string{name, decodeHeader(value)})
		}
	}
	return fields
}

// A piece is a part of a text. Link is empty if it is not a link.
type piece struct{ Text, Link string }

// Body returns the text in pieces.
func (m shown) Body() (pieces []piece) {
	s := m.Text
	for _, l := range m.Links {
		if before, after, ok := strings.Cut(s, l); ok {
			pieces = append(pieces, piece{Text: before}, piece{l, l})
			s = after
		}
	}
	return append(pieces, piece{Text: s})
}
