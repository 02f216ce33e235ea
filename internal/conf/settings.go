package conf

import (
	"net/http"
	"slices"
	"time"

	"gopkg.in/yaml.v3"
)

// Session is how sessions are issued.
type Session struct {
	Lifespan           time.Duration
	Name, Domain, Path string
	SameSite           http.SameSite
	Persistent, Secure bool
}

var defaultSession = Session{24 * time.Hour, "", "", "/", http.SameSiteLaxMode, true, true}

// secrets reads what signs the session cookie. The first list that is there counts; all are checked.
func (l *layout) secrets(v value) {
	known := []string{"session", "cookie", "default"}
	before := len(l.problems)
	pairs := l.mapping(v, "a mapping")
	for i := range l.problems[before:] {
		l.problems[before+i].Path = v.path // without a key, which may be a misplaced secret
	}
	lists := map[string][]string{}
	for _, p := range pairs {
		switch {
		case slices.Contains(known, p.name):
			lists[p.name] = l.secretList(p.value)
		case p.name == "cipher", p.name == "pagination":
		case nearest(p.name, known) != "":
			l.unknown(p.key, "key", p.name, known)
		default:
			p.key.path = v.path
			l.wrong(p.key, Hint("", known), "unknown key")
		}
	}
	for _, name := range known {
		if list, ok := lists[name]; ok {
			l.file.Secrets = list
			return
		}
	}
}

func (l *layout) secretList(v value) (list []string) {
	items := l.list(v, "a list of strings")
	if v.Kind == yaml.SequenceNode && len(items) == 0 {
		l.wrong(v, "add a secret, or remove the key", "no secrets")
	}
	bad := make([]bool, len(items))
	for i, item := range items {
		s, ok := l.text(item, "a string")
		bad[i] = !ok
		list = append(list, s)
	}
	for i, text := range CheckSecrets(list) {
		if text != "" && !bad[i] {
			l.wrong(items[i], "", "%s", text)
		}
	}
	return list
}

// CheckSecrets says for each secret what is wrong with it, or "".
func CheckSecrets(list []string) []string {
	texts := make([]string, len(list))
	first := make(map[string]bool, len(list))
	for i, s := range list {
		switch {
		case s == "":
			texts[i] = "an empty secret"
		case len(s) < 16:
			texts[i] = "a secret of less than 16 bytes"
		case first[s]:
			texts[i] = "a secret for the second time"
		}
		first[s] = true
	}
	return texts
}

// session reads the session's settings from the three places they have had, the oldest first: the newer wins.
func (l *layout) session(tops map[string]value) {
	c := cookie{layout: l, Session: &l.file.Session, set: map[string]value{}}
	if v, ok := tops["security"]; ok {
		v, ok = l.child(v, ok, "session", "account_enumeration")
		if v, ok = l.child(v, ok, "cookie"); ok {
			c.read(v, "same_site")
		}
	}
	if v, ok := tops["cookies"]; ok {
		c.read(v, "domain", "path", "same_site", "secure")
	}
	if v, ok := tops["session"]; ok {
		for _, p := range l.mapping(v, "a mapping") {
			switch p.name {
			case "lifespan":
				l.lifespan(p.value)
			case "cookie":
				c.read(p.value, "name", "domain", "path", "same_site", "persistent", "secure")
			case "whoami", "earliest_possible_extend": // Kratos'
			default:
				l.unknown(p.key, "key", p.name, []string{"lifespan", "cookie", "whoami", "earliest_possible_extend"})
			}
		}
	}
	c.check()
}

// child gives what a mapping has under name. others are the keys that are let be.
func (l *layout) child(v value, ok bool, name string, others ...string) (child value, found bool) {
	if !ok {
		return value{}, false
	}
	for _, p := range l.mapping(v, "a mapping") {
		if p.name == name {
			child, found = p.value, true
		} else if !slices.Contains(others, p.name) {
			l.unknown(p.key, "key", p.name, append([]string{name}, others...))
		}
	}
	return child, found
}

func (l *layout) lifespan(v value) {
	const want = "a string such as 24h"
	if kind(v.Node) == "a number" {
		l.wrong(v, "write the unit, as in 24h", "expected %s, found a number", want)
		return
	}
	s, ok := l.text(v, want)
	if !ok {
		return
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		l.wrong(v, "write it as in 24h, 90m or 1h30m", "not a duration")
	case d < time.Second:
		l.wrong(v, "at least 1s", "too short for a session")
	default:
		l.file.Session.Lifespan = d
	}
}
