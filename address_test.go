package flowhook_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
)

func email(value string, verified bool) flowhook.Address {
	return flowhook.Address{Via: "email", Value: value, Verified: verified}
}

// gateYAML has the gate where files of Ory Kratos have it.
const gateYAML = "selfservice: {flows: {login: {after: {password: {hooks: [{hook: require_verified_address}, {hook: session}]}}}}}"

func gateConfig(config string) string {
	return strings.Replace(gateYAML, "require_verified_address}", "require_verified_address, config: {"+config+"}}", 1)
}

func TestRequireVerifiedAddress(t *testing.T) {
	yes, no := email("alice@example.org", true), email("alice@example.net", false)
	for _, row := range []struct {
		name      string
		config    string
		addresses []flowhook.Address
		passes    bool
		emails    int
	}{
		{"verified", "", []flowhook.Address{yes}, true, 0},
		{"one of two", "need: any", []flowhook.Address{no, yes}, true, 0},
		{"unverified", "", []flowhook.Address{no}, false, 1},
		{"two unverified", "need: any", []flowhook.Address{no, email("alice@example.com", false)}, false, 2},
		{"all of two", "need: all", []flowhook.Address{yes, email("a@example.org", true)}, true, 0},
		{"one of two is not all", "need: all", []flowhook.Address{yes, no}, false, 1},
		{"unverified and malformed", "", []flowhook.Address{no, email("not an address", false)}, false, 1},
	} {
		for _, outbox := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				d := flowtest.NewSessionTest(t, gateConfig(row.config), func(d *flowtest.SessionTest) { d.Options.Outbox = outbox })
				login := func(accept string) (flowtest.Visitor, bool, error) {
					v := flowtest.NewVisitor("alice")
					v.Request.Header.Set("Accept", accept)
					v.Identity.Addresses = row.addresses
					handled, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password, nil)
					return v, handled, err
				}
				v, handled, err := login("text/html")
				require.NoError(t, err)
				require.Equal(t, !row.passes, handled)
				require.Len(t, d.Mail.Take(), row.emails)
				if row.passes {
					require.Len(t, flowtest.SetCookies(v), 1)
					return
				}
				require.Equal(t, http.StatusSeeOther, v.Recorder.Code)
				require.Equal(t, "https://auth.example/verify", v.Recorder.Header().Get("Location"))
				require.Empty(t, flowtest.SetCookies(v))
				require.Empty(t, d.LiveSessions("alice"))

				v, handled, err = login("application/json")
				require.False(t, handled)
				var refusal *flowhook.Refusal
				require.ErrorAs(t, err, &refusal)
				require.Equal(t, flowhook.Refuse(http.StatusForbidden, "address_not_verified",
					"Please confirm your email address first. Check your email."), refusal)
				require.Empty(t, v.Recorder.Header())
				require.Empty(t, d.LiveSessions("alice"))
				require.Empty(t, d.Mail.Take(), "one email per interval")

				d.Clock.Add(time.Minute)
				_, _, err = login("application/json")
				require.ErrorAs(t, err, &refusal)
				mails := d.Mail.Take()
				require.Len(t, mails, row.emails)
				token := flowtest.LinkToken.FindStringSubmatch(mails[0].Link)[1]
				require.NoError(t, d.Pipeline.Redeem(t.Context(), token, func(_ context.Context, t2 flowhook.Token) error {
					require.Equal(t, flowhook.PurposeVerification, t2.Purpose)
					require.Equal(t, no, t2.Address)
					require.Equal(t, 24*time.Hour, t2.ExpiresAt.Sub(t2.IssuedAt))
					return nil
				}))
			})
		}
	}
}

func TestRequireVerifiedAddress_Errors(t *testing.T) {
	complete := func(d *flowtest.SessionTest, identity *flowhook.Identity) (flowtest.Visitor, error) {
		v := flowtest.NewVisitor("")
		v.Identity = identity
		handled, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password, nil)
		require.False(t, handled)
		require.Empty(t, v.Recorder.Header())
		return v, err
	}
	unverified := &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{email("alice@example.org", false)}}

	t.Run("no addresses", func(t *testing.T) {
		_, err := complete(flowtest.NewSessionTest(t, gateYAML), &flowhook.Identity{ID: "alice"})
		require.ErrorContains(t, err, "the identity has no addresses")
		require.ErrorContains(t, err, "login/before_persist/password: hook require_verified_address (1:")
	})
	t.Run("no identity", func(t *testing.T) {
		_, err := complete(flowtest.NewSessionTest(t, gateYAML), nil)
		require.ErrorIs(t, err, flowhook.ErrNoIdentity)
		require.ErrorContains(t, err, "hook require_verified_address")
	})
	t.Run("store fails", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, gateYAML)
		d.Store.Fail = map[string]error{"CreateToken": errCause}
		_, err := complete(d, unverified)
		require.ErrorIs(t, err, errCause)
		require.Empty(t, d.Mail.Take())
	})
	t.Run("courier fails", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, gateYAML, func(d *flowtest.SessionTest) {
			d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { return errCause })
		})
		v := flowtest.NewVisitor("alice")
		v.Identity = unverified
		handled, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		require.True(t, handled, "the user still sees the page")
		require.Contains(t, d.Log.String(), "an email was not sent")
		require.Contains(t, d.Log.String(), "hook require_verified_address")
		flowtest.RequireSilent(t, d.Log.String(), "alice@example.org")
		require.Contains(t, d.Store.Take(), "DeleteToken", "the email does not count against the interval")
	})
	t.Run("outbox fails", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, gateYAML, func(d *flowtest.SessionTest) {
			d.Options.Outbox = true
			d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { return errCause })
		})
		_, err := complete(d, unverified)
		require.ErrorIs(t, err, errCause)
	})
	t.Run("no client", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, gateYAML)
		ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{Identity: unverified})
		_, err := d.Pipeline.Complete(ctx, flowhook.Login, flowhook.Password, nil)
		var refusal *flowhook.Refusal
		require.ErrorAs(t, err, &refusal)
	})
	t.Run("phase is after", func(t *testing.T) {
		text := strings.Replace(gateYAML, "require_verified_address}", "require_verified_address, phase: after}", 1)
		d := flowtest.NewSessionTest(t, text)
		require.True(t, flowtest.HasFinding(d.Pipeline, "late-gate"))
		_, err := complete(d, unverified)
		var refusal *flowhook.Refusal
		require.ErrorAs(t, err, &refusal, "a browser, too, is refused")
		require.Empty(t, d.Mail.Take())
		require.Empty(t, d.LiveSessions("alice"))
	})
}

func TestRequireVerifiedAddress_To(t *testing.T) {
	d := flowtest.NewSessionTest(t, gateConfig("to: /confirm"))
	v := flowtest.NewVisitor("alice")
	v.Identity.Addresses = []flowhook.Address{email("alice@example.org", false)}
	handled, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	require.True(t, handled)
	require.Equal(t, "/confirm", v.Recorder.Header().Get("Location"))
}

func TestAddressHooks_Config(t *testing.T) {
	at := func(flow, hook string) string {
		return "selfservice: {flows: {" + flow + ": {after: {hooks: [{" + hook + "}]}}}}"
	}
	for _, row := range []struct{ name, text, says string }{
		{"unknown need", at("login", "hook: require_verified_address, config: {need: some}"), "need: must be any, for one verified address, or all"},
		{"bad target", at("login", "hook: require_verified_address, config: {to: verify}"), "config.to: "},
		{"gate at registration", at("registration", "hook: require_verified_address"),
			`hook "require_verified_address" cannot be at registration/before_persist; it is allowed at before_persist of login, and of the host's own flows`},
		{"gate at failed", "selfservice: {flows: {login: {failed: {hooks: [{hook: require_verified_address}]}}}}", "cannot be at login/failed"},
		{"page at recovery", at("recovery", "hook: show_verification_ui"), "it is allowed at after of registration, settings, login, and"},
		{"bad page", at("login", "hook: show_verification_ui, config: {to: ''}"), ""},
		{"unknown recipients", at("settings", "hook: notify_previous_addresses, config: {recipients: none}"),
			"recipients: must be removed, all_verified or all"},
		{"notice at login", at("login", "hook: notify_previous_addresses"), "it is allowed at after of settings, and"},
		{"notice before", at("settings", "hook: notify_previous_addresses, phase: before_persist"), "cannot be at settings/before_persist"},
		{"change at after", at("settings", "hook: verify_new_address, phase: after"),
			"cannot be at settings/after; it is allowed at before_persist of settings, and"},
		{"short lifespan", at("settings", "hook: verify_new_address, config: {lifespan: 1ms}"), "lifespan: must be a duration of at least a second"},
		{"bad interval", at("settings", "hook: verify_new_address, config: {interval: -1s}"), "interval: must be a duration"},
		{"bad age", at("settings", "hook: verify_new_address, config: {within: 15}"), "within: must be a duration of at least a second"},
		{"short age", at("settings", "hook: verify_new_address, config: {within: 999ms}"), "within: must be a duration of at least a second"},
		{"unknown use", "selfservice: {flows: {recovery: {use: links}}}", "use: not link or code; write link or code"},
		{"short lifespan of recovery", "selfservice: {flows: {recovery: {lifespan: 1ms}}}", "lifespan: not a duration of at least a second"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := flowtest.Build(row.text+flowtest.SecretYAML, flowhook.Options{Store: memstore.New(), Courier: &flowtest.Mailbox{},
				VerificationURL: "https://auth.example/verify"})
			if row.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.says)
		})
	}

	t.Run("needs", func(t *testing.T) {
		for hook, want := range map[string][]string{
			"login: {after: {hooks: [{hook: require_verified_address}]}}": {
				"needs a store that implements TokenStore", "needs a URL for its links", "needs a courier"},
			"settings: {after: {hooks: [{hook: verify_new_address}]}}": {
				"needs a store that implements TokenStore", "needs a URL for its links", "needs a courier"},
			"settings: {after: {hooks: [{hook: notify_previous_addresses}]}}": {"needs a courier"},
			"login: {after: {hooks: [{hook: show_verification_ui}]}}":         {`"to" is missing: the URL of the verification page`},
			"verification: {use: code}, login: {after: {hooks: [{hook: require_verified_address}]}}": {
				"needs a store that implements TokenStore", "needs secrets", "needs a courier", `"to" is missing`},
			"verification: {use: code}, settings: {after: {hooks: [{hook: verify_new_address}]}}": {
				"needs a store that implements TokenStore", "needs a URL for its links", "needs a courier"},
		} {
			problems := flowtest.Problems(flowtest.Build("selfservice: {flows: {"+hook+"}}", flowhook.Options{}))
			require.Len(t, problems, len(want), hook)
			for i, says := range want {
				require.Contains(t, problems[i], says, hook)
			}
		}
	})
	t.Run("URL of the file", func(t *testing.T) {
		for hook, flow := range map[string]string{"require_verified_address": "login", "verify_new_address": "settings"} {
			for url, want := range map[string]int{"/verify": 1, "''": 1, "https://auth.example/verify": 0} {
				text := "selfservice: {flows: {verification: {ui_url: " + url + "}, " + flow +
					": {after: {hooks: [{hook: " + hook + "}, {hook: " + hook + "}]}}}}"
				opts := flowhook.Options{Store: memstore.New(), Courier: &flowtest.Mailbox{}}
				require.Len(t, flowtest.Problems(flowtest.Build(text, opts)), want, "%s: %s", hook, url)
				opts.VerificationURL = "https://auth.example/verify"
				require.NoError(t, flowtest.Build(text, opts), "the option replaces the URL")
			}
		}
	})
	t.Run("options", func(t *testing.T) {
		problems := flowtest.Problems(flowtest.Build("", flowhook.Options{RecoveryURL: "/recovery"}))
		require.Equal(t, []string{"Options.RecoveryURL: the URL must be an absolute http or https URL; " +
			"recovery emails link to it; write it as in https://example.org/recovery"}, problems)
	})
}

// A host that had such a hook before it was built in keeps its own.
func TestAddressHooks_HostsOwn(t *testing.T) {
	for _, name := range []string{"require_verified_address", "show_verification_ui", "notify_previous_addresses", "verify_new_address"} {
		ran := 0
		hook := flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { ran++; return nil })
		cfg := flowtest.Parse(t, "selfservice: {flows: {registration: {after: {hooks: [{hook: "+name+"}]}}}}")
		cfg.Add(flowhook.Point{Flow: flowhook.Registration, Phase: flowhook.After}, name, hook)
		p, err := flowhook.New(cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{
			name: func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return hook, nil }}})
		require.NoError(t, err)
		for point, hooks := range p.Plan().Points() {
			require.Equal(t, flowhook.After, point.Phase, "it stays where it is")
			for _, h := range hooks {
				require.True(t, h.Custom, name)
			}
		}
		_, err = p.Complete(flowhook.NewContext(t.Context(), &flowhook.Exchange{}), flowhook.Registration, flowhook.Password, nil)
		require.NoError(t, err)
		require.Equal(t, 2, ran, name)
	}
	problems := flowtest.Problems(flowtest.Build("", flowhook.Options{Hooks: map[string]flowhook.HookFactory{
		"verify": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return nil, nil }}}))
	require.Equal(t, []string{`Options.Hooks["verify"]: the name is reserved; choose another name`}, problems)
}

func TestShowVerificationUI(t *testing.T) {
	for _, flow := range []flowhook.Flow{flowhook.Registration, flowhook.Settings, flowhook.Login} {
		d := flowtest.NewSessionTest(t, "selfservice: {flows: {"+string(flow)+
			": {after: {hooks: [{hook: verify}, {hook: show_verification_ui, config: {to: /check-your-email}}]}}}}")
		run := func(verified bool) flowtest.Visitor {
			v := flowtest.NewVisitor("alice")
			v.Identity.Addresses = []flowhook.Address{email("alice@example.org", verified)}
			handled, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flow, flowhook.Password, nil)
			require.NoError(t, err)
			require.Equal(t, handled, v.Recorder.Header().Get("Location") != "")
			return v
		}
		v := run(false)
		require.Equal(t, http.StatusFound, v.Recorder.Code)
		require.Equal(t, "/check-your-email", v.Recorder.Header().Get("Location"))
		require.Empty(t, run(false).Recorder.Header().Get("Location"), "no email within the interval")
		d.Clock.Add(time.Minute)
		require.Empty(t, run(true).Recorder.Header().Get("Location"), "nothing to verify")
		require.Equal(t, "/check-your-email", run(false).Recorder.Header().Get("Location"))
	}
}

// An email of a flow that failed, or of an earlier flow, is not one of this flow.
func TestShowVerificationUI_OtherFlow(t *testing.T) {
	d := flowtest.NewSessionTest(t, `selfservice: {flows: {registration: {after: {hooks: [{hook: verify}]}},
  settings: {after: {hooks: [{hook: show_verification_ui}]}}}}`)
	v := flowtest.NewVisitor("alice")
	v.Identity.Addresses = []flowhook.Address{email("alice@example.org", false)}
	ctx := flowhook.NewContext(t.Context(), v.Exchange)
	handled, err := d.Pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, nil)
	require.NoError(t, err)
	require.False(t, handled)
	require.Len(t, d.Mail.Take(), 1)
	handled, err = d.Pipeline.Complete(ctx, flowhook.Settings, flowhook.Profile, nil)
	require.NoError(t, err)
	require.False(t, handled)
}

// A changeTest is a settings flow with verify_new_address and notify_previous_addresses.
type changeTest struct {
	*flowtest.SessionTest
	session *flowhook.Session
	saved   []flowhook.Address // what the last save has written
}

const changeYAML = `
selfservice:
  flows:
    settings:
      after:
        hooks:
          - {hook: verify_new_address}
          - {hook: notify_previous_addresses}
`

func newChangeTest(t *testing.T, text string, change ...func(d *flowtest.SessionTest)) *changeTest {
	c := &changeTest{SessionTest: flowtest.NewSessionTest(t, text, change...)}
	_, session := c.SignIn("alice")
	c.session = &session
	return c
}

// settings changes the addresses of alice.
func (c *changeTest) settings(from, to []flowhook.Address, change ...func(x *flowhook.Exchange)) (flowtest.Visitor, error) {
	v := flowtest.NewVisitor("alice")
	v.Session = c.session
	v.Previous = &flowhook.Identity{ID: "alice", Addresses: from}
	v.Identity.Addresses = to
	for _, f := range change {
		f(v.Exchange)
	}
	c.saved = nil
	_, err := c.Pipeline.Complete(flowhook.NewContext(c.T.Context(), v.Exchange), flowhook.Settings, flowhook.Profile,
		func(context.Context) error {
			c.saved = slices.Clone(v.Identity.Addresses)
			return nil
		})
	return v, err
}

// token returns the secret in the email to an address.
func token(t testing.TB, mails []flowhook.Message, to string) string {
	t.Helper()
	i := slices.IndexFunc(mails, func(m flowhook.Message) bool { return m.To == to })
	require.GreaterOrEqual(t, i, 0, "no email to %s", to)
	link, err := url.Parse(mails[i].Link)
	require.NoError(t, err)
	return link.Query().Get("token")
}

// requireChange redeems a token and requires what it changes.
func (c *changeTest) requireChange(secret string, want flowhook.Change) {
	c.T.Helper()
	var got flowhook.Change
	require.NoError(c.T, c.Pipeline.Redeem(c.T.Context(), secret, func(_ context.Context, t flowhook.Token) (err error) {
		require.Equal(c.T, flowhook.PurposeAddressChange, t.Purpose)
		require.Equal(c.T, "alice", t.IdentityID)
		got, err = t.Change()
		return err
	}))
	require.Equal(c.T, want, got)
}

var (
	before = email("alice@example.org", true)
	after  = email("alice@example.net", false)
)

func TestVerifyNewAddress(t *testing.T) {
	t.Run("address is replaced", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		claimed := after
		claimed.Verified = true // whatever the handler says
		v, err := c.settings([]flowhook.Address{before}, []flowhook.Address{claimed})
		require.NoError(t, err)
		require.Equal(t, []flowhook.Address{before}, c.saved)
		require.Equal(t, []flowhook.Address{before}, v.Identity.Addresses)
		mails := c.Mail.Take()
		require.Len(t, mails, 2)
		require.Equal(t, "Please confirm your new address", mails[0].Subject)
		require.Equal(t, "Request to change your email address", mails[1].Subject)
		require.NotContains(t, mails[1].Text+mails[1].HTML, "example.net")
		c.requireChange(token(t, mails, after.Value), flowhook.Change{From: before, To: after})
		c.requireChange(token(t, mails, before.Value), flowhook.Change{From: after, To: before, Undo: true})
	})
	t.Run("address is added", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{before, after})
		require.NoError(t, err)
		require.Equal(t, []flowhook.Address{before}, c.saved)
		mails := c.Mail.Take()
		require.Len(t, mails, 1, "no address is removed")
		c.requireChange(token(t, mails, after.Value), flowhook.Change{To: after})
	})
	t.Run("address is removed", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		_, err := c.settings([]flowhook.Address{before, after}, []flowhook.Address{after})
		require.NoError(t, err)
		require.Equal(t, []flowhook.Address{after}, c.saved, "there is nothing to verify")
		mails := c.Mail.Take()
		require.Len(t, mails, 1)
		require.Equal(t, before.Value, mails[0].To)
		require.Empty(t, mails[0].Link, "no address takes its place")
	})
	t.Run("nothing changes", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		c.session = nil
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{before})
		require.NoError(t, err)
		require.Empty(t, c.Mail.Take())
	})
	t.Run("spelling changes", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{email("Alice@example.org", false)})
		require.NoError(t, err)
		require.Equal(t, []flowhook.Address{before}, c.saved, "it may be another mailbox")
	})
	t.Run("way changes", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{{Via: "backup", Value: before.Value}})
		require.NoError(t, err)
		require.Equal(t, []flowhook.Address{before}, c.saved)
	})
	t.Run("lifespan", func(t *testing.T) {
		c := newChangeTest(t, strings.Replace(changeYAML, "verify_new_address", "verify_new_address, config: {lifespan: 2h, interval: 10m}", 1))
		for _, want := range []int{1, 0, 1} {
			_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
			require.NoError(t, err)
			got := slices.DeleteFunc(c.Mail.Take(), func(m flowhook.Message) bool { return m.To != after.Value })
			require.Len(t, got, want)
			c.Clock.Add(5 * time.Minute)
		}
	})
}

// The interval is one of the address that is to be confirmed. Notices do not count, and there is
// none without a new email.
func TestVerifyNewAddress_Interval(t *testing.T) {
	c := newChangeTest(t, changeYAML)
	for range 3 {
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.NoError(t, err)
	}
	require.Len(t, c.Mail.Take(), 2)
	confirmed := email(after.Value, true)
	_, err := c.settings([]flowhook.Address{confirmed}, []flowhook.Address{email(before.Value, false)})
	require.NoError(t, err)
	mails := c.Mail.Take()
	require.Len(t, mails, 2)
	c.requireChange(token(t, mails, before.Value), flowhook.Change{From: confirmed, To: email(before.Value, false)})
}

func TestVerifyNewAddress_Refusals(t *testing.T) {
	from := []flowhook.Address{before}
	for _, row := range []struct {
		name     string
		from, to []flowhook.Address
		age      time.Duration
		status   int
		code     string
	}{
		{"two are added", from, []flowhook.Address{before, after, email("third@example.org", false)}, 0, 400, "one_change_at_a_time"},
		{"two are replaced by one", []flowhook.Address{before, email("third@example.org", true)}, []flowhook.Address{after}, 0, 400, "one_change_at_a_time"},
		{"address is malformed", from, []flowhook.Address{email("alice", false)}, 0, 400, "bad_address"},
		{"sign-in is old", from, []flowhook.Address{after}, 15*time.Minute + time.Microsecond, 403, "reauthenticate"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newChangeTest(t, changeYAML)
			c.Clock.Add(row.age)
			v, err := c.settings(row.from, row.to)
			var refusal *flowhook.Refusal
			require.ErrorAs(t, err, &refusal)
			require.Equal(t, row.status, refusal.Status)
			require.Equal(t, row.code, refusal.Code)
			require.NotEmpty(t, refusal.Text)
			require.Nil(t, c.saved)
			require.Equal(t, row.to, v.Identity.Addresses, "the exchange is what it was")
			require.Empty(t, c.Mail.Take())
			if row.code == "bad_address" {
				require.ErrorIs(t, err, flowhook.ErrBadAddress)
			}
		})
	}
	t.Run("sign-in is just young enough", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		c.session.AuthenticatedAt = c.Clock.Now()
		c.Clock.Add(15 * time.Minute)
		_, err := c.settings(from, []flowhook.Address{after})
		require.NoError(t, err)
	})
}

func TestVerifyNewAddress_Errors(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(x *flowhook.Exchange)
		is     error
		says   string
	}{
		{"no identity", func(x *flowhook.Exchange) { x.Identity = &flowhook.Identity{} }, flowhook.ErrNoIdentity, ""},
		{"no previous identity", func(x *flowhook.Exchange) { x.Previous = nil }, flowhook.ErrNoPrevious, ""},
		{"previous identity is another", func(x *flowhook.Exchange) { x.Previous = &flowhook.Identity{ID: "bob"} }, nil, "x.Previous is another identity"},
		{"no session", func(x *flowhook.Exchange) { x.Session = nil }, nil, "x.Session is not the session in use"},
		{"session of another identity", func(x *flowhook.Exchange) { x.Session = &flowhook.Session{ID: "s", IdentityID: "bob"} }, nil,
			"x.Session is not the session in use"},
		{"session without a time", func(x *flowhook.Exchange) { x.Session = &flowhook.Session{ID: "s"} }, nil, "x.Session is not the session in use"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newChangeTest(t, changeYAML)
			_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after}, row.change)
			require.ErrorContains(t, err, "settings/before_persist/profile: hook verify_new_address")
			require.ErrorContains(t, err, row.says)
			if row.is != nil {
				require.ErrorIs(t, err, row.is)
			}
			require.Nil(t, c.saved)
			require.Empty(t, c.Mail.Take())
		})
	}
	t.Run("token is not stored", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		c.Store.Fail = map[string]error{"CreateToken": errCause}
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.ErrorIs(t, err, errCause)
		require.ErrorContains(t, err, "settings/before_persist/profile: hook verify_new_address")
		require.NotNil(t, c.saved, "save ran in the same transaction, which is rolled back")
		require.Empty(t, c.Mail.Take())
	})
	t.Run("outbox panics", func(t *testing.T) {
		c := newChangeTest(t, changeYAML, func(d *flowtest.SessionTest) {
			d.Options.Outbox = true
			d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { panic("no queue") })
		})
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.ErrorContains(t, err, "settings/before_persist/profile: hook verify_new_address")
		require.ErrorContains(t, err, "panic")
	})
	t.Run("a later hook fails", func(t *testing.T) {
		c := newChangeTest(t, changeYAML+"          - {hook: fails}\n", func(d *flowtest.SessionTest) {
			d.Options.Hooks = map[string]flowhook.HookFactory{"fails": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return errCause }), nil
			}}
		})
		v, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.ErrorIs(t, err, errCause)
		require.Equal(t, []flowhook.Address{after}, v.Identity.Addresses)
		require.Empty(t, c.Mail.Take(), "nothing is left of the failed flow")
	})
}

// A handler that calls each phase itself gets the same emails, from the run at After.
func TestVerifyNewAddress_Run(t *testing.T) {
	c := newChangeTest(t, "selfservice: {flows: {settings: {after: {hooks: [{hook: verify_new_address}]}}}}")
	v := flowtest.NewVisitor("alice")
	v.Session = c.session
	v.Previous = &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{before}}
	v.Identity.Addresses = []flowhook.Address{after}
	ctx := flowhook.NewContext(t.Context(), v.Exchange)
	_, err := c.Pipeline.Run(ctx, flowhook.Settings, flowhook.BeforePersist, flowhook.Profile)
	require.NoError(t, err)
	require.Equal(t, []flowhook.Address{before}, v.Identity.Addresses)
	require.Empty(t, c.Mail.Take())

	c.Store.Fail = map[string]error{"CreateToken": errCause}
	_, err = c.Pipeline.Run(ctx, flowhook.Settings, flowhook.After, flowhook.Profile)
	require.ErrorIs(t, err, errCause)
	c.Store.Fail = nil
	for range 2 { // the second has nothing left to do
		_, err = c.Pipeline.Run(ctx, flowhook.Settings, flowhook.After, flowhook.Profile)
		require.NoError(t, err)
	}
	require.Len(t, c.Mail.Take(), 1)
}

func TestRedeem_SessionThatAskedForChange(t *testing.T) {
	for _, row := range []struct {
		name   string
		happen func(c *changeTest)
	}{
		{"revoked", func(c *changeTest) { require.NoError(c.T, c.Store.DeleteSession(c.T.Context(), c.session.ID)) }},
		{"expired", func(c *changeTest) {
			c.session.ExpiresAt = c.Clock.Now()
			require.NoError(c.T, c.Store.DeleteSession(c.T.Context(), c.session.ID))
			require.NoError(c.T, c.Store.CreateSession(c.T.Context(), *c.session))
		}},
		{"of another identity", func(c *changeTest) {
			c.session.IdentityID = "bob"
			require.NoError(c.T, c.Store.DeleteSession(c.T.Context(), c.session.ID))
			require.NoError(c.T, c.Store.CreateSession(c.T.Context(), *c.session))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newChangeTest(t, changeYAML)
			_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
			require.NoError(t, err)
			mails := c.Mail.Take()
			row.happen(c)
			require.Equal(t, flowhook.ErrBadToken, c.Pipeline.Redeem(t.Context(), token(t, mails, after.Value),
				func(context.Context, flowhook.Token) error { t.Error("confirm ran"); return nil }))
			c.requireChange(token(t, mails, before.Value), flowhook.Change{From: after, To: before, Undo: true})
		})
	}
	t.Run("store fails", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.NoError(t, err)
		secret := token(t, c.Mail.Take(), after.Value)
		c.Store.Fail = map[string]error{"FindSession": errCause}
		require.ErrorIs(t, c.Pipeline.Redeem(t.Context(), secret,
			func(context.Context, flowhook.Token) error { t.Error("confirm ran"); return nil }), errCause)
		c.Store.Fail = nil
		c.requireChange(secret, flowhook.Change{From: before, To: after})
	})
	t.Run("sessions are the host's own", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		own := func(o *flowhook.Options) { o.Issue = func(context.Context, *flowhook.Exchange) error { return nil } }
		own(&c.Options)
		var err error
		c.Pipeline, err = flowhook.New(flowtest.Parse(t, changeYAML), c.Options)
		require.NoError(t, err)
		c.session = &flowhook.Session{ID: "unknown to the store", AuthenticatedAt: c.Clock.Now()}
		_, err = c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.NoError(t, err)
		c.requireChange(token(t, c.Mail.Take(), after.Value), flowhook.Change{From: before, To: after})
	})
	t.Run("undo ends every pending change", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		c.Options.Issue = func(context.Context, *flowhook.Exchange) error { return nil }
		var err error
		c.Pipeline, err = flowhook.New(flowtest.Parse(t, changeYAML), c.Options)
		require.NoError(t, err)
		c.session = &flowhook.Session{ID: "of the host's own", AuthenticatedAt: c.Clock.Now()}
		var pending []string
		other := email("other@example.net", false)
		var undo string
		for _, to := range []flowhook.Address{after, other} {
			_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{to})
			require.NoError(t, err)
			mails := c.Mail.Take()
			pending = append(pending, token(t, mails, to.Value))
			if undo == "" {
				undo = token(t, mails, before.Value)
			}
		}
		c.requireChange(undo, flowhook.Change{From: after, To: before, Undo: true})
		for _, secret := range pending {
			require.Equal(t, flowhook.ErrBadToken, c.Pipeline.Redeem(t.Context(), secret, confirmed(new(int))))
		}
		c.Clock.Add(time.Minute)
		_, err = c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.NoError(t, err)
		c.requireChange(token(t, c.Mail.Take(), after.Value), flowhook.Change{From: before, To: after})
	})
	t.Run("only the earliest address may undo", func(t *testing.T) {
		c := newChangeTest(t, changeYAML)
		stolen := email(after.Value, true) // by a change that the thief has confirmed
		_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
		require.NoError(t, err)
		undo := token(t, c.Mail.Take(), before.Value)
		_, err = c.settings([]flowhook.Address{stolen}, []flowhook.Address{email("third@example.net", false)})
		require.NoError(t, err)
		require.Empty(t, token(t, c.Mail.Take(), stolen.Value), "the thief's address gets a notice without a link")
		c.requireChange(undo, flowhook.Change{From: after, To: before, Undo: true})
	})
}

// tokensOnly is a store that keeps no sessions.
type tokensOnly struct {
	flowhook.Store
	flowhook.TokenStore
}

func TestRedeem_StoreWithoutSessions(t *testing.T) {
	c := newChangeTest(t, changeYAML)
	_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
	require.NoError(t, err)
	recorded := token(t, c.Mail.Take(), after.Value)

	c.Options.Store = tokensOnly{c.Store, c.Store}
	c.Pipeline, err = flowhook.New(flowtest.Parse(t, changeYAML), c.Options)
	require.NoError(t, err)
	require.Equal(t, flowhook.ErrBadToken, c.Pipeline.Redeem(t.Context(), recorded, confirmed(new(int))),
		"the session cannot be looked up any more")
	c.Clock.Add(time.Minute)
	_, err = c.settings([]flowhook.Address{before}, []flowhook.Address{after})
	require.NoError(t, err)
	c.requireChange(token(t, c.Mail.Take(), after.Value), flowhook.Change{From: before, To: after})
}

func TestRedeem_DataOfAnotherProgram(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	secret := strings.Repeat("A", 43)
	hash := sha256.Sum256([]byte(secret))
	_, err := d.Store.CreateToken(t.Context(), flowhook.Token{Hash: hash[:], Purpose: flowhook.PurposeAddressChange,
		IdentityID: "alice", Address: after, IssuedAt: d.Clock.Now(), ExpiresAt: d.Clock.Now().Add(time.Hour),
		Data: []byte("not JSON")}, d.Clock.Now())
	require.NoError(t, err)
	n := 0
	require.Equal(t, flowhook.ErrBadToken, d.Pipeline.Redeem(t.Context(), secret, confirmed(&n)))
	require.Zero(t, n)
}

func TestToken_Change(t *testing.T) {
	for _, tok := range []flowhook.Token{
		{Purpose: flowhook.PurposeVerification, Data: []byte("{}")},
		{Purpose: flowhook.PurposeAddressChange},
		{Purpose: flowhook.PurposeAddressChange, Data: []byte(`{"from":1}`)},
	} {
		change, err := tok.Change()
		require.ErrorIs(t, err, flowhook.ErrBadToken)
		require.Zero(t, change)
	}
}

func TestNotifyPreviousAddresses(t *testing.T) {
	other, backup := email("other@example.org", true), email("backup@example.org", false)
	previous := []flowhook.Address{before, other, backup}
	for _, row := range []struct {
		recipients string
		to         []flowhook.Address
		want       []string // recipients; with a link if followed by +
	}{
		{"removed", []flowhook.Address{after, other, backup}, []string{"alice@example.org+"}},
		{"removed", []flowhook.Address{other, backup}, []string{"alice@example.org"}},
		{"removed", append(slices.Clone(previous), after), nil},
		{"all_verified", []flowhook.Address{after, other, backup}, []string{"alice@example.org+", "other@example.org"}},
		{"all", []flowhook.Address{after, other, backup}, []string{"alice@example.org+", "other@example.org", "backup@example.org"}},
		{"all", append(slices.Clone(previous), after), []string{"alice@example.org", "other@example.org", "backup@example.org"}},
		{"all", []flowhook.Address{after}, []string{"alice@example.org", "other@example.org", "backup@example.org"}},
		{"all", previous, nil},
	} {
		c := newChangeTest(t, "selfservice: {flows: {settings: {after: {hooks: [{hook: notify_previous_addresses, config: {recipients: "+
			row.recipients+"}}]}}}}")
		_, err := c.settings(previous, row.to)
		require.NoError(t, err)
		require.Equal(t, row.to, c.saved, "the change is made at once")
		var got []string
		for _, m := range c.Mail.Take() {
			require.Equal(t, "Your account's email addresses have changed", m.Subject)
			require.NotContains(t, m.Text+m.HTML, after.Value)
			to := m.To
			if m.Link != "" {
				require.Contains(t, m.Text, "7 days")
				to += "+"
			}
			got = append(got, to)
		}
		require.Equal(t, row.want, got, "%s: %v", row.recipients, row.to)
	}
}

func TestNotifyPreviousAddresses_Errors(t *testing.T) {
	const text = "selfservice: {flows: {settings: {after: {hooks: [{hook: notify_previous_addresses}]}}}}"
	failing := func(outbox bool) func(d *flowtest.SessionTest) {
		return func(d *flowtest.SessionTest) {
			d.Options.Outbox = outbox
			d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { return errors.New("no route") })
		}
	}
	c := newChangeTest(t, text, failing(false))
	_, err := c.settings([]flowhook.Address{before}, []flowhook.Address{after})
	require.NoError(t, err, "a failed notice fails nothing")
	require.Contains(t, c.Log.String(), "hook notify_previous_addresses")

	c = newChangeTest(t, text, failing(true))
	_, err = c.settings([]flowhook.Address{before}, []flowhook.Address{after})
	require.ErrorContains(t, err, "hook notify_previous_addresses")

	c = newChangeTest(t, text)
	_, err = c.settings([]flowhook.Address{before}, []flowhook.Address{after}, func(x *flowhook.Exchange) { x.Previous = nil })
	require.ErrorIs(t, err, flowhook.ErrNoPrevious)

	c.Store.Fail = map[string]error{"CreateToken": errCause}
	_, err = c.settings([]flowhook.Address{before}, []flowhook.Address{after})
	require.ErrorIs(t, err, errCause)
	c.Store.Fail = nil

	_, err = c.settings([]flowhook.Address{email("nobody", false)}, []flowhook.Address{after})
	require.NoError(t, err)
	require.Empty(t, c.Mail.Take())
	require.Contains(t, c.Log.String(), "cannot be written to")
}

// Without a token store or a page, the notice has no link.
func TestNotifyPreviousAddresses_WithoutLink(t *testing.T) {
	const url = "https://auth.example/verify"
	for _, row := range []struct {
		name  string
		store flowhook.Store
		url   string
	}{
		{"neither", nil, ""},
		{"no store", nil, url},
		{"no page", memstore.New(), "''"},
		{"page is a path", memstore.New(), "/verify"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := "selfservice: {flows: {settings: {after: {hooks: [{hook: notify_previous_addresses}]}}"
			if row.url != "" {
				text += ", verification: {ui_url: " + row.url + "}"
			}
			mails := &flowtest.Mailbox{}
			p, err := flowhook.New(flowtest.Parse(t, text+"}}"), flowhook.Options{Courier: mails, Store: row.store})
			require.NoError(t, err)
			x := &flowhook.Exchange{
				Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{after}},
				Previous: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{before}},
			}
			_, err = p.Complete(flowhook.NewContext(t.Context(), x), flowhook.Settings, flowhook.Profile, nil)
			require.NoError(t, err)
			sent := mails.Take()
			require.Len(t, sent, 1)
			require.Empty(t, sent[0].Link)
		})
	}
}
