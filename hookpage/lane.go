package hookpage

import (
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
)

// build adds the steps of a lane, from the request to the answer, as Pipeline.Complete runs it.
func (l *lane) build(name flowhook.Flow, chains map[flowhook.Point][]flowhook.HookInfo) {
	s := flowhook.Strategy(l.Strategy)
	at := func(phase flowhook.Phase, s flowhook.Strategy) []flowhook.HookInfo {
		return chains[flowhook.Point{Flow: name, Phase: phase, Strategy: s}]
	}

	l.step("", "Request", "")
	l.service(plain, "", "The request arrives.")
	l.hooks(flowhook.Before, at(flowhook.Before, flowhook.FlowWide))
	l.step("", "Your service", "")
	l.service(plain, "Your handler", checks(name, s))
	if hooks := at(flowhook.BeforePersist, s); len(hooks) > 0 {
		l.step("", "Before saving", "The flow has succeeded; nothing is saved yet.")
		l.hooks(flowhook.BeforePersist, hooks)
	}
	l.step("transaction", "One transaction", "Either all of this is saved, or none of it.")
	l.service(theSave, "save", ": your handler "+saves(name))
	l.Closed, l.gated = l.answered, l.mayAnswer
	l.hooks(flowhook.After, at(flowhook.After, s))
	l.finish()

	if hooks := at(flowhook.Failed, s); len(hooks) > 0 {
		l.fail(hooks)
	}
}

func (l *lane) step(class, title, text string) {
	l.Steps = append(l.Steps, &step{Class: class, Title: title, Text: text, Start: l.number + 1, Items: []*item{}})
}

func (l *lane) add(i item) {
	l.number++
	last := l.Steps[len(l.Steps)-1]
	last.Items = append(last.Items, &i)
}

// service adds something that the service does itself. It never happens after a redirect answered.
func (l *lane) service(k kind, who, text string) {
	l.add(item{kind: k, Who: who, Text: text, Never: l.answered != ""})
}

func (l *lane) hooks(phase flowhook.Phase, hooks []flowhook.HookInfo) {
	if len(hooks) > 0 {
		l.Steps[len(l.Steps)-1].Phase = string(phase)
	}
	for _, h := range hooks {
		shown := newHook(phase, h)
		shown.Found = l.found(h)
		if r := l.view.Recorder; r != nil {
			s := r.stats(h, l.runs(phase))
			shown.Stats = &s
			l.Refusals += s.Refused
			l.Fails += s.Failed
		}
		l.add(item{Hook: shown, Never: h.NeverRuns})
		if h.NeverRuns {
			continue
		}
		l.mayAnswer = l.mayAnswer || mayAnswer(h)
		l.emails = l.emails || sendsEmail(h)
		l.answered = leads(h) // no hook runs after a redirect
	}
}

// runs returns which strategies' runs belong to the lane. At before, the strategy is not known yet,
// so that all lanes of a flow have the same runs.
func (l *lane) runs(phase flowhook.Phase) func(flowhook.Strategy) bool {
	return func(s flowhook.Strategy) bool {
		return phase == flowhook.Before || string(s) == l.Strategy ||
			l.Strategy == "" && !slices.Contains(l.own, string(s))
	}
}

// finish adds the commit and the answer.
func (l *lane) finish() {
	if l.Closed != "" {
		l.step("", "Answer", "")
	} else {
		l.step("", "Commit and answer", "")
		l.add(item{kind: theSave, Who: "commit", Text: ": everything is saved."})
		if l.emails {
			l.add(item{kind: theEmails, Text: "The emails are handed to the courier."})
		}
	}
	text := "Your handler answers."
	switch {
	case l.Closed != "":
		text = l.redirected() + " Nothing was saved."
	case l.answered != "":
		text = l.redirected()
	case l.mayAnswer:
		text = "Your handler answers, unless a hook has answered."
	}
	l.add(item{kind: theAnswer, Text: text})
}

// redirected says that the redirect answers.
func (l *lane) redirected() string {
	text := "The answer is sent: 302 to " + l.answered
	if l.mayAnswer {
		text += unless
	}
	return text + "."
}

// fail adds what happens instead if an error occurs.
func (l *lane) fail(hooks []flowhook.HookInfo) {
	steps := l.Steps
	l.Steps, l.number, l.answered, l.mayAnswer = nil, 0, "", false
	l.step("failed", "If it fails", failure)
	l.hooks(flowhook.Failed, hooks)
	if l.answered != "" {
		l.add(item{kind: theAnswer, Text: l.redirected()})
	} else { // redirect is the only built-in hook that is allowed here
		l.add(item{kind: theAnswer, Text: "Your handler answers with the error, unless a hook has answered."})
	}
	l.Failed, l.Steps = l.Steps[0], steps
}

// found returns the findings of a hook. The first lane with a finding shows it in full.
func (l *lane) found(h flowhook.HookInfo) (all []*found) {
	all = []*found{}
	for _, f := range h.Findings {
		in := l.shown[f]
		if in == nil {
			l.shown[f] = l
		}
		if f.Severity != flowhook.SeverityNote {
			l.Alarms++
		}
		place := ""
		if f.Position != h.Position {
			place = f.Position.String()
		}
		all = append(all, l.view.newFound(f, place, in))
	}
	return all
}

// summarize says in one line what happens in the lane.
func (l *lane) summarize() {
	if l.Closed != "" {
		l.Summary = "CLOSED → " + strings.TrimSuffix(strings.TrimPrefix(l.Closed, "https://"), "/")
		if l.gated {
			l.Summary += unless
		}
		return
	}
	var parts []string
	for _, s := range l.Steps {
		for _, i := range s.Items {
			switch {
			case i.Never:
			case i.Hook == nil && i.Who == "save":
				parts = append(parts, i.Who)
			case i.Hook != nil && i.Hook.info.Target != "":
				parts = append(parts, "302 to "+leads(i.Hook.info))
			case i.Hook != nil:
				parts = append(parts, i.Hook.Name)
			}
		}
	}
	l.Summary = strings.Join(parts, " → ")
}
