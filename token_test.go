package flowhook_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
)

const (
	recoveryYAML     = "selfservice: {flows: {recovery: {ui_url: https://auth.example/recovery}}}"
	recoveryCodeYAML = "selfservice: {flows: {recovery: {use: code}, verification: {use: code}, login: {after: {hooks: [{hook: verify}]}}}}"
)

// sendRecovery sends a recovery email to an identity with these addresses.
func sendRecovery(d *flowtest.SessionTest, addresses ...flowhook.Address) error {
	return d.Pipeline.SendRecovery(d.T.Context(), &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: addresses}})
}

// confirmed is a confirm that counts its calls.
func confirmed(n *int) func(context.Context, flowhook.Token) error {
	return func(context.Context, flowhook.Token) error { *n++; return nil }
}

func TestSendRecovery(t *testing.T) {
	yes, no := email("alice@example.org", true), email("alice@example.net", false)
	for _, row := range []struct {
		name      string
		addresses []flowhook.Address
		want      []string
	}{
		{"verified addresses only", []flowhook.Address{no, yes}, []string{yes.Value}},
		{"all if none is verified", []flowhook.Address{no, email("other@example.org", false)}, []string{no.Value, "other@example.org"}},
		{"no address", nil, nil},
		{"malformed address", []flowhook.Address{email("alice", true)}, nil},
	} {
		for _, outbox := range []bool{false, true} {
			t.Run(row.name, func(t *testing.T) {
				d := flowtest.NewSessionTest(t, recoveryYAML, func(d *flowtest.SessionTest) { d.Options.Outbox = outbox })
				require.NoError(t, sendRecovery(d, row.addresses...))
				var got []string
				for _, m := range d.Mail.Take() {
					require.Equal(t, "Reset your password", m.Subject)
					require.True(t, strings.HasPrefix(m.Link, "https://auth.example/recovery?token="))
					require.Equal(t, "Choose a new password", m.Button)
					require.Contains(t, m.Text, "expires in one hour")
					got = append(got, m.To)
				}
				require.Equal(t, row.want, got)
				require.NoError(t, sendRecovery(d, row.addresses...))
				require.Empty(t, d.Mail.Take(), "one email per minute")
				d.Clock.Add(time.Minute)
				require.NoError(t, sendRecovery(d, row.addresses...))
				require.Len(t, d.Mail.Take(), len(row.want))
				require.NotContains(t, d.Log.String(), "an email was not sent")
				require.Equal(t, row.name == "malformed address", strings.Contains(d.Log.String(), "cannot be written to"))
			})
		}
	}
	t.Run("no identity", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, recoveryYAML)
		require.NoError(t, d.Pipeline.SendRecovery(t.Context(), &flowhook.Exchange{}))
		require.Empty(t, d.Store.Take())
	})
	t.Run("option replaces the file's URL", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, recoveryYAML, func(d *flowtest.SessionTest) { d.Options.RecoveryURL = "https://auth.example/reset" })
		require.NoError(t, sendRecovery(d, yes))
		require.True(t, strings.HasPrefix(d.Mail.Take()[0].Link, "https://auth.example/reset?token="))
	})
	t.Run("lifespan", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, "selfservice: {flows: {recovery: {lifespan: 20m, ui_url: https://auth.example/recovery}}}")
		require.NoError(t, sendRecovery(d, yes))
		secret := token(t, d.Mail.Take(), yes.Value)
		d.Clock.Add(20 * time.Minute)
		n := 0
		require.Equal(t, flowhook.ErrBadToken, d.Pipeline.RedeemRecovery(t.Context(), secret, confirmed(&n)))
		require.Zero(t, n)
	})
	t.Run("courier fails", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, recoveryYAML, func(d *flowtest.SessionTest) {
			d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { return errCause })
		})
		require.NoError(t, sendRecovery(d, yes), "an error would reveal that the account exists")
		require.Contains(t, d.Log.String(), "an email was not sent")
		require.Equal(t, []string{"CreateToken", "DeleteToken"}, d.Store.Take())
	})
	t.Run("store fails", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, recoveryYAML)
		d.Store.Fail = map[string]error{"CreateToken": errCause}
		require.ErrorIs(t, sendRecovery(d, yes), errCause)
		require.Empty(t, d.Mail.Take())
	})
	t.Run("outbox fails", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, recoveryYAML, func(d *flowtest.SessionTest) {
			d.Options.Outbox = true
			d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { return errCause })
		})
		require.ErrorIs(t, sendRecovery(d, yes), errCause)
		require.Equal(t, []string{"CreateToken"}, d.Store.Take())
	})
	t.Run("request is canceled after the commit", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var seen error
		d := flowtest.NewSessionTest(t, recoveryYAML, func(d *flowtest.SessionTest) {
			d.Options.Courier = flowtest.CourierFunc(func(ctx context.Context, m flowhook.Message) error {
				cancel()
				seen = ctx.Err()
				return d.Mail.Send(ctx, m)
			})
		})
		x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{yes}}}
		require.NoError(t, d.Pipeline.SendRecovery(ctx, x))
		require.NoError(t, seen)
		require.Len(t, d.Mail.Take(), 1)
	})
}

func TestSendRecovery_NotConfigured(t *testing.T) {
	for _, row := range []struct {
		name, text, says string
		change           func(o *flowhook.Options)
	}{
		{"no store", recoveryYAML, "SendRecovery needs a TokenStore", func(o *flowhook.Options) { o.Store = nil }},
		{"no courier", recoveryYAML, "SendRecovery needs Options.Courier", func(o *flowhook.Options) { o.Courier = nil }},
		{"no URL", "", "set selfservice.flows.recovery.ui_url in the file, or Options.RecoveryURL", func(*flowhook.Options) {}},
		{"no secrets", "selfservice: {flows: {recovery: {use: code}}}", "use: code needs secrets", func(*flowhook.Options) {}},
	} {
		t.Run(row.name, func(t *testing.T) {
			opts := flowhook.Options{Store: flowtest.NewRecordingStore(), Courier: &flowtest.Mailbox{}}
			row.change(&opts)
			p, err := flowhook.New(flowtest.Parse(t, row.text), opts)
			require.NoError(t, err)
			err = p.SendRecovery(t.Context(), &flowhook.Exchange{})
			require.ErrorIs(t, err, flowhook.ErrNotConfigured)
			require.ErrorContains(t, err, row.says)
		})
	}
	p, err := flowhook.New(nil, flowhook.Options{})
	require.NoError(t, err)
	n := 0
	for name, err := range map[string]error{
		"Redeem":         p.Redeem(t.Context(), strings.Repeat("A", 43), confirmed(&n)),
		"RedeemRecovery": p.RedeemRecovery(t.Context(), strings.Repeat("A", 43), confirmed(&n)),
		"RedeemCode":     p.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, "123456", confirmed(&n)),
	} {
		require.ErrorIs(t, err, flowhook.ErrNotConfigured, name)
	}
	p, err = flowhook.New(nil, flowhook.Options{Secrets: []string{flowtest.Secret}})
	require.NoError(t, err)
	require.ErrorContains(t, p.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, "123456", confirmed(&n)),
		"RedeemCode needs a TokenStore")
	p, err = flowhook.New(nil, flowhook.Options{Store: flowtest.NewRecordingStore()})
	require.NoError(t, err)
	require.ErrorContains(t, p.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, "123456", confirmed(&n)),
		"RedeemCode needs secrets")
}

func TestSendRecovery_CourierPanics(t *testing.T) {
	d := flowtest.NewSessionTest(t, recoveryYAML, func(d *flowtest.SessionTest) {
		d.Options.Outbox = true
		d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error { panic("startled") })
	})
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{before}}}
	ctx := flowhook.NewContext(t.Context(), x)
	require.Panics(t, func() { _ = d.Pipeline.SendRecovery(ctx, x) })
	_, err := d.Pipeline.Sessions().FromToken(ctx, "forged")
	require.ErrorIs(t, err, flowhook.ErrNoSession, "the exchange is in no transaction anymore")
}

func TestSendRecovery_InRun(t *testing.T) {
	var inside error
	d := flowtest.NewSessionTest(t, strings.Replace(recoveryYAML, "recovery}", "recovery, after: {hooks: [{hook: again}]}}", 1),
		func(d *flowtest.SessionTest) {
			d.Options.Hooks = map[string]flowhook.HookFactory{"again": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
					inside = d.Pipeline.SendRecovery(context.Background(), x)
					return nil
				}), nil
			}}
		})
	x := &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{before}}}
	_, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Recovery, flowhook.Link, nil)
	require.NoError(t, err)
	require.ErrorIs(t, inside, flowhook.ErrNested)

	require.NoError(t, sendRecovery(d, before))
	secret := token(t, d.Mail.Take(), before.Value)
	require.NoError(t, d.Pipeline.RedeemRecovery(t.Context(), secret, func(ctx context.Context, _ flowhook.Token) error {
		inside = d.Pipeline.SendRecovery(ctx, &flowhook.Exchange{})
		return nil
	}))
	require.ErrorIs(t, inside, flowhook.ErrNested)
}

func TestRedeemRecovery(t *testing.T) {
	d := flowtest.NewSessionTest(t, recoveryYAML)
	require.NoError(t, sendRecovery(d, before))
	secret := token(t, d.Mail.Take(), before.Value)
	n := 0
	require.Equal(t, flowhook.ErrBadToken, d.Pipeline.Redeem(t.Context(), secret, confirmed(&n)), "it verifies no address")
	require.Zero(t, n)
	require.Equal(t, errCause, d.Pipeline.RedeemRecovery(t.Context(), secret, func(_ context.Context, tok flowhook.Token) error {
		require.Equal(t, flowhook.PurposeRecovery, tok.Purpose)
		require.Equal(t, "alice", tok.IdentityID)
		require.Equal(t, before, tok.Address)
		require.Nil(t, tok.Data)
		return errCause
	}))
	require.NoError(t, d.Pipeline.RedeemRecovery(t.Context(), secret, confirmed(&n)), "the failed attempt has not used it")
	err := d.Pipeline.RedeemRecovery(t.Context(), secret, confirmed(&n))
	require.ErrorIs(t, err, flowhook.ErrUsedToken)
	require.ErrorIs(t, err, flowhook.ErrBadToken)
	require.Equal(t, 1, n)
	d.Clock.Add(time.Hour)
	require.Equal(t, flowhook.ErrBadToken, d.Pipeline.RedeemRecovery(t.Context(), secret, confirmed(&n)), "expired")
	require.Equal(t, flowhook.ErrBadToken, d.Pipeline.RedeemRecovery(t.Context(), secret+"A", confirmed(&n)))
}

// The password and the sessions change together, or not at all.
func TestRedeemRecovery_InSave(t *testing.T) {
	d := flowtest.NewSessionTest(t, `selfservice: {flows: {recovery: {ui_url: https://auth.example/recovery,
  after: {hooks: [{hook: revoke_active_sessions}, {hook: session}, {hook: fails}]}}}}`, func(d *flowtest.SessionTest) {
		d.Options.Hooks = map[string]flowhook.HookFactory{"fails": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			first := true
			return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
				if first {
					first = false
					return errCause
				}
				return nil
			}), nil
		}}
	})
	d.CookiesOf("alice", 2)
	require.NoError(t, sendRecovery(d, before))
	secret := token(t, d.Mail.Take(), before.Value)
	recovers := func() (flowtest.Visitor, error) {
		v := flowtest.NewVisitor("")
		ctx := flowhook.NewContext(t.Context(), v.Exchange)
		_, err := d.Pipeline.Complete(ctx, flowhook.Recovery, flowhook.Link, func(ctx context.Context) error {
			return d.Pipeline.RedeemRecovery(ctx, secret, func(_ context.Context, tok flowhook.Token) error {
				v.Identity = &flowhook.Identity{ID: tok.IdentityID}
				return nil
			})
		})
		return v, err
	}
	v, err := recovers()
	require.ErrorIs(t, err, errCause)
	require.Empty(t, flowtest.SetCookies(v))
	require.Equal(t, map[string]int{"alice": 2}, d.LiveSessions("alice"))
	v, err = recovers()
	require.NoError(t, err)
	require.Len(t, flowtest.SetCookies(v), 1)
	require.Equal(t, map[string]int{"alice": 1}, d.LiveSessions("alice"))
}

// code returns the code of the only email.
func code(t testing.TB, d *flowtest.SessionTest) string {
	t.Helper()
	mails := d.Mail.Take()
	require.Len(t, mails, 1)
	require.Regexp(t, `^\d{6}$`, mails[0].Code)
	require.Equal(t, "Your password reset code", mails[0].Subject)
	require.Empty(t, mails[0].Link)
	require.Contains(t, mails[0].Text, mails[0].Code)
	return mails[0].Code
}

// wrong returns a code that is not the given one.
func wrong(code string, n int) string {
	var number int
	fmt.Sscanf(code, "%d", &number)
	return fmt.Sprintf("%06d", (number+1+n)%1_000_000)
}

func TestRedeemCode(t *testing.T) {
	redeem := func(d *flowtest.SessionTest, code string) error {
		return d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, code,
			func(_ context.Context, tok flowhook.Token) error {
				require.Equal(t, flowhook.PurposeRecovery, tok.Purpose)
				require.Equal(t, "alice", tok.IdentityID)
				require.Equal(t, before, tok.Address)
				return nil
			})
	}
	newTest := func(t *testing.T) (*flowtest.SessionTest, string) {
		d := flowtest.NewSessionTest(t, recoveryCodeYAML)
		require.NoError(t, sendRecovery(d, before))
		return d, code(t, d)
	}

	t.Run("works once", func(t *testing.T) {
		d, code := newTest(t)
		require.NoError(t, redeem(d, " "+code[:3]+" "+code[3:]+"\n"))
		require.ErrorIs(t, redeem(d, code), flowhook.ErrUsedToken)
	})
	t.Run("expires after 10 minutes", func(t *testing.T) {
		d, code := newTest(t)
		d.Clock.Add(10*time.Minute - time.Microsecond)
		require.NoError(t, redeem(d, code))
		d, code = newTest(t)
		d.Clock.Add(10 * time.Minute)
		require.Equal(t, flowhook.ErrBadToken, redeem(d, code))
	})
	t.Run("fifth attempt is compared, sixth is not", func(t *testing.T) {
		d, code := newTest(t)
		for i := range 4 {
			require.Equal(t, flowhook.ErrBadToken, redeem(d, wrong(code, i)))
		}
		require.NoError(t, redeem(d, code))
		d, code = newTest(t)
		for i := range 5 {
			require.Equal(t, flowhook.ErrBadToken, redeem(d, wrong(code, i)))
		}
		d.Store.Take()
		require.Equal(t, flowhook.ErrBadToken, redeem(d, code))
		require.NotContains(t, d.Store.Take(), "ConsumeToken")
	})
	t.Run("malformed codes do not count", func(t *testing.T) {
		d, code := newTest(t)
		for _, malformed := range []string{"", "12345", "1234567", "12345a", "-12345", "１２３４５６", strings.Repeat(" ", 100) + code, code + "\x00"} {
			require.Equal(t, flowhook.ErrBadToken, redeem(d, malformed))
		}
		for i := range 4 {
			require.Equal(t, flowhook.ErrBadToken, redeem(d, wrong(code, i)))
		}
		require.NoError(t, redeem(d, code))
	})
	t.Run("failed confirm does not use it up", func(t *testing.T) {
		d, code := newTest(t)
		for range 4 {
			require.Equal(t, errCause, d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, code,
				func(context.Context, flowhook.Token) error { return errCause }))
		}
		require.NoError(t, redeem(d, code))
	})
	t.Run("failed confirm counts", func(t *testing.T) {
		d, code := newTest(t)
		for range 5 {
			require.Equal(t, errCause, d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, code,
				func(context.Context, flowhook.Token) error { return errCause }))
		}
		require.Equal(t, flowhook.ErrBadToken, redeem(d, code))
	})
	t.Run("newer code replaces it, and may be tried five times", func(t *testing.T) {
		d, old := newTest(t)
		for i := range 5 {
			require.Equal(t, flowhook.ErrBadToken, redeem(d, wrong(old, i)))
		}
		d.Clock.Add(time.Minute)
		require.NoError(t, sendRecovery(d, before))
		newer := code(t, d)
		if newer != old {
			require.Equal(t, flowhook.ErrBadToken, redeem(d, old))
		}
		require.NoError(t, redeem(d, newer))
	})
	t.Run("good for nothing else", func(t *testing.T) {
		d, code := newTest(t)
		n := 0
		for _, err := range []error{
			d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeVerification, "alice", before, code, confirmed(&n)),
			d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeAddressChange, "alice", before, code, confirmed(&n)),
			d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "bob", before, code, confirmed(&n)),
			d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", after, code, confirmed(&n)),
			d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", flowhook.Address{Via: "sms", Value: before.Value}, code, confirmed(&n)),
		} {
			require.Equal(t, flowhook.ErrBadToken, err)
		}
		require.Zero(t, n)
		require.NoError(t, d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", email("ALICE@example.org", false), code, confirmed(&n)))
	})
	t.Run("in a transaction", func(t *testing.T) {
		d, code := newTest(t)
		require.Error(t, d.Store.Transaction(t.Context(), "alice", func(ctx context.Context) error {
			return d.Pipeline.RedeemCode(ctx, flowhook.PurposeRecovery, "alice", before, code, confirmed(new(int)))
		}))
		var inside error
		_, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), flowtest.NewVisitor("alice").Exchange), flowhook.Recovery, flowhook.Code,
			func(ctx context.Context) error {
				inside = d.Pipeline.RedeemCode(ctx, flowhook.PurposeRecovery, "alice", before, code, confirmed(new(int)))
				return nil
			})
		require.NoError(t, err)
		require.ErrorIs(t, inside, flowhook.ErrNested)
		require.NoError(t, redeem(d, code))
	})
	t.Run("verify sends one", func(t *testing.T) {
		d := flowtest.NewSessionTest(t, recoveryCodeYAML)
		v := flowtest.NewVisitor("alice")
		v.Identity.Addresses = []flowhook.Address{after}
		_, err := d.Pipeline.Complete(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Login, flowhook.Password, nil)
		require.NoError(t, err)
		mails := d.Mail.Take()
		require.Len(t, mails, 1)
		require.Equal(t, "Your address confirmation code", mails[0].Subject)
		n := 0
		require.NoError(t, d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeVerification, "alice", after, mails[0].Code, confirmed(&n)))
		require.Equal(t, 1, n)
	})
}

func TestRedeemCode_Rotation(t *testing.T) {
	const first, second = "the-first-of-the-secrets", "the-second-of-the-secrets"
	d := flowtest.NewSessionTest(t, recoveryCodeYAML, func(d *flowtest.SessionTest) { d.Options.Secrets = []string{first} })
	require.NoError(t, sendRecovery(d, before))
	code := code(t, d)
	with := func(secrets ...string) error {
		opts := d.Options
		opts.Secrets = secrets
		p, err := flowhook.New(flowtest.Parse(t, recoveryCodeYAML), opts)
		require.NoError(t, err)
		return p.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, code, confirmed(new(int)))
	}
	require.Equal(t, flowhook.ErrBadToken, with(second))
	require.NoError(t, with(second, first))
	require.ErrorIs(t, with(first, second), flowhook.ErrUsedToken)
	require.ErrorIs(t, with(second, first), flowhook.ErrUsedToken)
}

func TestRedeemCode_StoreFails(t *testing.T) {
	for _, method := range []string{"ConsumeToken", "CreateToken", "DeleteToken"} {
		d := flowtest.NewSessionTest(t, recoveryCodeYAML)
		require.NoError(t, sendRecovery(d, before))
		code := code(t, d)
		d.Store.Fail = map[string]error{method: errCause}
		n := 0
		require.ErrorIs(t, d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, code, confirmed(&n)), errCause, method)
		require.Zero(t, n)
		d.Store.Fail = nil
		require.NoError(t, d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, code, confirmed(&n)))
		d.Store.Fail = map[string]error{method: errCause}
		d.Clock.Add(time.Minute)
		if method != "ConsumeToken" {
			require.ErrorIs(t, sendRecovery(d, before), errCause, method)
			require.Empty(t, d.Mail.Take())
		}
	}
	d := flowtest.NewSessionTest(t, recoveryCodeYAML)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.Pipeline.RedeemCode(ended, flowhook.PurposeRecovery, "alice", before, "123456", confirmed(new(int))), context.Canceled)
}

func TestRedeemCode_Concurrent(t *testing.T) {
	d := flowtest.NewSessionTest(t, recoveryCodeYAML)
	require.NoError(t, sendRecovery(d, before))
	code := code(t, d)
	d.Store.Take()
	var mu sync.Mutex
	var other []error
	flowtest.Concurrently(64, func(i int) {
		err := d.Pipeline.RedeemCode(t.Context(), flowhook.PurposeRecovery, "alice", before, wrong(code, i), confirmed(new(int)))
		if !errors.Is(err, flowhook.ErrBadToken) {
			mu.Lock()
			defer mu.Unlock()
			other = append(other, err)
		}
	})
	require.Empty(t, other)
	compared := 0
	for _, call := range d.Store.Take() {
		if call == "ConsumeToken" {
			compared++
		}
	}
	require.Equal(t, 5, compared)
}
