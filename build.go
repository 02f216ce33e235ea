package flowhook

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
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
	b.settings()
	for _, e := range b.file.Entries {
		b.entry(e)
	}
	slices.SortStableFunc(b.problems, byPosition)
	for _, a := range cfg.added {
		b.add(a)
	}
	b.checkOptions()
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	b.chain()
	b.warn()
	return b.p, nil
}

// byPosition compares two problems of one file.
func byPosition(x, y error) int {
	p, q := x.(*ConfigError), y.(*ConfigError)
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// A builder makes one pipeline.
type builder struct {
	Options
	name       string // the file's
	file       *conf.File
	flows      []Flow
	strategies []Strategy // without FlowWide
	secrets    []string   // the options', or else the file's
	p          *Pipeline
	placed     map[Point][]placed
	problems   []error // each a *ConfigError
	badURL     bool    // the file's verification URL has been reported
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
		p:          &Pipeline{store: opts.Store, log: opts.Logger, now: opts.Now, onError: opts.OnError},
	}
	b.file = conf.Read(cfg.root, names(b.flows), names(b.strategies), filepath.Dir(cfg.file))
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
	conf.CheckSecrets(b.Secrets, func(i int, problem string) { b.wrong(option("Secrets[%d]", i), "", "%s", problem) })
	if b.VerificationURL != "" {
		b.checkURL(b.VerificationURL, place{path: "Options.VerificationURL"})
	}
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
	var err error
	b.p.sessions, err = newSessions(b.Store, b.secrets, s.Lifespan, cookieSettings(s.Cookie), b.p.now)
	if err != nil {
		b.wrong(place{path: "session"}, "", "%v", err)
	}
}

// chain makes the chains of all points.
func (b *builder) chain() {
	for _, flow := range b.flows {
		f, wide := flowChains{name: flow}, &chains{}
		for _, s := range append([]Strategy{FlowWide}, b.strategies...) {
			c := wide
			if s != FlowWide {
				c = &chains{strategy: s}
			}
			b.fill(c, wide, flow, s)
			f.add(c)
		}
		b.p.flows = append(b.p.flows, f)
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
		c.writes = c.writes || !h.redirect && at.Phase == After
	}
	if at.Strategy != FlowWide {
		c.hooks = append(c.hooks, wide.hooks...)
		c.writes = c.writes || wide.writes
	}
	return c
}

// warn logs which hooks never run because a redirect always answers before them.
func (b *builder) warn() {
	logged := map[[2]*placed]bool{}
	check := func(flow Flow, s Strategy, phases ...Phase) {
		var by *placed // the redirect that everything after it waits for in vain
		for _, p := range phases {
			for _, at := range slices.Compact([]Strategy{s, FlowWide}) {
				hooks := b.placed[Point{flow, p, at}]
				for i := range hooks {
					h := &hooks[i]
					if by != nil && !logged[[2]*placed{h, by}] {
						logged[[2]*placed{h, by}] = true
						b.p.log.Warn("flowhook: a hook never runs, because a redirect answers before it", "hook", h.name,
							"at", h.pos.String(), "point", Point{flow, p, s}.String(), "redirect", by.pos.String())
					} else if by == nil && h.redirect {
						by = h
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
