// Package letter writes the email that asks a user to confirm an address, and checks addresses.
package letter

import (
	"errors"
	"fmt"
	"html"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Verification returns the parts of the email. The link is base, an absolute URL, with token in its
// query. lifespan is how long the link is valid.
func VerificationOld(base, token string, lifespan time.Duration) (subject, text, page, link string) {
	// net/url would reject or rewrite URLs that browsers leave alone, and would sort the query.
	base, fragment, fragmented := strings.Cut(base, "#")
	base, query, _ := strings.Cut(base, "?")
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return pair == "" || strings.HasPrefix(pair, "token=")
	})
	link = base + "?" + strings.Join(append(pairs, "token="+token), "&")
	if fragmented {
		link += "#" + fragment
	}
	const (
		ask = "Please open this link to confirm that this address is yours"
		say = "The link can be used once and expires in %s. " +
			"If you did not request this email, you can ignore it."
	)
	subject = "Please confirm your address"
	last := fmt.Sprintf(say, inWords(lifespan))
	text = ask + ":\n\n" + link + "\n\n" + last + "\n"
	page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + subject + "</title></head>\n" +
		"<body><p>" + ask + ":</p>\n<p><a href=\"" + html.EscapeString(link) + "\">" + html.EscapeString(link) +
		"</a></p>\n<p>" + last + "</p></body></html>\n"
	return subject, text, page, link
}

// inWords writes a duration in its largest whole unit, such as "24 hours".
func inWords(d time.Duration) string {
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
