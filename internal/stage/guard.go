package stage

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

var errShut = errors.New("flowhook: write while hooks run; " +
	"a hook must write to x.Writer, and the handler after Run or Complete has returned")

// A Guard stops a handler from writing to its ResponseWriter while hooks run. While it is shut,
// nothing reaches the client through the writers that it guards. The zero Guard is open. A nil
// *Guard guards no writers. All methods except Writer are safe for concurrent use.
type Guard struct {
	first   guarded
	shut    atomic.Bool
	refused atomic.Bool
	begun   atomic.Bool

	mu     sync.Mutex  // guards what follows
	header http.Header // the real header; nil until Header is called
	before http.Header // a copy of header from when the guard was shut
}

// Writer returns a writer that the guard controls and that writes to w.
func (g *Guard) Writer(w http.ResponseWriter) http.ResponseWriter {
	switch {
	case g.Guards(w):
		return w
	case g.first.guard == nil: // saves an allocation
		g.first = guarded{w, g}
		return &g.first
	}
	return &guarded{w, g}
}

// Guards reports whether w is a writer that Writer returned.
func (g *Guard) Guards(w http.ResponseWriter) bool {
	own, ok := w.(*guarded)
	return ok && own.guard == g
}

// Shut makes every write fail until Open is called.
func (g *Guard) Shut() {
	if g == nil {
		return
	}
	g.mu.Lock()
	g.before = Copy(g.header)
	g.mu.Unlock()
	g.refused.Store(false)
	g.shut.Store(true)
}

// Open lets writes through again.
func (g *Guard) Open() {
	if g != nil {
		g.shut.Store(false)
	}
}

// Restore undoes all changes to the header since Shut was called.
func (g *Guard) Restore() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.header != nil {
		Restore(g.header, g.before)
	}
}

// Refused reports whether the guard has refused a write since Shut was last called.
func (g *Guard) Refused() bool { return g != nil && g.refused.Load() }

// Begun reports whether the final status was sent or the connection was hijacked. After that,
// changes to the header have no effect.
func (g *Guard) Begun() bool { return g != nil && g.begun.Load() }

// A guarded writer implements Flusher and Hijacker itself. Otherwise http.ResponseController would
// find those of the real writer through Unwrap, as it does for its other methods.
type guarded struct {
	http.ResponseWriter
	guard *Guard
}

func (w *guarded) Header() http.Header {
	g, header := w.guard, w.ResponseWriter.Header()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.header == nil {
		if g.header = header; g.shut.Load() {
			g.before = Copy(header) // otherwise Shut does it
		}
	}
	return header
}

func (w *guarded) WriteHeader(status int) {
	if w.shut() {
		return
	}
	w.ResponseWriter.WriteHeader(status) // may panic
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.guard.begun.Store(true)
	}
}

func (w *guarded) Write(b []byte) (int, error) {
	if w.shut() {
		return 0, errShut
	}
	w.guard.begun.Store(true)
	return w.ResponseWriter.Write(b)
}

func (w *guarded) Flush() { _ = w.FlushError() }

func (w *guarded) FlushError() error {
	if w.shut() {
		return errShut
	}
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		w.guard.begun.Store(true)
	}
	return err
}

func (w *guarded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.shut() {
		return nil, nil, errShut
	}
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.guard.begun.Store(true)
	}
	return conn, buffered, err
}

func (w *guarded) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// shut reports whether the guard refuses a write, and notes it.
func (w *guarded) shut() bool {
	if !w.guard.shut.Load() {
		return false
	}
	w.guard.refused.Store(true)
	return true
}
