package flowhook

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"
)

// A reloadResult is how a call of Reload ended.
type reloadResult struct {
	at  time.Time
	err error
}

// Reload replaces the configuration, with the options that New was given. It calls factories and
// Options.Wrap again. If anything is wrong, it returns an error as New does, and nothing changes.
//
// The new configuration applies to every exchange that is first used from then on, and to its
// sessions. An exchange in use keeps the configuration that it began with. Hooks that [Config.Add]
// added to the previous configuration are not carried over. Reload is safe for concurrent use: of
// two calls at the same time, the one that finishes last wins.
//
// Reload also compares the session cookie with the previous one. If the cookie keeps its name but
// changes its domain or path, that is the finding cookie-scope, which New never reports.
func (p *Pipeline) Reload(cfg *Config) error {
	now := p.now()
	fresh, problems := p.build(cfg)
	err := joined(problems)
	p.reloaded.Store(&reloadResult{now, err})
	if err != nil {
		return err
	}
	fresh.loaded = now
	for _, f := range fresh.findings {
		p.log.LogAttrs(context.Background(), f.Severity.level(), "flowhook: "+f.Problem, slog.String("rule", f.Rule),
			slog.String("at", cmp.Or(f.Position.String(), f.Path)), slog.String("hint", f.Hint))
	}
	p.current.Store(fresh)
	return nil
}

// joined returns the problems as one error, or nil if there are none.
func joined(problems []*ConfigError) error {
	errs := make([]error, len(problems))
	for i, e := range problems {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// LastReload returns when Reload, or New, was last called, and its error: nil if it accepted the
// configuration.
func (p *Pipeline) LastReload() (at time.Time, err error) {
	last := p.reloaded.Load()
	return last.at, last.err
}
