package flowhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/flowhook/flowhook/internal/check"
)

// A plan is what one configuration comes to. It never changes.
type plan struct {
	pipeline *Pipeline
	flows    []flowChains // all that are declared, with all strategies, also where there are no hooks
	tokens   *tokens      // nil: sessions are not configured
	returns  returns
	findings []Finding
	chains   []check.Chain // as far as they have hooks
	shown    []shown       // of the hooks in them, by their ID
	counts   map[countKey]*counts
}

// plan returns the configuration that serves x, which keeps it from now on. It returns the current
// one if x is nil or belongs to another pipeline.
func (p *Pipeline) plan(x *Exchange) *plan {
	if x == nil {
		return p.current.Load()
	}
	kept := x.kept.Load()
	if kept == nil {
		x.kept.CompareAndSwap(nil, p.current.Load()) // else another goroutine was faster
		kept = x.kept.Load()
	}
	if kept.pipeline == p {
		return kept
	}
	return p.current.Load()
}

// own makes x an exchange of p. It belongs to the first pipeline that runs hooks or issues a session
// for it; one that only reads a session does not own it.
func (p *Pipeline) own(x *Exchange) error {
	switch x.owner {
	case p:
		return nil
	case nil:
		if x.owner = p; p.plan(x) != x.kept.Load() {
			x.kept.Store(p.current.Load())
		}
		return nil
	}
	return fmt.Errorf("%w; use the pipeline whose Middleware wraps this route", ErrOtherPipeline)
}

// Reload takes another configuration, as [New] does, with the options that New was given: factories and Wrap are called
// again. On an error, which is as New's, nothing has changed. Otherwise it holds for every exchange that is first used
// from now on, in each of its runs, and for its sessions; an exchange that was in use before is served to its end by the
// configuration that it began with. What [Config.Add] has put into the former configuration is not in this one. Reload is
// safe for concurrent use; of two at a time, the one that is done last stays.
//
// Reload also compares the session cookie with that of the former configuration. If the cookie keeps
// its name but changes its domain or path, that is the finding cookie-scope, which New never reports.
func (p *Pipeline) Reload(cfg *Config) error {
	fresh, problems := p.build(cfg)
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	for _, f := range fresh.findings {
		p.log.LogAttrs(context.Background(), f.Severity.level(), "flowhook: "+f.Problem, slog.String("rule", f.Rule),
			slog.String("at", cmp.Or(f.Position.String(), f.Path)), slog.String("hint", f.Hint))
	}
	p.current.Store(fresh)
	return nil
}
