package webhook

import "sync"

// A registry knows the hook for the name in a delivery: that of the current configuration. Its zero
// value is empty. It is safe for concurrent use.
type registry struct {
	mu    sync.RWMutex
	hooks map[string]*hook
}

// put adds a hook. It replaces an earlier one of its name.
func (r *registry) put(h *hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hooks == nil {
		r.hooks = map[string]*hook{}
	}
	r.hooks[h.name] = h
}

// find returns the hook of a delivery, or nil.
func (r *registry) find(name string) *hook {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.hooks[name]
}
