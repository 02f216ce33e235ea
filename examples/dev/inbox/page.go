package inbox

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed inbox.css
	css string
	//go:embed inbox.html
	source string

	pages = template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(css) },
		"clock": func(t time.Time) string { return t.Format("2006-01-02 15:04:05") },
		"join":  func(s []string) string { return strings.Join(s, ", ") },
	}).Parse(source))

	policy = func() string {
		sum := sha256.Sum256([]byte(css))
		return "default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	}()
)

// Handler serves the emails: GET / lists them, and GET /{id} shows one. Its links are relative, so
// that it can be mounted with http.StripPrefix at a path that ends in a slash. home is the URL of
// the service's home page.
//
// Every user of this machine can read all email. A request is refused with 403 if it comes from
// another machine, if a header says that a proxy forwarded it, or if its Host is not a loopback
// address.
func (in *Inbox) Handler(home string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		show(w, http.StatusOK, "list", list{home, in.Emails()})
	})
	mux.HandleFunc("GET /{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		e, ok := in.email(id)
		if !ok {
			show(w, http.StatusNotFound, "gone", nil)
			return
		}
		show(w, http.StatusOK, "email", shown{e})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.RemoteAddr) || !loopback(r.Host) || forwarded(r) {
			http.Error(w, "The development inbox is only for requests from its own machine, to localhost.",
				http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// loopback reports whether an address, with or without a port, is one of this machine's own.
func loopback(address string) bool {
	host := (&url.URL{Host: address}).Hostname()
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// forwarded reports whether a header says that a proxy forwarded the request. Behind a proxy on this
// machine, all requests come from loopback.
func forwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

func show(w http.ResponseWriter, status int, page string, data any) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, page, data); err != nil {
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer") // keeps tokens in URLs out of the logs of other sites
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

type list struct {
	Home   string
	Emails []Email
}

// shown is an email with the methods that its page needs.
type shown struct{ Email }

// Fields returns the fields of the header, sorted.
func (e shown) Fields() (fields [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(e.Header)) {
		for _, value := range e.Header[name] {
			fields = append(fields, [2]string{name, decodeHeader(value)})
		}
	}
	return fields
}

// A piece is a part of a text. Link is empty if it is not a link.
type piece struct{ Text, Link string }

// Body returns the text in pieces.
func (e shown) Body() (pieces []piece) {
	s := e.Text
	for _, l := range e.Links {
		if before, after, ok := strings.Cut(s, l); ok {
			pieces = append(pieces, piece{Text: before}, piece{l, l})
			s = after
		}
	}
	return append(pieces, piece{Text: s})
}
