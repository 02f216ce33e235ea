// Package hookpage serves a page about a pipeline for the operators of a service. The page shows
// the lanes of each flow, with their hooks in the order they run, and the findings of
// [flowhook.Config.Check]. With a [Recorder], it shows how often each hook ran, answered,
// refused and failed.
package hookpage

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"

	"github.com/flowhook/flowhook"
)

//go:embed page.html
var markup string

//go:embed page.css
var style string

// Options configure the page. The zero value is ready to use.
type Options struct {
	// Title is the heading of the page. Default: "Hooks".
	Title string

	// Recorder has the figures of the hooks. Pass its Wrap to flowhook as Options.Wrap. If it is
	// nil, the page shows no figures.
	Recorder *Recorder

	// File is the path of the YAML file. The page shows whether the file matches the running
	// configuration. If it is empty, the page does not compare.
	File string
}

// Handler returns a handler that serves the page: one HTML document without scripts, which loads
// nothing. It answers GET and HEAD, and any other method with 405. Each request shows the
// configuration that is current.
//
// The page shows what the service does to anyone who can reach it: the hooks and their
// descriptions, where they are configured, where redirects lead (up to the first ?, # or ;), and
// which settings are weak. It shows no secret, no user's address and no config of a hook. Mount it
// where only operators can reach it, such as on a listener on the loopback interface, or require
// operators to sign in.
//
// Handler panics if p is nil. The handler is safe for concurrent use.
func Handler(p *flowhook.Pipeline, opts Options) http.Handler {
	if p == nil {
		panic("hookpage: Handler of a nil pipeline")
	}
	opts.Title = cmp.Or(opts.Title, "Hooks")
	page := template.Must(template.New("page").Funcs(template.FuncMap{"count": count}).Parse(markup))
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		var b bytes.Buffer // a page is sent whole or not at all
		if err := page.Execute(&b, newView(p.Plan(), opts)); err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(b.Len()))
		w.Write(b.Bytes())
	})
}
