package process_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// The subjects of the emails that the service sends.
const (
	confirmSubject = "Please confirm your address"
	takenSubject   = "You already have an account"
	deviceSubject  = "New sign-in to your account"
	addressSubject = "Your email address was changed"
)

// A mailbox is a mail server that runs as long as the test. It delays each email before and after
// accepting it, so that a kill can happen in between.
type mailbox struct {
	t   testing.TB
	url string

	mu     sync.Mutex
	chance *rand.Rand
	byID   map[string]email    // by Message-ID
	to     map[string][]string // from recipient to Message-IDs, in order of arrival
	copies int                 // the number of duplicates
}

// An email is a received email.
type email struct {
	to, subject string
	token       string // of the link; empty if there is none
	raw         string
}

func newMailbox(t testing.TB, seed uint64) *mailbox {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &mailbox{t: t, url: "smtp://" + l.Addr().String(), chance: rand.New(rand.NewPCG(seed, 1)),
		byID: map[string]email{}, to: map[string][]string{}}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &delivery{mailbox: m},
			nil
	}))
	srv.Domain = "localhost"
	srv.ErrorLog = log.New(io.Discard, "", 0) // broken connections are expected
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return m
}

type delivery struct {
	*mailbox
	recipient string
}

func (d *delivery) Reset()                                    {}
func (d *delivery) Logout() error                             { return nil }
func (d *delivery) Mail(string, *smtp.MailOptions) error      { return nil }
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error { d.recipient = to; return nil }
func (d *delivery) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	time.Sleep(d.span())
	id, e, err := read(data)
	if err == nil && e.to != d.recipient {
		err = fmt.Errorf("the envelope has another recipient")
	}
	if err != nil {
		d.t.Errorf("invalid email: %v\n%s", err, data)
		return nil
	}
	d.take(id, e)
	time.Sleep(d.span())
	return nil
}

func (m *mailbox) span() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return between(m.chance, 0, 30*time.Millisecond)
}

// take records an email. Duplicates must be identical.
func (m *mailbox) take(id string, e email) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was, again := m.byID[id]; again {
		m.copies++
		if was != e {
			m.t.Errorf("two different emails have the Message-ID %s:\n%s\n%s", id, was.raw, e.raw)
		}
		return
	}
	m.byID[id] = e
	m.to[e.to] = append(m.to[e.to], id)
}

// emails returns the emails to an address with a subject, in order of arrival and without
// duplicates.
func (m *mailbox) emails(to, subject string) (found []email) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.to[to] {
		if m.byID[id].subject == subject {
			found = append(found, m.byID[id])
		}
	}
	return found
}

// all returns the emails with a subject, without duplicates.
func (m *mailbox) all(subject string) (found []email) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.byID {
		if e.subject == subject {
			found = append(found, e)
		}
	}
	return found
}

// count returns the number of different emails and the number of duplicates.
func (m *mailbox) count() (different, copies int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byID), m.copies
}

// hash returns the hash of the token, as the service stores it.
func (e email) hash() string {
	sum := sha256.Sum256([]byte(e.token))
	return hex.EncodeToString(sum[:])
}

var link = regexp.MustCompile(`https?://\S+`)

// read parses an email. The first part is the plain text.
func read(data []byte) (id string, e email, err error) {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return "", e, err
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 {
		return "", e, fmt.Errorf("%d recipients: %w", len(to), err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", e, err
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		return "", e, err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(part))
	if err != nil {
		return "", e, err
	}
	found := link.Find(text)
	u, err := url.Parse(string(found))
	if err != nil || len(found) == 0 {
		return "", e, fmt.Errorf("no link: %w", err)
	}
	e = email{to: to[0].Address, subject: m.Header.Get("Subject"), token: u.Query().Get("token"), raw: string(data)}
	id = m.Header.Get("Message-ID")
	switch {
	case id == "":
		return "", e, fmt.Errorf("no Message-ID")
	case !slices.Contains([]string{confirmSubject, takenSubject, deviceSubject, addressSubject}, e.subject):
		return "", e, fmt.Errorf("unknown subject")
	case (e.subject == confirmSubject) != (e.token != ""):
		return "", e, fmt.Errorf("an unexpected or missing token")
	}
	return id, e, nil
}
