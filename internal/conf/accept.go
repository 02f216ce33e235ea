package conf

import "strings"

// accept reads flowhook.accept, the rules of findings that are intended. Each entry has a reason,
// for those who read the file. accept is not in the row of [settings], which may not refer to what
// depends on the table.
func (l *layout) accept() {
	if l.file.AcceptAt.Node == nil {
		return
	}
	lines := map[string]int{}
	for _, item := range l.list(l.file.AcceptAt, "a list of entries with the keys rule and reason") {
		before := len(l.problems)
		var rule, reason Value
		text := func(to *Value) func(Value) {
			return func(v Value) {
				if l.is(v, "a string") {
					*to = v
				}
			}
		}
		l.each(item, "key", keys{"rule": text(&rule), "reason": text(&reason)})
		switch {
		case len(l.problems) > before:
		case rule.Node == nil:
			l.wrong(item, `add the key "rule"`, "an entry without a rule")
		case reason.Node == nil:
			l.wrong(item, `add the key "reason"`, "an entry without a reason")
		case strings.TrimSpace(reason.Value) == "":
			l.wrong(reason, "write why the finding is intended", "an empty reason")
		case lines[rule.Value] > 0:
			l.wrong(rule, "remove one of them", "the rule is already on line %d", lines[rule.Value])
		}
		if rule.Node != nil {
			lines[rule.Value] = rule.Line
			l.file.Accepted = append(l.file.Accepted, rule)
		}
	}
}
