package hooktest

import (
	"context"
	"slices"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/fill"
	"github.com/flowhook/flowhook/internal/spell"
)

// CheckFile checks a file as [flowhook.Config.Check] does. It fails t once for each error and each
// warning, with the position, the problem and the fix. It logs notes, and returns all findings.
//
// accept lists the rules, such as "enumeration", whose warnings are intended in this file:
// CheckFile logs them. An unknown rule fails t, and so does one that found nothing, so that the
// list stays true. Errors cannot be accepted. With opts.Strict, neither can warnings, because New
// refuses them.
//
// The rules in opts.Accept and in the file's flowhook.accept hold for New and Reload, too. CheckFile
// drops their findings, even with opts.Strict. A rule in opts.Accept may find nothing, because the
// same options may serve several files.
//
// If the hooks of the file need a store, a courier, a secret or a VerificationURL that neither the
// file nor opts have, CheckFile adds it and reports nothing about it. It resolves references such
// as ${NAME}: set them with t.Setenv. A file that cannot be read ends the test.
func CheckFile(t testing.TB, path string, opts flowhook.Options, accept ...string) []flowhook.Finding {
	t.Helper()
	cfg := load(t, path)
	strict := opts.Strict
	opts.Strict = false

	found := fill.Check(cfg, opts)
	rules := map[string]bool{}
	wrong := false // then there are only errors
	for _, f := range found {
		rules[f.Rule] = true
		switch {
		case f.Severity == flowhook.SeverityNote:
			t.Log(f)
		case f.Severity == flowhook.SeverityWarning && !strict && slices.Contains(accept, f.Rule):
			t.Logf("%s (accepted)", f)
		default:
			t.Error(f)
		}
		wrong = wrong || f.Severity == flowhook.SeverityError
	}
	for _, rule := range accept {
		if rule != "invalid" && !slices.Contains(check.Rules, rule) {
			t.Errorf("%s: accept has the unknown rule %q; %s", path, rule, spell.Hint(rule, check.Rules))
		} else if !rules[rule] && !wrong {
			t.Errorf("%s: the accepted rule %q found nothing; remove it from the list", path, rule)
		}
	}
	return found
}

func load(t testing.TB, path string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A queueing courier is one that works only with Options.Outbox.
type queueing struct{ courier }

func (queueing) NeedsOutbox() {}

// A courier adds emails to the trace of the run and passes them on.
type courier struct{ next flowhook.Courier } // may be nil

func (c courier) Send(ctx context.Context, m flowhook.Message) error {
	if c.next != nil {
		if err := c.next.Send(ctx, m); err != nil {
			return err
		}
	}
	traceFrom(ctx).addEmail(m)
	return nil
}
