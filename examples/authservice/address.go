package main

import (
	"net/mail"
	"strings"

	"golang.org/x/net/idna"
)

// normaliseEmail gives an address as it is stored: trimmed, with the domain in lower case and in its xn-- form. The part
// before the @ keeps its case, which is its server's business. It is ASCII: letters that look alike, or that change their
// length with their case, would make two accounts of one address, or one of two.
func normaliseEmail(typed string) (email string, ok bool) {
	typed = strings.TrimSpace(typed)
	local, domain, found := cutLast(typed, "@")
	if !found || len(typed) > 254 || len(local) > 64 {
		return "", false
	}
	domain, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return "", false
	}
	email = local + "@" + strings.ToLower(domain)
	for i := range len(email) {
		if email[i] <= ' ' || email[i] >= 0x7f {
			return "", false
		}
	}
	// "a b"@example.org is an address too, and so is a@[127.0.0.1], but nobody who has one expects it to work.
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || strings.ContainsAny(email, `"[]()<>,;:\`) || len(email) > 254 {
		return "", false
	}
	return email, true
}

// emailKey gives what must differ from user to user.
func emailKey(email string) string { return strings.ToLower(email) }

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
