package webhook

import "sync"

// A registry knows the hook for the name in a delivery. Its zero value is empty. It is safe for
// concurrent use.
type registry struct {
	mu    sync.RWMutex
	hooks map[string]*registered
}

type registered struct {
	hook *hook
	ran  bool
}

// made adds a hook that was made. It may belong to a file that is only checked, so that it does not
// replace one that has run.
func (r *registry) made(h *hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hooks == nil {
		r.hooks = map[string]*registered{}
	}
	if old := r.hooks[h.name]; old == nil || !old.ran {
		r.hooks[h.name] = &registered{hook: h}
	}
}

// ran adds a hook that runs. It replaces every other one of its name.
func (r *registry) ran(h *hook) {
	r.mu.RLock()
	old := r.hooks[h.name]
	current := old != nil && old.ran && old.hook == h
	r.mu.RUnlock()
	if current {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks[h.name] = &registered{h, true}
}

// find returns the hook of a delivery, or nil.
func (r *registry) find(name string) *hook {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if found := r.hooks[name]; found != nil {
		return found.hook
	}
	return nil
}
