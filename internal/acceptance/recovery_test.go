package acceptance_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// linkYAML emails links, for recovery and for verification.
const linkYAML = `
selfservice:
  login: {after: [{hook: session}]}
  registration: {after: [{hook: verify}]}
  recovery: {after: [{hook: revoke_active_sessions}, {hook: session}]}
`

// recoveryOf returns an exchange for SendRecovery.
func recoveryOf(addresses ...flowhook.Address) *flowhook.Exchange {
	return &flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice", Addresses: addresses}}
}

// eachRecovery runs a test with links and with codes, with and without an outbox.
func eachRecovery(t *testing.T, test func(t *testing.T, text string, outbox bool)) {
	for name, text := range map[string]string{"link": linkYAML, "code": codeYAML} {
		for _, outbox := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/outbox %t", name, outbox), func(t *testing.T) { test(t, text, outbox) })
		}
	}
}

func TestSendRecovery_Recipients(t *testing.T) {
	first, second := "first@example.org", "second@example.org"
	for name, row := range map[string]struct {
		x    *flowhook.Exchange
		want []string
	}{
		"one of two verified":   {recoveryOf(emails(first)[0], verified(second)), []string{second}},
		"both verified":         {recoveryOf(verified(first), verified(second)), []string{first, second}},
		"none verified":         {recoveryOf(emails(first, second)...), []string{first, second}},
		"one cannot be written": {recoveryOf(emails("nobody", second)...), []string{second}},
		"no address":            {recoveryOf(), nil},
		"no identity":           {&flowhook.Exchange{}, nil},
		"no ID":                 {&flowhook.Exchange{Identity: &flowhook.Identity{Addresses: emails(first)}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			eachRecovery(t, func(t *testing.T, text string, outbox bool) {
				s := newAccountService(t, text, func(_ *accountService, o *flowhook.Options) { o.Outbox = outbox })
				require.NoError(t, s.pipeline.SendRecovery(t.Context(), row.x))
				require.Equal(t, row.want, recipients(s.mail.Take()))
				require.Len(t, s.store.liveTokens(t, s.clock.Now()), len(row.want))
			})
		})
	}
}

func TestSendRecovery_Interval(t *testing.T) {
	eachRecovery(t, func(t *testing.T, text string, outbox bool) {
		s := newAccountService(t, text, func(_ *accountService, o *flowhook.Options) { o.Outbox = outbox })
		for _, row := range []struct {
			wait time.Duration
			want []string
		}{
			{0, []string{oldEmail}}, {0, nil}, {time.Minute - time.Microsecond, nil}, {time.Microsecond, []string{oldEmail}},
		} {
			s.clock.Add(row.wait)
			require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(oldEmail)...)))
			require.Equal(t, row.want, recipients(s.mail.Take()))
		}
		// Each address, and each purpose, has an interval of its own.
		require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(oldEmail, newEmail)...)))
		require.Equal(t, []string{newEmail}, recipients(s.mail.Take()))
		s.visitor("").post("/registration", "user", "alice", "address", oldEmail)
		s.onlyMail(oldEmail)
	})
}

func TestSendRecovery_CourierFails(t *testing.T) {
	eachRecovery(t, func(t *testing.T, text string, outbox bool) {
		fails := true
		s := newAccountService(t, text, func(s *accountService, o *flowhook.Options) {
			o.Outbox = outbox
			o.Courier = flowtest.CourierFunc(func(ctx context.Context, m flowhook.Message) error {
				if fails {
					return fmt.Errorf("%s: %s%s", m.To, m.Link, m.Code)
				}
				return s.mail.Send(ctx, m)
			})
		})
		err := s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(secretAddress)...))
		if outbox {
			require.ErrorContains(t, err, "the courier did not send the email")
			flowtest.RequireSilent(t, err.Error())
		} else {
			require.NoError(t, err, "the answer is the same whether or not the account exists")
			require.Contains(t, s.log.String(), "the courier did not send the email")
		}
		flowtest.RequireSilent(t, s.log.String())
		require.Empty(t, s.store.liveTokens(t, s.clock.Now()))
		fails = false
		require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(secretAddress)...)))
		s.onlyMail(secretAddress)
	})
}

func TestSendRecovery_StoreFails(t *testing.T) {
	eachRecovery(t, func(t *testing.T, text string, outbox bool) {
		s := newAccountService(t, text, func(_ *accountService, o *flowhook.Options) { o.Outbox = outbox })
		for _, method := range []string{"Transaction", "CreateToken"} {
			s.store.failing(method, flowtest.ErrStoreDown)
			err := s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(secretAddress)...))
			require.ErrorIs(t, err, flowtest.ErrStoreDown)
			flowtest.RequireSilent(t, err.Error()+s.log.String())
			require.Empty(t, s.mail.Take())
			s.store.failing(method, nil)
		}
		require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(secretAddress)...)))
		s.onlyMail(secretAddress)
	})
}

func TestSendRecovery_InTransaction(t *testing.T) {
	s := newAccountService(t, linkYAML)
	send := func(ctx context.Context) error {
		return s.pipeline.SendRecovery(ctx, recoveryOf(emails(oldEmail)...))
	}
	x := recoveryOf(emails(oldEmail)...)
	_, err := s.pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Settings, flowhook.Profile, send)
	require.ErrorIs(t, err, flowhook.ErrNested)
	_, err = s.pipeline.Complete(flowhook.NewContext(t.Context(), x), flowhook.Settings, flowhook.Profile,
		func(context.Context) error { return s.pipeline.SendRecovery(t.Context(), x) })
	require.ErrorIs(t, err, flowhook.ErrNested, "the exchange is in a run")
	require.Empty(t, s.mail.Take())
}

func TestRecovery_NotConfigured(t *testing.T) {
	type change = func(*accountService, *flowhook.Options)
	const bare, codes = "selfservice: {}", "selfservice: {flows: {recovery: {use: code}}}"
	confirm := func(context.Context, flowhook.Token) error { panic("confirm must not be called") }
	send := func(p *flowhook.Pipeline, ctx context.Context) error {
		return p.SendRecovery(ctx, recoveryOf(emails(oldEmail)...))
	}
	redeem := func(p *flowhook.Pipeline, ctx context.Context) error {
		return p.RedeemRecovery(ctx, strings.Repeat("A", 43), confirm)
	}
	code := func(p *flowhook.Pipeline, ctx context.Context) error {
		return p.RedeemCode(ctx, flowhook.PurposeRecovery, "alice", emails(oldEmail)[0], "123456", confirm)
	}
	noStore := func(_ *accountService, o *flowhook.Options) { o.Store = nil }
	noTokens := func(s *accountService, o *flowhook.Options) { o.Store = struct{ flowhook.Store }{s.store} }
	noCourier := func(_ *accountService, o *flowhook.Options) { o.Courier = nil }
	noURL := func(_ *accountService, o *flowhook.Options) { o.RecoveryURL = "" }
	noSecrets := func(_ *accountService, o *flowhook.Options) { o.Secrets = nil }
	for name, row := range map[string]struct {
		text   string
		change change
		call   func(p *flowhook.Pipeline, ctx context.Context) error
		says   string
	}{
		"SendRecovery, no store":         {bare, noStore, send, "TokenStore"},
		"SendRecovery, no token store":   {bare, noTokens, send, "TokenStore"},
		"SendRecovery, no courier":       {bare, noCourier, send, "Options.Courier"},
		"SendRecovery, no URL":           {bare, noURL, send, "Options.RecoveryURL"},
		"SendRecovery, no secrets":       {codes, noSecrets, send, "Options.Secrets"},
		"RedeemRecovery, no token store": {bare, noTokens, redeem, "TokenStore"},
		"RedeemCode, no token store":     {bare, noTokens, code, "TokenStore"},
		"RedeemCode, no secrets":         {bare, noSecrets, code, "secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAccountService(t, row.text, row.change)
			err := row.call(s.pipeline, t.Context())
			require.ErrorIs(t, err, flowhook.ErrNotConfigured)
			require.ErrorContains(t, err, row.says)
			require.Empty(t, s.mail.Take())
		})
	}
	t.Run("SendRecovery needs no URL for codes, and no secrets for links", func(t *testing.T) {
		require.NoError(t, send(newAccountService(t, codes, noURL).pipeline, t.Context()))
		require.NoError(t, send(newAccountService(t, bare, noSecrets).pipeline, t.Context()))
	})
	t.Run("SendRecovery finds the URL in the file", func(t *testing.T) {
		s := newAccountService(t, "selfservice: {flows: {recovery: {ui_url: 'https://auth.example/from-the-file'}}}", noURL)
		require.NoError(t, send(s.pipeline, t.Context()))
		require.True(t, strings.HasPrefix(s.onlyMail(oldEmail).Link, "https://auth.example/from-the-file?token="))
	})
}

func TestRecovery_LinksHaveOnePurpose(t *testing.T) {
	s := newAccountService(t, linkYAML)
	require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(oldEmail)...)))
	recovery := s.onlyMail(oldEmail)
	require.True(t, strings.HasPrefix(recovery.Link, "https://auth.example/recover?token="))
	s.visitor("").post("/registration", "user", "alice", "address", oldEmail)
	verification := s.onlyMail(oldEmail)
	never := func(context.Context, flowhook.Token) error { panic("confirm must not be called") }
	redeemRecovery := func(m flowhook.Message, confirm func(context.Context, flowhook.Token) error) error {
		return s.pipeline.RedeemRecovery(t.Context(), secretIn(t, m), confirm)
	}
	redeem := func(m flowhook.Message, confirm func(context.Context, flowhook.Token) error) error {
		return s.pipeline.Redeem(t.Context(), secretIn(t, m), confirm)
	}
	require.Equal(t, flowhook.ErrBadToken, redeemRecovery(verification, never))
	require.Equal(t, flowhook.ErrBadToken, redeem(recovery, never))

	require.NoError(t, redeemRecovery(recovery, s.confirm))
	require.NoError(t, redeem(verification, s.confirm))
	for name, err := range map[string]error{
		"recovery": redeemRecovery(recovery, never), "verification": redeem(verification, never),
	} {
		require.ErrorIs(t, err, flowhook.ErrUsedToken, name)
		require.ErrorIs(t, err, flowhook.ErrBadToken, name)
	}
	require.Equal(t, flowhook.ErrBadToken, redeemRecovery(verification, never), "used, but for another purpose")
	require.Equal(t, flowhook.ErrBadToken, redeem(recovery, never), "used, but for another purpose")
}

func TestRecovery_Browser(t *testing.T) {
	s := newCodeService(t, linkYAML)
	thief, v := s.signIn("alice"), s.visitor("application/json")
	require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(oldEmail)...)))
	link := secretIn(t, s.onlyMail(oldEmail))
	require.Equal(t, "bad_token", codeIn(t, v.post("/recovery", "token", strings.Repeat("A", 43))))
	require.Equal(t, "alice", thief.whoami())
	require.Equal(t, http.StatusOK, v.post("/recovery", "token", link).StatusCode)
	require.Equal(t, "alice", v.whoami())
	require.Empty(t, thief.whoami(), "a recovery ends every other session")
	s.requireAddresses(verified(oldEmail))
	require.Equal(t, "used_token", codeIn(t, v.post("/recovery", "token", link)), "a double click")
	require.Equal(t, "alice", v.whoami())
}

func TestRecovery_LinkExpires(t *testing.T) {
	for text, lifespan := range map[string]time.Duration{
		linkYAML: time.Hour,
		"selfservice: {flows: {recovery: {lifespan: 7m, ui_url: 'https://auth.example/recover'}}}": 7 * time.Minute,
	} {
		for after, want := range map[time.Duration]error{lifespan - time.Microsecond: nil, lifespan: flowhook.ErrBadToken} {
			s := newCodeService(t, text)
			require.NoError(t, s.pipeline.SendRecovery(t.Context(), recoveryOf(emails(oldEmail)...)))
			s.clock.Add(after)
			require.Equal(t, want, s.pipeline.RedeemRecovery(t.Context(), secretIn(t, s.onlyMail(oldEmail)), s.confirm))
		}
	}
}
