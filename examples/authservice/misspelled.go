package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ownPrefix is what an operator may put before the names. The service's variables have no prefix.
const ownPrefix = "AUTHSERVICE_"

// misspelled returns a message for each variable in environ, whose entries are NAME=value, that the
// service does not know but that was probably meant for it. The names in used are not misspelled.
func misspelled(environ, used []string) (messages []string) {
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if known(name) || slices.Contains(used, name) {
			continue
		}
		if v, ok := meant(name); ok {
			messages = append(messages, fmt.Sprintf("unknown environment variable %s; did you mean %s? for example %s=%s",
				name, v.name, v.name, v.example))
		}
	}
	slices.Sort(messages)
	return messages
}

func known(name string) bool {
	return slices.ContainsFunc(variables, func(v variable) bool { return v.name == name })
}

// meant returns the variable that a name probably means: one that differs in at most three
// characters, and in at most a quarter of its name, or one about the same server.
func meant(name string) (v variable, ok bool) {
	plain := strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), ownPrefix)
	best := 4
	for _, one := range variables {
		if d := distance(plain, one.name); d < best && d <= len(one.name)/4 {
			v, best = one, d
		}
	}
	if best < 4 {
		return v, true
	}
	for _, family := range []string{"SMTP_", "OIDC_"} {
		for _, one := range variables {
			if strings.HasPrefix(plain, family) && strings.HasPrefix(one.name, family) {
				return one, true
			}
		}
	}
	return v, false
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
