// Package form parses the form of a request with bounds on memory and disk.
package form

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
)

const (
	maxFilesInMemory = 1 << 20  // of a multipart form; the rest is on disk
	maxMultipart     = 32 << 20 // of a body, unless the host sets a limit
)

var errUnreadable = errors.New("the form cannot be read")

// Parse parses the form in the query and in the body. It ignores what cannot be read of the query. A
// form in the body that cannot be read, or is too big, is an error: net/http parses a form only once,
// so a handler that parsed it again would take the rest for the whole form. The error wraps an
// *http.MaxBytesError, if that is the cause, and has nothing of any other cause, which may quote the
// form.
func Parse(r *http.Request) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var err error
	switch {
	case r.Body == nil || r.Body == http.NoBody: // no form
	case kind == "application/x-www-form-urlencoded" && r.PostForm == nil:
		body := *r
		body.URL = nil
		if err = body.ParseForm(); err == nil {
			r.PostForm = body.PostForm
		}
	case kind == "multipart/form-data":
		err = parseMultipart(r)
	}
	if err != nil {
		if big := tooBig(err); big != nil {
			return fmt.Errorf("%w: %w", errUnreadable, big)
		}
		return errUnreadable
	}
	_ = r.ParseForm()
	return nil
}

// tooBig returns the *http.MaxBytesError in an error of the body, or nil. The error may panic when it
// is inspected.
func tooBig(err error) (big *http.MaxBytesError) {
	defer func() {
		if recover() != nil {
			big = nil
		}
	}()
	errors.As(err, &big)
	return big
}

var limitedBody = reflect.TypeOf(http.MaxBytesReader(nil, nil, 0))

// parseMultipart calls ParseMultipartForm with a limit on the body, as net/http sets one for
// urlencoded forms. It does nothing if the form is already parsed, and returns an error if the handler
// has called MultipartReader.
func parseMultipart(r *http.Request) error {
	_ = r.ParseForm() // the query
	if reflect.TypeOf(r.Body) != limitedBody {
		body := r.Body
		defer func() { r.Body = body }()
		r.Body = http.MaxBytesReader(nil, body, maxMultipart)
	}
	return r.ParseMultipartForm(maxFilesInMemory)
}

// RemoveFiles removes the temporary files of a multipart form. net/http removes those of the request
// that it made, but not those of a copy.
func RemoveFiles(r *http.Request) {
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll()
	}
}
