package hooktest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/fill"
	"github.com/flowhook/flowhook/store/memstore"
)

// A Rig is a pipeline with a store, a courier and a clock for tests. It keeps them from one run to
// the next, so a test can sign in twice, or a day later. Make it with [New] or [NewWith]. A Rig is
// safe for concurrent use, if each exchange is used by one call at a time.
type Rig struct {
	Pipeline *flowhook.Pipeline
	Store    flowhook.Store // Options.Store, or a new memstore
	Clock    *Clock         // nil: Options.Now was set

	t   testing.TB
	now func() time.Time
	log *testLog

	mu         sync.Mutex
	sessionIDs []string // of the sessions that exchanges had
}

// New returns a rig with the configuration in a file. An error in the file or in opts ends the
// test.
//
// New sets the Store, the Courier and Now if opts have none, and Secrets and VerificationURL if the
// file has none either. It also calls the Courier and the Wrap of opts. The pipeline logs to t,
// unless opts have a Logger.
func New(t testing.TB, path string, opts flowhook.Options) *Rig {
	t.Helper()
	return NewWith(t, load(t, path), opts)
}

// NewWith is like [New] with a Config instead of a file. A nil Config has no hooks.
func NewWith(t testing.TB, cfg *flowhook.Config, opts flowhook.Options) *Rig {
	t.Helper()
	r := &Rig{t: t, log: &testLog{t: t}}
	if opts.Store == nil {
		opts.Store = memstore.New()
	}
	if opts.Now == nil {
		r.Clock = &Clock{}
		opts.Now = r.Clock.Now
	}
	if opts.Logger == nil {
		opts.Logger = r.log.logger()
	}
	_, needsOutbox := opts.Courier.(interface{ NeedsOutbox() })
	opts.Courier = courier{opts.Courier}
	if needsOutbox {
		opts.Courier = queueing{courier{opts.Courier}}
	}
	opts, _ = fill.Options(cfg, opts)
	opts = withSecrets(cfg, opts)
	opts.Wrap = r.wrap(opts.Wrap)
	r.Store, r.now = opts.Store, opts.Now

	var err error
	if r.Pipeline, err = flowhook.New(cfg, opts); err != nil {
		t.Fatal(err)
	}
	return r
}

// withSecrets adds a secret unless opts or the file have one. Save may need it even if no hook
// does.
func withSecrets(cfg *flowhook.Config, opts flowhook.Options) flowhook.Options {
	if len(opts.Secrets) > 0 {
		return opts
	}
	with := opts
	with.Secrets = []string{fill.Secret()}
	probe := with
	probe.Accept = nil // it could hide the finding
	unused := func(f flowhook.Finding) bool { return f.Rule == "unused-secrets" }
	if slices.ContainsFunc(cfg.Check(probe), unused) {
		return opts // the file has secrets
	}
	return with
}

// A wrap is a function for Options.Wrap.
type wrap = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook

// wrap returns a wrap that traces which hooks run. It calls inner, the Wrap of the options, first.
func (r *Rig) wrap(inner wrap) wrap {
	return func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		if inner != nil {
			next = inner(p, name, next)
		}
		if f, ok := next.(flowhook.HookFunc); next == nil || ok && f == nil {
			return nil // New reports it
		}
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			tr := traceFrom(ctx)
			tr.setExchange(x)
			tr.addHook(HookRun{Point: p, Name: name})
			err := next.Run(ctx, x)
			r.addSession(x)
			return err
		})
	}
}

// addSession remembers the session of an exchange, for Sessions.
func (r *Rig) addSession(x *flowhook.Exchange) {
	if x.Session == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.sessionIDs, x.Session.ID) {
		r.sessionIDs = append(r.sessionIDs, x.Session.ID)
	}
}

// Sessions returns the live sessions of an identity in the store, the oldest first. It finds the
// sessions that were in an exchange of this rig, as all sessions are that flowhook issues. It
// returns none if the store is not a [flowhook.SessionStore].
func (r *Rig) Sessions(identityID string) []flowhook.Session {
	r.t.Helper()
	store, ok := r.Store.(flowhook.SessionStore)
	if !ok {
		return nil
	}
	r.mu.Lock()
	ids := slices.Clone(r.sessionIDs)
	r.mu.Unlock()
	var live []flowhook.Session
	for _, id := range ids {
		s, err := store.FindSession(context.Background(), id)
		switch {
		case errors.Is(err, flowhook.ErrNotFound):
		case err != nil:
			r.t.Errorf("hooktest: finding sessions: %v", err)
		case s.IdentityID == identityID && r.now().Before(s.ExpiresAt):
			live = append(live, s)
		}
	}
	slices.SortStableFunc(live, func(a, b flowhook.Session) int { return a.IssuedAt.Compare(b.IssuedAt) })
	return live
}

// signedIn returns the session that a next request with these cookies would have, or nil.
func (r *Rig) signedIn(cookies []*http.Cookie) *flowhook.Session {
	r.t.Helper()
	next := httptest.NewRequest(http.MethodGet, "https://auth.example/", nil)
	for _, c := range cookies {
		next.AddCookie(c)
	}
	s, err := r.Pipeline.Sessions().FromRequest(next)
	if err != nil && !errors.Is(err, flowhook.ErrNoSession) && !errors.Is(err, flowhook.ErrNotConfigured) {
		r.t.Errorf("hooktest: reading the session from the response: %v", err)
	}
	return s
}
