package acceptance_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// exchangeOf returns an exchange and the context that carries it.
func exchangeOf(ctx context.Context, id string) (context.Context, *flowhook.Exchange) {
	r := flowtest.NewRequest()
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Identity: &flowhook.Identity{ID: id}}
	ctx = context.WithValue(flowhook.NewContext(ctx, x), flowtest.StampsKey{}, new([]int))
	x.Request = r.WithContext(ctx)
	return ctx, x
}

func stampsOf(ctx context.Context) []int { return *ctx.Value(flowtest.StampsKey{}).(*[]int) }

func TestReload_ExchangeKeepsItsConfig(t *testing.T) {
	opts := flowtest.StampOptions()
	p, err := flowhook.New(flowtest.Parse(t, flowtest.VersionYAML(1, flowtest.VersionSecret(1))), opts)
	require.NoError(t, err)
	sessions := p.Sessions()
	one, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(one, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)

	require.NoError(t, p.Reload(flowtest.Parse(t, flowtest.VersionYAML(2, flowtest.VersionSecret(2)))))
	handled, err := p.Complete(one, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err, "the exchange's before has run, so the new configuration must not be used")
	require.False(t, handled)
	require.Equal(t, []int{1, 1, 1, 1}, stampsOf(one))
	require.Equal(t, 3601*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
	to, err := p.ReturnURL(x.Request, flowhook.Login, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, "/version/1", to)
	token, err := sessions.Create(one, x)
	require.NoError(t, err)
	_, err = sessions.FromToken(one, token)
	require.NoError(t, err, "the exchange must use the old secrets")
	_, err = sessions.FromToken(t.Context(), token)
	require.ErrorIs(t, err, flowhook.ErrNoSession, "without an exchange, the current secrets must be used")

	two, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(two, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	_, err = p.Complete(two, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 2, 2}, stampsOf(two))
	require.Equal(t, 3602*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
}

// Any first use pins the exchange, including a read of the session or a rejected run.
func TestReload_CallsThatPinExchange(t *testing.T) {
	for name, use := range map[string]func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange){
		"FromRequest": func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) {
			p.Sessions().FromRequest(x.Request)
		},
		"FromToken": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) {
			p.Sessions().FromToken(ctx, "")
		},
		"End": func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) { p.Sessions().End(ctx, x) },
		"ReturnURL": func(p *flowhook.Pipeline, _ context.Context, x *flowhook.Exchange) {
			p.ReturnURL(x.Request, flowhook.Login, flowhook.FlowWide)
		},
		"Run": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) {
			p.Run(ctx, flowhook.Logout, flowhook.Before, flowhook.FlowWide)
		},
		"Complete, refused": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) {
			p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		},
		"nothing": func(*flowhook.Pipeline, context.Context, *flowhook.Exchange) {},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := flowhook.New(flowtest.Parse(t, flowtest.VersionYAML(1, flowtest.VersionSecret(1))),
				flowtest.StampOptions())
			require.NoError(t, err)
			ctx, x := exchangeOf(t.Context(), "alice")
			use(p, ctx, x)
			require.NoError(t, p.Reload(flowtest.Parse(t, flowtest.VersionYAML(2, flowtest.VersionSecret(2)))))
			_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			require.NoError(t, err)
			want := 1
			if name == "nothing" {
				want = 2
			}
			require.Equal(t, []int{want}, stampsOf(ctx))
		})
	}
}

func TestReload_DuringChain(t *testing.T) {
	opts := flowtest.StampOptions()
	p, err := flowhook.New(flowtest.Parse(t, flowtest.VersionYAML(1, flowtest.VersionSecret(1))), opts)
	require.NoError(t, err)
	ctx, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, func(context.Context) error {
		return p.Reload(flowtest.Parse(t, flowtest.VersionYAML(2, flowtest.VersionSecret(2))))
	})
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 1, 1}, stampsOf(ctx))
	require.Equal(t, 3601*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
}

func TestReload_BadConfigChangesNothing(t *testing.T) {
	log := &flowtest.LogBuffer{}
	opts := flowtest.StampOptions()
	opts.Logger = slog.New(slog.NewTextHandler(log, nil))
	p, err := flowhook.New(flowtest.Parse(t, flowtest.VersionYAML(1, flowtest.VersionSecret(1))), opts)
	require.NoError(t, err)
	was, logged := p.Plan().String(), log.String()
	err = p.Reload(flowtest.Parse(t, flowtest.VersionYAML(2, "short")+"\n    login2: {}\n"))
	require.Len(t, flowtest.ConfigErrors(err), 2, "%v", err)
	require.Equal(t, was, p.Plan().String())
	require.Equal(t, logged, log.String())
	ctx, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1, 1, 1}, stampsOf(ctx))
	require.Equal(t, 3601*time.Second, x.Session.ExpiresAt.Sub(x.Session.IssuedAt))
}

// A reload that adds or removes secrets configures or unconfigures sessions. The *Sessions is the
// same.
func TestReload_SecretsChange(t *testing.T) {
	opts := flowtest.StampOptions()
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	sessions := p.Sessions()
	_, err = sessions.FromToken(t.Context(), "x")
	require.ErrorIs(t, err, flowhook.ErrNotConfigured)
	require.NoError(t, p.Reload(flowtest.Parse(t, flowtest.VersionYAML(1, flowtest.VersionSecret(1)))))
	require.Same(t, sessions, p.Sessions())
	_, err = sessions.FromToken(t.Context(), "x")
	require.ErrorIs(t, err, flowhook.ErrNoSession)
	require.NoError(t, p.Reload(nil))
	_, err = sessions.FromToken(t.Context(), "x")
	require.ErrorIs(t, err, flowhook.ErrNotConfigured)
}

func TestRun_ExchangeOfAnotherPipeline(t *testing.T) {
	pipeline := func(n int) *flowhook.Pipeline {
		p, err := flowhook.New(flowtest.Parse(t, flowtest.VersionYAML(n, flowtest.VersionSecret(n))),
			flowtest.StampOptions())
		require.NoError(t, err)
		return p
	}
	first, second := pipeline(1), pipeline(2)
	use := map[string]func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) error{
		"Run": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) error {
			_, err := p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
			return err
		},
		"Complete": func(p *flowhook.Pipeline, ctx context.Context, _ *flowhook.Exchange) error {
			_, err := p.Complete(ctx, flowhook.Logout, flowhook.FlowWide, nil)
			return err
		},
		"Issue": func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) error {
			return p.Sessions().Issue(ctx, x)
		},
		"Create": func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) error {
			_, err := p.Sessions().Create(ctx, x)
			return err
		},
		"End": func(p *flowhook.Pipeline, ctx context.Context, x *flowhook.Exchange) error {
			return p.Sessions().End(ctx, x)
		},
	}
	for owns, own := range use {
		for name, f := range use {
			t.Run(name+"_after_"+owns, func(t *testing.T) {
				ctx, x := exchangeOf(t.Context(), "alice")
				require.NoError(t, own(first, ctx, x))
				stamps, header := len(stampsOf(ctx)), x.Writer.Header().Clone()
				require.ErrorIs(t, f(second, ctx, x), flowhook.ErrOtherPipeline)
				require.Len(t, stampsOf(ctx), stamps, "a hook has run")
				require.Equal(t, header, x.Writer.Header())
				require.NoError(t, f(first, ctx, x), "the exchange must still work with its owner")
			})
		}
	}

	t.Run("reading a session is allowed", func(t *testing.T) {
		ctx, x := exchangeOf(t.Context(), "alice")
		theirs, err := second.Sessions().Create(t.Context(), &flowhook.Exchange{Identity: x.Identity})
		require.NoError(t, err)
		for range 2 { // before and after the exchange has an owner
			found, err := second.Sessions().FromToken(ctx, theirs)
			require.NoError(t, err)
			require.Equal(t, "alice", found.IdentityID)
			_, err = first.Sessions().FromToken(ctx, theirs)
			require.ErrorIs(t, err, flowhook.ErrNoSession)
			require.NoError(t, use["Run"](first, ctx, x))
		}
		require.Equal(t, []int{1, 1}, stampsOf(ctx))
		require.ErrorIs(t, use["Run"](second, ctx, x), flowhook.ErrOtherPipeline)
	})

	t.Run("failed hook does not run", func(t *testing.T) {
		b := flowtest.NewRunTest(t)
		b.Add(flowtest.LoginFailed, "failed")
		require.NoError(t, use["Issue"](first, b.Context, b.Exchange))
		_, err := b.Complete(nil)
		require.ErrorIs(t, err, flowhook.ErrOtherPipeline)
		require.Empty(t, b.Ran)
	})
}

func TestReload_ConfigIsCopied(t *testing.T) {
	b := flowtest.NewRunTest(t)
	p := b.Pipeline()
	b.Add(flowtest.LoginAfter, "one")
	require.NoError(t, p.Reload(&b.Config))
	b.Add(flowtest.LoginAfter, "two")
	_, err := p.Run(b.Context, flowhook.Login, flowhook.After, flowhook.Password)
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, b.Ran)
}

// Changes to the Options after New have no effect either: Reload uses those that New got.
func TestReload_UsesOptionsOfNew(t *testing.T) {
	opts := flowtest.StampOptions()
	opts.Flows, opts.Strategies, opts.Secrets = []flowhook.Flow{"invite"}, []flowhook.Strategy{"magic"},
		[]string{flowtest.VersionSecret(0)}
	const text = "selfservice: {invite: {after: {magic: [{hook: stamp, config: {version: 1}}, {hook: session}]}}}"
	p, err := flowhook.New(flowtest.Parse(t, text), opts)
	require.NoError(t, err)
	delete(opts.Hooks, "stamp")
	opts.Flows[0], opts.Strategies[0], opts.Secrets[0] = "other", "other", flowtest.VersionSecret(9)
	require.NoError(t, p.Reload(flowtest.Parse(t, text)))

	ctx, x := exchangeOf(t.Context(), "alice")
	_, err = p.Run(ctx, "invite", flowhook.After, "magic")
	require.NoError(t, err)
	require.Equal(t, []int{1}, stampsOf(ctx))
	token, err := p.Sessions().Create(ctx, x)
	require.NoError(t, err)
	other, err := flowhook.New(nil, flowhook.Options{Store: opts.Store, Secrets: []string{flowtest.VersionSecret(0)},
		Logger: opts.Logger})
	require.NoError(t, err)
	_, err = other.Sessions().FromToken(t.Context(), token)
	require.NoError(t, err, "the token must be signed with the secret given to New")
}

// A running service calls Reload. A panic of the host's Wrap must not end it.
func TestReload_WrapPanics(t *testing.T) {
	opts := flowtest.StampOptions()
	opts.Wrap = func(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
		if name == "redirect" {
			panic("never heard of it")
		}
		return next
	}
	p, err := flowhook.New(flowtest.Parse(t, "selfservice: {login: {before: [{hook: stamp}]}}"), opts)
	require.NoError(t, err)
	was := p.Plan().String()
	err = p.Reload(flowtest.Parse(t, "selfservice: {login: {before: [{hook: redirect, config: {to: /x}}]}}"))
	require.EqualError(t, err, "1:39: selfservice.login.before[0].hook: Options.Wrap: panic: never heard of it")
	require.Equal(t, was, p.Plan().String())
}

const changedScope = " keeps its name but changes its domain or path: browsers then send the old and the new one, " +
	"and a user with two live sessions is anonymous; change session.cookie.name as well"

// TestReload_CookieScope tests that a session cookie that keeps its name must keep its domain and
// path.
func TestReload_CookieScope(t *testing.T) {
	cookie := func(settings string) string { return "session: {cookie: {" + settings + "}}" }
	const older = "cookies: {domain: example.org, path: /old}"
	// want is the position of the finding and the name of the cookie.
	for _, row := range []struct{ name, was, is, want string }{
		{"domain is added", cookie("name: sid"), cookie("name: sid, domain: example.org"), `1:39 "sid"`},
		{"domain is removed", cookie("name: sid, domain: example.org"), cookie("name: sid"), `1:26 "sid"`},
		{"another domain", cookie("domain: a.example.org"), cookie("domain: example.org"), `1:28 "session"`},
		{"another path", cookie("name: sid, domain: example.org"),
			cookie("name: sid, domain: example.org, path: /app"), `1:58 "sid"`},
		{"path is removed", cookie("domain: example.org, path: /app"), cookie("domain: example.org"),
			`1:28 "session"`},
		{"domain instead of a path", cookie("path: /app"), cookie("domain: example.org"), `1:28 "session"`},
		{"path instead of a domain", cookie("domain: example.org"), cookie("path: /app"), `1:26 "session"`},
		{"domain and secure are removed", cookie("domain: example.org"), cookie("secure: false"), `1:28 "session"`},
		{"older key", cookie("domain: example.org"), older, `1:38 "session"`},

		{"domain changes the name", "", cookie("domain: example.org"), ""},
		{"path and name change", cookie("name: sid"), cookie("name: sid2, path: /app"), ""},
		{"only the name changes", cookie("name: sid"), cookie("name: sid2"), ""},
		{"domain in another letter case", cookie("domain: example.org"), cookie("domain: Example.ORG"), ""},
		{"same values under another key", cookie("domain: example.org, path: /old"), older, ""},
		{"other settings", cookie("name: sid"), cookie("name: sid, same_site: Strict, persistent: false, secure: false"), ""},
		{"no cookie", "", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			log := &flowtest.LogBuffer{}
			opts := withoutSecrets()
			opts.Logger = slog.New(slog.NewTextHandler(log, nil))
			p, err := flowhook.New(flowtest.Parse(t, row.was+strongSecretYAML), opts)
			require.NoError(t, err)
			require.False(t, flowtest.HasFinding(p, "cookie-scope"), "New has nothing to compare")
			cfg := flowtest.Parse(t, row.is+strongSecretYAML)
			require.NoError(t, p.Reload(cfg))
			if row.want == "" {
				require.False(t, flowtest.HasFinding(p, "cookie-scope"))
				require.NotContains(t, log.String(), "cookie-scope")
				return
			}
			var found []string
			for _, f := range p.Plan().Findings() {
				if f.Rule == "cookie-scope" {
					found = append(found, f.String())
				}
			}
			position, name, _ := strings.Cut(row.want, " ")
			require.Equal(t, []string{position + ": warning: cookie-scope: the session cookie " + name +
				changedScope}, found)
			require.Contains(t, log.String(), "rule=cookie-scope")
			for _, f := range cfg.Check(opts) {
				require.NotEqual(t, "cookie-scope", f.Rule, "Check has nothing to compare")
			}
			require.NoError(t, p.Reload(cfg))
			require.False(t, flowtest.HasFinding(p, "cookie-scope"), "the second reload must not report a change")
		})
	}

	t.Run("cookie is needed before and after", func(t *testing.T) {
		for _, with := range []string{cookie("domain: a.example.org"), ""} {
			p, err := flowhook.New(flowtest.Parse(t, with), withoutSecrets())
			require.NoError(t, err)
			require.NoError(t, p.Reload(flowtest.Parse(t, cookie("domain: example.org"))))
			require.False(t, flowtest.HasFinding(p, "cookie-scope"), "without secrets, there must be no cookie")
		}
	})
}

// withoutSecrets returns options with everything that hooks need except secrets.
func withoutSecrets() flowhook.Options {
	o := flowtest.AnyOptions()
	o.Secrets = nil
	return o
}

const strongSecretYAML = "\nsecrets: {session: [" + flowtest.StrongSecret + "]}\n"
