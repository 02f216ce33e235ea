package hookpage

import (
	"github.com/flowhook/flowhook"
)

// build adds the steps of a lane, from the request to the answer, as Pipeline.Complete runs it.
func (l *lane) build(name flowhook.Flow, chains map[flowhook.Point][]flowhook.HookInfo) {
	s := flowhook.Strategy(l.Strategy)
	at := func(phase flowhook.Phase, s flowhook.Strategy) []flowhook.HookInfo {
		return chains[flowhook.Point{Flow: name, Phase: phase, Strategy: s}]
	}

	l.step("", "Request", "")
	l.service("", "The request arrives.")
	l.hooks(flowhook.Before, at(flowhook.Before, flowhook.FlowWide))
	l.step("", "Your service", "")
	l.service("Your handler", checks(name, s))
	if hooks := at(flowhook.BeforePersist, s); len(hooks) > 0 {
		l.step("", "Before saving", "The flow has succeeded; nothing is saved yet.")
		l.hooks(flowhook.BeforePersist, hooks)
	}
	l.step("transaction", "One transaction", "Either all of this is saved, or none of it.")
	l.service("save", ": your handler "+saves(name))
	l.closed = l.answered != ""
	l.hooks(flowhook.After, at(flowhook.After, s))
	l.finish()

	if hooks := at(flowhook.Failed, s); len(hooks) > 0 {
		l.fail(hooks)
	}
}

func (l *lane) step(class, title, text string) {
	l.Steps = append(l.Steps, &step{Class: class, Title: title, Text: text, Start: l.number + 1})
}

func (l *lane) add(i item) {
	l.number++
	last := l.Steps[len(l.Steps)-1]
	last.Items = append(last.Items, i)
}

// service adds something that the service does itself. It never happens after a redirect answered.
func (l *lane) service(who, text string) {
	l.add(item{Who: who, Text: text, Never: l.answered != ""})
}

func (l *lane) hooks(phase flowhook.Phase, hooks []flowhook.HookInfo) {
	if len(hooks) > 0 {
		l.Steps[len(l.Steps)-1].Phase = string(phase)
	}
	for _, h := range hooks {
		shown := newHook(phase, h)
		shown.Found = l.found(h)
		if l.recorder != nil {
			s := l.recorder.stats(h)
			shown.Stats = &s
		}
		l.add(item{Hook: shown, Never: h.NeverRuns})
		if h.NeverRuns {
			continue
		}
		l.mayAnswer = l.mayAnswer || mayAnswer(h)
		l.emails = l.emails || sendsEmail(h)
		l.answered = target(h) // no hook runs after a redirect
	}
}

// finish adds the commit and the answer.
func (l *lane) finish() {
	if l.closed {
		l.step("", "Answer", "")
	} else {
		l.step("", "Commit and answer", "")
		l.add(item{Who: "commit", Text: ": everything is saved."})
		if l.emails {
			l.add(item{Text: "The emails are sent."})
		}
	}
	switch {
	case l.closed:
		l.add(item{Text: "The answer is sent: 302 to " + l.answered + ". Nothing was saved."})
	case l.answered != "":
		l.add(item{Text: "The answer is sent: 302 to " + l.answered + "."})
	case l.mayAnswer:
		l.add(item{Text: "Your handler answers, unless a hook has answered."})
	default:
		l.add(item{Text: "Your handler answers."})
	}
}

// fail adds what happens instead if an error occurs.
func (l *lane) fail(hooks []flowhook.HookInfo) {
	steps := l.Steps
	l.Steps, l.number, l.answered = nil, 0, ""
	l.step("failed", "If it fails",
		"After an error at before_persist, save or after, everything is rolled back and no email is sent. Then:")
	l.hooks(flowhook.Failed, hooks)
	if l.answered != "" {
		l.add(item{Text: "The answer is sent: 302 to " + l.answered + "."})
	} else { // redirect is the only built-in hook that is allowed here
		l.add(item{Text: "Your handler answers with the error, unless a hook has answered."})
	}
	l.Failed, l.Steps = l.Steps[0], steps
}

// found returns the findings of a hook. The first lane with a finding shows it in full.
func (l *lane) found(h flowhook.HookInfo) (all []found) {
	for _, f := range h.Findings {
		in := l.shown[f]
		if in == nil {
			l.shown[f] = l
		}
		place := ""
		if f.Position != h.Position {
			place = f.Position.String()
		}
		all = append(all, found{f, in, place})
	}
	return all
}
