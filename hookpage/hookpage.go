// Package hookpage serves a page about a pipeline for the operators of a service. The page shows
// what happens in each flow, with the hooks in the order they run, the findings of
// [flowhook.Config.Check], and how the configuration was loaded. With a [Recorder], it shows how
// often each hook ran, answered, refused and failed.
package hookpage

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

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

	// File is the path of the YAML file. If its hash differs from that of the running configuration,
	// the page shows which hooks and keys differ, and whether a reload would accept the file. To find
	// out, each request then calls Load, and [flowhook.Pipeline.Preview], which runs the factories of
	// the hooks. If File is empty, the page does not compare.
	File string

	// Load loads File as for a reload. If the service checks the file itself before it reloads it, set
	// Load to the function that it passes to [flowhook.Pipeline.ReloadFrom]. The page calls it only if
	// the hash of File differs, and never without File. It must be safe for concurrent use. Default:
	// flowhook.LoadConfig(File).
	Load func() (*flowhook.Config, error)
}

// Handler returns a handler that serves the page: one HTML document without scripts, which loads
// nothing. It answers GET and HEAD, and any other method with 405. Each request shows the
// configuration that is current. These parameters of the query change the answer:
//
//   - lane opens a lane, as in ?lane=registration/password, or ?lane=registration for the
//     strategies without hooks of their own.
//   - format=yaml and format=mermaid, with lane, answer that lane as plain text. format=mermaid
//     with flow answers all lanes of a flow.
//   - flow, strategy, return_to, signed_in, verified and address_changes make a dry run: the page
//     marks what would happen to such a request. With verified, every address of the user is
//     verified; without it, none is. Nothing runs.
//   - format=json answers what the page shows as JSON.
//
// The page shows what the service does to anyone who can reach it: the hooks, their descriptions and
// their configs, where redirects lead (up to the first ?, # or ;), and which settings are weak. It
// hides what may be a secret, as [flowhook.HookInfo] describes for Config, and shows no user's
// address. When it shows why a file was rejected, it shows the errors of Load and of your hook
// factories. Mount it where only operators can reach it, such as on a listener on the loopback
// interface, or require operators to sign in.
//
// Handler panics if p is nil. The handler is safe for concurrent use.
func Handler(p *flowhook.Pipeline, opts Options) http.Handler {
	if p == nil {
		panic("hookpage: Handler of a nil pipeline")
	}
	opts.Title = cmp.Or(opts.Title, "Hooks")
	if opts.Load == nil {
		opts.Load = func() (*flowhook.Config, error) { return flowhook.LoadConfig(opts.File) }
	}
	begin := start{at: time.Now()}
	begin.reload, _ = p.LastReload()
	page := template.Must(template.New("page").Funcs(template.FuncMap{"count": count, "link": link, "short": short}).Parse(markup))
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
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
		b, contentType, err := answer(p, opts, begin, page, r)
		if no := (*badRequest)(nil); errors.As(err, &no) {
			http.Error(w, no.text, no.status)
			return
		} else if err != nil {
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", contentType)
		h.Set("Content-Length", strconv.Itoa(b.Len()))
		w.Write(b.Bytes())
	})
}

// A badRequest is an error in the query.
type badRequest struct {
	status int
	text   string
}

func (e *badRequest) Error() string { return e.text }

// answer returns a whole answer, because a page is sent whole or not at all.
func answer(p *flowhook.Pipeline, opts Options, begin start, page *template.Template, r *http.Request) (
	b *bytes.Buffer, contentType string, err error,
) {
	b = &bytes.Buffer{}
	pl, query := p.Plan(), r.URL.Query()
	v := newView(pl, opts)
	if err := v.selectLane(query); err != nil {
		return nil, "", err
	}
	if err := v.tryOut(pl, query); err != nil {
		return nil, "", err
	}
	format := query.Get("format")
	if format == "" || format == "json" {
		v.Status = newStatus(p, pl, v, opts, begin)
	}
	switch format {
	case "":
		return b, "text/html; charset=utf-8", page.Execute(b, v)
	case "json":
		return b, "application/json", v.writeJSON(b)
	case "yaml", "mermaid":
		return b, "text/plain; charset=utf-8", v.writeText(b, pl, format, flowhook.Flow(query.Get("flow")))
	}
	return nil, "", &badRequest{http.StatusBadRequest, "unknown format; write json, yaml or mermaid"}
}
