package flowhook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowhook/flowhook/internal/conf"
	"github.com/flowhook/flowhook/internal/need"
)

// builtins are the hooks that need no factory of the host's.
var builtins = []builtin{
	redirectHook,
	sessionHook,
	revokeHook,
	verifyHook,
	requireVerifiedHook,
	showVerificationHook,
	notifyPreviousHook,
	newAddressHook,
}

// A builtin is everything that flowhook knows about one of its hooks.
type builtin struct {
	name        string
	alias       string // another name; may be empty
	description string // one sentence for operators

	// config is a struct with a field for each key of the hook's config, for [Schema]. Nil means
	// that the hook takes no config.
	config any

	// phase and flows are where the hook is allowed, besides that phase of the host's own flows. No
	// phase means that it is allowed everywhere. late allows it at After, too.
	phase Phase
	flows []Flow
	late  bool

	// replaceable means that a factory of the host's may have the name.
	replaceable bool

	// place returns the phase of an entry that is at After and does not say which phase it is for.
	// Nil means After.
	place func(p Point) Phase

	// needs returns what the hook cannot work without. Nil means nothing.
	needs func(b *builder) []requirement

	// make returns the hook of an entry whose needs are met, or nil if it has reported what is
	// wrong.
	make func(b *builder, e *conf.Entry) Hook
}

// allowedAt reports whether the hook can do its work at a phase of a flow.
func (h *builtin) allowedAt(flow Flow, phase Phase) bool {
	hosts := !slices.Contains(builtinFlows, flow)
	inPhase := phase == h.phase || h.late && phase == After
	return h.phase == "" || inPhase && (hosts || slices.Contains(h.flows, flow))
}

// A requirement is one thing that a built-in hook needs.
type requirement struct {
	need need.Need
	what string // the need in words; "" for the need's own
	met  bool
	hint string
}

// requireStore is the requirement of a Store that is also a T.
func requireStore[T any](b *builder) requirement {
	_, ok := b.Store.(T)
	r := requirement{need: need.Store, met: ok, hint: "Options.Store is nil"}
	r.what = "a store that implements " + strings.TrimPrefix(fmt.Sprintf("%T", (*T)(nil)), "*flowhook.")
	if b.Store != nil {
		r.hint = fmt.Sprintf("%T does not", b.Store)
	}
	return r
}

// requireSecrets is the requirement of secrets.
func requireSecrets(b *builder) requirement {
	hint := "add a list secrets.session to the file, or set Options.Secrets"
	if b.file.Kratos { // it keeps them in this variable if they are not in the file
		hint = `write secrets: {cookie: ["${SECRETS_COOKIE}"]} in the file, or set Options.Secrets`
	}
	return requirement{need: need.Secrets, met: len(b.secrets) > 0, hint: hint}
}

// builtinNamed returns the built-in hook with a name, or nil.
func builtinNamed(name string) *builtin {
	i := slices.IndexFunc(builtins, func(h builtin) bool { return name != "" && (h.name == name || h.alias == name) })
	if i < 0 {
		return nil
	}
	return &builtins[i]
}

// builtinNames returns the names of all built-in hooks, aliases included.
func builtinNames() (all []string) {
	for _, h := range builtins {
		all = append(all, h.name)
		if h.alias != "" {
			all = append(all, h.alias)
		}
	}
	return all
}
