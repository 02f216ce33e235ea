package flowhook_test

import (
	"cmp"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// watched is a store that notes what it is asked, and fails where a test wants it to.
type watched struct {
	*memstore.Store
	mu    sync.Mutex
	calls []string         // "FindSession <id>"
	fail  map[string]error // by method, or by call
}

func newWatched() *watched { return &watched{Store: memstore.New(), fail: map[string]error{}} }

func (w *watched) note(method, about string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	call := strings.TrimSpace(method + " " + about)
	w.calls = append(w.calls, call)
	return cmp.Or(w.fail[method], w.fail[call])
}

// take gives the calls since the last time, without those of Transaction.
func (w *watched) take() (calls []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if !strings.HasPrefix(c, "Transaction") {
			calls = append(calls, c)
		}
	}
	w.calls = nil
	return calls
}

func (w *watched) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if err := w.note("Transaction", id); err != nil {
		return err
	}
	return w.Store.Transaction(ctx, id, fn)
}

func (w *watched) CreateSession(ctx context.Context, s flowhook.Session) error {
	if err := w.note("CreateSession", s.ID); err != nil {
		return err
	}
	return w.Store.CreateSession(ctx, s)
}

func (w *watched) FindSession(ctx context.Context, id string) (flowhook.Session, error) {
	if err := w.note("FindSession", id); err != nil {
		return flowhook.Session{}, err
	}
	return w.Store.FindSession(ctx, id)
}

func (w *watched) DeleteSession(ctx context.Context, id string) error {
	if err := w.note("DeleteSession", id); err != nil {
		return err
	}
	return w.Store.DeleteSession(ctx, id)
}

func (w *watched) DeleteSessions(ctx context.Context, identityID, exceptID string) error {
	if err := w.note("DeleteSessions", identityID); err != nil {
		return err
	}
	return w.Store.DeleteSessions(ctx, identityID, exceptID)
}

func (w *watched) CreateVerification(ctx context.Context, v flowhook.VerificationToken, notSince time.Time) (bool, error) {
	if err := w.note("CreateVerification", ""); err != nil {
		return false, err
	}
	return w.Store.CreateVerification(ctx, v, notSince)
}

func (w *watched) ConsumeVerification(ctx context.Context, hash []byte, now time.Time) (flowhook.VerificationToken, error) {
	if err := w.note("ConsumeVerification", ""); err != nil {
		return flowhook.VerificationToken{}, err
	}
	return w.Store.ConsumeVerification(ctx, hash, now)
}

func (w *watched) DeleteVerification(ctx context.Context, hash []byte) error {
	if err := w.note("DeleteVerification", ""); err != nil {
		return err
	}
	return w.Store.DeleteVerification(ctx, hash)
}

// desk is a pipeline, with its sessions, over a store that is watched.
type desk struct {
	*flowhook.Sessions
	t        testing.TB
	pipeline *flowhook.Pipeline
	store    *watched
	clock    *clock
	mail     *mailbox
	log      *logbook
	opts     flowhook.Options
}

// newDesk makes one with a file's text. Where the text has no secrets, it gets one.
func newDesk(t testing.TB, text string, change ...func(d *desk)) *desk {
	t.Helper()
	d := &desk{t: t, store: newWatched(), clock: newClock(), mail: &mailbox{}, log: &logbook{}}
	d.opts = flowhook.Options{Store: d.store, Courier: d.mail, VerificationURL: "https://auth.example/verify", Now: d.clock.Now,
		Logger: slog.New(slog.NewTextHandler(d.log, nil))}
	for _, c := range change {
		c(d)
	}
	if !strings.Contains(text, "secrets:") && d.opts.Secrets == nil {
		text += secretYAML
	}
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	d.pipeline, err = flowhook.New(cfg, d.opts)
	require.NoError(t, err)
	d.Sessions = d.pipeline.Sessions()
	return d
}

// visitor is a request and what has become of it.
type visitor struct {
	*flowhook.Exchange
	rec *httptest.ResponseRecorder
}

// visit is a request of an identity ("": of nobody yet), with cookies in one header.
func visit(identity string, cookies ...string) visitor {
	v := visitor{&flowhook.Exchange{Request: newRequest()}, httptest.NewRecorder()}
	v.Writer = v.rec
	if identity != "" {
		v.Identity = &flowhook.Identity{ID: identity}
	}
	if len(cookies) > 0 {
		v.Request.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	return v
}

// signIn issues a session and gives the cookie, as "name=value", and the session.
func (d *desk) signIn(identity string) (cookie string, s flowhook.Session) {
	d.t.Helper()
	v := visit(identity)
	require.NoError(d.t, d.Issue(d.t.Context(), v.Exchange))
	require.Len(d.t, v.rec.Result().Cookies(), 1)
	c := v.rec.Result().Cookies()[0]
	return c.Name + "=" + c.Value, *v.Session
}

// who gives the identity that a request with these cookies is signed in as, "" for nobody.
func (d *desk) who(cookies ...string) string {
	d.t.Helper()
	s, err := d.FromRequest(visit("", cookies...).Request)
	if err != nil {
		require.ErrorIs(d.t, err, flowhook.ErrNoSession)
		require.Nil(d.t, s)
		return ""
	}
	return s.IdentityID
}

// complete is a login by password.
func (d *desk) complete(v visitor, save func(ctx context.Context) error) error {
	d.t.Helper()
	handled, err := d.pipeline.Complete(flowhook.NewContext(d.t.Context(), v.Exchange), flowhook.Login, flowhook.Password, save)
	require.False(d.t, handled)
	return err
}

func setCookies(v visitor) []string { return v.rec.Header()["Set-Cookie"] }
