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
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// mutate puts a piece at a place of s, in the place of width bytes.
func mutate(s string, place uint16, width uint8, piece string) string {
	i := int(place) % (len(s) + 1)
	return s[:i] + piece + s[min(len(s), i+int(width)):]
}

// Whatever comes as a token, in a cookie or bare, is nobody's, and the store does not hear of it, unless it is genuine.
func FuzzFromToken(f *testing.F) {
	d := flowtest.NewSessionTest(f, "")
	s := flowhook.Session{ID: "GENUINEGENUINEGENUINEGENUI", IdentityID: "alice", ExpiresAt: d.Clock.Now().Add(time.Hour)}
	require.NoError(f, d.Store.Store.CreateSession(f.Context(), s))
	genuine := flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "1780000000", s.ID)
	found, err := d.FromToken(f.Context(), genuine)
	require.NoError(f, err)
	require.Equal(f, "alice", found.IdentityID)

	for _, token := range []string{genuine, "", "=", "====", s.ID, flowtest.SignToken("another-secret-than-that", flowtest.CookieName, "1780000000", s.ID),
		flowtest.SignToken(flowtest.Secret, "session", "1780000000", s.ID), flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "", ""), base64.URLEncoding.EncodeToString([]byte("1|2|3"))} {
		f.Add(token, uint16(0), uint8(0), "")
	}
	for _, m := range []string{"A", "=", "\n", "\r\n", "|", `"`, ";", "; " + flowtest.CookieName + "=", "\x00", "\xff", "+", "/", "%3D", " "} {
		for _, place := range []uint16{0, 1, 60, uint16(len(genuine) - 2), uint16(len(genuine))} {
			f.Add(genuine, place, uint8(0), m)
			f.Add(genuine, place, uint8(1), m)
		}
	}
	f.Fuzz(func(t *testing.T, token string, place uint16, width uint8, piece string) {
		token = mutate(token, place, width, piece)
		d.Store.Take()
		found, err := d.FromToken(t.Context(), token)
		checkFound(t, d, s, found, err, token == genuine)

		r := flowtest.NewRequest()
		r.Header["Cookie"] = []string{flowtest.CookieName + "=" + token}
		parsed := r.CookiesNamed(flowtest.CookieName)
		found, err = d.FromRequest(r)
		checkFound(t, d, s, found, err, slices.ContainsFunc(parsed, func(c *http.Cookie) bool { return c.Value == genuine && !c.Quoted }))
	})
}

func checkFound(t *testing.T, d *flowtest.SessionTest, s flowhook.Session, found *flowhook.Session, err error, genuine bool) {
	t.Helper()
	calls := d.Store.Take()
	if genuine {
		require.NoError(t, err)
		require.Equal(t, s.ID, found.ID)
		require.Equal(t, []string{"FindSession " + s.ID}, calls)
		return
	}
	require.ErrorIs(t, err, flowhook.ErrNoSession)
	require.Nil(t, found)
	require.Empty(t, calls, "the store was asked")
}

// What the verify hook hands to the courier is one address, and can be put into a header as it stands.
func FuzzAddress(f *testing.F) {
	for _, value := range []string{"a@b.example", "a.b+c@b-c.example", "ü@example.org", "a@[127.0.0.1]", "a@[IPv6:::1]", "+49 30 1234", "+49301234", "", "@", "a@",
		"@b.example", "a@b@c.example", "a b@c.example", `"a b"@c.example`, `"a"@b.example`, `"a\"b"@c.example`, `"a@b"@c.example`, "A <a@b.example>", "<a@b.example>",
		"a@b.example,c@d.example", "a@b.example;", "g:a@b.example;", "a@b.example (c)", "(c)a@b.example", "a@b.example\r\nBcc: c@d.example", "a@b.example\n c",
		"a@b.example\x00", "a@b.example\u2028x", "a\u202e@b.example", "a\u00a0b@c.example", "a@\xff.example", "=?utf-8?q?a?=@b.example", "=?utf-8?q?a=0D=0A?= <a@b.example>",
		"a@b..example", ".a@b.example", "a.@b.example", "a..b@c.example", "a@b.example.", "a@-b.example", "a:b@c.example", "a@b.example:25", `a\@b@c.example`, "a%b@c.example",
		"a!b@c.example", "mailto:a@b.example", "a@xn--bcher-kva.example", strings.Repeat("a", 242) + "@b.example", strings.Repeat("a", 243) + "@b.example"} {
		f.Add("email", value)
		f.Add("sms", value)
	}
	f.Add("", "a@b.example\u0085")
	f.Add("sms", "+4930\xff")
	d := flowtest.NewSessionTest(f, "selfservice: {registration: {after: [{hook: verify, config: {interval: 0s}}]}}\n")
	f.Fuzz(func(t *testing.T, via, value string) {
		v := flowtest.NewVisitor("alice")
		v.Identity.Addresses = []flowhook.Address{{Via: via, Value: value}}
		_, err := d.Pipeline.Run(flowhook.NewContext(t.Context(), v.Exchange), flowhook.Registration, flowhook.After, flowhook.Password)
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

// Whatever comes as a verification token is ErrBadToken, and uses up nothing, unless it is the token.
func FuzzRedeem(f *testing.F) {
	const genuine = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	d := flowtest.NewSessionTest(f, "")
	hash := sha256.Sum256([]byte(genuine))
	created, err := d.Store.Store.CreateVerification(f.Context(), flowhook.VerificationToken{Hash: hash[:], IdentityID: "alice",
		Address: flowhook.Address{Via: "email", Value: "a@b.example"}, IssuedAt: d.Clock.Now(), ExpiresAt: d.Clock.Now().Add(time.Hour)}, time.Time{})
	require.NoError(f, err)
	require.True(f, created)

	for _, token := range []string{genuine, "", genuine + "=", genuine[:42] + "9", strings.ToLower(genuine), string(hash[:]), fmt.Sprintf("%x", hash),
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
		err = d.Pipeline.Redeem(t.Context(), token, func(_ context.Context, v flowhook.VerificationToken) error {
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
				require.Empty(t, d.Store.Take(), "the store was asked about what cannot be a token")
			}
		}
		confirmed, err = redeem(t, genuine)
		require.Equal(t, errKeep, err)
		require.Equal(t, 1, confirmed)
	})
}
