package flowhook

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/spell"
	"github.com/flowhook/flowhook/internal/target"
)

// builtinHooks are the hooks that need no factory of the host's. The last is the other name of the one before it.
var builtinHooks = []string{"redirect", "session", "revoke_active_sessions", "verify", "verification"}

// A spec is a hook that is to be made.
type spec struct {
	point     Point
	name      string
	place                // of the name
	config    conf.Value // what the file has, if anything
	timeout   time.Duration
	timeoutAt conf.Value
}

// A place is where something stands that may be wrong.
type place struct {
	pos  Position
	path string
}

func (b *builder) at(v conf.Value) place { return place{Position{b.name, v.Line, v.Column}, v.Path} }

// wrong reports a problem, and gives it.
func (b *builder) wrong(at place, hint, problem string, args ...any) *ConfigError {
	e := &ConfigError{Position: at.pos, Path: at.path, Problem: fmt.Sprintf(problem, args...), Hint: hint}
	b.problems = append(b.problems, e)
	return e
}

// A fieldError is what is wrong with the value of one key that the config of a built-in hook has.
type fieldError struct {
	key string
	err error
}

func (e *fieldError) Error() string { return e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// entry makes the hook of an entry of the file.
func (b *builder) entry(e conf.Entry) {
	p := Point{Flow(e.Flow), Phase(e.In), Strategy(e.Strategy)}
	if e.Phase != "" {
		p.Phase = Phase(e.Phase)
	} else if e.Hook.Value == "redirect" && p.Flow == Registration && p.Phase == After {
		p.Phase = BeforePersist // as the document promises: it disables registration
	}
	s := spec{p, e.Hook.Value, b.at(e.Hook), e.Config, e.Timeout, e.TimeoutAt}
	if b.known(s) && b.onServed(s) && b.mayStand(s) && !e.Broken {
		b.put(s, b.make(s))
	}
}

// isNilPointer reports whether v, a value of an interface, is not nil but holds a nil pointer,
// function or map.
func isNilPointer(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	}
	return false
}

func isNil(h Hook) bool {
	f, ok := h.(HookFunc)
	return h == nil || ok && f == nil
}

// known says whether there is a hook of this name.
func (b *builder) known(s spec) bool {
	if slices.Contains(builtinHooks, s.name) || b.Hooks[s.name] != nil {
		return true
	}
	all := slices.Concat(builtinHooks, slices.Sorted(maps.Keys(b.Hooks)))
	problem, hint := spell.Unknown("hook", s.name, all, "Options.Hooks")
	b.wrong(s.place, hint, "%s", problem)
	return false
}

// onServed reports whether the service has the hook's flow and strategy.
func (b *builder) onServed(s spec) bool {
	p := s.point
	switch {
	case !b.serves(p.Flow, FlowWide):
		b.wrong(s.place, fmt.Sprintf("remove it, or add {Flow: %q} to Options.Serves", p.Flow),
			"hook %q never runs: Options.Serves does not have the flow %q", s.name, p.Flow)
	case !b.serves(p.Flow, p.Strategy):
		b.wrong(s.place, fmt.Sprintf("remove it, or add {Flow: %q, Strategy: %q} to Options.Serves", p.Flow, p.Strategy),
			"hook %q never runs: Options.Serves does not have the strategy %q of %s", s.name, p.Strategy, p.Flow)
	default:
		return true
	}
	return false
}

// afterOf are the flows at whose after a built-in hook can do its work, beside the host's own.
var afterOf = map[string][]Flow{
	"session":                {Login, Registration, Verification, Recovery},
	"revoke_active_sessions": {Login, Recovery, Settings},
	"verify":                 {Registration, Settings, Login},
	"verification":           {Registration, Settings, Login},
}

// mayStand says whether a hook can do its work at the point. A host's own factory decides for itself.
func (b *builder) mayStand(s spec) bool {
	flows, limited := afterOf[s.name]
	p := s.point
	if !limited || p.Phase == After && (slices.Contains(flows, p.Flow) || !slices.Contains(builtinFlows, p.Flow)) {
		return true
	}
	b.wrong(s.place, fmt.Sprintf("it may stand at after of %s, and of flows of the host's own", strings.Join(names(flows), ", ")),
		"hook %q cannot stand at %s", s.name, p)
	return false
}

// factory gives the factory of a hook. It reports what a built-in one needs and does not have.
func (b *builder) factory(s spec) HookFactory {
	switch s.name {
	case "redirect":
		list := b.file.AllowedAt
		return func(_ Point, decode func(any) error) (Hook, error) {
			return newRedirect(decode, list.Node != nil && len(list.Content) > 0)
		}
	case "session":
		issue := b.Issue
		if issue == nil {
			needStore[SessionStore](b, s)
			hint := "add a list secrets.session to the file, or set Options.Secrets"
			if b.file.Kratos { // which has them in this variable, if they are not in the file
				hint = `write secrets: {cookie: ["${SECRETS_COOKIE}"]} in the file, or set Options.Secrets`
			}
			b.need(s, len(b.secrets) > 0, "secrets", hint)
			issue = b.pipeline.sessions.Issue
		}
		return func(Point, func(any) error) (Hook, error) { return newSession(issue), nil }
	case "revoke_active_sessions":
		store := needStore[SessionRevoker](b, s)
		return func(Point, func(any) error) (Hook, error) { return newRevoke(store), nil }
	case "verify", "verification":
		v := verifier{pipeline: b.pipeline, store: needStore[VerificationStore](b, s), courier: b.Courier, outbox: b.Outbox,
			url: b.verificationURL(s)}
		b.need(s, b.Courier != nil, "a courier", "set Options.Courier")
		return func(_ Point, decode func(any) error) (Hook, error) { return newVerify(decode, v) }
	}
	return b.Hooks[s.name]
}

func (b *builder) need(s spec, ok bool, what, hint string) {
	if !ok {
		b.wrong(s.place, hint, "hook %q needs %s", s.name, what)
	}
}

func needStore[T any](b *builder, s spec) T {
	store, ok := b.Store.(T)
	hint := "Options.Store is nil"
	if b.Store != nil {
		hint = fmt.Sprintf("%T does not", b.Store)
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", (*T)(nil)), "*flowhook.")
	b.need(s, ok, "a store that implements "+name, hint)
	return store
}

// verificationURL is where the links in the mails point.
func (b *builder) verificationURL(s spec) string {
	u := b.file.VerifyURL
	switch {
	case b.VerificationURL != "":
		return b.VerificationURL
	case u.Node == nil:
		b.need(s, false, "a URL for its links",
			"set selfservice.flows.verification.ui_url in the file, or Options.VerificationURL")
		return ""
	case !b.badURL:
		b.badURL = true // report it once, not for each hook
		b.checkURL(u.Value, b.at(u))
	}
	return u.Value
}

func (b *builder) checkURL(s string, at place) {
	if err := target.CheckURL(s); err != nil {
		b.wrong(at, "verification emails link to it; write it as in https://example.org/verify", "%v", err)
	}
}

// make calls the factory. It gives nil where there is a problem, which it reports.
func (b *builder) make(s spec) Hook {
	before := len(b.problems)
	factory, asked := b.factory(s), false
	resolve := b.file.Resolve
	if slices.Contains(builtinHooks, s.name) { // they have no secrets
		resolve = nil
	}
	decode := func(v any) error {
		asked = true
		if s.config.Node == nil {
			return nil
		}
		problems, cause := s.config.Decode(v, resolve)
		errs := make([]error, len(problems))
		b.problems = slices.Grow(b.problems, len(problems))
		for i, p := range problems {
			e := b.wrong(b.at(p.Value), p.Hint, "%s", p.Text)
			e.Err, errs[i] = cause, e
		}
		return errors.Join(errs...)
	}
	h, err := guarded(func() (Hook, error) { return factory(s.point, decode) })
	switch {
	case len(b.problems) > before: // something is reported, whatever the factory made
	case err != nil:
		b.failed(s, err)
	case isNil(h):
		b.wrong(s.place, "", "the factory of hook %q returned nil", s.name)
	case s.config.Node != nil && !asked:
		b.wrong(b.at(s.config), "remove it", "hook %q takes no config", s.name)
	default:
		return h
	}
	return nil
}

// guarded calls the host's code.
func guarded(f func() (Hook, error)) (h Hook, err error) {
	defer func() {
		if v := recover(); v != nil {
			h, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}

// failed reports a factory's error: a built-in one's with the place in the config, and each that it joined.
func (b *builder) failed(s spec, err error) {
	if !slices.Contains(builtinHooks, s.name) {
		b.wrong(s.place, "", "%v", err).Err = err
		return
	}
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		at := s.place
		if s.config.Node != nil {
			at = b.at(s.config)
		}
		if f := (*fieldError)(nil); errors.As(err, &f) {
			at = b.at(s.config.Get(f.key))
		}
		b.wrong(at, "", "%v", err).Err = err
	}
}

// put puts a hook, wrapped, at its point. A nil hook has been reported.
func (b *builder) put(s spec, h Hook) {
	if h == nil {
		return
	}
	r, _ := h.(*redirect)
	if s.timeout > 0 && r == nil { // a redirect waits for nobody: it answers, however busy the machine is
		h = &timed{h, s.timeout}
	}
	if b.Wrap != nil {
		wrapped, err := guarded(func() (Hook, error) { return b.Wrap(s.point, s.name, h), nil })
		switch {
		case err != nil:
			b.wrong(s.place, "", "Options.Wrap: %v", err).Err = err
			return
		case isNil(wrapped):
			b.wrong(s.place, "", "Options.Wrap made no hook of %q", s.name)
			return
		}
		h = wrapped
	}
	if r != nil && r.asks {
		b.plan.returns.asking = append(b.plan.returns.asking, s.point.Flow)
	}
	b.seq++
	b.placed[s.point] = append(b.placed[s.point], placed{hook{h, s.name, s.pos, b.counter(s)}, s, r, b.seq})
}

// counter gives what counts a hook: what counted the same one in the plan that is current, or another.
func (b *builder) counter(s spec) *counts {
	if !b.Count {
		return nil
	}
	key := countKey{at: s.point, name: s.name}
	for b.plan.counts[key] != nil {
		key.nth++
	}
	c := &counts{}
	if old := b.pipeline.current.Load(); old != nil && old.counts[key] != nil {
		c = old.counts[key]
	}
	b.plan.counts[key] = c
	return c
}
