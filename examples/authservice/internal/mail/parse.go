package mail

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

// A Mail is one that the inbox has received. What cannot be read in it is left out; Raw has it all.
type Mail struct {
	ID       int // counts from 1
	Received time.Time
	From     string   // of the envelope, as To
	To       []string // all recipients
	Subject  string
	Header   mail.Header
	Text     string
	HTML     string
	Links    []string // http and https, in the order in which they stand in the text; without one, in the HTML
	Raw      string
}

// MessageID gives the mail's, without the angle brackets.
func (m Mail) MessageID() string { return strings.Trim(m.Header.Get("Message-ID"), "<>") }

func parse(data []byte) Mail {
	m := Mail{Raw: valid(data)}
	message, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		m.Text = m.Raw
		return m
	}
	m.Header = message.Header
	m.Subject = decodeHeader(message.Header.Get("Subject"))
	m.read(textproto.MIMEHeader(message.Header), message.Body, 0)
	m.Links = links(m.Text)
	if m.Text == "" {
		m.Links = links(html.UnescapeString(m.HTML))
	}
	return m
}

// read takes the first text and the first HTML that it finds.
func (m *Mail) read(header textproto.MIMEHeader, body io.Reader, depth int) {
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
			m.read(part.Header, part, depth+1)
		}
		return
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	data, _ := io.ReadAll(body) // as far as it can be read
	switch {
	case kind == "text/plain" && m.Text == "":
		m.Text = valid(data)
	case kind == "text/html" && m.HTML == "":
		m.HTML = valid(data)
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
