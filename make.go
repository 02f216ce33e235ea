package flowhook

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/need"
	"github.com/flowhook/flowhook/internal/spell"
	"github.com/flowhook/flowhook/internal/target"
)

// entry makes the hook of an entry in the file.
func (b *builder) entry(e *conf.Entry) {
	said := e.Phase != "" // the entry itself says which phase
	if e.File = b.name; !said {
		e.Phase = e.In
	}
	kind := b.known(e)
	movable := !said && e.In == string(After)
	if kind != nil && kind.place != nil && movable {
		e.Phase = string(kind.place(pointOf(e)))
	}
	if kind == nil || !b.served(e) || !b.allowed(e, kind) || e.Broken {
		return
	}
	h := b.make(e, kind)
	if placer, ok := h.(Placer); ok && kind == custom && movable && !b.place(e, placer) {
		return
	}
	b.put(e, h)
}

// added makes, or takes, a hook that the host added with Config.Add.
func (b *builder) added(a added) {
	e := a.entry // Config.Add's own stays as it is for the next New
	r, redirects := a.hook.(*redirect)
	kind := builtinNamed(e.Name())
	if kind != nil && kind.replaceable && a.hook != nil {
		kind = nil
	}
	switch {
	case !b.declared(&e) || !b.served(&e):
	case a.hook == nil:
		if kind := b.known(&e); kind != nil && b.allowed(&e, kind) {
			b.put(&e, b.make(&e, kind))
		}
	case e.Name() == "":
		b.wrongEntry(&e, "", "a hook without a name")
	case kind != nil && (!redirects || kind.name != redirectHook.name):
		b.wrongEntry(&e, "choose another name, or pass nil for the built-in hook", "the name of a built-in hook")
	case redirects && r.err != nil:
		b.wrongEntry(&e, "", "%v", r.err)
	case isNil(a.hook):
		b.wrongEntry(&e, "", "a nil function for a hook")
	default:
		if kind != nil {
			e.Builtin, e.Description = kind.name, kind.description
		}
		b.put(&e, a.hook)
	}
}

// declared reports whether the point of an added hook exists.
func (b *builder) declared(e *conf.Entry) bool {
	p := pointOf(e)
	problem, hint := unknownName(p, b.flows, b.strategies)
	switch {
	case problem != "":
		b.wrongEntry(e, hint, "%s", problem)
	case p.Strategy != FlowWide && p.Phase == Before:
		b.wrongEntry(e, "leave it out", "before has no strategies: none is known yet")
	default:
		return true
	}
	return false
}

// custom is the kind of the hooks that Options.Hooks makes.
var custom = &builtin{make: (*builder).makeCustom}

// known returns the kind of an entry's hook, or nil if there is no hook with its name.
func (b *builder) known(e *conf.Entry) *builtin {
	kind, own := builtinNamed(e.Name()), b.Hooks[e.Name()] != nil
	switch {
	case own && (kind == nil || kind.replaceable):
		return custom
	case kind != nil:
		e.Builtin, e.Description = kind.name, kind.description
		return kind
	}
	all := slices.Concat(builtinNames(), slices.Sorted(maps.Keys(b.Hooks)))
	problem, hint := spell.Unknown("hook", e.Name(), all, "Options.Hooks")
	b.wrongEntry(e, hint, "%s", problem)
	return nil
}

// served reports whether the service has the entry's flow and strategy.
func (b *builder) served(e *conf.Entry) bool {
	p := pointOf(e)
	switch {
	case !b.serves(p.Flow, FlowWide):
		b.wrongEntry(e, fmt.Sprintf("remove it, or add {Flow: %q} to Options.Serves", p.Flow),
			"hook %q never runs: Options.Serves does not have the flow %q", e.Name(), p.Flow)
	case !b.serves(p.Flow, p.Strategy):
		b.wrongEntry(e, fmt.Sprintf("remove it, or add {Flow: %q, Strategy: %q} to Options.Serves", p.Flow, p.Strategy),
			"hook %q never runs: Options.Serves does not have the strategy %q of %s", e.Name(), p.Strategy, p.Flow)
	default:
		return true
	}
	return false
}

// allowed reports whether a built-in hook can do its work at the entry's point. A host's own
// factory decides for itself.
func (b *builder) allowed(e *conf.Entry, kind *builtin) bool {
	p := pointOf(e)
	if kind.allowedAt(p.Flow, p.Phase) {
		return true
	}
	flows := strings.Join(names(kind.flows), ", ")
	b.wrongEntry(e, fmt.Sprintf("it is allowed at %s of %s, and of the host's own flows", kind.phase, flows),
		"hook %q cannot be at %s", e.Name(), p)
	return false
}

// make returns an entry's hook, or nil if there is a problem with it, which is reported.
func (b *builder) make(e *conf.Entry, kind *builtin) Hook {
	before := len(b.problems)
	if kind.needs != nil {
		for _, r := range kind.needs(b) {
			if !r.met {
				b.wrongEntry(e, r.hint, "hook %q needs %s", e.Name(), cmp.Or(r.what, string(r.need))).Err = r.need
			}
		}
	}
	h := kind.make(b, e)
	if len(b.problems) > before { // whatever was made
		return nil
	}
	return h
}

// makeCustom calls the host's factory.
func (b *builder) makeCustom(e *conf.Entry) Hook {
	before, decoded := len(b.problems), false
	decode := func(v any) error {
		decoded = true
		return b.decode(e, v, b.file.Resolve)
	}
	h, err := guarded(func() (Hook, error) { return b.Hooks[e.Name()](pointOf(e), decode) })
	switch {
	case len(b.problems) > before: // decode has reported it
	case err != nil:
		b.wrongEntry(e, "", "%v", err).Err = err
	case isNil(h):
		b.wrongEntry(e, "", "the factory of hook %q returned nil", e.Name())
	case !decoded:
		b.takesNoConfig(e)
	}
	return h
}

// takesNoConfig reports the config of an entry whose hook has none.
func (b *builder) takesNoConfig(e *conf.Entry) {
	if e.Config.Node != nil {
		b.wrong(b.at(e.Config), "remove it", "hook %q takes no config", e.Name())
	}
}

// decode decodes the config of an entry into v, a pointer to a struct, and reports what is wrong
// with it. resolve resolves references; nil leaves them as they are.
func (b *builder) decode(e *conf.Entry, v any, resolve func(conf.Value) (string, *conf.Problem)) error {
	if e.Config.Node == nil {
		return nil
	}
	problems, cause := e.Config.Decode(v, resolve)
	errs := make([]error, len(problems))
	for i, p := range problems {
		wrong := b.wrong(b.at(p.Value), p.Hint, "%s", p.Text)
		wrong.Err, errs[i] = cause, wrong
	}
	return errors.Join(errs...)
}

// wrongConfig reports a problem with one key of an entry's config, or with all of it if key is "".
func (b *builder) wrongConfig(e *conf.Entry, key, problem string, args ...any) *ConfigError {
	at := entryPlace(e)
	if v := e.Config.Get(key); v.Node != nil {
		at = b.at(v)
	} else if e.Config.Node != nil {
		at = b.at(e.Config)
	}
	return b.wrong(at, "", problem, args...)
}

// place moves an entry at After to the phase that a hook of the host's asks for.
func (b *builder) place(e *conf.Entry, h Placer) (ok bool) {
	phase, err := guarded(func() (Phase, error) { return h.Place(pointOf(e)), nil })
	switch {
	case err != nil:
		b.wrongEntry(e, "", "Place of hook %q: %v", e.Name(), err).Err = err
	case phase != After && phase != BeforePersist:
		b.wrongEntry(e, "", "Place of hook %q returned the phase %q; want %q or %q",
			e.Name(), phase, After, BeforePersist)
	default:
		e.Phase = string(phase)
		return true
	}
	return false
}

// put adds a hook, wrapped, to the plan. A nil hook has been reported.
func (b *builder) put(e *conf.Entry, h Hook) {
	if h == nil {
		return
	}
	if !b.askAll(e, h) || !b.askKey(e, h) {
		return
	}
	if s, ok := h.(Starter); ok {
		b.plan.starters = append(b.plan.starters, s)
	}
	r, redirects := h.(*redirect)
	if redirects {
		e.Target, e.TargetAt, e.FollowsReturnTo = target.Shown(r.to), r.at, r.follows
	} else if e.Timeout > 0 { // a redirect answers at once, however busy the machine is
		h = &timed{h, e.Timeout}
	}
	if b.Wrap != nil {
		wrapped, err := guarded(func() (Hook, error) { return b.Wrap(pointOf(e), e.Name(), &judged{h}), nil })
		switch {
		case err != nil:
			b.wrongEntry(e, "", "Options.Wrap: %v", err).Err = err
			return
		case isNil(wrapped):
			b.wrongEntry(e, "", "Options.Wrap made no hook of %q", e.Name())
			return
		}
		h = wrapped
	}
	e.Seq = len(b.entries)
	b.entries, b.hooks[e] = append(b.entries, e), h
}

// askAll asks a hook of the host's own for its description and its findings.
func (b *builder) askAll(e *conf.Entry, h Hook) (ok bool) {
	if d, ok := h.(Describer); ok {
		text, err := guarded(func() (string, error) { return d.Describe(), nil })
		if err != nil {
			b.wrongEntry(e, "", "Describe of hook %q: %v", e.Name(), err).Err = err
			return false
		}
		e.Description = text
	}
	if _, ok := h.(need.Stub); ok {
		b.unjudged = append(b.unjudged, e.Name())
	}
	finder, ok := h.(Finder)
	if e.Finder = ok; !ok {
		return true
	}
	reported, err := guarded(func() ([]Finding, error) { return finder.Findings(pointOf(e)), nil })
	if err != nil {
		b.wrongEntry(e, "", "Findings of hook %q: %v", e.Name(), err).Err = err
		return false
	}
	for _, f := range reported {
		if f.Rule == "" || f.Problem == "" || f.Severity < SeverityNote || f.Severity > SeverityError {
			b.wrongEntry(e, "", "Findings of hook %q: a finding needs a rule, a problem and a severity", e.Name())
			return false
		}
		at := entryPlace(e)
		if v := e.Config.At(f.Path); v.Node != nil {
			at = b.at(v)
			if strings.HasPrefix(v.Value, "file:") { // the hook has read the file and does not know its name
				f.Problem = spell.Clip(v.Value) + ": " + f.Problem
			}
		}
		f.Position, f.Path, f.Rule = at.pos, at.path, e.Name()+"/"+f.Rule
		if f.Severity == SeverityError { // reported with all other errors
			b.wrong(at, f.Hint, "%s", f.Problem).rule = f.Rule
			continue
		}
		b.found = append(b.found, found{e, f})
	}
	return true
}

// askKey asks a hook of the host's own for its key, and reports one that another hook has.
func (b *builder) askKey(e *conf.Entry, h Hook) (ok bool) {
	keyer, ok := h.(Keyer)
	if !ok {
		return true
	}
	hint := ""
	key, err := guarded(func() (key string, err error) { key, hint = keyer.Key(); return key, nil })
	of := [2]string{e.Name(), key}
	other := b.keys[of]
	switch {
	case err != nil:
		b.wrongEntry(e, "", "Key of hook %q: %v", e.Name(), err).Err = err
	case key == "":
		return true
	case other != nil:
		b.wrongEntry(e, hint, "hook %q has the same key as the one at %s", e.Name(), other.Where())
	default:
		b.keys[of] = e
		return true
	}
	return false
}

// guarded calls the host's code, and makes an error of a panic.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// isNilPointer reports whether v, a value of an interface type, holds a nil pointer, function or
// map.
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
