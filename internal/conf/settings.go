package conf

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook/internal/reference"
	"github.com/flowhook/flowhook/internal/spell"
)

// Session is how sessions are issued.
type Session struct {
	Lifespan time.Duration
	Cookie
}

// Cookie is the cookie that carries a session's token.
type Cookie struct {
	Name, Domain, Path string
	SameSite           http.SameSite
	Persistent, Secure bool
}

// CookieAt is where a file says how the cookie is: the newest place for each; none where it does not say.
type CookieAt struct{ Name, Domain, Path, SameSite, Secure Value }

// A Flag is whether a file says that a flow is on.
type Flag struct {
	Flow string
	On   bool
	Value
}

// A Secret is a string of the secrets. Text is what it stands for: its own, or what it refers to.
type Secret struct {
	Text string
	Value
}

var defaultSession = Session{24 * time.Hour, Cookie{Path: "/", SameSite: http.SameSiteLaxMode, Persistent: true, Secure: true}}

var (
	// secretLists may sign session tokens. The first of them that is there counts.
	secretLists = []string{"session", "cookie", "default"}
	secretKeys  = append(slices.Clip(secretLists), "cipher", "pagination")
)

// secrets reads what signs the session cookie. The first list that is there counts; all are checked.
func (l *layout) secrets(v Value) {
	lists := map[string][]Secret{}
	for _, list := range l.mapping(v) {
		switch name := list.key.Value; {
		case slices.Contains(secretLists, name):
			lists[name] = l.secretList(list)
		case slices.Contains(secretKeys, name):
			l.kratos(list)
		case spell.Nearest(name, secretKeys) != "":
			l.unknown(list.atKey(), "key", secretKeys)
		case slices.Contains(longTops, name):
			l.tooDeep(list)
		default: // not shown: it may be a misplaced secret
			l.wrong(Value{Node: list.key, Path: v.Path}, spell.Hint("", secretLists), "unknown key")
		}
	}
	for _, name := range secretLists {
		if list, ok := lists[name]; ok {
			l.file.Secrets = list
			return
		}
	}
}

func (l *layout) secretList(v Value) (list []Secret) {
	items := l.list(v, "a list of strings")
	if items != nil && len(items) == 0 {
		l.wrong(v, "add a secret, or remove the key", "no secrets")
	}
	var texts []string
	broken := map[int]bool{} // those that are already reported
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

// CheckSecrets reports what is wrong with secrets, by their index. refer is the hint for one that
// was meant to be replaced.
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

func (l *layout) session(v Value) {
	known := keys{"whoami": l.kratos}
	known["earliest_possible_extend"] = func(v Value) {
		l.kratos(v)
		l.file.Extend = v
	}
	known["lifespan"] = l.lifespan
	known["cookie"] = func(v Value) { l.cookie(v, "name", "domain", "path", "same_site", "persistent", "secure") }
	l.each(v, "key", known)
}

func (l *layout) lifespan(v Value) {
	d, err := time.ParseDuration(v.Value)
	switch {
	case !l.is(v, "a string such as 24h"):
	case err != nil && isReference(v.Value):
		l.wrong(v, notHere, isNotResolved)
	case err != nil || d < time.Second:
		l.wrong(v, "write it as in 24h, 90m or 1h30m", "not a duration of at least a second")
	default:
		l.file.Session.Lifespan = d
	}
}

// cookies is the older place of the cookie's settings, security the oldest.
func (l *layout) cookies(v Value) { l.cookie(v, "domain", "path", "same_site", "secure") }

func (l *layout) security(v Value) {
	l.each(v, "key", keys{
		"session": func(v Value) {
			l.each(v, "key", keys{"cookie": func(v Value) { l.cookie(v, "same_site") }})
		},
		"account_enumeration": func(v Value) {
			l.each(v, "key", keys{"mitigate": func(v Value) {
				if on := false; l.flag(v, &on) && on {
					l.file.Mitigate = v
				}
			}})
		},
	})
}

// cookie reads the settings of the cookie that stand in one of the places. They win over what was read before.
func (l *layout) cookie(v Value, names ...string) {
	c, at := &l.file.Session.Cookie, &l.file.CookieAt
	all := keys{
		"name": func(v Value) {
			l.take(&at.Name, v)
			c.Name = l.word(v, validName, "a name for a cookie", "letters, digits and !#$%&'*+-.^_`~")
		},
		"domain": func(v Value) { // an empty one is none: the cookie is the host's alone
			l.take(&at.Domain, v)
			hint := "a host name, without scheme, port or leading dot"
			if isAddress(v.Value) {
				hint = "it is an IP address: leave it out"
			}
			c.Domain = l.word(v, validDomain, "a domain for a cookie", hint)
		},
		"path": func(v Value) {
			l.take(&at.Path, v)
			c.Path = l.word(v, validPath, "a path for a cookie", "begin it with /; no semicolon, nothing but ASCII")
		},
		"same_site": func(v Value) {
			valid := func(s string) bool { return sameSites[s] != 0 }
			l.take(&at.SameSite, v)
			c.SameSite = sameSites[l.word(v, valid, "a SameSite mode", "Strict, Lax or None")]
		},
		"persistent": func(v Value) { l.flag(v, &c.Persistent) },
		"secure": func(v Value) {
			l.take(&at.Secure, v)
			l.flag(v, &c.Secure)
		},
	}
	known := keys{}
	for _, name := range names {
		known[name] = all[name]
	}
	l.each(v, "key", known)
}

// word returns a string that is valid, or "". Of references, only those are refused that a valid
// value never looks like.
func (l *layout) word(v Value, valid func(string) bool, what, hint string) string {
	switch ok := valid(v.Value); {
	case !l.is(v, "a string"):
	case reference.IsUnresolved(v.Value), strings.Contains(v.Value, "${"), shellVariable(v.Value), !ok && isReference(v.Value):
		l.wrong(v, notHere, isNotResolved)
	case !ok:
		l.wrong(v, hint, "not %s", what)
	default:
		return v.Value
	}
	return ""
}

var shellVariable = regexp.MustCompile(`^\$[A-Z_][A-Z0-9_]*$`).MatchString

// isReference reports whether an invalid value was meant to be replaced by another.
func isReference(value string) bool {
	return reference.Is(value) || reference.IsUnresolved(value) || reference.IsForeignVariable(value) ||
		strings.Contains(value, "${")
}

// What is said of a reference where none is resolved.
const (
	isNotResolved = "a reference or a placeholder, which is not resolved here"
	notHere       = "write the value; references are resolved in secrets and in the configs of the host's own hooks only"
)

// flag reports whether v is true or false, and sets on to what it is.
func (l *layout) flag(v Value, on *bool) bool {
	if v.ShortTag() == "!!str" && isReference(v.Value) {
		l.wrong(v, notHere, isNotResolved)
		return false
	}
	if !l.is(v, "true or false") {
		return false
	}
	*on = strings.EqualFold(v.Value, "true")
	return true
}

// checkCookie looks at what cannot be together, and names the cookie where the file does not.
func (l *layout) checkCookie() {
	s, at := &l.file.Session, l.file.CookieAt
	bare := s.Domain == "" && s.Path == "/" && s.Secure
	prefix := func(p string) bool { return len(s.Name) >= len(p) && strings.EqualFold(s.Name[:len(p)], p) }
	switch {
	case at.Name.Node == nil && bare:
		s.Name = "__Host-session"
	case at.Name.Node == nil:
		s.Name = "session"
	case prefix("__Host-") && !bare:
		l.wrong(at.Name, "choose another name, or remove these",
			"browsers refuse a __Host- cookie with a domain, a path, or secure: false")
	case prefix("__Secure-") && !s.Secure:
		l.wrong(at.Name, "choose another name, or remove secure", "browsers refuse a __Secure- cookie with secure: false")
	}
	if s.SameSite == http.SameSiteNoneMode && !s.Secure {
		l.wrong(at.SameSite, "Lax, or remove secure", "browsers refuse SameSite=None with secure: false")
	}
}

var sameSites = map[string]http.SameSite{
	"Strict": http.SameSiteStrictMode, "Lax": http.SameSiteLaxMode, "None": http.SameSiteNoneMode,
}

const label = `[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`

var (
	hostName  = regexp.MustCompile(`^(` + label + `\.)*` + label + `$`)
	validPath = regexp.MustCompile(`^/[ -:<-~]*$`).MatchString
	// validName takes a token of RFC 6265, but not the bar, which separates what is signed.
	validName = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+.^_`~-]+$").MatchString
)

// isAddress reports whether s is an IP address, with or without brackets and a port.
func isAddress(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	_, withPort := netip.ParseAddrPort(s)
	return err == nil || withPort == nil
}

// validDomain takes a host name of RFC 1123, or nothing. To a browser, a number at its end makes it an IP address.
func validDomain(s string) bool {
	last := s[strings.LastIndexByte(s, '.')+1:]
	return s == "" || len(s) <= 253 && hostName.MatchString(s) && strings.Trim(last, "0123456789") != ""
}
