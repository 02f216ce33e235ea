package conf

import (
	"github.com/flowhook/flowhook/internal/spell"
)

// A Return is where a user goes after a flow who does not say where to.
type Return struct {
	Flow     string // "": after any
	Strategy string // "": with any
	URL      Value  // a string; not checked
}

// oldURLs are the keys of urls that are read.
var oldURLs = []string{"default_return_to", "verify_ui", "whitelisted_return_to_urls"}

// urls is the oldest place of some keys. Its others do not concern flowhook.
func (l *layout) urls(v Value) {
	for _, v := range l.mapping(v) {
		switch name := v.key.Value; {
		case name == "default_return_to":
			l.goesTo(v, Return{})
		case name == "verify_ui":
			l.take(&l.file.VerifyURL, v)
		case name == "whitelisted_return_to_urls":
			l.allowed(v)
		case spell.Nearest(name, oldURLs) != "":
			l.unknown(v.atKey(), "key", oldURLs)
		}
	}
}

// returns reads the URL that is in v, under either name of the key.
func (l *layout) returns(v Value, r Return) {
	older, newer := v.Get("default_return_to"), v.Get("default_browser_return_url")
	l.goesTo(older, r)
	l.goesTo(newer, r)
	if older.Node != nil && newer.Node != nil {
		l.wrong(newer.atKey(), "remove one of them", `"default_return_to" is set as well`)
	}
}

func (l *layout) goesTo(v Value, r Return) {
	if v.Node == nil || !l.is(v, "a string") {
		return
	}
	for i := range l.file.Returns {
		if old := &l.file.Returns[i]; old.Flow == r.Flow && old.Strategy == r.Strategy {
			l.take(&old.URL, v)
			return
		}
	}
	r.URL = v
	l.file.Returns = append(l.file.Returns, r)
}

// allowedLists reads the lists of selfservice. The newest wins, even if it is empty; the kinds in all are checked.
func (l *layout) allowedLists(v Value) {
	for _, name := range []string{"whitelisted_return_to_urls", "whitelisted_return_urls", "allowed_return_urls"} {
		if list := v.Get(name); list.Node != nil {
			l.allowed(list)
		}
	}
}

func (l *layout) allowed(v Value) {
	l.file.Allowed = nil
	l.take(&l.file.AllowedAt, v)
	for _, item := range l.list(v, "a list of strings") {
		if l.is(item, "a string") {
			l.file.Allowed = append(l.file.Allowed, item)
		}
	}
}
