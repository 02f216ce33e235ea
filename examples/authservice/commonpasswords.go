package main

import (
	_ "embed"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"
)

//go:embed commonpasswords.txt
var commonPasswordFile string

// commonPasswords returns the set of passwords that are too common to be chosen (NIST SP 800-63B,
// 3.1.1.2). The file says where they come from.
var commonPasswords = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(commonPasswordFile) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "#") {
			set[line] = true
		}
	}
	return set
})

// commonFault returns what is wrong with a password that an attacker tries first, or "". That is a
// common one, or one of about: the user's name and email address, and the part of the address before
// the @. Case does not matter.
func commonFault(password string, about ...string) string {
	fold := func(s string) string { return strings.ToLower(norm.NFKC.String(strings.TrimSpace(s))) }
	password = fold(password)
	if commonPasswords()[password] {
		return "This password is too common. Choose one that is harder to guess."
	}
	for _, one := range about {
		local, _, _ := cutLast(one, "@")
		if password == fold(one) || password == fold(local) {
			return "Choose a password that is not your name or your email address."
		}
	}
	return ""
}
