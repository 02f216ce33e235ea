package acceptance_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// seen is the part of a response that is the same for equal requests.
func seen(t *testing.T, srv *httptest.Server, name string) (http.Header, string) {
	t.Helper()
	res, err := http.Get(srv.URL + "/?user=" + name)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Header.Del("Date")
	return res.Header, res.Status + " " + string(body)
}

func provesEnumeration(t *testing.T) {
	const rule = "enumeration"
	srv := claimed(t, rule, "selfservice: {registration: {after: [{hook: session}]}}",
		flowtest.WithUsers(flowtest.Alice)).DiscreetServer()
	taken, page := seen(t, srv, "alice")
	free, samePage := seen(t, srv, "carol")
	assert.Equal(t, page, samePage, "the pages must be the same")
	assert.Empty(t, taken["Set-Cookie"])
	assert.Len(t, free["Set-Cookie"], 1)

	h := mended(t, rule, "selfservice: {registration: {after: [{hook: verify}]}}", flowtest.WithUsers(flowtest.Alice))
	srv = h.DiscreetServer()
	taken, page = seen(t, srv, "alice")
	free, samePage = seen(t, srv, "carol")
	assert.Equal(t, page, samePage)
	assert.Equal(t, taken, free)
	assert.Len(t, h.Mail.Take(), 1, "only the email must differ")

	cfg, err := flowhook.ParseConfig([]byte("security: {account_enumeration: {mitigate: true}}\nselfservice: {registration: {after: [{hook: session}]}}"))
	require.NoError(t, err)
	_, err = flowhook.New(cfg, flowtest.AnyOptions())
	assert.ErrorContains(t, err, "the address was already taken, and security.account_enumeration.mitigate asks for the opposite")
}

// A lockStore reports when a transaction is requested.
type lockStore struct {
	*flowtest.UserStore
	by chan string // the identity's ID
}

func (a lockStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	if ctx.Value(flowtest.PendingUsersKey{}) == nil {
		a.by <- id
	}
	return a.UserStore.Transaction(ctx, id, fn)
}

func provesSlowLock(t *testing.T) {
	const rule = "slow-lock"
	for _, row := range []struct {
		entry string
		locks bool
	}{{"{hook: slow}", true}, {"{hook: slow, phase: before_persist}", false}} {
		tr, by := &trail{}, make(chan string, 8)
		entered, release := make(chan bool), make(chan bool)
		start := mended
		if row.locks {
			start = claimed
		}
		h := start(t, rule, "selfservice: {recovery: {after: ["+row.entry+", {hook: revoke_active_sessions}]}}",
			func(h *flowtest.Service, o *flowhook.Options) {
				o.Store = lockStore{h.Store, by}
				o.Hooks = map[string]flowhook.HookFactory{"slow": func(flowhook.Point, func(any) error) (flowhook.Hook,
					error) {
					return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
						entered <- true
						<-release
						tr.leave("the slow hook is done")
						return nil
					}), nil
				}}
			})
		save := func(flow flowhook.Flow, who string) chan error {
			done := make(chan error, 1)
			go func() {
				x := flowtest.NewVisitor(who).Exchange
				_, err := h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flow, flowhook.Password,
					func(context.Context) error {
						tr.leave(string(flow) + " of " + who + " is saved")
						return nil
					})
				done <- err
			}()
			return done
		}
		login := save(flowhook.Recovery, "alice")
		<-entered
		if row.locks {
			require.Equal(t, "alice", <-by)
		}
		settings := save(flowhook.Settings, "alice")
		require.Equal(t, "alice", <-by)
		require.NoError(t, <-save(flowhook.Settings, "bob"), "another user must not wait")
		if row.locks {
			assert.Equal(t, []string{"recovery of alice is saved", "settings of bob is saved"}, tr.take())
			close(release)
			require.NoError(t, <-login)
			require.NoError(t, <-settings)
			assert.Equal(t, []string{"the slow hook is done", "settings of alice is saved"}, tr.take(),
				"the login must wait")
			continue
		}
		require.NoError(t, <-settings, "the user must not be delayed")
		got := tr.take()
		slices.Sort(got)
		assert.Equal(t, []string{"settings of alice is saved", "settings of bob is saved"}, got)
		close(release)
		require.NoError(t, <-login)
	}
}

func provesSignsOut(t *testing.T) {
	d := flowtest.NewSessionTest(t, "selfservice: {settings: {after: [{hook: revoke_active_sessions}]}}")
	require.True(t, flowtest.HasFinding(d.Pipeline, "signs-out"), "only the handler can avoid the finding")
	for _, handlerSets := range []bool{false, true} {
		other, _ := d.SignIn("alice")
		cookie, session := d.SignIn("alice")
		v := flowtest.NewVisitor("alice", cookie)
		if handlerSets {
			v.Session = &session
		}
		_, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Settings,
			flowhook.Password, nil)
		require.NoError(t, err)
		assert.Equal(t, handlerSets, d.IdentityOf(cookie) == "alice", "the session in use must end")
		assert.Empty(t, d.IdentityOf(other), "the user's other session must end")
	}
}

func provesLongTimeout(t *testing.T) {
	const rule = "long-timeout"
	for _, row := range []struct {
		timeout string
		least   time.Duration // that the hook has, when it looks
		most    time.Duration
		start   func(*testing.T, string, string, ...change) *flowtest.Service
	}{{"30s", 5 * time.Second, 10 * time.Second, claimed}, {"3s", time.Second, 3 * time.Second, mended}} {
		var has time.Duration
		h := row.start(t, rule, "selfservice: {login: {failed: [{hook: looks, timeout: "+row.timeout+"}]}}",
			func(_ *flowtest.Service, o *flowhook.Options) {
				o.Hooks = map[string]flowhook.HookFactory{"looks": func(flowhook.Point, func(any) error) (flowhook.Hook,
					error) {
					return flowhook.HookFunc(func(ctx context.Context, _ *flowhook.Exchange) error {
						until, _ := ctx.Deadline()
						has = time.Until(until)
						return nil
					}), nil
				}}
			})
		x := flowtest.NewVisitor("alice").Exchange
		_, err := h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password,
			func(context.Context) error { return flowtest.ErrRefused })
		require.ErrorIs(t, err, flowtest.ErrRefused)
		assert.Greater(t, has, row.least, row.timeout)
		assert.LessOrEqual(t, has, row.most, row.timeout)
	}
}

func provesAgain(t *testing.T) {
	const rule = "again"
	login := func(text string, found bool) (calls []string) {
		d := flowtest.NewSessionTest(t, text)
		require.Equal(t, found, flowtest.HasFinding(d.Pipeline, rule))
		v := flowtest.NewVisitor("alice")
		require.NoError(t, d.CompleteLogin(v, nil))
		assert.Len(t, flowtest.SetCookies(v), 1)
		for _, c := range d.Store.Take() {
			calls = append(calls, strings.Fields(c)[0])
		}
		return calls
	}
	want := []string{"CreateSession", "DeleteSessions"}
	assert.Equal(t, want, login("selfservice: {login: {after: {password: [{hook: session}, {hook: revoke_active_sessions}], hooks: [{hook: session}]}}}", true))
	assert.Equal(t, want, login("selfservice: {login: {after: {password: [{hook: session}, {hook: revoke_active_sessions}]}}}", false))

	var old flowhook.Session
	var lives []bool
	d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: look}, {hook: revoke_active_sessions}, {hook: look}, {hook: revoke_active_sessions}, {hook: look}]}}", func(d *flowtest.SessionTest) {
		d.Options.Hooks = map[string]flowhook.HookFactory{"look": func(flowhook.Point,
			func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(func(ctx context.Context, _ *flowhook.Exchange) error {
				_, err := d.Store.Store.FindSession(ctx, old.ID)
				lives = append(lives, err == nil)
				return nil
			}), nil
		}}
	})
	require.True(t, flowtest.HasFinding(d.Pipeline, rule))
	_, old = d.SignIn("alice")
	v := flowtest.NewVisitor("alice")
	require.NoError(t, d.CompleteLogin(v, func(ctx context.Context) error { return d.Issue(ctx, v.Exchange) }))
	assert.Equal(t, []bool{true, false, false}, lives, "the second hook must have nothing left to revoke")
}
