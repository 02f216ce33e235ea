package acceptance_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// starter is claimed or mended.
type starter = func(t *testing.T, rule, text string, changes ...change) *flowtest.Service

// recoveryEmail sends alice a recovery email and returns it.
func recoveryEmail(h *flowtest.Service) flowhook.Message {
	x := &flowhook.Exchange{Identity: flowtest.Alice.Identity()}
	require.NoError(h.T, h.Pipeline.SendRecovery(h.T.Context(), x))
	mails := h.Mail.Take()
	require.Len(h.T, mails, 1)
	return mails[0]
}

// linkToken returns the token in the link of an email.
func linkToken(t *testing.T, m flowhook.Message) string {
	t.Helper()
	u, err := url.Parse(m.Link)
	require.NoError(t, err)
	require.NotEmpty(t, u.Query().Get("token"))
	return u.Query().Get("token")
}

// accepts is a confirm that accepts the token.
func accepts(context.Context, flowhook.Token) error { return nil }

// recoverAccount recovers alice's account with an email, as a service would, and signs her in.
func recoverAccount(h *flowtest.Service) (session string) {
	email, v := recoveryEmail(h), flowtest.NewVisitor("alice")
	ctx := flowhook.NewContext(h.T.Context(), v.Exchange)
	strategy := flowhook.Link
	redeem := func(ctx context.Context) error {
		return h.Pipeline.RedeemRecovery(ctx, linkToken(h.T, email), accepts)
	}
	if email.Code != "" {
		strategy = flowhook.Code
		require.NoError(h.T, h.Pipeline.RedeemCode(ctx, flowhook.PurposeRecovery, "alice",
			flowtest.Alice.Identity().Addresses[0], email.Code, accepts))
		redeem = func(context.Context) error { return nil }
	}
	_, err := h.Pipeline.Complete(ctx, flowhook.Recovery, strategy, func(ctx context.Context) error {
		if err := redeem(ctx); err != nil {
			return err
		}
		return h.Pipeline.Sessions().Issue(ctx, v.Exchange)
	})
	require.NoError(h.T, err)
	return v.Session.ID
}

func provesRecoveryKeepsSessions(t *testing.T) {
	const rule = "recovery-keeps-sessions"
	const page, byCode = "ui_url: 'https://auth.example/recovery'", "use: code"
	const revoke, own = "{hook: revoke_active_sessions}", "{hook: own}"
	for _, row := range []struct {
		start starter
		text  string
		stays bool // the thief stays signed in
	}{
		{claimed, page, true},
		{claimed, page + ", after: [" + own + "]", true},
		{claimed, page + ", after: {link: [" + own + "], code: [" + revoke + "]}", true},
		{claimed, byCode + ", after: {code: [" + own + "], link: [" + revoke + "]}", true},
		{mended, page + ", after: [" + revoke + "]", false},
		{mended, page + ", after: {link: [" + own + ", " + revoke + "]}", false},
		{mended, byCode + ", after: {code: [" + revoke + "]}", false},
	} {
		h := row.start(t, rule, "selfservice: {recovery: {"+row.text+"}}", (&trail{}).hooks("own"),
			flowtest.WithUsers(flowtest.Alice))
		thief := h.Browser()
		thief.PostPath("/login/password", "user", "alice")
		require.Equal(t, "alice", thief.WhoAmI())
		session := recoverAccount(h)
		assert.Equal(t, row.stays, thief.WhoAmI() == "alice", row.text)
		_, err := h.Store.FindSession(t.Context(), session)
		assert.NoError(t, err, "the owner must stay signed in: %s", row.text)
	}
}

func provesEmailSentFirst(t *testing.T) {
	const rule = "email-sent-first"
	const verify, shows, own = "{hook: verify}", "{hook: show_verification_ui}", "{hook: own}"
	for _, row := range []struct {
		start starter
		after string
		ran   []string // if an email was sent
	}{
		{claimed, "[" + verify + ", " + shows + ", " + own + "]", nil},
		{claimed, "{hooks: [" + own + "], password: [" + verify + ", " + shows + "]}", nil},
		{mended, "[" + verify + ", " + own + ", " + shows + "]", []string{"own"}},
		{mended, "{hooks: [" + shows + "], password: [" + verify + ", " + own + "]}", []string{"own"}},
	} {
		tr := &trail{}
		h := row.start(t, rule, "selfservice: {registration: {after: "+row.after+"}}", tr.hooks("own"))
		res := h.Browser().PostPath("/registration/password", "user", "carol")
		require.Equal(t, http.StatusFound, res.StatusCode)
		require.Equal(t, []string{"https://auth.example/verify"}, res.Header["Location"])
		require.Len(t, h.Mail.Take(), 1)
		assert.Equal(t, row.ran, tr.take(), row.after)

		res = h.Browser().PostPath("/registration/password", "user", "carol")
		require.Equal(t, http.StatusOK, res.StatusCode)
		require.Empty(t, h.Mail.Take(), "the first email was sent a moment ago")
		assert.Equal(t, []string{"own"}, tr.take(), "the hook must run if no email was sent: %s", row.after)
	}
}

func provesCodePage(t *testing.T) {
	const rule = "code-page"
	for _, row := range []struct {
		flow    string
		purpose flowhook.Purpose
		email   func(h *flowtest.Service) flowhook.Message
		redeem  func(p *flowhook.Pipeline) func(context.Context, string,
			func(context.Context, flowhook.Token) error) error
	}{
		{"verification", flowhook.PurposeVerification, func(h *flowtest.Service) flowhook.Message {
			h.Browser().PostPath("/registration/password", "user", "alice")
			mails := h.Mail.Take()
			require.Len(t, mails, 1)
			return mails[0]
		}, func(p *flowhook.Pipeline) func(context.Context, string,
			func(context.Context, flowhook.Token) error) error {
			return p.Redeem
		}},
		{"recovery", flowhook.PurposeRecovery, recoveryEmail, func(p *flowhook.Pipeline) func(context.Context, string,
			func(context.Context, flowhook.Token) error) error {
			return p.RedeemRecovery
		}},
	} {
		text := func(use string) string {
			return "selfservice: {registration: {after: [{hook: verify}]}, " +
				row.flow + ": {use: " + use + ", ui_url: 'https://auth.example/page'}}"
		}
		h := claimed(t, rule, text("code"), flowtest.WithUsers(flowtest.Alice))
		m := row.email(h)
		assert.Empty(t, m.Link, "there must be no link to a page")
		require.Len(t, m.Code, 6)
		assert.ErrorIs(t, row.redeem(h.Pipeline)(t.Context(), m.Code, accepts), flowhook.ErrBadToken,
			"a page for links must not accept the code")
		assert.NoError(t, h.Pipeline.RedeemCode(t.Context(), row.purpose, "alice", flowtest.Alice.Identity().Addresses[0],
			m.Code, accepts), "a handler that follows the hint must accept it")

		h = mended(t, rule, text("link"), flowtest.WithUsers(flowtest.Alice))
		m = row.email(h)
		assert.Empty(t, m.Code)
		assert.NoError(t, row.redeem(h.Pipeline)(t.Context(), linkToken(t, m), accepts))

		mended(t, rule, text("code"), func(_ *flowtest.Service, o *flowhook.Options) { // the handler is what the hint says
			o.Accept = []string{rule}
		})
	}
}
