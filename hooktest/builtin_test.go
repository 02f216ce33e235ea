package hooktest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
)

// addressHooks has every built-in hook that emails, in a file without URLs and secrets.
const addressHooks = `selfservice:
  flows:
    login:
      after:
        password:
          hooks:
            - hook: require_verified_address
              config: {to: /verify}
    registration:
      after:
        password:
          hooks:
            - hook: verify
            - hook: show_verification_ui
              config: {to: /verify}
    settings:
      after:
        profile:
          hooks:
            - hook: verify_new_address
            - hook: notify_previous_addresses
`

const withCodes = "    verification:\n      use: code\n"

// The rig has the store, the courier, the secrets and the URL that these hooks need.
func TestRig_VerifiesAddresses(t *testing.T) {
	for use, text := range map[string]string{"link": addressHooks, "code": addressHooks + withCodes} {
		t.Run(use, func(t *testing.T) {
			rig := hooktest.New(t, write(t, text), flowhook.Options{})
			got := rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), nil)
			require.NoError(t, got.Err)
			require.True(t, got.Handled)
			require.Equal(t, "/verify", got.Header.Get("Location"))
			require.Len(t, got.Mails, 1)
			require.True(t, redeems(t, rig, use, got.Mails[0]))
			require.False(t, redeems(t, rig, use, got.Mails[0]), "it was used")

			rig.Clock.Advance(time.Hour)
			got = rig.Complete(flowhook.Registration, flowhook.Password, exchange("alice"), nil)
			require.Len(t, got.Mails, 1)
			rig.Clock.Advance(24 * time.Hour)
			require.False(t, redeems(t, rig, use, got.Mails[0]), "it has expired")
		})
	}
}

// redeems redeems the link or the code in an email to alice, and reports whether it was valid.
func redeems(t *testing.T, rig *hooktest.Rig, use string, m flowhook.Message) bool {
	t.Helper()
	var address flowhook.Address
	confirm := func(_ context.Context, tok flowhook.Token) error {
		require.Equal(t, "alice", tok.IdentityID)
		address = tok.Address
		return nil
	}
	var err error
	if use == "code" {
		require.Len(t, m.Code, 6)
		require.Empty(t, m.Link)
		err = rig.Pipeline.RedeemCode(t.Context(), flowhook.PurposeVerification, "alice",
			flowhook.Address{Via: m.Via, Value: m.To}, m.Code, confirm)
	} else {
		u, parseErr := url.Parse(m.Link)
		require.NoError(t, parseErr)
		err = rig.Pipeline.Redeem(t.Context(), u.Query().Get("token"), confirm)
	}
	if err != nil {
		require.ErrorIs(t, err, flowhook.ErrBadToken)
		return false
	}
	require.Equal(t, m.To, address.Value)
	return true
}

// The email of a refused login is in the Result, although nothing else remains of the login.
func TestRig_RequiresVerifiedAddress(t *testing.T) {
	for use, text := range map[string]string{"link": addressHooks, "code": addressHooks + withCodes} {
		t.Run(use, func(t *testing.T) {
			rig := hooktest.New(t, write(t, text), flowhook.Options{})
			save := func(context.Context) error { t.Error("signed in"); return nil }
			got := rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), save)
			require.NoError(t, got.Err)
			require.True(t, got.Handled)
			require.Equal(t, http.StatusSeeOther, got.Status)
			require.Equal(t, "/verify", got.Header.Get("Location"))
			require.Len(t, got.Mails, 1)
			require.True(t, redeems(t, rig, use, got.Mails[0]))

			rig.Clock.Advance(time.Hour)
			x := exchange("alice")
			x.Request = post()
			x.Request.Header.Set("Accept", "application/json")
			got = rig.Complete(flowhook.Login, flowhook.Password, x, save)
			require.NotNil(t, got.Refusal)
			require.Equal(t, "address_not_verified", got.Refusal.Code)
			require.Len(t, got.Mails, 1)

			x = exchange("alice")
			x.Identity.Addresses[0].Verified = true
			got = rig.Complete(flowhook.Login, flowhook.Password, x, nil)
			require.NoError(t, got.Err)
			require.Empty(t, got.Mails)
		})
	}
}

func TestRig_ChangesAddress(t *testing.T) {
	rig := hooktest.New(t, write(t, addressHooks), flowhook.Options{})
	change := func(previous *flowhook.Identity) *hooktest.Result {
		x := exchange("alice")
		require.NoError(t, issue(rig, x))
		x.Previous = previous
		x.Identity.Addresses[0].Value = "new@example.org"
		return rig.Complete(flowhook.Settings, flowhook.Profile, x, func(context.Context) error {
			require.Equal(t, "alice@example.org", x.Identity.Addresses[0].Value, "the change waits")
			return nil
		})
	}
	require.ErrorIs(t, change(nil).Err, flowhook.ErrNoPrevious)

	got := change(identity("alice", "example.org"))
	require.NoError(t, got.Err)
	require.Len(t, got.Mails, 2)
	require.Equal(t, "new@example.org", got.Mails[0].To)
	require.Equal(t, "alice@example.org", got.Mails[1].To)
	u, err := url.Parse(got.Mails[0].Link)
	require.NoError(t, err)
	confirm := func(_ context.Context, tok flowhook.Token) error {
		c, err := tok.Change()
		require.Equal(t, "new@example.org", c.To.Value)
		require.Equal(t, "alice@example.org", c.From.Value)
		return err
	}
	require.NoError(t, rig.Pipeline.Redeem(t.Context(), u.Query().Get("token"), confirm))
}

// issue signs the identity of x in.
func issue(rig *hooktest.Rig, x *flowhook.Exchange) error {
	x.Writer, x.Request = httptest.NewRecorder(), post()
	defer func() { x.Writer = nil }()
	return rig.Pipeline.Sessions().Issue(context.Background(), x)
}

// CheckFile says nothing about what it has added for these hooks.
func TestCheckFile_AddressHooks(t *testing.T) {
	for name, text := range map[string]string{"link": addressHooks, "code": addressHooks + withCodes} {
		t.Run(name, func(t *testing.T) {
			got := under(t, func(fake testing.TB) { hooktest.CheckFile(fake, write(t, text), flowhook.Options{}) })
			require.Empty(t, got.errors)
			require.Empty(t, got.fatal)
			requireEach(t, got.logs, map[string][][]string{"code": {{"note: code-page"}}}[name]...)

			got = under(t, func(fake testing.TB) { hooktest.CheckFile(fake, write(t, text), flowhook.Options{Store: poor{}}) })
			require.NotEmpty(t, got.errors, "the service's own store has no tokens")
		})
	}
}

// A page that only the service's options name is no error of the file.
func TestCheckFile_PageIsInTheOptions(t *testing.T) {
	for _, text := range []string{
		"selfservice: {flows: {login: {after: {hooks: [{hook: verify}, {hook: show_verification_ui}]}}}}",
		"selfservice: {flows: {verification: {use: code}, login: {after: {hooks: [{hook: require_verified_address}]}}}}",
	} {
		rig := hooktest.New(t, write(t, text), flowhook.Options{})
		got := rig.Complete(flowhook.Login, flowhook.Password, exchange("alice"), nil)
		require.NoError(t, got.Err)
		require.True(t, got.Handled)
		require.NotEmpty(t, got.Header.Get("Location"))
	}
}
