// Package letter writes the emails to users, and checks addresses.
package letter

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Letter is an email. Text and HTML say the same.
type Letter struct {
	Subject string // never contains the code
	Text    string
	HTML    string
	Link    string // the link in Text and HTML, or ""
	Button  string // what Link does, or ""
	Code    string // the code in Text and HTML, or ""
}

// A kind is one email: what happened, what to do, and what to do if the reader didn't cause it. Its
// strings are plain text without an address. The link or the code is between intro and outro.
type kind struct {
	subject string
	intro   []string // paragraphs
	button  string   // what the link does
	outro   []string // paragraphs
}

// withLink returns the email with a link, which is valid for lifespan.
func (k kind) withLink(base, secret string, lifespan time.Duration) Letter {
	l := Letter{Link: link(base, secret), Button: k.button}
	expiry := "The link can be used once and expires in " + inWords(lifespan) + "."
	return k.write(l, l.Link, linkHTML(k.button, l.Link), expiry)
}

// withCode returns the email with a code, which is valid for lifespan.
func (k kind) withCode(code string, lifespan time.Duration) Letter {
	expiry := "The code can be used once and expires in " + inWords(lifespan) + ". Don't share it with anyone."
	return k.write(Letter{Code: code}, code, codeHTML(code), expiry)
}

// plain returns the email without a link or a code.
func (k kind) plain() Letter { return k.write(Letter{}, "", "") }

// write completes l. The text and the HTML of the action are between intro and outro; without an
// action, both are "". The expiry follows the action.
func (k kind) write(l Letter, action, actionHTML string, expiry ...string) Letter {
	outro := slices.Concat(expiry, k.outro)
	paragraphs := slices.Clone(k.intro)
	if action != "" {
		paragraphs = append(paragraphs, action)
	}
	l.Subject = k.subject
	l.Text = strings.Join(append(paragraphs, outro...), "\n\n") + "\n"
	l.HTML = pageHTML(k.subject, paragraphsHTML(k.intro)+actionHTML+paragraphsHTML(outro))
	return l
}

// link returns base, an absolute URL, with the token in its query.
func link(base, token string) string {
	// net/url would reject or rewrite URLs that browsers leave alone, and would sort the query.
	base, fragment, fragmented := strings.Cut(base, "#")
	base, query, _ := strings.Cut(base, "?")
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return pair == "" || strings.HasPrefix(pair, "token=")
	})
	link := base + "?" + strings.Join(append(pairs, "token="+token), "&")
	if fragmented {
		link += "#" + fragment
	}
	return link
}

// inWords writes a duration in its largest whole unit, such as "24 hours". Days begin at three.
func inWords(d time.Duration) string {
	if day := 24 * time.Hour; d > 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d == unit.d {
			return "one " + unit.name
		}
		if d%unit.d == 0 {
			return fmt.Sprintf("%d %ss", d/unit.d, unit.name)
		}
	}
	return d.String()
}

// CheckAddress returns an error for an address that could end a header, add a second recipient or
// hide characters. It follows RFC 5322, section 3.4.1, without display names, comments and quoted
// local parts, and limits the length as RFC 5321, section 4.5.3.1.3, does.
func CheckAddress(via, value string) error {
	bad := false
	switch {
	case value == "" || len(value) > maxAddress || strings.ContainsFunc(value, hidden):
		bad = true
	case via != "email" && !strings.Contains(value, "@"): // such as a phone number, which the courier checks
	default:
		parsed, err := mail.ParseAddress(value)
		bad = err != nil || parsed.Address != value
	}
	if bad {
		return errors.New("not one plain address, such as name@example.org" + fault(value))
	}
	return nil
}

const maxAddress = 254 // bytes

// hidden reports whether a reader may overlook a character.
func hidden(r rune) bool { return r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r) }

// fault returns a short description of what is wrong with a bad address. It does not quote the
// address. It returns "" for a fault that has no short description.
func fault(value string) string {
	local, domain, at := strings.Cut(value, "@")
	switch {
	case value == "":
		return ": it is empty"
	case len(value) > maxAddress:
		return fmt.Sprintf(": it is longer than %d bytes", maxAddress)
	case strings.ContainsAny(value, `"<>(),:;\[]`):
		return ": it has a display name, a comment, a quoted part or more than one address"
	case strings.ContainsFunc(value, hidden):
		return ": it has a space or an unprintable character"
	case !at:
		return ": it has no @"
	case local == "":
		return ": nothing is before the @"
	case domain == "":
		return ": nothing is after the @"
	case strings.Contains(value, ".."):
		return ": it has two dots in a row"
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, "."):
		return ": the part before the @ begins or ends with a dot"
	case strings.Contains(domain, "@"):
		return ": it has more than one @"
	}
	return ""
}
