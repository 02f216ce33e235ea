package inbox

import (
	"bytes"
	"encoding/base64"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An Email is an email that the inbox has received. Parts that cannot be parsed are left out; Raw has
// everything.
type Email struct {
	ID       int // counts from 1
	Received time.Time
	From     string   // from the envelope, like To
	To       []string // all recipients
	Subject  string
	Header   mail.Header
	Text     string
	HTML     string
	Links    []string // http and https links, in order of appearance in the text or, if it is empty, in the HTML
	Raw      string
}

// MessageID returns the Message-ID without the angle brackets.
func (e Email) MessageID() string { return strings.Trim(e.Header.Get("Message-ID"), "<>") }

func parse(data []byte) Email {
	e := Email{Raw: valid(data)}
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		e.Text = e.Raw
		return e
	}
	e.Header = message.Header
	e.Subject = decodeHeader(message.Header.Get("Subject"))
	e.read(textproto.MIMEHeader(message.Header), message.Body, 0)
	e.Links = links(e.Text)
	if e.Text == "" {
		e.Links = links(html.UnescapeString(e.HTML))
	}
	return e
}

// read sets Text and HTML to the first parts of their types.
func (e *Email) read(header textproto.MIMEHeader, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for range 20 {
			part, err := parts.NextRawPart()
			if err != nil || depth > 3 {
				return
			}
			e.read(part.Header, part, depth+1)
		}
		return
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	data, _ := io.ReadAll(body) // as far as it can be decoded
	switch {
	case kind == "text/plain" && e.Text == "":
		e.Text = valid(data)
	case kind == "text/html" && e.HTML == "":
		e.HTML = valid(data)
	}
}

func valid(data []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(data), "\ufffd"), "\r\n", "\n")
}

func decodeHeader(s string) string {
	if decoded, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		s = decoded
	}
	return valid([]byte(s))
}

var link = regexp.MustCompile(`https?://[^\s<>"'` + "`" + `]+`)

func links(s string) (found []string) {
	for _, l := range link.FindAllString(s, 50) {
		if u, err := url.Parse(l); err == nil && u.Host != "" && !slices.Contains(found, l) {
			found = append(found, l)
		}
	}
	return found
}
