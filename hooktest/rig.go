package hooktest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// A Rig is a pipeline with a store, a courier and a clock for tests. It keeps them from one run to the next, so that a
// test can sign in twice, or a day later. It is made by [New] or [NewWith] and safe for concurrent use, by one exchange
// at a time each.
type Rig struct {
	Pipeline *flowhook.Pipeline
	Store    flowhook.Store // Options.Store; without one a new memstore
	Clock    *Clock         // nil: Options.Now was set

	t   testing.TB
	now func() time.Time
	log *logbook

	mu   sync.Mutex
	seen []string // the IDs of the sessions that exchanges had
}

// New makes a rig with the configuration of a file. What is wrong with it, or with opts, ends the test. A store, a courier
// and a clock are filled in where opts have none, and a secret and a VerificationURL where the file has none either. A
// Courier and a Wrap that opts have are called as well. The pipeline logs to t, unless opts have a Logger.
func New(t testing.TB, path string, opts flowhook.Options) *Rig {
	t.Helper()
	return NewWith(t, load(t, path), opts)
}

// NewWith is [New] with a configuration that the test made. Nil has no hooks.
func NewWith(t testing.TB, cfg *flowhook.Config, opts flowhook.Options) *Rig {
	t.Helper()
	r := &Rig{t: t, log: &logbook{t: t}}
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
	opts.Courier = courier{opts.Courier}
	opts, _ = fill(cfg, opts)
	opts = withSecrets(cfg, opts)
	opts.Wrap = r.wrap(opts.Wrap)
	r.Store, r.now = opts.Store, opts.Now

	var err error
	if r.Pipeline, err = flowhook.New(cfg, opts); err != nil {
		t.Fatal(err)
	}
	return r
}

// withSecrets adds a secret, also where no hook needs it but save may, unless there is one.
func withSecrets(cfg *flowhook.Config, opts flowhook.Options) flowhook.Options {
	if len(opts.Secrets) > 0 {
		return opts
	}
	with := opts
	with.Secrets = []string{newSecret()}
	probe := with
	probe.Accept = nil // it may have the rule
	if slices.ContainsFunc(cfg.Check(probe), func(f flowhook.Finding) bool { return f.Rule == "unused-secrets" }) {
		return opts // the file has some
	}
	return with
}

// A wrap is Options.Wrap.
type wrap = func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook

// wrap notes which hooks run, around the Wrap of the options.
func (r *Rig) wrap(own wrap) wrap {
	return func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		if own != nil {
			next = own(p, name, next)
		}
		if f, ok := next.(flowhook.HookFunc); next == nil || ok && f == nil {
			return nil // New says so
		}
		return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
			rec := recordOf(ctx)
			rec.concerns(x)
			rec.hook(HookRun{Point: p, Name: name})
			err := next.Run(ctx, x)
			r.note(x)
			return err
		})
	}
}

// note takes down the session that an exchange has.
func (r *Rig) note(x *flowhook.Exchange) {
	if x.Session == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.seen, x.Session.ID) {
		r.seen = append(r.seen, x.Session.ID)
	}
}

// Sessions gives the live sessions of an identity in the store, the oldest first: those among the sessions that were in an
// exchange of this rig, as every session is that flowhook issues. Without a [flowhook.SessionStore] there are none.
func (r *Rig) Sessions(identityID string) []flowhook.Session {
	r.t.Helper()
	store, ok := r.Store.(flowhook.SessionStore)
	if !ok {
		return nil
	}
	r.mu.Lock()
	seen := slices.Clone(r.seen)
	r.mu.Unlock()
	var live []flowhook.Session
	for _, id := range seen {
		s, err := store.FindSession(context.Background(), id)
		switch {
		case errors.Is(err, flowhook.ErrNotFound):
		case err != nil:
			r.t.Errorf("hooktest: looking for sessions: %v", err)
		case s.IdentityID == identityID && r.now().Before(s.ExpiresAt):
			live = append(live, s)
		}
	}
	slices.SortStableFunc(live, func(a, b flowhook.Session) int { return a.IssuedAt.Compare(b.IssuedAt) })
	return live
}

// signedIn gives the session that cookies stand for, as the next request would have it; nil if there is none.
func (r *Rig) signedIn(cookies []*http.Cookie) *flowhook.Session {
	r.t.Helper()
	next := httptest.NewRequest(http.MethodGet, "https://auth.example/", nil)
	for _, c := range cookies {
		next.AddCookie(c)
	}
	s, err := r.Pipeline.Sessions().FromRequest(next)
	if err != nil && !errors.Is(err, flowhook.ErrNoSession) && !errors.Is(err, flowhook.ErrNotConfigured) {
		r.t.Errorf("hooktest: reading the answer's session: %v", err)
	}
	return s
}

// A logbook is what the pipeline logs. It shows the lines to the test.
type logbook struct {
	t    testing.TB
	mu   sync.Mutex
	text []byte
}

// logger writes lines without the time, which is not that of the rig's clock.
func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// Write takes one line.
func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line...)
	l.t.Logf("%s", line)
	return len(line), nil
}

func (l *logbook) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

func (l *logbook) from(start int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[start:])
}
