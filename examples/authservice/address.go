package main

import (
	"net/mail"
	"strings"
	"unicode"

	"github.com/flowhook/flowhook"
	"golang.org/x/net/idna"
)

const emailMax = 254 // bytes (RFC 5321)

// normalizeEmail returns an address as it is stored: trimmed, with the domain in lower case and in
// its xn-- form. The local part keeps its case, because the mail server decides whether case
// matters. The result is ASCII: look-alike letters, and letters whose length depends on their case,
// could make two accounts out of one address or one out of two.
func normalizeEmail(typed string) (email string, ok bool) {
	typed = strings.TrimSpace(typed)
	local, domain, found := cutLast(typed, "@")
	if !found || len(typed) > emailMax || len(local) > 64 {
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
	// "a b"@example.org and a@[127.0.0.1] are valid, too, but nobody expects a service to accept
	// them.
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Address != email || strings.ContainsAny(email, `"[]()<>,;:\`) || len(email) > emailMax {
		return "", false
	}
	return email, true
}

// badAddress returns the refusal of an address that normalizeEmail does not accept.
func badAddress(typed string) *flowhook.Refusal {
	text := "Enter an email address, such as name@example.org."
	typed = strings.TrimSpace(typed)
	local, _, found := cutLast(typed, "@")
	switch {
	case len(typed) > emailMax:
		text = "This address is too long. Use one of at most 254 characters."
	case found && strings.ContainsFunc(local, func(c rune) bool { return c > unicode.MaxASCII }):
		text = "Use an address without accents and only with the letters a to z before the @."
	}
	return refuse("email", "bad_address", text)
}

// emailKey returns the key of an address; two addresses with the same key belong to the same user.
func emailKey(email string) string { return strings.ToLower(email) }

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
