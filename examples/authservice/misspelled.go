package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ownPrefix is what an operator may put before the names. The service's variables have no prefix.
const ownPrefix = "AUTHSERVICE_"

// misspelled looks for variables in environ, whose entries are NAME=value, that the service does not
// know but that were probably meant for it. A name that differs in one character, or that earlier
// versions knew, is an error, and so is one of a provider if OIDC_PROVIDERS has none. Others that look
// like the service's, which a platform may set, and those of a provider that was taken out of
// OIDC_PROVIDERS, are warnings. providers are the keys of the OpenID providers. The names in used are
// not misspelled.
func misspelled(environ, providers, used []string) (warnings []string, err error) {
	all := allVariables(providers...)
	var errs []error
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if known(name, all) || slices.Contains(used, name) {
			continue
		}
		hint := ""
		v, certain := meant(name, all)
		if v.name != "" {
			hint = fmt.Sprintf("did you mean %s? for example %s=%s", v.name, v.name, v.example)
		}
		key := providerOf(plain(name))
		switch {
		case slices.Contains(retired, plain(name)):
			certain = true
			hint = "OIDC_PROVIDERS and variables such as OIDC_ACME_" + strings.TrimPrefix(plain(name), "OIDC_") +
				" replace it; authservice --help explains them"
		case key != "" && !slices.Contains(providers, key) && !slices.ContainsFunc(providers, func(p string) bool {
			return distance(p, key) == 1
		}):
			certain = len(providers) == 0
			hint = fmt.Sprintf("OIDC_PROVIDERS does not have %s; for example OIDC_PROVIDERS=%s", key,
				strings.Join(append(slices.Clone(providers), key), ","))
		}
		switch text := "unknown environment variable " + name + "; " + hint; {
		case certain:
			errs = append(errs, errors.New(text))
		case hint != "":
			warnings = append(warnings, text)
		}
	}
	return warnings, errors.Join(errs...)
}

func known(name string, all []variable) bool {
	return slices.ContainsFunc(all, func(v variable) bool { return v.name == name })
}

// retired are variables of earlier versions, which knew a single provider.
var retired = []string{"OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"}

// plain returns a name in the spelling of the service's variables.
func plain(name string) string {
	return strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), ownPrefix)
}

// meant returns the one of all variables that a name probably means: one that differs in at most three
// characters, and in at most a quarter of its name, or one about the same server. It is certain if it
// is a long name that differs in at most one character, or has the service's own prefix. meant returns
// the zero variable if there is none.
func meant(name string, all []variable) (v variable, certain bool) {
	best := 4
	for _, one := range all {
		if d := distance(plain(name), one.name); d < best && d <= len(one.name)/4 {
			v, best = one, d
		}
	}
	if best < 4 {
		return v, best <= 1 && len(v.name) >= 8 || strings.HasPrefix(name, ownPrefix)
	}
	for _, family := range []string{"SMTP_", "OIDC_"} {
		for _, one := range all {
			if strings.HasPrefix(plain(name), family) && strings.HasPrefix(one.name, family) {
				return one, false
			}
		}
	}
	return variable{}, false
}

// distance returns how many characters must be inserted, deleted or replaced to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

var reference = regexp.MustCompile(`\$\{(\w+)`)

// referenced returns the names of the variables that the auth.yml at path refers to, as in
// ${SESSION_SECRET}.
func referenced(path string) (names []string) {
	data, err := readAuthFile(path)
	if err != nil {
		return nil
	}
	for _, found := range reference.FindAllStringSubmatch(string(data), -1) {
		names = append(names, found[1])
	}
	return names
}
