package webhook

import "github.com/flowhook/flowhook"

// Describe returns what the hook does. A URL may contain a secret, so that only the host is shown.
func (h *hook) Describe() string {
	host := h.blank.URL.Hostname()
	switch {
	case h.gate && h.resumes:
		return "Asks " + host + " whether the flow may go on, and goes on without an answer."
	case h.gate:
		return "Asks " + host + " whether the flow may go on."
	case h.webhook.opts.Outbox != nil:
		return "Notifies " + host + " through the outbox."
	}
	return "Notifies " + host + "."
}

// Place moves a gate to where nothing is saved yet.
func (h *hook) Place(flowhook.Point) flowhook.Phase {
	if h.gate {
		return flowhook.BeforePersist
	}
	return flowhook.After
}

// Findings reports where the entry differs from Kratos, and what it lacks.
func (h *hook) Findings(p flowhook.Point) []flowhook.Finding {
	var found []flowhook.Finding
	report := func(s flowhook.Severity, rule, path, problem, hint string) {
		found = append(found, flowhook.Finding{Severity: s, Rule: rule, Path: path, Problem: problem, Hint: hint})
	}
	c := h.config
	if h.gate && p.Phase == flowhook.After {
		report(flowhook.SeverityError, "late-gate", h.gateKey(), "a gate at after: everything is saved, and it can "+
			"refuse nothing", "write phase: before_persist")
	}
	if !h.gate && c.Mode == "" && !c.Response.Ignore && p.Phase != flowhook.Failed {
		report(flowhook.SeverityWarning, "not-awaited", "", "without mode, this is a notification, whose answer changes "+
			"nothing; Kratos would have waited for it", "write mode: notify or mode: gate")
	}
	if !h.gate && h.webhook.opts.Outbox != nil && (p.Phase == flowhook.Before || p.Phase == flowhook.BeforePersist) {
		report(flowhook.SeverityWarning, "not-durable", "", "a notification at "+string(p.Phase)+" is queued after the "+
			"commit, so it is lost if the process ends in between", "move it to after")
	}
	if len(h.signers) == 0 {
		report(flowhook.SeverityNote, "unsigned", "", "without secrets, requests have no signature, and the receiver "+
			"cannot tell who sends them", "add secrets: [\"${WEBHOOK_SECRET}\"]")
	}
	if c.Attempts != nil && !h.gate && h.webhook.opts.Outbox != nil {
		report(flowhook.SeverityNote, "attempts", "attempts", "this has no effect: the outbox decides how often it tries",
			"remove it")
	}
	if c.EmitAnalyticsEvent != nil {
		report(flowhook.SeverityNote, "analytics", "emit_analytics_event", "this has no effect: there are no analytics "+
			"events", "remove it; otelflowhook reports every run of a hook")
	}
	if !c.ownKeys() {
		h.migration(p, report)
	}
	return found
}

// gateKey returns the key that makes an entry a gate.
func (h *hook) gateKey() string {
	switch {
	case h.config.Response.Parse:
		return "response.parse"
	case h.config.CanInterrupt:
		return "can_interrupt"
	case h.config.Mode != "":
		return "mode"
	}
	return ""
}

// migration reports how the entry differs from Kratos. It is for an entry without any key of this
// hook's own, which probably comes from Kratos.
func (h *hook) migration(p flowhook.Point, report func(s flowhook.Severity, rule, path, problem, hint string)) {
	note := func(rule, path, problem, hint string) { report(flowhook.SeverityNote, rule, path, problem, hint) }
	c := h.config
	switch {
	case c.Body != "":
		note("kratos-body", "body", "ctx has no cookies, no query string and no session ID, and ctx.flow has only "+
			"id, name, phase, type, active and request_url", "correct a body that uses anything else")
	case h.payload:
		note("kratos-body", "", "without a body, flowhook sends JSON of its own; Kratos sends none, or fails",
			"write a body to send something else")
	}
	if c.Response.Ignore {
		if h.webhook.opts.Outbox == nil {
			note("kratos-ignore", "response.ignore", "the request is sent after the commit and before the response, "+
				"which waits for it; Kratos does not wait", "set webhook.Options.Outbox, or a short timeout")
		} else {
			note("kratos-ignore", "response.ignore", "the outbox sends the request, and repeats it until it succeeds; "+
				"Kratos drops it when its process ends", "let the receiver ignore a webhook-id that it knows")
		}
	}
	if !h.gate {
		return
	}
	const gated = "a status of 500 or more is never a text for the user, but tried again; a redirect is a failure"
	if path := h.gateKey(); path != "" {
		note("kratos-gate", path, gated, "answer 4xx with messages to refuse the flow")
	}
	if c.Response.Parse && p.Phase == flowhook.Before {
		note("kratos-parse", "response.parse", "at before, there is no identity, and the one in the answer is ignored",
			"move the entry to after, or write mode: gate instead")
	} else if c.Response.Parse {
		note("kratos-parse", "response.parse", "webhook.Options.Apply decides what the identity in the answer changes",
			"let webhook.Options.Apply handle every field that the receiver sends")
	}
}
