package flowhook

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/check"
	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/reference"
	"github.com/flowhook/flowhook/internal/spell"
	"github.com/flowhook/flowhook/internal/token"
)

// New makes the pipeline of a configuration. A nil cfg has no hooks. The error joins a [*ConfigError] for everything that
// is wrong, the file's first and in its order: hooks, flows, strategies and keys that nobody knows, hooks where they
// cannot run, a store that lacks what a hook needs, and so on. New changes neither cfg nor opts, and may be called
// concurrently. What [Config.Check] finds beyond errors, it logs; with Options.Strict, warnings are errors.
func New(cfg *Config, opts Options) (*Pipeline, error) {
	p := newPipeline(opts)
	if err := p.Reload(cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// newPipeline gives a pipeline that has no plan yet.
func newPipeline(opts Options) *Pipeline {
	// Reload comes back to them: what the caller does to his meanwhile is nothing to this pipeline.
	opts.Hooks = maps.Clone(opts.Hooks)
	opts.Flows, opts.Strategies, opts.Secrets = slices.Clone(opts.Flows), slices.Clone(opts.Strategies), slices.Clone(opts.Secrets)
	opts.Serves, opts.Accept = slices.Clone(opts.Serves), slices.Clone(opts.Accept)
	for i, s := range opts.Secrets {
		opts.Secrets[i] = reference.Trim(s) // as those of the file
	}
	p := &Pipeline{options: opts, store: opts.Store, log: opts.Logger, now: opts.Now, onError: opts.OnError}
	p.verify, _ = opts.Store.(VerificationStore)
	store, _ := opts.Store.(SessionStore)
	p.sessions = &Sessions{p, store}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.onError == nil {
		p.onError = p.answerError
	}
	return p
}

// build makes the plan of a configuration, or says what is wrong with it: each a [*ConfigError].
func (p *Pipeline) build(cfg *Config) (*plan, []error) {
	if cfg == nil {
		cfg = &Config{}
	}
	b := newBuilder(p, cfg)
	b.settings()
	b.returns()
	for _, e := range b.file.Entries {
		b.entry(e)
	}
	slices.SortStableFunc(b.problems, byPosition)
	for _, a := range cfg.added {
		b.add(a)
	}
	b.checkOptions()
	if len(b.problems) == 0 {
		b.chain()
		b.check()
	}
	return b.plan, b.problems
}

// byPosition compares two problems of one file.
func byPosition(x, y error) int {
	p, q := x.(*ConfigError), y.(*ConfigError)
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// A builder makes one plan.
type builder struct {
	Options
	pipeline   *Pipeline
	name       string // the file's
	file       *conf.File
	flows      []Flow
	strategies []Strategy // without FlowWide
	served     []Point    // Options.Serves; nil if it is empty or has an error: everything is served
	secrets    []string   // the options', or else the file's
	plan       *plan
	placed     map[Point][]placed
	seq        int
	problems   []error // each a *ConfigError
	badURL     bool    // the file's verification URL has been reported
}

// A placed is a hook at the point where it is configured.
type placed struct {
	hook
	spec     spec
	redirect *redirect // nil: another hook
	seq      int       // of all, in the order they are written
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
		flows:      union(builtinFlows, p.options.Flows),
		strategies: union(builtinStrategies, p.options.Strategies),
		plan:       &plan{pipeline: p, counts: map[countKey]*counts{}},
		placed:     map[Point][]placed{},
	}
	bad := func(p Point) bool {
		problem, _ := b.checkServes(p)
		return problem != ""
	}
	if !slices.ContainsFunc(b.Serves, bad) {
		b.served = b.Serves
	}
	b.file = conf.Read(cfg.root, names(b.flows), names(b.strategies), cfg.references)
	return b
}

// union gives what is in either list, once: what a host declares may be there already, or be declared twice.
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

func (b *builder) checkOptions() {
	option := func(format string, v any) place { return place{path: fmt.Sprintf("Options."+format, v)} }
	for i, f := range b.Flows {
		if conf.ReservedFlow(string(f)) {
			b.wrong(option("Flows[%d]", i), "take another name", "%q is reserved", f)
		}
	}
	for i, s := range b.Strategies {
		if conf.ReservedStrategy(string(s)) {
			b.wrong(option("Strategies[%d]", i), "take another name", "%q is reserved", s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Hooks)) {
		if name == "" || slices.Contains(builtinHooks, name) {
			b.wrong(option("Hooks[%q]", name), "take another name", "the name is reserved")
		} else if b.Hooks[name] == nil {
			b.wrong(option("Hooks[%q]", name), "", "no factory")
		}
	}
	for i, p := range b.Serves {
		if problem, hint := b.checkServes(p); problem != "" {
			b.wrong(option("Serves[%d]", i), hint, "%s", problem)
		}
	}
	for i, rule := range b.Accept {
		switch {
		case rule == "invalid":
			b.wrong(option("Accept[%d]", i), "correct the configuration", "errors cannot be accepted")
		case !slices.Contains(check.Rules, rule):
			problem, hint := spell.Unknown("rule", rule, check.Rules, "")
			b.wrong(option("Accept[%d]", i), hint, "%s", problem)
		}
	}
	const refer = "pass the secret itself, such as os.Getenv(\"NAME\")"
	conf.CheckSecrets(b.Secrets, refer, func(i int, problem, hint string) {
		b.wrong(option("Secrets[%d]", i), hint, "%s", problem)
	})
	for _, field := range []struct {
		name  string
		value any
	}{{"Store", b.Store}, {"Courier", b.Courier}} {
		if isNilPointer(field.value) {
			b.wrong(place{path: "Options." + field.name}, "leave it out, or check the error of the call that made it",
				"a nil %T", field.value)
		}
	}
	if b.VerificationURL != "" {
		b.checkURL(b.VerificationURL, place{path: "Options.VerificationURL"})
	}
}

// checkServes returns what is wrong with a point of Options.Serves, and the fix; "" if nothing is.
func (b *builder) checkServes(p Point) (problem, hint string) {
	if p.Phase != "" {
		return fmt.Sprintf("a point with the phase %q", p.Phase), "leave Phase empty: a flow is served in all its phases"
	}
	return unknownName(Point{p.Flow, Before, p.Strategy}, b.flows, b.strategies)
}

// serves reports whether the service has the flow and, unless s is FlowWide, the strategy in it.
func (b *builder) serves(flow Flow, s Strategy) bool {
	return len(b.served) == 0 || slices.ContainsFunc(b.served, func(p Point) bool {
		return p.Flow == flow && (s == FlowWide || p.Strategy == FlowWide || p.Strategy == s)
	})
}

// settings takes what the file says beside its hooks.
func (b *builder) settings() {
	for _, p := range b.file.Problems {
		b.wrong(b.at(p.Value), p.Hint, "%s", p.Text)
	}
	if b.secrets = b.Secrets; len(b.secrets) == 0 {
		for _, s := range b.file.Secrets {
			b.secrets = append(b.secrets, s.Text)
		}
	}
	s := b.file.Session
	c := http.Cookie{Name: s.Name, Domain: s.Domain, Path: s.Path, Secure: s.Secure, HttpOnly: true, SameSite: s.SameSite}
	if s.Persistent {
		c.MaxAge = int(s.Lifespan / time.Second)
	}
	if len(b.secrets) == 0 {
		return
	}
	carrier, err := token.New(c, b.secrets)
	if err != nil {
		b.wrong(place{path: "session"}, "", "%v", err)
	}
	b.plan.tokens = &tokens{carrier, s.Lifespan, s.Cookie}
}

// chain makes the chains of all points that are served.
func (b *builder) chain() {
	for _, flow := range b.flows {
		f, wide := flowChains{name: flow}, &chains{}
		for _, s := range append([]Strategy{FlowWide}, b.strategies...) {
			if !b.serves(flow, s) {
				continue
			}
			c := wide
			if s != FlowWide {
				c = &chains{strategy: s}
			}
			b.fill(c, wide, flow, s)
			f.add(c)
		}
		wide.partial = len(b.served) > 0 && !slices.Contains(b.served, Point{Flow: flow})
		for _, c := range f.few {
			c.asks = slices.Contains(b.plan.returns.asking, flow)
		}
		b.plan.flows = append(b.plan.flows, f)
	}
}

// fill makes the four chains of a flow and strategy, after those of wide, and tells the one at After which come before it.
func (b *builder) fill(c, wide *chains, flow Flow, s Strategy) {
	for _, phase := range allPhases {
		at := Point{flow, phase, s}
		*c.at(phase) = newChain(at, b.placed[at], wide.at(phase))
	}
	if before := &wide.before; len(before.hooks) > 0 {
		c.after.before = before
	}
	if gate := &c.beforePersist; gate != gate.wide && gate.own > 0 {
		c.after.gates = append(c.after.gates, gate)
	}
	if gate := &wide.beforePersist; len(gate.hooks) > 0 {
		c.after.gates = append(c.after.gates, gate)
	}
}

// newChain makes the chain of a point out of its own hooks and the flow-wide ones. At a flow-wide point all are its own.
func newChain(at Point, own []placed, wide *chain) chain {
	c := chain{point: at, own: len(own), wide: wide, gate: at.Phase == Before || at.Phase == BeforePersist, outlives: at.Phase == Failed}
	for _, h := range own {
		c.hooks = append(c.hooks, h.hook)
		c.writes = c.writes || h.redirect == nil && at.Phase == After
	}
	if at.Strategy != FlowWide {
		c.hooks = append(c.hooks, wide.hooks...)
		c.writes = c.writes || wide.writes
	}
	return c
}
