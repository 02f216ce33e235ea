package flowhook

import (
	"log/slog"
	"net/http"
	"time"
)

// A Pipeline is all chains of a configuration, ready to run. It is made by [New], never changes, and is safe for
// concurrent use.
type Pipeline struct {
	chains   map[Point]*chain // every point that is declared, also those without hooks
	store    Store            // may be nil
	sessions *Sessions
	verify   VerificationStore // may be nil
	log      *slog.Logger
	now      func() time.Time
	onError  func(w http.ResponseWriter, r *http.Request, err error)
}

// A chain is the hooks of one point in the order they run: the strategy's, then the flow-wide ones.
type chain struct {
	hooks  []hook
	own    int  // how many of them are the strategy's own; the rest is flow-wide
	writes bool // there is one that is not a redirect: at After, it runs in a transaction
}

// A hook is a configured hook with what an error says of it.
type hook struct {
	Hook          // wrapped by Options.Wrap
	name string   // as in the file
	pos  Position // where it is configured; zero if unknown
}
