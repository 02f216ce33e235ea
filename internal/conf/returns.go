package conf

// A Return is a URL to which users go after a flow if their request names none.
type Return struct {
	Flow     string // "": any flow
	Strategy string // "": any strategy
	URL      Value  // a string; not checked
}

// returns finds the return URL in v, which is after, or a strategy in it.
func (l *layout) returns(v Value, r Return) {
	path := afterPath
	if r.Strategy != "" {
		path = strategyPath
	}
	l.find(v, r.Flow, r.Strategy, path)
}

// returnURL puts a return URL into File, in place of an earlier one for the same flow and strategy.
func (l *layout) returnURL(v found) {
	if !l.is(v.Value, "a string") {
		return
	}
	for i := range l.file.Returns {
		if old := &l.file.Returns[i]; old.Flow == v.flow && old.Strategy == v.strategy {
			l.take(&old.URL, v.Value)
			return
		}
	}
	l.file.Returns = append(l.file.Returns, Return{v.flow, v.strategy, v.Value})
}

// allowed returns the strings of a list of allowed return URLs.
func (l *layout) allowed(v Value) (urls []Value) {
	for _, item := range l.list(v, "a list of strings") {
		if l.is(item, "a string") {
			urls = append(urls, item)
		}
	}
	return urls
}
