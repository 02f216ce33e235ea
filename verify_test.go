package flowhook_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// withVerify adds a verify hook with a config.
func withVerify(config string) string {
	return strings.ReplaceAll(flowtest.VerifyYAML, "{hook: verify}", "{hook: verify, config: {"+config+"}}")
}

func TestVerify_EmailNamesLifespan(t *testing.T) {
	for _, row := range []struct{ lifespan, says string }{
		{"1s", "expires in one second."}, {"1m", "expires in one minute."}, {"1h", "expires in one hour."}, {"60m", "expires in one hour."},
		{"90s", "expires in 90 seconds."}, {"90m", "expires in 90 minutes."}, {"48h", "expires in 48 hours."}, {"1500ms", "expires in 1.5s."},
	} {
		h := flowtest.NewService(t, withVerify("lifespan: "+row.lifespan))
		h.Browser().PostPath("/registration/password", "user", "carol")
		mails := h.Mail.Take()
		require.Len(t, mails, 1, row.lifespan)
		require.Contains(t, mails[0].Text, row.says, row.lifespan)
	}
}

func TestVerify_InvalidDurations(t *testing.T) {
	for config, says := range map[string]string{
		"lifespan: 999ms": "lifespan: must be a duration of at least a second",
		"lifespan: 24":    "lifespan: must be a duration of at least a second",
		"interval: 1":     "interval: must be a duration with a unit",
		"interval: -1ns":  "interval: must be a duration with a unit",
	} {
		cfg, err := flowhook.ParseConfig([]byte(withVerify(config)))
		require.NoError(t, err)
		_, err = flowhook.New(cfg, flowhook.Options{Store: flowtest.NewUserStore(), Courier: &flowtest.Mailbox{},
			VerificationURL: "https://auth.example/verify"})
		require.ErrorContains(t, err, says, config)
	}
}

func TestVerify_LongestAddress(t *testing.T) {
	h := flowtest.NewService(t, flowtest.VerifyYAML)
	local := strings.Repeat("a", 254-len("@example.org"))
	h.Browser().PostPath("/registration/password", "user", local)
	require.Len(t, h.Mail.Take(), 1)
	h.Browser().PostPath("/registration/password", "user", local+"a")
	require.Empty(t, h.Mail.Take())
}

func TestVerify(t *testing.T) {
	token := func(t *testing.T, m flowhook.Message) string {
		found := flowtest.LinkToken.FindStringSubmatch(m.Link)
		require.NotNil(t, found, m.Link)
		require.Contains(t, m.Text, m.Link)
		require.Contains(t, m.HTML, `href="`+m.Link+`"`)
		return found[1]
	}

	t.Run("link verifies once", func(t *testing.T) {
		h := flowtest.NewService(t, flowtest.VerifyYAML)
		b := h.Browser()
		require.Equal(t, http.StatusOK, b.PostPath("/registration/password", "user", "carol").StatusCode)
		mails := h.Mail.Take()
		require.Len(t, mails, 1)
		require.Equal(t, "email", mails[0].Via)
		require.Equal(t, "carol@example.org", mails[0].To)
		require.NotEmpty(t, mails[0].Subject)

		u, _ := h.Store.User(t.Context(), "carol")
		require.False(t, u.Verified)
		require.Equal(t, http.StatusOK, b.PostPath("/verification", "token", token(t, mails[0])).StatusCode)
		u, _ = h.Store.User(t.Context(), "carol")
		require.True(t, u.Verified)
		require.Equal(t, http.StatusGone, b.PostPath("/verification", "token", token(t, mails[0])).StatusCode,
			"a second time")
	})

	t.Run("verified addresses get no email", func(t *testing.T) {
		h := flowtest.NewService(t, flowtest.VerifyYAML)
		x := &flowhook.Exchange{Writer: flowtest.DiscardWriter{}, Request: flowtest.NewRequest(),
			Identity: &flowhook.Identity{ID: "carol", Addresses: []flowhook.Address{
				{Via: "email", Value: "old@example.org", Verified: true}, {Via: "email", Value: "new@example.org"},
				{Via: "email", Value: "newer@example.org"},
			}}}
		_, err := h.Pipeline.Run(flowhook.NewContext(t.Context(), x), flowhook.Registration, flowhook.After,
			flowhook.Password)
		require.NoError(t, err)
		var to []string
		for _, m := range h.Mail.Take() {
			to = append(to, m.To)
		}
		require.Equal(t, []string{"new@example.org", "newer@example.org"}, to)
	})

	t.Run("address changed after the email is not verified", func(t *testing.T) {
		h := flowtest.NewService(t, flowtest.VerifyYAML, flowtest.WithUsers(flowtest.Alice))
		b := h.Browser()
		b.PostPath("/login/password", "user", "alice")
		b.PostPath("/settings/profile", "email", "first@example.org")
		first := h.Mail.Take()
		require.Len(t, first, 1)
		b.PostPath("/settings/profile", "email", "second@example.org")
		second := h.Mail.Take()
		require.Len(t, second, 1)

		require.Equal(t, http.StatusGone, b.PostPath("/verification", "token", token(t, first[0])).StatusCode)
		u, _ := h.Store.User(t.Context(), "alice")
		require.False(t, u.Verified)
		require.Equal(t, http.StatusOK, b.PostPath("/verification", "token", token(t, second[0])).StatusCode)
		u, _ = h.Store.User(t.Context(), "alice")
		require.Equal(t, "second@example.org", u.Email)
		require.True(t, u.Verified)
	})

	t.Run("confirm rejects the token, which stays valid", func(t *testing.T) {
		h := flowtest.NewService(t, flowtest.VerifyYAML)
		h.Browser().PostPath("/registration/password", "user", "carol")
		tok := token(t, h.Mail.Take()[0])
		refuse := func(context.Context, flowhook.Token) error { return flowhook.ErrBadToken }
		require.ErrorIs(t, h.Pipeline.Redeem(t.Context(), tok, refuse), flowhook.ErrBadToken)
		require.Equal(t, http.StatusOK, h.Browser().PostPath("/verification", "token", tok).StatusCode)
	})

	t.Run("link expires to the microsecond", func(t *testing.T) {
		for _, row := range []struct {
			after  time.Duration
			status int
		}{{24*time.Hour - time.Microsecond, http.StatusOK}, {24 * time.Hour, http.StatusGone}} {
			h := flowtest.NewService(t, flowtest.VerifyYAML)
			h.Browser().PostPath("/registration/password", "user", "carol")
			tok := token(t, h.Mail.Take()[0])
			h.Clock.Add(row.after)
			require.Equal(t, row.status, h.Browser().PostPath("/verification", "token", tok).StatusCode, "after %s",
				row.after)
		}
	})

	t.Run("interval allows one email", func(t *testing.T) {
		h := flowtest.NewService(t, strings.ReplaceAll(flowtest.VerifyYAML, "{hook: verify}",
			"{hook: verify, config: {interval: 10m, lifespan: 90m}}"))
		b := h.Browser()
		for _, row := range []struct {
			wait  time.Duration
			mails int
		}{{0, 1}, {0, 0}, {10*time.Minute - time.Microsecond, 0}, {time.Microsecond, 1}} {
			h.Clock.Add(row.wait)
			require.Equal(t, http.StatusOK, b.PostPath("/registration/password", "user", "carol").StatusCode)
			mails := h.Mail.Take()
			require.Len(t, mails, row.mails)
			for _, m := range mails {
				require.Contains(t, m.Text, "expires in 90 minutes")
			}
		}
	})

	t.Run("token is stored as a hash, bound to identity and address", func(t *testing.T) {
		h := flowtest.NewService(t, flowtest.VerifyYAML)
		h.Browser().PostPath("/registration/password", "user", "carol")
		tok := token(t, h.Mail.Take()[0])
		err := h.Pipeline.Redeem(t.Context(), tok, func(_ context.Context, v flowhook.Token) error {
			require.Len(t, v.Hash, 32)
			require.NotContains(t, string(v.Hash), tok)
			require.Equal(t, "carol", v.IdentityID)
			require.Equal(t, flowhook.Address{Via: "email", Value: "carol@example.org"}, v.Address)
			return nil
		})
		require.NoError(t, err)
	})

	t.Run("address with a header injection is rejected", func(t *testing.T) {
		for _, value := range []string{"", " ", "a@b.example\r\nBcc: c@d.example", "a@b.example\nx",
			"a@b.example, c@d.example", "A <a@b.example>",
			"a@b.example (c)", "a b@c.example", "\"a b\"@c.example", "a@b.example\x00", "a@b.example\u2028",
			"a\u202e@b.example", "nobody", "a@b@c.example", "a@\xff.example",
			strings.Repeat("a", 243) + "@b.example.org"} {
			for _, via := range []string{"email", ""} {
				if via == "" && !strings.Contains(value, "@") {
					continue
				}
				h := flowtest.NewService(t, flowtest.VerifyYAML)
				run := func(addresses ...flowhook.Address) error {
					x := &flowhook.Exchange{Writer: flowtest.DiscardWriter{}, Request: flowtest.NewRequest(),
						Identity: &flowhook.Identity{ID: "carol", Addresses: addresses}}
					_, err := h.Pipeline.Run(flowhook.NewContext(t.Context(), x), flowhook.Registration,
						flowhook.After, flowhook.Password)
					return err
				}
				fine, bad := flowhook.Address{Via: "email", Value: "fine@example.org"},
					flowhook.Address{Via: via, Value: value}
				err := run(bad)
				require.ErrorIs(t, err, flowhook.ErrBadAddress, "%q", value)
				require.ErrorContains(t, err, "address 1 of the identity", "%q", value)
				require.Empty(t, h.Mail.Take(), "%q", value)
				require.NoError(t, run(bad, fine), "%q", value)
				mails := h.Mail.Take()
				require.Len(t, mails, 1, "%q", value)
				require.Equal(t, fine.Value, mails[0].To)
				if value != "" && value != " " {
					require.NotContains(t, err.Error(), value)
					require.NotContains(t, h.Log.String(), value)
				}
			}
		}
	})

	t.Run("link keeps the query of its URL", func(t *testing.T) {
		for _, row := range []struct{ query, kept string }{
			{"?lang=de&x=1%262", "?lang=de&x=1%262&"}, {"?b=2&a=1;c=3#/top", "?b=2&a=1;c=3&"},
			{"?next=/a", "?next=/a&"}, {"?", "?"}, {"?token=old&tokens=2", "?tokens=2&"},
		} {
			h := flowtest.NewService(t, flowtest.VerifyYAML, func(_ *flowtest.Service, o *flowhook.Options) {
				o.VerificationURL = "https://auth.example/verify" + row.query
			})
			h.Browser().PostPath("/registration/password", "user", "carol")
			link := h.Mail.Take()[0].Link
			require.Regexp(t, "^"+regexp.QuoteMeta("https://auth.example/verify"+row.kept)+
				"token=[A-Za-z0-9_-]{43}(#/top)?$", link)
			require.Equal(t, strings.Contains(row.query, "#"), strings.Contains(link, "#"))
		}
	})
}

// A courier that aborts the request inside the transaction behaves like a handler that aborts.
func TestVerify_OutboxCourierPanicsWithErrAbortHandler(t *testing.T) {
	saved := false
	d := flowtest.NewSessionTest(t, "selfservice: {login: {after: [{hook: verify}]}}\n", func(d *flowtest.SessionTest) {
		d.Options.Outbox = true
		d.Options.Courier = flowtest.CourierFunc(func(context.Context, flowhook.Message) error {
			panic(http.ErrAbortHandler)
		})
	})
	found := d.Log.String() // by New
	v := flowtest.NewVisitor("alice")
	v.Identity.Addresses = []flowhook.Address{{Via: "email", Value: "alice@example.org"}}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		d.CompleteLogin(v, func(context.Context) error { saved = true; return nil })
	})
	require.True(t, saved)
	require.Equal(t, found, d.Log.String(), "the panic must not be logged")
	require.Same(t, v.Recorder, v.Writer, "the exchange has changed")
}

// mutate replaces width bytes of s with piece.
func mutate(s string, place uint16, width uint8, piece string) string {
	i := int(place) % (len(s) + 1)
	return s[:i] + piece + s[min(len(s), i+int(width)):]
}

// The verify hook passes the courier a single address that is safe in a header.
func FuzzAddress(f *testing.F) {
	for _, value := range []string{"a@b.example", "a.b+c@b-c.example", "ü@example.org", "a@[127.0.0.1]",
		"a@[IPv6:::1]", "+49 30 1234", "+49301234", "", "@", "a@",
		"@b.example", "a@b@c.example", "a b@c.example", `"a b"@c.example`, `"a"@b.example`, `"a\"b"@c.example`,
		`"a@b"@c.example`, "A <a@b.example>", "<a@b.example>",
		"a@b.example,c@d.example", "a@b.example;", "g:a@b.example;", "a@b.example (c)", "(c)a@b.example",
		"a@b.example\r\nBcc: c@d.example", "a@b.example\n c",
		"a@b.example\x00", "a@b.example\u2028x", "a\u202e@b.example", "a\u00a0b@c.example", "a@\xff.example",
		"=?utf-8?q?a?=@b.example", "=?utf-8?q?a=0D=0A?= <a@b.example>",
		"a@b..example", ".a@b.example", "a.@b.example", "a..b@c.example", "a@b.example.", "a@-b.example",
		"a:b@c.example", "a@b.example:25", `a\@b@c.example`, "a%b@c.example",
		"a!b@c.example", "mailto:a@b.example", "a@xn--bcher-kva.example", strings.Repeat("a", 242) + "@b.example",
		strings.Repeat("a", 243) + "@b.example"} {
		f.Add("email", value)
		f.Add("sms", value)
	}
	f.Add("", "a@b.example\u0085")
	f.Add("sms", "+4930\xff")
	d := flowtest.NewSessionTest(f, "selfservice: {registration: {after: [{hook: verify, config: {interval: 0s}}]}}\n")
	f.Fuzz(func(t *testing.T, via, value string) {
		v := flowtest.NewVisitor("alice")
		v.Identity.Addresses = []flowhook.Address{{Via: via, Value: value}}
		_, err := d.Pipeline.Run(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Registration, flowhook.After,
			flowhook.Password)
		mails := d.Mail.Take()
		if err != nil {
			var hookError *flowhook.HookError
			require.ErrorAs(t, err, &hookError)
			require.Empty(t, mails)
			return
		}
		require.Len(t, mails, 1)
		require.Equal(t, value, mails[0].To)
		require.Equal(t, via, mails[0].Via)
		require.NotEmpty(t, value)
		require.True(t, utf8.ValidString(value))
		for _, c := range value {
			if unicode.In(c, unicode.C, unicode.Z) {
				t.Fatalf("%q contains %U", value, c)
			}
		}
		if via == "email" || strings.Contains(value, "@") {
			list, err := mail.ParseAddressList(value)
			require.NoError(t, err)
			require.Equal(t, []*mail.Address{{Address: value}}, list)
		}
		m, err := mail.ReadMessage(strings.NewReader("To: " + value + "\r\nSubject: x\r\n\r\nbody"))
		require.NoError(t, err)
		require.Equal(t, mail.Header{"To": {value}, "Subject": {"x"}}, m.Header)
		body, err := io.ReadAll(m.Body)
		require.NoError(t, err)
		require.Equal(t, "body", string(body))
	})
}

// A token that is not genuine is ErrBadToken, and uses up nothing.
func FuzzRedeem(f *testing.F) {
	const genuine = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	d := flowtest.NewSessionTest(f, "")
	hash := sha256.Sum256([]byte(genuine))
	created, err := d.Store.Store.CreateToken(f.Context(),
		flowhook.Token{Hash: hash[:], Purpose: flowhook.PurposeVerification, IdentityID: "alice",
			Address: flowhook.Address{Via: "email", Value: "a@b.example"}, IssuedAt: d.Clock.Now(),
			ExpiresAt: d.Clock.Now().Add(time.Hour)}, time.Time{})
	require.NoError(f, err)
	require.True(f, created)

	for _, token := range []string{genuine, "", genuine + "=", genuine[:42] + "9", strings.ToLower(genuine),
		string(hash[:]), fmt.Sprintf("%x", hash),
		base64.RawURLEncoding.EncodeToString(hash[:]), strings.Repeat("A", 43), strings.Repeat("A", 1<<16)} {
		f.Add(token, uint16(0), uint8(0), "")
	}
	for _, piece := range []string{"A", "\n", " ", "=", "\x00", "+", "/", "\xff", "%41"} {
		for _, place := range []uint16{0, 21, 42, 43} {
			f.Add(genuine, place, uint8(0), piece)
			f.Add(genuine, place, uint8(len(piece)), piece)
		}
	}
	errKeep := errors.New("keep the token for the next round")
	redeem := func(t *testing.T, token string) (confirmed int, err error) {
		err = d.Pipeline.Redeem(t.Context(), token, func(_ context.Context, v flowhook.Token) error {
			confirmed++
			require.Equal(t, "alice", v.IdentityID)
			return errKeep
		})
		return confirmed, err
	}
	f.Fuzz(func(t *testing.T, token string, place uint16, width uint8, piece string) {
		token = mutate(token, place, width, piece)
		d.Store.Take()
		confirmed, err := redeem(t, token)
		if token == genuine {
			require.Equal(t, errKeep, err)
			require.Equal(t, 1, confirmed)
		} else {
			require.ErrorIs(t, err, flowhook.ErrBadToken)
			require.Zero(t, confirmed)
			if len(token) != len(genuine) {
				require.Empty(t, d.Store.Take(), "the store was asked about an invalid token")
			}
		}
		confirmed, err = redeem(t, genuine)
		require.Equal(t, errKeep, err)
		require.Equal(t, 1, confirmed)
	})
}

func TestRedeem_StoreDidNothing(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{Store: doNothingStore{memstore.New()}})
	require.NoError(t, err)
	err = p.Redeem(t.Context(), "0123456789012345678901234567890123456789012",
		func(context.Context, flowhook.Token) error { return nil })
	require.ErrorContains(t, err, "did not run")
}

func TestRedeem_AllOrNothing(t *testing.T) {
	type scene struct {
		store  *faultyStore
		cancel context.CancelFunc
	}
	for _, row := range []struct {
		name    string
		fail    func(s scene)        // the store
		confirm func(s scene) error  // the host, after it has marked the address
		returns func(err error) bool // nil: it does not return
	}{
		{"store reports an error after consuming", func(s scene) {
			s.store.consume = func(v flowhook.Token, _ error) (flowhook.Token, error) {
				return v, flowtest.ErrStoreDown
			}
		}, nil, func(err error) bool { return errors.Is(err, flowtest.ErrStoreDown) }},
		{"commit fails", func(s scene) { s.store.commit = flowtest.ErrStoreDown }, nil,
			func(err error) bool { return errors.Is(err, flowtest.ErrStoreDown) }},
		{"confirm fails", nil, func(scene) error { return flowtest.ErrRefused },
			func(err error) bool { return err == flowtest.ErrRefused }},
		{"confirm rejects the address", nil, func(scene) error { return flowhook.ErrBadToken },
			func(err error) bool { return err == flowhook.ErrBadToken }},
		{"request ends in confirm", nil, func(s scene) error { s.cancel(); return nil },
			func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"confirm panics", nil, func(scene) error { panic("the host's") }, nil},
		{"confirm calls Goexit", nil, func(scene) error { runtime.Goexit(); return nil }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s scene
			h := flowtest.NewService(t, flowtest.VerifyYAML, func(h *flowtest.Service, o *flowhook.Options) {
				s.store = &faultyStore{UserStore: h.Store}
				o.Store = s.store
			})
			h.Browser().PostPath("/registration/password", "user", "carol")
			token := flowtest.LinkToken.FindStringSubmatch(h.Mail.Take()[0].Link)[1]
			redeem := func(ctx context.Context, then func(s scene) error) error {
				return h.Pipeline.Redeem(ctx, token, func(ctx context.Context, v flowhook.Token) error {
					u, _ := h.Store.User(ctx, v.IdentityID)
					u.Verified = true
					if err := h.Store.SaveUser(ctx, u); err != nil || then == nil {
						return err
					}
					return then(s)
				})
			}
			if row.fail != nil {
				row.fail(s)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.cancel = cancel
			var err error
			returned, done := false, make(chan struct{})
			go func() {
				defer close(done)
				defer func() { recover() }()
				err = redeem(ctx, row.confirm)
				returned = true
			}()
			<-done
			require.Equal(t, row.returns != nil, returned)
			require.True(t, row.returns == nil || row.returns(err), err)
			u, _ := h.Store.User(t.Context(), "carol")
			require.False(t, u.Verified)

			s.store.consume, s.store.commit = nil, nil
			require.NoError(t, redeem(t.Context(), nil), "trying again")
			u, _ = h.Store.User(t.Context(), "carol")
			require.True(t, u.Verified)
			require.ErrorIs(t, redeem(t.Context(), nil), flowhook.ErrBadToken, "and once more")
		})
	}
}

// A doNothingStore has transactions that do nothing and report success.
type doNothingStore struct{ *memstore.Store }

func (doNothingStore) Transaction(context.Context, string, func(context.Context) error) error {
	return nil
}

// A faultyStore is a UserStore with one failing call.
type faultyStore struct {
	*flowtest.UserStore
	consume func(v flowhook.Token, err error) (flowhook.Token, error)
	commit  error
}

func (s *faultyStore) ConsumeToken(ctx context.Context, p flowhook.Purpose, hash []byte,
	now time.Time) (flowhook.Token, error) {
	if s.consume == nil {
		return s.UserStore.ConsumeToken(ctx, p, hash, now)
	}
	return s.consume(s.UserStore.ConsumeToken(ctx, p, hash, now))
}

func (s *faultyStore) Transaction(ctx context.Context, id string, fn func(context.Context) error) error {
	return s.UserStore.Transaction(ctx, id, func(ctx context.Context) error {
		if err := fn(ctx); err != nil {
			return err
		}
		return s.commit
	})
}
