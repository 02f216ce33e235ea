package flowhook_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

const revokeYAML = "selfservice: {login: {after: [{hook: revoke_active_sessions}]}}\n"

// bearer stores and returns a session without a cookie, as a service with bearer tokens does.
func bearer(ctx context.Context, t *testing.T, d *flowtest.SessionTest, identityID, id string) *flowhook.Session {
	t.Helper()
	s := flowhook.Session{ID: id, IdentityID: identityID, ExpiresAt: d.Clock.Now().AddDate(0, 0, 1)}
	require.NoError(t, d.Store.CreateSession(ctx, s))
	return &s
}

func TestRevoke_LoginWithoutSession(t *testing.T) {
	const problem = "issue the session in save, or set x.Session"
	alive := func(d *flowtest.SessionTest, id string) bool {
		_, err := d.Store.Store.FindSession(t.Context(), id)
		return err == nil
	}

	t.Run("bearer token missing in x.Session", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		_, old := d.SignIn("alice")
		v := flowtest.NewVisitor("alice")
		err := d.CompleteLogin(v, func(ctx context.Context) error { bearer(ctx, t, d, "alice", "own"); return nil })
		require.ErrorContains(t, err, problem)
		var hook *flowhook.HookError
		require.ErrorAs(t, err, &hook)
		require.Equal(t, "revoke_active_sessions", hook.Name)
		require.Equal(t, flowhook.Position{Line: 1, Column: 38}, hook.Position)
		require.True(t, alive(d, old.ID), "the transaction must be rolled back")
		require.False(t, alive(d, "own"))
		require.Nil(t, v.Session)
	})

	t.Run("own_bearer_token_in_x_Session", func(t *testing.T) {
		for _, identityID := range []string{"alice", ""} {
			d := flowtest.NewSessionTest(t, revokeYAML)
			_, old := d.SignIn("alice")
			v := flowtest.NewVisitor("alice")
			require.NoError(t, d.CompleteLogin(v, func(ctx context.Context) error {
				bearer(ctx, t, d, "alice", "own")
				v.Session = &flowhook.Session{ID: "own", IdentityID: identityID}
				return nil
			}))
			require.False(t, alive(d, old.ID))
			require.True(t, alive(d, "own"), "the session in use must not be revoked")
		}
	})

	t.Run("session_of_another_identity_in_x_Session", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		_, theirs := d.SignIn("bob")
		v := flowtest.NewVisitor("alice")
		v.Session = &theirs
		err := d.CompleteLogin(v, nil)
		require.ErrorContains(t, err, problem)
		require.ErrorContains(t, err, "x.Session is of another identity")
		require.True(t, alive(d, theirs.ID))
	})

	t.Run("x_Session_without_an_ID", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		_, old := d.SignIn("alice")
		v := flowtest.NewVisitor("alice")
		v.Session = &flowhook.Session{IdentityID: "alice"}
		err := d.CompleteLogin(v, nil)
		require.ErrorContains(t, err, problem)
		require.ErrorContains(t, err, "x.Session has no ID")
		require.True(t, alive(d, old.ID))
	})

	t.Run("x_Session_that_the_store_does_not_know", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		_, old := d.SignIn("alice")
		v := flowtest.NewVisitor("alice")
		v.Session = &flowhook.Session{ID: "unknown", IdentityID: "alice"}
		err := d.CompleteLogin(v, nil)
		require.ErrorIs(t, err, flowhook.ErrNotFound)
		require.ErrorContains(t, err, "save must store it with its ctx")
		require.True(t, alive(d, old.ID))
	})

	t.Run("revoke_before_session", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: revoke_active_sessions}, {hook: session}]}}\n")
		_, old := d.SignIn("alice")
		v := flowtest.NewVisitor("alice")
		require.NoError(t, d.CompleteLogin(v, nil))
		require.False(t, alive(d, old.ID))
		require.True(t, alive(d, v.Session.ID))
	})

	t.Run("redirect_before_session", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: revoke_active_sessions}, {hook: redirect, config: {to: /}}, {hook: session}]}}\n")
		err := d.CompleteLogin(flowtest.NewVisitor("alice"), nil)
		require.ErrorContains(t, err, problem)
		require.ErrorContains(t, err, "hook revoke_active_sessions", "not the last one that ran")
	})

	t.Run("Options_Issue_that_does_not_set_x_Session", func(t *testing.T) {
		for _, sets := range []bool{true, false} {
			var d *flowtest.SessionTest
			d = flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: session}, {hook: revoke_active_sessions}]}}\n", func(made *flowtest.SessionTest) {
				made.Options.Issue = func(ctx context.Context, x *flowhook.Exchange) error {
					if s := bearer(ctx, t, d, "alice", "own"); sets {
						x.Session = s
					}
					return nil
				}
			})
			err := d.CompleteLogin(flowtest.NewVisitor("alice"), nil)
			require.Equal(t, sets, alive(d, "own"))
			if sets {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "Options.Issue must set it, too")
			}
		}
	})

	t.Run("identity_that_save_sets", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		v := flowtest.NewVisitor("")
		require.ErrorContains(t, d.CompleteLogin(v, func(context.Context) error {
			v.Identity = &flowhook.Identity{ID: "alice"}
			return nil
		}), problem)
		require.Nil(t, v.Identity)
	})

	t.Run("Run_allows_it", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		_, old := d.SignIn("alice")
		v := flowtest.NewVisitor("alice")
		ctx := flowhook.NewContext(t.Context(), v.Exchange)
		_, err := d.Pipeline.Run(ctx, flowhook.Login, flowhook.After, flowhook.Password)
		require.NoError(t, err)
		require.False(t, alive(d, old.ID))
		require.NoError(t, d.Issue(ctx, v.Exchange), "Run must allow a session issued later")
	})

	t.Run("recovery_and_settings_allow_it", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {recovery: {after: [{hook: revoke_active_sessions}]}, settings: {after: [{hook: revoke_active_sessions}]}}\n")
		for _, flow := range []flowhook.Flow{flowhook.Recovery, flowhook.Settings} {
			_, old := d.SignIn("alice")
			v := flowtest.NewVisitor("alice")
			_, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flow, flowhook.Link, nil)
			require.NoError(t, err)
			require.False(t, alive(d, old.ID))
		}
	})

	t.Run("no_identity", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, revokeYAML)
		_, old := d.SignIn("alice")
		d.Store.Take()
		for _, who := range []*flowhook.Identity{nil, {}} {
			v := flowtest.NewVisitor("")
			v.Identity = who
			require.ErrorIs(t, d.CompleteLogin(v, nil), flowhook.ErrNoIdentity)
			require.Empty(t, d.Store.Take(), "the store was asked to delete sessions of an empty identity")
		}
		require.True(t, alive(d, old.ID))
	})
}

// A login that would revoke its own bearer token is an error.
func TestRevoke_BearerTokenOverHTTP(t *testing.T) {
	for _, names := range []bool{false, true} {
		d := flowtest.NewSessionTest(t, revokeYAML)
		mux := http.NewServeMux()
		mux.Handle("/login", d.Pipeline.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request) {
			x := flowhook.MustFromContext(r.Context())
			x.Identity = &flowhook.Identity{ID: "alice"}
			_, err := d.Pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password,
				func(ctx context.Context) error {
					if s := bearer(ctx, t, d, "alice", "token"); names {
						x.Session = s
					}
					return nil
				})
			if err != nil {
				http.Error(w, flowtest.ErrorPage, http.StatusInternalServerError)
				return
			}
			io.WriteString(w, "token")
		})))
		mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
			if _, err := d.Store.FindSession(r.Context(), r.Header.Get("Authorization")); err != nil {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		srv := httptest.NewServer(mux)
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		client := &http.Client{Jar: jar}
		res, err := client.Post(srv.URL+"/login", "", nil)
		require.NoError(t, err)
		token, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		if !names {
			require.Equal(t, http.StatusInternalServerError, res.StatusCode)
			srv.Close()
			continue
		}
		require.Equal(t, http.StatusOK, res.StatusCode)
		r, err := http.NewRequest(http.MethodGet, srv.URL+"/me", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", string(token))
		res, err = client.Do(r)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, http.StatusOK, res.StatusCode)
		srv.Close()
	}
}

// A browser is signed in as another user. That user's session is ended, and does not count as the
// one to spare.
func TestRevoke_AccountSwitch(t *testing.T) {
	h := flowtest.NewService(t, "selfservice: {login: {after: [{hook: revoke_active_sessions}, {hook: session}]}}",
		flowtest.WithUsers(flowtest.Alice, flowtest.Bob))
	shared, phone := h.Browser(), h.Browser()
	shared.PostPath("/login/password", "user", "bob")
	phone.PostPath("/login/password", "user", "alice")
	bobs, err := h.Pipeline.Sessions().FromRequest(withCookies(shared))
	require.NoError(t, err)

	r := withCookies(shared)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: r, Identity: flowtest.Alice.Identity(),
		Session: bobs}
	_, err = h.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, "alice", x.Session.IdentityID)
	require.Equal(t, "anonymous", phone.WhoAmI())
	require.Equal(t, "anonymous", shared.WhoAmI(), "the other user's session must end")
}

// withCookies returns a request with a browser's cookies.
func withCookies(b *flowtest.Browser) *http.Request {
	r := flowtest.NewRequest()
	for name, value := range b.Cookies() {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// A brokenRevoker is a store that cannot delete sessions.
type brokenRevoker struct {
	*memstore.Store
}

func (brokenRevoker) DeleteSessions(context.Context, string, string) error {
	return flowtest.ErrStoreDown
}

func TestRevoke_StoreFails(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {settings: {after: [{hook: revoke_active_sessions}]}}"),
		flowhook.Options{Store: brokenRevoker{memstore.New()}})
	require.NoError(t, err)
	x := &flowhook.Exchange{Request: flowtest.NewRequest(), Identity: &flowhook.Identity{ID: "alice"}}
	_, err = p.Run(flowhook.NewContext(t.Context(), x), flowhook.Settings, flowhook.After, flowhook.Password)
	require.ErrorIs(t, err, flowtest.ErrStoreDown)
}
