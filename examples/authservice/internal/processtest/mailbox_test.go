package processtest_test

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

// The mails that the service sends, by their subject.
const (
	confirmSubject = "Please confirm your address"
	takenSubject   = "You already have an account"
	deviceSubject  = "Somebody has signed in to your account"
	addressSubject = "Your email address was changed"
)

// A mailbox is the mail server of a test. It lives as long as the test does, whatever becomes of the service. It takes its
// time, before it has taken a mail and after, so that a kill can fall into either.
type mailbox struct {
	t   testing.TB
	url string

	mu     sync.Mutex
	chance *rand.Rand
	byID   map[string]letter   // by Message-ID
	to     map[string][]string // Message-IDs by recipient, as they came
	copies int                 // of those that had come before
}

// A letter is a mail that has come.
type letter struct {
	to, subject string
	token       string // of the link, where it has one
	raw         string
}

func newMailbox(t testing.TB, seed uint64) *mailbox {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m := &mailbox{t: t, url: "smtp://" + l.Addr().String(), chance: rand.New(rand.NewPCG(seed, 1)), byID: map[string]letter{}, to: map[string][]string{}}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{mailbox: m}, nil }))
	srv.Domain = "localhost"
	srv.ErrorLog = log.New(io.Discard, "", 0) // connections break here
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
	id, l, err := read(data)
	if err == nil && l.to != d.recipient {
		err = fmt.Errorf("the envelope is for somebody else")
	}
	if err != nil {
		d.t.Errorf("a mail that cannot be read: %v\n%s", err, data)
		return nil
	}
	d.take(id, l)
	time.Sleep(d.span())
	return nil
}

func (m *mailbox) span() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return between(m.chance, 0, 30*time.Millisecond)
}

// take notes a mail. A second copy has to be the same, to the letter.
func (m *mailbox) take(id string, l letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was, again := m.byID[id]; again {
		m.copies++
		if was != l {
			m.t.Errorf("two mails have the Message-ID %s, and differ:\n%s\n%s", id, was.raw, l.raw)
		}
		return
	}
	m.byID[id] = l
	m.to[l.to] = append(m.to[l.to], id)
}

// letters gives the different mails to an address with a subject, in the order in which they came.
func (m *mailbox) letters(to, subject string) (found []letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range m.to[to] {
		if m.byID[id].subject == subject {
			found = append(found, m.byID[id])
		}
	}
	return found
}

// all gives all different mails with a subject.
func (m *mailbox) all(subject string) (found []letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.byID {
		if l.subject == subject {
			found = append(found, l)
		}
	}
	return found
}

// count says how many different mails have come, and how many copies of them.
func (m *mailbox) count() (different, copies int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byID), m.copies
}

// hash is what the service stores of the link.
func (l letter) hash() string {
	sum := sha256.Sum256([]byte(l.token))
	return hex.EncodeToString(sum[:])
}

var link = regexp.MustCompile(`https?://\S+`)

// read finds in a mail what the tests look at. The first part is the plain text.
func read(data []byte) (id string, l letter, err error) {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return "", l, err
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 1 {
		return "", l, fmt.Errorf("%d recipients: %w", len(to), err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", l, err
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		return "", l, err
	}
	text, err := io.ReadAll(quotedprintable.NewReader(part))
	if err != nil {
		return "", l, err
	}
	found := link.Find(text)
	u, err := url.Parse(string(found))
	if err != nil || len(found) == 0 {
		return "", l, fmt.Errorf("no link: %w", err)
	}
	l = letter{to: to[0].Address, subject: m.Header.Get("Subject"), token: u.Query().Get("token"), raw: string(data)}
	id = m.Header.Get("Message-ID")
	switch {
	case id == "":
		return "", l, fmt.Errorf("no Message-ID")
	case !slices.Contains([]string{confirmSubject, takenSubject, deviceSubject, addressSubject}, l.subject):
		return "", l, fmt.Errorf("an unknown subject")
	case (l.subject == confirmSubject) != (l.token != ""):
		return "", l, fmt.Errorf("a token where there should be none, or none where there should be one")
	}
	return id, l, nil
}
