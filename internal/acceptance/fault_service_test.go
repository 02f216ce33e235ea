package acceptance_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// A chain is the hooks at After of a flow, and how the host's handler runs them.
type chain struct {
	flow    flowhook.Flow
	order   []string
	run     bool // by Run; else by Complete
	issues  bool // save issues a session, before the hooks do
	names   bool // save is what sets the identity
	outbox  bool
	answers bool // the last hook answers with a redirect
}

func (p chain) String() string {
	s := string(p.flow) + " by Complete"
	if p.run {
		s = string(p.flow) + " by Run"
	}
	for _, option := range []struct {
		is  bool
		say string
	}{{p.issues, ", issuing in save"}, {p.names, ", identity set in save"}, {p.outbox, ", with an outbox"},
		{p.answers, ", answered"}} {
		if option.is {
			s += option.say
		}
	}
	return s + ": " + strings.Join(p.order, " ")
}

func (p chain) has(hook string) bool { return slices.Contains(p.order, hook) }

// A faultTest is a service with one chain on a real server. Its store, courier and hooks fail on
// demand.
type faultTest struct {
	chain
	t        *testing.T
	pipeline *flowhook.Pipeline
	store    *faultStore
	mail     *flowtest.Mailbox
	clock    *flowtest.Clock
	log      *flowtest.LogBuffer
	addr     string
	page     string // the bytes of the handler's error page
	token    string // the cookie that requests come with
	fixed    []flowhook.Session
	came     flowhook.Session // the session of the cookie

	failAt    string // the hook, or save, that goes wrong, once
	failure   failure
	again     bool // the handler tries again, in the same exchange
	cancel    context.CancelFunc
	real      http.ResponseWriter // the server's
	refused   int                 // how often the failed hooks have run
	forgotten int                 // tokens that were deleted since the courier failed
	outcome   chan outcome
}

// A failure is a way in which a hook fails after it has done its work.
type failure func(r *faultTest, x *flowhook.Exchange) error

const hostsHook, identityID = "greet", "alice"

func newFaultTest(t *testing.T, p chain) *faultTest {
	r := &faultTest{chain: p, t: t, store: &faultStore{}, mail: &flowtest.Mailbox{}, clock: flowtest.NewClock(),
		log: &flowtest.LogBuffer{}, outcome: make(chan outcome, 1)}
	var cfg flowhook.Config
	pass := func(context.Context, *flowhook.Exchange) error { return nil }
	cfg.Add(flowtest.At(p.flow, flowhook.Before, flowhook.FlowWide), "begin", flowhook.HookFunc(pass))
	cfg.Add(flowtest.At(p.flow, flowhook.BeforePersist, flowhook.Password), "gate", flowhook.HookFunc(pass))
	for i, name := range p.order {
		var hook flowhook.Hook
		if name == hostsHook {
			hook = flowhook.HookFunc(r.greet)
		}
		strategy := flowhook.Password
		if i >= 2 {
			strategy = flowhook.FlowWide
		}
		cfg.Add(flowtest.At(p.flow, flowhook.After, strategy), name, hook)
	}
	cfg.Add(flowtest.At(p.flow, flowhook.Failed, flowhook.FlowWide), "count",
		flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
			r.refused++
			return nil
		}))
	var err error
	r.pipeline, err = flowhook.New(&cfg, flowhook.Options{Store: r.store, Courier: flowtest.CourierFunc(r.send),
		Outbox: p.outbox,
		Flows:  []flowhook.Flow{"invitation"}, Secrets: []string{"a-secret-for-the-tests"},
		VerificationURL: "https://auth.example/verify",
		Now:             r.clock.Now, Logger: slog.New(slog.NewTextHandler(r.log, nil)), Wrap: r.wrap})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(r.log, nil), slog.LevelError)
	srv.Start()
	t.Cleanup(srv.Close)
	r.addr = srv.Listener.Addr().String()
	r.page = r.request("/page")
	require.Contains(t, r.page, flowtest.ErrorPage)
	r.makeSessions()
	return r
}

// makeSessions makes the sessions that are stored before a request, of the user and of another one.
// One of them is in a cookie.
func (r *faultTest) makeSessions() {
	r.store.clear()
	var err error
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: identityID}}
	r.token, err = r.pipeline.Sessions().Create(r.t.Context(), x)
	require.NoError(r.t, err)
	r.came = *x.Session
	r.fixed = []flowhook.Session{r.came}
	for _, id := range []string{"old-1", "old-2", "another's"} {
		s := r.came
		s.ID = id
		if id == "another's" {
			s.IdentityID = "bob"
		}
		r.fixed = append(r.fixed, s)
	}
}

// seed resets the store to its content before a request.
func (r *faultTest) seed() contents {
	r.store.clear()
	r.mail.Take()
	r.failAt, r.again, r.refused, r.forgotten = "", false, 0, 0
	ctx := r.t.Context()
	for _, s := range r.fixed {
		require.NoError(r.t, r.store.CreateSession(ctx, s))
	}
	hash := strings.Repeat("h", 32)
	created, err := r.store.CreateToken(ctx, flowhook.Token{
		Hash: []byte(hash), Purpose: flowhook.PurposeVerification, IdentityID: "bob",
		Address: flowhook.Address{Via: "email", Value: "bob@example.org"}, IssuedAt: r.came.IssuedAt,
		ExpiresAt: r.came.ExpiresAt}, r.came.IssuedAt)
	require.NoError(r.t, err)
	require.True(r.t, created)
	require.NoError(r.t, r.store.SaveUser(ctx, flowtest.User{ID: identityID, Name: "as it was"}))
	r.store.arm(-1, "")
	return r.contents()
}

func (r *faultTest) contents() contents {
	c, err := r.store.contents(r.clock.Now())
	require.NoError(r.t, err)
	return c
}

// send is the courier. Its outbox is the host's own table.
func (r *faultTest) send(ctx context.Context, m flowhook.Message) error {
	return r.store.call("Send", func(fault) error {
		if r.outbox {
			return r.store.UserStore.SaveUser(ctx, flowtest.User{ID: "mail " + m.Link, Email: m.To})
		}
		return r.mail.Send(ctx, m)
	})
}

// greet is the host's own hook. It writes to the host's table and changes everything in the
// exchange that it can reach.
func (r *faultTest) greet(ctx context.Context, x *flowhook.Exchange) error {
	if err := r.store.SaveUser(ctx, flowtest.User{ID: "greeting for " + x.Identity.ID, Name: "hello"}); err != nil {
		return err
	}
	h := x.Writer.Header()
	h.Set("Location", "https://elsewhere.example/")
	h.Set("X-Host", "changed")
	h.Del("Vary")
	h.Add("Set-Cookie", "greeting=1")
	x.Identity.Addresses[2].Value = "changed@example.org"
	x.Identity.Addresses = append(x.Identity.Addresses,
		flowhook.Address{Via: "email", Value: "added@example.org", Verified: true})
	x.Err = errors.New("changed")
	return nil
}

// wrap is Options.Wrap.
func (r *faultTest) wrap(_ flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
	return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		r.store.running(name)
		defer r.store.running("")
		if err := next.Run(ctx, x); err != nil {
			return err
		}
		if went, err := r.fail(name, x); went {
			return err
		}
		if r.answers && name == r.order[len(r.order)-1] {
			x.Writer.WriteHeader(http.StatusSeeOther)
		}
		return nil
	})
}

func (r *faultTest) fail(name string, x *flowhook.Exchange) (went bool, err error) {
	if r.failAt != name {
		return false, nil
	}
	r.failAt = ""
	return true, r.failure(r, x)
}

// save is the host's save function.
func (r *faultTest) save(ctx context.Context, x *flowhook.Exchange) error {
	r.store.running("save")
	defer r.store.running("")
	if err := r.store.SaveUser(ctx, flowtest.User{ID: identityID, Name: "saved"}); err != nil {
		return err
	}
	if r.names {
		x.Identity = newIdentity()
	}
	if r.issues {
		if err := r.pipeline.Sessions().Issue(ctx, x); err != nil {
			return err
		}
	}
	x.Writer.Header().Set("X-Save", "staged")
	r.real.Header().Set("X-Behind", "the stage")
	_, err := r.fail("save", x)
	return err
}

func newIdentity() *flowhook.Identity {
	return &flowhook.Identity{ID: identityID, Data: "the host's", Addresses: []flowhook.Address{
		{Via: "email", Value: "first@example.org"}, {Via: "email", Value: "second@example.org"},
		{Via: "email", Value: "third@example.org", Verified: true}}}
}
