// Package hookpage shows what a pipeline does, as one page for the people who run the service: every flow as a lane, with
// its hooks in the order they run, what [flowhook.Config.Check] found beside the hook that it is about, and how often each
// hook ran.
package hookpage

import (
	"bytes"
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

// Handler gives the page. It is one HTML document without scripts that loads nothing, and answers GET and HEAD; another
// method is 405. Each request is shown the configuration that is current, so what Reload takes is there at once. How often
// hooks ran is there where Options.Count is set, and counts since [flowhook.New].
//
// The page shows what the service does to whoever can reach it: hooks, where they are configured,
// where redirects lead (up to the first ?, # or ;), what is weak in the settings. It shows no
// secret, no address and no config of a hook. So mount it where operators alone come, such as a
// listener on the loopback interface, or behind their sign-in.
//
// A nil pipeline is a mistake in the program, and panics at once. The handler is safe for concurrent use.
func Handler(p *flowhook.Pipeline) http.Handler {
	if p == nil {
		panic("hookpage: Handler of a nil pipeline")
	}
	page := template.Must(template.New("page").Funcs(template.FuncMap{"more": more}).Parse(markup))
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
		var b bytes.Buffer // so that a page is whole, or an error
		if err := page.Execute(&b, newView(p)); err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(b.Len()))
		w.Write(b.Bytes())
	})
}
