package flowhook

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
)

// New makes the pipeline of a configuration. A nil cfg has no hooks. The error joins a [*ConfigError] for everything that
// is wrong, the file's first and in its order: hooks, flows, strategies and keys that nobody knows, hooks where they
// cannot run, a store that lacks what a hook needs, and so on. New changes neither cfg nor opts, and may be called
// concurrently. What an earlier redirect keeps from running is no error; New logs it as a warning.
func New(cfg *Config, opts Options) (*Pipeline, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	b := newBuilder(cfg, opts)
	b.checkOptions()
	b.settings()
	for _, e := range b.file.Entries {
		b.entry(e)
	}
	for _, a := range cfg.added {
		b.add(a)
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	b.chain()
	b.warn()
	return b.p, nil
}

// A builder makes one pipeline.
type builder struct {
	Options
	name       string // the file's
	file       *conf.File
	flows      []Flow
	strategies []Strategy // without FlowWide
	p          *Pipeline
	placed     map[Point][]placed
	problems   []*ConfigError
	badURL     bool // the file's verification URL has been reported
}

// A placed is a hook at the point where it is configured.
type placed struct {
	hook
	redirect bool
}

var (
	builtinFlows      = []Flow{Login, Registration, Settings, Verification, Recovery, Logout}
	builtinStrategies = []Strategy{Password, OIDC, Profile, Link, Code, TOTP, LookupSecret, WebAuthn, Passkey, SAML}
	allPhases         = []Phase{Before, BeforePersist, After, Failed}
)

func newBuilder(cfg *Config, opts Options) *builder {
	b := &builder{
		Options:    opts,
		name:       cfg.file,
		flows:      slices.Concat(builtinFlows, opts.Flows),
		strategies: slices.Concat(builtinStrategies, opts.Strategies),
		placed:     map[Point][]placed{},
		p:          &Pipeline{chains: map[Flow]map[Strategy]*chains{}, store: opts.Store, log: opts.Logger, now: opts.Now, onError: opts.OnError},
	}
	b.file = cfg.doc.Read(names(b.flows), names(b.strategies))
	b.p.verify, _ = opts.Store.(VerificationStore)
	if b.p.log == nil {
		b.p.log = slog.Default()
	}
	if b.p.now == nil {
		b.p.now = time.Now
	}
	if log := b.p.log; b.p.onError == nil {
		b.p.onError = func(w http.ResponseWriter, r *http.Request, err error) {
			log.ErrorContext(r.Context(), "flowhook: a before hook failed", "error", err)
			http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		}
	}
	return b
}

func names[T ~string](list []T) []string {
	s := make([]string, len(list))
	for i, v := range list {
		s[i] = string(v)
	}
	return s
}

func (b *builder) wrong(pos Position, path, problem, hint string) {
	b.problems = append(b.problems, &ConfigError{Position: pos, Path: path, Problem: problem, Hint: hint})
}

// err joins what is wrong: the file's by position, then what was added, in its order, then the options.
func (b *builder) err() error {
	rank := func(e *ConfigError) []int {
		switch {
		case e.Column > 0: // Go's runtime tells no columns
			return []int{0, e.Line, e.Column}
		case e.Line > 0:
			return []int{1}
		}
		return []int{2}
	}
	slices.SortStableFunc(b.problems, func(x, y *ConfigError) int { return slices.Compare(rank(x), rank(y)) })
	errs := make([]error, len(b.problems))
	for i, e := range b.problems {
		errs[i] = e
	}
	return errors.Join(errs...)
}

func (b *builder) checkOptions() {
	for i, f := range b.Flows {
		if conf.ReservedFlow(string(f)) {
			b.wrong(Position{}, fmt.Sprintf("Options.Flows[%d]", i), fmt.Sprintf("%q is reserved", f), "take another name")
		}
	}
	for i, s := range b.Strategies {
		if conf.ReservedStrategy(string(s)) {
			b.wrong(Position{}, fmt.Sprintf("Options.Strategies[%d]", i), fmt.Sprintf("%q is reserved", s), "take another name")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Hooks)) {
		path := fmt.Sprintf("Options.Hooks[%q]", name)
		if name == "" || slices.Contains(builtinHooks, name) {
			b.wrong(Position{}, path, "the name is reserved", "take another name")
		} else if b.Hooks[name] == nil {
			b.wrong(Position{}, path, "no factory", "")
		}
	}
	for i, text := range conf.CheckSecrets(b.Secrets) {
		if text != "" {
			b.wrong(Position{}, fmt.Sprintf("Options.Secrets[%d]", i), text, "")
		}
	}
	if b.VerificationURL != "" {
		b.checkURL(b.VerificationURL, Position{}, "Options.VerificationURL")
	}
}

// settings takes what the file says beside its hooks.
func (b *builder) settings() {
	for _, p := range b.file.Problems {
		b.problems = append(b.problems, configError(b.name, p))
	}
	if len(b.Secrets) == 0 {
		b.Secrets = b.file.Secrets
	}
	b.p.sessions = &Sessions{}
	if len(b.problems) > 0 {
		return
	}
	s := b.file.Session
	sessions, err := newSessions(b.Store, b.Secrets, s.Lifespan, cookieSettings{
		Name: s.Name, Domain: s.Domain, Path: s.Path, SameSite: s.SameSite, Persistent: s.Persistent, Secure: s.Secure,
	}, b.p.now)
	if err != nil {
		b.wrong(Position{}, "session", err.Error(), "")
		return
	}
	b.p.sessions = sessions
}

// chain makes the chains of all points.
func (b *builder) chain() {
	for _, flow := range b.flows {
		wide := &chains{}
		b.p.chains[flow] = map[Strategy]*chains{FlowWide: wide}
		b.fill(wide, wide, flow, FlowWide)
		for _, s := range b.strategies {
			c := &chains{}
			b.p.chains[flow][s] = c
			b.fill(c, wide, flow, s)
		}
	}
	b.p.link()
}

// fill makes the four chains of a flow and strategy. Those of wide, the flow-wide ones, come first.
func (b *builder) fill(c, wide *chains, flow Flow, s Strategy) {
	for _, phase := range allPhases {
		at := Point{flow, phase, s}
		*c.at(phase) = newChain(at, b.placed[at], wide.at(phase))
	}
}

// newChain makes the chain of a point out of its own hooks and the flow-wide ones. At a flow-wide point all are its own.
func newChain(at Point, own []placed, wide *chain) chain {
	c := chain{point: at, own: len(own), wide: wide}
	for _, h := range own {
		c.hooks = append(c.hooks, h.hook)
		c.writes = c.writes || !h.redirect
	}
	if at.Strategy != FlowWide {
		c.hooks = append(c.hooks, wide.hooks...)
		c.writes = c.writes || wide.writes
	}
	return c
}

// warn logs which hooks never run because a redirect always answers before them.
func (b *builder) warn() {
	logged := map[[2]Position]bool{}
	check := func(flow Flow, s Strategy, phases ...Phase) {
		var by *placed // the redirect that everything after it waits for in vain
		for _, p := range phases {
			own, wide := b.placed[Point{flow, p, s}], b.placed[Point{flow, p, FlowWide}]
			if s == FlowWide {
				own = nil
			}
			for _, part := range [][]placed{own, wide} {
				for _, h := range part {
					if by != nil && !logged[[2]Position{h.pos, by.pos}] {
						logged[[2]Position{h.pos, by.pos}] = true
						b.p.log.Warn("flowhook: a hook never runs, because a redirect answers before it", "hook", h.name,
							"at", h.pos.String(), "point", Point{flow, p, s}.String(), "redirect", by.pos.String())
					} else if by == nil && h.redirect {
						by = &h
					}
				}
			}
		}
	}
	for _, flow := range b.flows {
		for _, s := range append([]Strategy{FlowWide}, b.strategies...) {
			check(flow, s, Before, BeforePersist, After)
			check(flow, s, Failed)
		}
	}
}
