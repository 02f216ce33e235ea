package conf

import (
	"strings"

	"github.com/flowhook/flowhook/internal/reference"
)

// A Secret is an entry of a list of secrets. Text is the secret itself, with references resolved.
type Secret struct {
	Text string
	Value
}

// secretLists are the lists of secrets that may sign session tokens. The first that a file has
// counts.
var secretLists = listNames()

func listNames() (names []string) {
	for _, s := range settings {
		if s.path == "secrets.session" {
			for _, path := range s.places() {
				names = append([]string{strings.TrimPrefix(path, "secrets.")}, names...)
			}
		}
	}
	return names
}

// secrets reads a list of secrets.
func (l *layout) secrets(v Value) (list []Secret) {
	items := l.list(v, "a list of strings")
	if items != nil && len(items) == 0 {
		l.wrong(v, "add a secret, or remove the key", "no secrets")
	}
	var texts []string
	broken := map[int]bool{} // by index: already reported
	for _, item := range items {
		if !l.is(item, "a string") {
			continue
		}
		text, bad := l.file.secret(item)
		if bad != nil {
			l.problems = append(l.problems, *bad)
			broken[len(list)] = true
		}
		text = reference.Trim(text) // as if it were kept elsewhere
		list, texts = append(list, Secret{text, item}), append(texts, text)
	}
	CheckSecrets(texts, "put the secret itself into the variable or the file", func(i int, problem, hint string) {
		if !broken[i] {
			l.wrong(list[i].Value, hint, "%s", problem)
		}
	})
	return list
}

// CheckSecrets calls report for each secret that is unsafe, with its index. The hint for a secret
// that looks like an unresolved reference is refer.
func CheckSecrets(list []string, refer string, report func(i int, problem, hint string)) {
	const random = "the output of openssl rand -hex 32"
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		switch {
		case s == "":
			report(i, "an empty secret", "use "+random)
		case reference.IsUnresolved(s):
			report(i, notResolved, refer+"; if this is the secret itself, replace it with "+random)
		case len(s) < 16:
			report(i, "a secret of less than 16 bytes", "use "+random)
		case seen[s]:
			report(i, "a duplicate secret", "remove it")
		}
		seen[s] = true
	}
}

const notResolved = "a reference or a placeholder that nothing has resolved"
