package flowhook

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
)

// builtinHooks are the hooks that need no factory of the host's. The last is the other name of the one before it.
var builtinHooks = []string{"redirect", "session", "revoke_active_sessions", "verify", "verification"}

// A spec is a hook that is to be made.
type spec struct {
	point  Point
	name   string
	pos    Position // of the name
	path   string
	config *conf.Config // may be nil
}

// A fieldError is what is wrong with the value of one key of a built-in hook's config.
type fieldError struct {
	key string
	err error
}

func (e *fieldError) Error() string { return e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

func (b *builder) refuse(s spec, hint, problem string, args ...any) {
	b.wrong(s.pos, s.path, fmt.Sprintf(problem, args...), hint)
}

// entry makes the hook of an entry of the file.
func (b *builder) entry(e conf.Entry) {
	p := Point{Flow(e.Flow), Phase(e.In), Strategy(e.Strategy)}
	if e.Phase != "" {
		p.Phase = Phase(e.Phase)
	} else if e.Hook.Value == "redirect" && p.Flow == Registration && p.Phase == After {
		p.Phase = BeforePersist // as the document promises: it disables registration
	}
	s := spec{p, e.Hook.Value, position(b.name, e.Hook.Place), e.Hook.Path, e.Config}
	if b.known(s) && b.mayStand(s) && !e.Broken {
		b.place(s, b.make(s))
	}
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
	hosts := slices.Sorted(maps.Keys(b.Hooks))
	b.refuse(s, conf.Hint(s.name, slices.Concat(builtinHooks, hosts)), "unknown hook %q", conf.Clip(s.name))
	return false
}

// mayStand says whether a built-in hook can do its work at the point. A host's own factory decides for itself.
func (b *builder) mayStand(s spec) bool {
	var flows []Flow
	switch s.name {
	case "session":
		flows = []Flow{Login, Registration, Verification, Recovery}
	case "revoke_active_sessions":
		flows = []Flow{Login, Recovery, Settings}
	case "verify", "verification":
		flows = []Flow{Registration, Settings, Login}
	default:
		return true
	}
	p := s.point
	if p.Phase == After && (slices.Contains(flows, p.Flow) || !slices.Contains(builtinFlows, p.Flow)) {
		return true
	}
	b.refuse(s, fmt.Sprintf("it may stand at after of %s, and of flows of the host's own", strings.Join(names(flows), ", ")),
		"hook %q cannot stand at %s", s.name, p)
	return false
}

// factory gives the factory of a hook. It reports what a built-in one needs and does not have.
func (b *builder) factory(s spec) HookFactory {
	before := len(b.problems)
	var f HookFactory
	switch s.name {
	case "redirect":
		f = func(_ Point, decode func(any) error) (Hook, error) { return newRedirect(decode) }
	case "session":
		issue := b.Issue
		if issue == nil {
			needStore[SessionStore](b, s)
			b.need(s, len(b.Secrets) > 0, "secrets", "add a list secrets.session to the file, or set Options.Secrets")
			issue = b.p.sessions.Issue
		}
		f = func(Point, func(any) error) (Hook, error) { return newSession(issue), nil }
	case "revoke_active_sessions":
		store := needStore[SessionRevoker](b, s)
		f = func(Point, func(any) error) (Hook, error) { return newRevoke(store), nil }
	case "verify", "verification":
		v := verifier{store: needStore[VerificationStore](b, s), courier: b.Courier, outbox: b.Outbox,
			url: b.verificationURL(s), now: b.p.now}
		b.need(s, b.Courier != nil, "a courier", "set Options.Courier")
		f = func(_ Point, decode func(any) error) (Hook, error) { return newVerify(decode, v) }
	default:
		return b.Hooks[s.name]
	}
	if len(b.problems) > before {
		return nil
	}
	return f
}

func (b *builder) need(s spec, ok bool, what, hint string) {
	if !ok {
		b.refuse(s, hint, "hook %q needs %s", s.name, what)
	}
}

func needStore[T any](b *builder, s spec) T {
	store, ok := b.Store.(T)
	hint := "Options.Store is nil"
	if b.Store != nil {
		hint = fmt.Sprintf("%T is none", b.Store)
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", (*T)(nil)), "*flowhook.")
	b.need(s, ok, "a store that is a "+name, hint)
	return store
}

// verificationURL is where the links in the mails point.
func (b *builder) verificationURL(s spec) string {
	u := b.file.VerifyURL
	switch {
	case b.VerificationURL != "":
		return b.VerificationURL
	case u.Line == 0:
		b.need(s, false, "a URL for its links",
			"set selfservice.flows.verification.ui_url in the file, or Options.VerificationURL")
	case !b.badURL:
		b.badURL = true // report it once, not for each hook
		b.checkURL(u.Value, position(b.name, u.Place), u.Path)
	}
	return u.Value
}

func (b *builder) checkURL(s string, pos Position, path string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		b.wrong(pos, path, "not an absolute http or https URL", "verification mails carry it")
	} else if err := checkTarget(s); err != nil {
		b.wrong(pos, path, err.Error(), "verification mails carry it")
	}
}

// make calls the factory. It gives nil where that is a problem, which it reports.
func (b *builder) make(s spec) Hook {
	factory := b.factory(s)
	if factory == nil {
		return nil
	}
	var asked, bad bool
	decode := func(v any) error {
		asked = true
		if s.config == nil {
			return nil
		}
		problems, cause := s.config.Decode(v)
		errs := make([]error, len(problems))
		for i, p := range problems {
			e := configError(b.name, p)
			e.Err = cause
			b.problems, errs[i], bad = append(b.problems, e), e, true
		}
		return errors.Join(errs...)
	}
	h, err := guarded(func() (Hook, error) { return factory(s.point, decode) })
	switch {
	case bad: // reported, whatever the factory made of it
	case err != nil:
		b.failed(s, err)
	case isNil(h):
		b.refuse(s, "", "the factory of hook %q made none", s.name)
	case s.config != nil && !asked:
		at := s.config.Place("")
		b.wrong(position(b.name, at), at.Path, fmt.Sprintf("hook %q takes no config", s.name), "remove it")
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
		b.problems = append(b.problems, &ConfigError{Position: s.pos, Path: s.path, Problem: err.Error(), Err: err})
		return
	}
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		e := &ConfigError{Position: s.pos, Path: s.path, Problem: err.Error(), Err: err}
		if s.config != nil {
			var key string
			if f := (*fieldError)(nil); errors.As(err, &f) {
				key = f.key
			}
			at := s.config.Place(key)
			e.Position, e.Path = position(b.name, at), at.Path
		}
		b.problems = append(b.problems, e)
	}
}

// place puts a hook, wrapped, at its point. A nil hook has been reported.
func (b *builder) place(s spec, h Hook) {
	if h == nil {
		return
	}
	_, redirects := h.(*redirect)
	if b.Wrap != nil {
		if h = b.Wrap(s.point, s.name, h); isNil(h) {
			b.refuse(s, "", "Options.Wrap made no hook of %q", s.name)
			return
		}
	}
	b.placed[s.point] = append(b.placed[s.point], placed{hook{h, s.name, s.pos}, redirects})
}
