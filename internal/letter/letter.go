// Package letter writes the mail that asks somebody to confirm an address, and says which addresses can be written to.
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

// Verification gives the mail: base, an absolute URL, with token in its query makes the link, which is good for so long.
func Verification(base, token string, lifespan time.Duration) (subject, text, page, link string) {
	// Not by net/url, which refuses or rewrites some of what browsers keep, and sorts the pairs of
	// a query.
	base, fragment, fragmented := strings.Cut(base, "#")
	base, query, _ := strings.Cut(base, "?")
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool { return pair == "" || strings.HasPrefix(pair, "token=") })
	link = base + "?" + strings.Join(append(pairs, "token="+token), "&")
	if fragmented {
		link += "#" + fragment
	}
	const (
		ask = "Please open this link to confirm that this address is yours"
		say = "The link works once, for %s. If you did not ask for this mail, you can ignore it."
	)
	subject = "Please confirm your address"
	last := fmt.Sprintf(say, inWords(lifespan))
	text = ask + ":\n\n" + link + "\n\n" + last + "\n"
	page = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>" + subject + "</title></head>\n" +
		"<body><p>" + ask + ":</p>\n<p><a href=\"" + html.EscapeString(link) + "\">" + html.EscapeString(link) +
		"</a></p>\n<p>" + last + "</p></body></html>\n"
	return subject, text, page, link
}

// inWords gives a lifespan as a reader of mail would say it.
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

// CheckAddress refuses what could end a header, add a second recipient, or hide what it is. RFC 5322, 3.4.1, without
// display names, comments and quoted local parts; the length is that of RFC 5321, 4.5.3.1.3.
func CheckAddress(via, value string) error {
	bad := false
	switch {
	case value == "" || len(value) > maxAddress || strings.ContainsFunc(value, hidden):
		bad = true
	case via != "email" && !strings.Contains(value, "@"): // a telephone number, say; the courier knows its form
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

func hidden(r rune) bool { return r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r) }

// fault says what is wrong with a bad address without showing it, as far as that can be said in a
// few words.
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
		return ": it has a space or a character that cannot be printed"
	case !at:
		return ": it has no @"
	case local == "":
		return ": nothing is before the @"
	case domain == "":
		return ": nothing is after the @"
	case strings.Contains(value, ".."):
		return ": it has two dots in a row"
	case strings.HasPrefix(local, ".") || strings.HasSuffix(local, "."):
		return ": a dot is first or last before the @"
	case strings.Contains(domain, "@"):
		return ": it has more than one @"
	}
	return ""
}
