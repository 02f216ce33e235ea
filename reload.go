package flowhook

import (
	"cmp"
	"context"
	"errors"
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
	alone    kept // it, and no other, so that an exchange need not make one
}

// kept are the plans that an exchange keeps: one of each pipeline that it is used with, which is hardly ever more than one. They
// never change.
type kept struct {
	*plan
	others *kept
}

// plan gives the configuration that serves x, which keeps it from now on; the current one for nil.
func (p *Pipeline) plan(x *Exchange) *plan {
	if x == nil {
		return p.current.Load()
	}
	for {
		first := x.kept.Load()
		for k := first; k != nil; k = k.others {
			if k.pipeline == p {
				return k.plan
			}
		}
		now := p.current.Load()
		more := &now.alone
		if first != nil {
			more = &kept{now, first}
		}
		x.kept.CompareAndSwap(first, more) // else another goroutine was faster: look again
	}
}

// Reload takes another configuration, as [New] does, with the options that New was given: factories and Wrap are called
// again. On an error, which is as New's, nothing has changed. Otherwise it holds for every exchange that is first used
// from now on, in each of its runs, and for its sessions; an exchange that was in use before is served to its end by the
// configuration that it began with. What [Config.Add] has put into the former configuration is not in this one. Reload is
// safe for concurrent use; of two at a time, the one that is done last stays.
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
