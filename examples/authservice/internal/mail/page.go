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

// Handler shows the mails: GET / all of them, GET /{id} one. Its links are relative, so that it can be mounted, by
// http.StripPrefix, at a path that ends in a slash. Who can reach it reads all mail.
func (in *Inbox) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, "list", in.Mails())
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
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", inboxPolicy)
	h.Set("Referrer-Policy", "no-referrer") // a link's token is in the URL of no other site's log
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

// shown is a mail with what only its page wants.
type shown struct{ Mail }

// Fields gives the header's fields, sorted.
func (m shown) Fields() (fields [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, value := range m.Header[name] {
			fields = append(fields, [2]string{name, decodeHeader(value)})
		}
	}
	return fields
}

// A piece of text is a link or is not.
type piece struct{ Text, Link string }

// Body gives the text in pieces.
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
