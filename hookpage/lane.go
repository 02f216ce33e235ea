package hookpage

import (
	"github.com/flowhook/flowhook"
)

// lay lays out a lane, from the request to the answer, as Pipeline.Complete runs it.
func (l *lane) lay(name flowhook.Flow, chains map[flowhook.Point][]flowhook.HookInfo) {
	s := flowhook.Strategy(l.Strategy)
	at := func(phase flowhook.Phase, s flowhook.Strategy) []flowhook.HookInfo {
		return chains[flowhook.Point{Flow: name, Phase: phase, Strategy: s}]
	}

	l.step("", "Request", "")
	l.does("", "The request comes in.")
	l.hooks(flowhook.Before, at(flowhook.Before, flowhook.FlowWide))
	l.step("", "Your service", "")
	l.does("Your handler", checks(name, s))
	if hooks := at(flowhook.BeforePersist, s); len(hooks) > 0 {
		l.step("", "Last look", "It has succeeded; nothing is saved yet.")
		l.hooks(flowhook.BeforePersist, hooks)
	}
	l.step("transaction", "One transaction", "All of this is saved, or none of it.")
	l.does("save", ": your handler "+saves(name))
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

// does is what the service does itself. Behind an answer it does not come to that.
func (l *lane) does(who, text string) {
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
		l.own = l.own || h.Custom
		l.mails = l.mails || mails(h)
		l.answered = leads(h) // behind one that leads somewhere, none runs
	}
}

// finish is the commit, and the answer.
func (l *lane) finish() {
	if l.closed {
		l.step("", "Answer", "")
	} else {
		l.step("", "Commit and answer", "")
		l.add(item{Who: "commit", Text: ": all of it is saved."})
		if l.mails {
			l.add(item{Text: "The mails leave."})
		}
	}
	switch {
	case l.closed:
		l.add(item{Text: "The answer leaves: 302 to " + l.answered + ". Nothing was saved."})
	case l.answered != "":
		l.add(item{Text: "The answer leaves: 302 to " + l.answered + "."})
	case l.own:
		l.add(item{Text: "Your handler answers, unless a hook of your own has."})
	default:
		l.add(item{Text: "Your handler answers."})
	}
}

// fail is what happens beside that.
func (l *lane) fail(hooks []flowhook.HookInfo) {
	steps := l.Steps
	l.Steps, l.number, l.answered = nil, 0, ""
	l.step("failed", "If it fails", "An error at before_persist, save or after: all of it is undone, and no mail leaves. Then:")
	l.hooks(flowhook.Failed, hooks)
	if l.answered != "" {
		l.add(item{Text: "The answer leaves: 302 to " + l.answered + "."})
	} else { // no other built-in hook can stand here
		l.add(item{Text: "Your handler answers with the error, unless a hook of your own has answered."})
	}
	l.Failed, l.Steps = l.Steps[0], steps
}

// found says where each finding is spelled out: where its hook first stands on the page.
func (l *lane) found(h flowhook.HookInfo) (all []found) {
	for _, f := range h.Findings {
		in := l.spelled[f]
		if in == nil {
			l.spelled[f] = l
		}
		place := ""
		if f.Position != h.Position {
			place = f.Position.String()
		}
		all = append(all, found{f, in, place})
	}
	return all
}
