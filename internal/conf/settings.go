package conf

import (
	"net/http"
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
	ours := []string{"session", "cookie", "default"}
	known := keys{"cipher": nil, "pagination": nil}
	lists := map[string][]string{}
	for _, name := range ours {
		known[name] = func(v value) { lists[name] = l.secretList(v) }
	}
	names := known.names()
	if v.Kind == yaml.MappingNode {
		shown := *v.Node
		shown.Content = nil
		for i := 0; i < len(v.Content); i += 2 {
			if key := v.Content[i]; nearest(key.Value, names) != "" {
				shown.Content = append(shown.Content, key, v.Content[i+1])
			} else { // not shown: it may be a misplaced secret
				l.wrong(value{key, v.path}, Hint("", ours), "unknown key")
			}
		}
		v.Node = &shown
	}
	l.each(v, known)
	for _, name := range ours {
		if list, ok := lists[name]; ok {
			l.file.Secrets = list
			return
		}
	}
}

func (l *layout) secretList(v value) []string {
	items := l.list(v, "a list of strings")
	if v.Kind == yaml.SequenceNode && len(items) == 0 {
		l.wrong(v, "add a secret, or remove the key", "no secrets")
	}
	list, text := make([]string, len(items)), make([]bool, len(items))
	for i, item := range items {
		list[i], text[i] = l.text(item, "a string")
	}
	for i, bad := range CheckSecrets(list) {
		if bad != "" && text[i] {
			l.wrong(items[i], "", "%s", bad)
		}
	}
	return list
}

// CheckSecrets says for each secret what is wrong with it, or "".
func CheckSecrets(list []string) []string {
	bad := make([]string, len(list))
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		switch {
		case s == "":
			bad[i] = "an empty secret"
		case len(s) < 16:
			bad[i] = "a secret of less than 16 bytes"
		case seen[s]:
			bad[i] = "a secret for the second time"
		}
		seen[s] = true
	}
	return bad
}

func (l *layout) session(v value) {
	l.each(v, keys{
		"lifespan": l.lifespan,
		"cookie": func(v value) {
			l.cookie(v, "name", "domain", "path", "same_site", "persistent", "secure")
		},
		"whoami": nil, "earliest_possible_extend": nil, // Kratos'
	})
}

// cookies is the older place of the cookie's settings, security the oldest.
func (l *layout) cookies(v value) { l.cookie(v, "domain", "path", "same_site", "secure") }

func (l *layout) security(v value) {
	l.each(v, keys{"account_enumeration": nil, "session": func(v value) {
		l.each(v, keys{"cookie": func(v value) { l.cookie(v, "same_site") }})
	}})
}

func (l *layout) lifespan(v value) {
	if kind(v.Node) == "a number" {
		l.wrong(v, "write the unit, as in 24h", "expected a string such as 24h, found a number")
		return
	}
	s, ok := l.text(v, "a string such as 24h")
	d, err := time.ParseDuration(s)
	switch {
	case !ok:
	case err != nil:
		l.wrong(v, "write it as in 24h, 90m or 1h30m", "not a duration")
	case d < time.Second:
		l.wrong(v, "at least 1s", "too short for a session")
	default:
		l.file.Session.Lifespan = d
	}
}

// cookie reads the settings of the cookie that stand in one of the places. They win over what was read before.
func (l *layout) cookie(v value, names ...string) {
	s := &l.file.Session
	all := keys{
		"name": func(v value) {
			l.name, s.Name = v, l.word(v, validName, "a name for a cookie", "letters, digits and !#$%&'*+-.^_`~")
		},
		"domain": func(v value) { // an empty one is none: the cookie is the host's alone
			s.Domain = l.word(v, validDomain, "a domain for a cookie", "a host name, without scheme, port or leading dot")
		},
		"path": func(v value) {
			s.Path = l.word(v, validPath, "a path for a cookie", "begin it with /; no semicolon, nothing but ASCII")
		},
		"same_site": func(v value) {
			valid := func(s string) bool { return sameSites[s] != 0 }
			l.sameSite, s.SameSite = v, sameSites[l.word(v, valid, "a SameSite mode", "Strict, Lax or None")]
		},
		"persistent": func(v value) { l.flag(v, &s.Persistent) },
		"secure":     func(v value) { l.flag(v, &s.Secure) },
	}
	known := keys{}
	for _, name := range names {
		known[name] = all[name]
	}
	l.each(v, known)
}
