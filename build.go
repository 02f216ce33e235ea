package flowhook

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/plan"
	"github.com/flowhook/flowhook/internal/reference"
	"github.com/flowhook/flowhook/internal/target"
	"github.com/flowhook/flowhook/internal/token"
)

// New returns a pipeline that runs the hooks of cfg. A nil cfg has no hooks.
//
// If anything is wrong, New returns an error that joins one [*ConfigError] for each problem, those
// of the file first, in the order of the file. Unknown hooks, flows, strategies and keys are
// problems, and so are hooks at a point where they cannot run and stores that lack what a hook
// needs. New logs the findings of [Config.Check]; with Options.Strict, warnings are errors.
//
// New does not change cfg or opts. It may be called concurrently.
func New(cfg *Config, opts Options) (*Pipeline, error) {
	p := newPipeline(opts)
	if err := p.Reload(cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// newPipeline returns a pipeline without a plan.
func newPipeline(opts Options) *Pipeline {
	// Reload uses them again, so later changes by the caller must not reach this pipeline.
	opts.Hooks = maps.Clone(opts.Hooks)
	opts.Flows, opts.Strategies = slices.Clone(opts.Flows), slices.Clone(opts.Strategies)
	opts.Serves, opts.Accept = slices.Clone(opts.Serves), slices.Clone(opts.Accept)
	opts.Secrets = slices.Clone(opts.Secrets)
	for i, s := range opts.Secrets {
		opts.Secrets[i] = reference.Trim(s) // as for those of the file
	}
	p := &Pipeline{options: opts, store: opts.Store, log: opts.Logger, now: opts.Now, onError: opts.OnError}
	p.tokens, _ = opts.Store.(TokenStore)
	p.sessions = &Sessions{pipeline: p}
	p.sessions.store, _ = opts.Store.(SessionStore)
	p.sessions.replacer, _ = opts.Store.(SessionReplacer)
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.onError == nil {
		p.onError = p.AnswerError
	}
	return p
}

// build returns the plan for a configuration, and what is wrong with it. If anything is, the plan
// is not complete.
func (p *Pipeline) build(cfg *Config) (*Plan, []*ConfigError) {
	if cfg == nil {
		cfg = &Config{}
	}
	b := newBuilder(p, cfg)
	b.settings()
	b.plan.verification = b.newMailing(PurposeVerification, b.VerificationURL, &b.file.Verification, linkLifespan)
	b.plan.recovery = b.newMailing(PurposeRecovery, b.RecoveryURL, &b.file.Recovery, time.Hour)
	b.returns()
	for i := range b.file.Entries {
		b.entry(&b.file.Entries[i])
	}
	for _, rule := range b.file.Accepted {
		if rule.Value == "unused-accept" {
			b.wrong(b.at(rule), "remove it, and the entries that are not needed", "an entry cannot accept unused entries")
			continue
		}
		b.checkRule(b.at(rule), rule.Value)
	}
	slices.SortStableFunc(b.problems, func(x, y *ConfigError) int {
		return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
	})
	for _, a := range b.additions {
		b.added(a)
	}
	b.checkOptions()
	if len(b.problems) == 0 {
		b.plan.chains = plan.Chains(b.entries, names(b.flows), names(b.strategies))
		b.runnable()
		b.check()
	}
	return b.plan, b.problems
}

// A builder makes one plan.
type builder struct {
	Options
	pipeline   *Pipeline
	name       string // of the file
	file       *conf.File
	additions  []added // the calls of Config.Add
	flows      []Flow
	strategies []Strategy // without FlowWide
	serving    []Point    // Options.Serves; nil, for everything, if it is empty or has an error
	secrets    []string   // of Options, or else of the file
	entries    []*conf.Entry
	hooks      map[*conf.Entry]Hook      // what runs for each entry
	found      []found                   // what the host's hooks report about themselves
	unjudged   []string                  // names of hooks that a stub of the command stands for
	keys       map[[2]string]*conf.Entry // of the host's hooks, by their name and key
	plan       *Plan
	problems   []*ConfigError
	badURL     bool // the file's verification URL is reported
}

var (
	builtinFlows      = []Flow{Login, Registration, Settings, Verification, Recovery, Logout}
	builtinStrategies = []Strategy{Password, OIDC, Profile, Link, Code, TOTP, LookupSecret, WebAuthn, Passkey, SAML}
	allPhases         = []Phase{Before, BeforePersist, After, Failed}
)

func newBuilder(p *Pipeline, cfg *Config) *builder {
	b := &builder{
		Options:    p.options,
		pipeline:   p,
		name:       cfg.file,
		additions:  cfg.added,
		flows:      union(builtinFlows, p.options.Flows),
		strategies: union(builtinStrategies, p.options.Strategies),
		hooks:      map[*conf.Entry]Hook{},
		keys:       map[[2]string]*conf.Entry{},
		plan: &Plan{pipeline: p, hash: cfg.hash, root: cfg.root, served: map[Flow]map[Strategy]*chains{},
			about: map[*conf.Entry][]Finding{}},
	}
	bad := func(p Point) bool {
		problem, _ := b.checkServes(p)
		return problem != ""
	}
	if !slices.ContainsFunc(b.Serves, bad) {
		b.serving = b.Serves
	}
	b.file = conf.Read(cfg.root, names(b.flows), names(b.strategies), cfg.references)
	return b
}

// union returns what is in either list, each value once.
func union[T comparable](known, own []T) []T {
	all := slices.Clone(known)
	for _, v := range own {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

func names[T ~string](list []T) []string {
	s := make([]string, len(list))
	for i, v := range list {
		s[i] = string(v)
	}
	return s
}

// A location is where a problem is: in the file, in Go source, or in an option.
type location struct {
	pos  Position
	path string
}

func (b *builder) at(v conf.Value) location {
	return location{Position{b.name, v.Line, v.Column}, v.Path}
}

func entryPlace(e *conf.Entry) location { return location{position(e), e.Hook.Path} }

// position returns where an entry is configured.
func position(e *conf.Entry) Position { return Position{e.File, e.Hook.Line, e.Hook.Column} }

// pointOf returns where an entry runs.
func pointOf(e *conf.Entry) Point { return Point{Flow(e.Flow), Phase(e.Phase), Strategy(e.Strategy)} }

// wrong adds a problem and returns it.
func (b *builder) wrong(at location, hint, problem string, args ...any) *ConfigError {
	e := &ConfigError{Position: at.pos, Path: at.path, Problem: fmt.Sprintf(problem, args...), Hint: hint}
	b.problems = append(b.problems, e)
	return e
}

// wrongEntry adds a problem with an entry, at its name.
func (b *builder) wrongEntry(e *conf.Entry, hint, problem string, args ...any) *ConfigError {
	return b.wrong(entryPlace(e), hint, problem, args...)
}

// serves reports whether the service has the flow and, unless s is FlowWide, the strategy in it.
func (b *builder) serves(flow Flow, s Strategy) bool {
	return len(b.serving) == 0 || slices.ContainsFunc(b.serving, func(p Point) bool {
		return p.Flow == flow && (s == FlowWide || p.Strategy == FlowWide || p.Strategy == s)
	})
}

// settings reads what the file says besides its hooks.
func (b *builder) settings() {
	for _, p := range b.file.Problems {
		b.wrong(b.at(p.Value), p.Hint, "%s", p.Text)
	}
	if b.secrets = b.Secrets; len(b.secrets) == 0 {
		for _, s := range b.file.Secrets {
			b.secrets = append(b.secrets, s.Text)
		}
	}
	if len(b.secrets) == 0 {
		return
	}
	s := b.file.Session
	c := http.Cookie{Name: s.Name, Domain: s.Domain, Path: s.Path, Secure: s.Secure, HttpOnly: true}
	c.SameSite = s.SameSite
	if s.Persistent {
		c.MaxAge = int(s.Lifespan / time.Second)
	}
	carrier, err := token.New(c, b.secrets)
	if err != nil {
		b.wrong(location{path: "session"}, "", "%v", err)
	}
	b.plan.tokens = &tokens{carrier, s.Lifespan, s.Cookie}
	for _, secret := range b.secrets {
		key, err := token.NewCodeKey(secret)
		if err != nil {
			b.wrong(location{path: "secrets"}, "", "%v", err)
		}
		b.plan.codes = append(b.plan.codes, key)
	}
}

// checkURL checks the URL that the emails of a flow link to.
func (b *builder) checkURL(s string, of Flow, at location) {
	if err := target.CheckURL(s); err != nil {
		b.wrong(at, string(of)+" emails link to it; write it as in https://example.org/"+string(of), "%v", err)
	}
}

// runnable makes the chains that run, for every point that is served.
func (b *builder) runnable() {
	hooks := map[Point][]hook{}
	for _, c := range b.plan.chains {
		at := Point{Flow(c.Flow), Phase(c.Phase), Strategy(c.Strategy)}
		for _, e := range c.Hooks {
			hooks[at] = append(hooks[at], hook{b.hooks[e], e})
		}
	}
	for _, flow := range b.flows {
		by := map[Strategy]*chains{}
		wide := &chains{flowWide: len(b.serving) == 0 || slices.Contains(b.serving, Point{Flow: flow})}
		for _, s := range append([]Strategy{FlowWide}, b.strategies...) {
			if !b.serves(flow, s) {
				continue
			}
			c := wide
			if s != FlowWide {
				c = &chains{flowWide: true}
			}
			c.follows = slices.Contains(b.plan.returns.followed, flow)
			for _, phase := range allPhases {
				at := Point{flow, phase, s}
				own := hooks[at]
				if own == nil {
					own = hooks[Point{flow, phase, FlowWide}]
				}
				*c.at(phase) = newChain(at, own, wide.at(phase))
			}
			c.link(wide)
			by[s] = c
		}
		b.plan.served[flow] = by
		if len(by) > 0 {
			b.plan.flows = append(b.plan.flows, flow)
		}
	}
}
