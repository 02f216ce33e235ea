package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed static
var staticFiles embed.FS

// A file is a static file. Its URL contains a hash of the data, so that browsers may cache it.
type file struct {
	path, version string
	data          []byte
}

// newFile returns a file with its hash.
func newFile(path string, data []byte) file {
	sum := sha256.Sum256(data)
	return file{path, hex.EncodeToString(sum[:8]), data}
}

// newFiles returns the static files in the colors of a brand, and the logos.
func newFiles(b brand, providers []*provider) (map[string]file, error) {
	files := map[string]file{}
	for _, p := range providers {
		if name := p.LogoFile(); name != "" {
			files[name] = newFile("/static/"+name+p.logo.Type, p.logo.Data)
		}
	}
	for _, name := range []string{"style.css", "script.js", "logo"} {
		from := name
		if name == "logo" {
			from += ".svg"
		}
		data, err := staticFiles.ReadFile("static/" + from)
		if err != nil {
			return nil, err
		}
		path := "/static/" + from
		switch {
		case name == "style.css":
			data = append([]byte(b.css()), data...)
		case name == "logo" && len(b.Logo.Data) > 0:
			path, data = "/static/logo"+b.Logo.Type, b.Logo.Data
		case name == "logo":
			data = bytes.ReplaceAll(data, []byte("#4f46e5"), []byte(b.Accent.readable(black, white).String()))
		}
		files[name] = newFile(path, data)
	}
	return files, nil
}

// url returns the URL of a static file.
func (p *pages) url(name string) string { return p.files[name].path + "?v=" + p.files[name].version }

// static serves the static files.
func (p *pages) static(w http.ResponseWriter, r *http.Request) {
	for _, f := range p.files {
		if f.path == r.URL.Path {
			w.Header().Set("Cache-Control", "public, max-age=86400")
			http.ServeContent(w, r, f.path, time.Time{}, bytes.NewReader(f.data))
			return
		}
	}
	http.NotFound(w, r)
}
