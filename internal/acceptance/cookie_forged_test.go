package acceptance_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/gob"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/gorilla/securecookie"
	"github.com/stretchr/testify/require"
)

func TestCookies_ForgedAreAnonymous(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	cookie, s := d.SignIn("alice")
	value := strings.TrimPrefix(cookie, flowtest.CookieName+"=")
	now := fmt.Sprint(time.Now().Unix())
	raw, err := securecookie.New([]byte(flowtest.Secret),
		nil).SetSerializer(securecookie.NopEncoder{}).MaxAge(0).Encode(flowtest.CookieName, []byte(s.ID))
	require.NoError(t, err)
	unpadded := strings.TrimRight(value, "=")
	named := func(v string) []string { return []string{flowtest.CookieName + "=" + v} }

	for name, cookies := range map[string][]string{
		"none":                       nil,
		"under another name":         {"session=" + value},
		"under a name in lower case": {"__host-session=" + value},
		"signed for another name":    named(flowtest.SignToken(flowtest.Secret, "session", now, s.ID)),
		"two, both forged": {flowtest.CookieName + "=forged", flowtest.CookieName + "=" +
			flowtest.SignToken("another-secret-than-that", flowtest.CookieName, now, s.ID)},
		"quoted":                {flowtest.CookieName + `="` + value + `"`},
		"quoted on one side":    {flowtest.CookieName + `="` + value},
		"empty":                 {flowtest.CookieName + "="},
		"percent-encoded":       named(strings.ReplaceAll(value, "=", "%3D")),
		"without padding":       named(unpadded),
		"with too much padding": named(value + "===="),
		"ID alone":              named(s.ID),
		"signed with another secret": named(flowtest.SignToken("another-secret-than-that", flowtest.CookieName,
			now, s.ID)),
		"signed with the secret itself": named(raw),
		"signed with an empty key": named(flowtest.EncodeToken(now, s.ID, func(m string) []byte {
			h := hmac.New(sha256.New, nil)
			h.Write([]byte(flowtest.CookieName + "|" + m))
			return h.Sum(nil)
		})),
		"not signed": named(flowtest.EncodeToken(now, s.ID,
			func(string) []byte { return nil })),
		"signed with a piece": named(flowtest.EncodeToken(now, s.ID,
			func(m string) []byte { return []byte(m)[:16] })),
		"invalid time": named(flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "now",
			s.ID)),
		"time too big for an integer": named(flowtest.SignToken(flowtest.Secret, flowtest.CookieName,
			strings.Repeat("9", 30), s.ID)),
		"64 KiB": named(strings.Repeat("QUFB", 16<<10)),
		"64 KiB, signed": named(flowtest.SignToken(flowtest.Secret, flowtest.CookieName, now,
			strings.Repeat("A", 36<<10))),
		"token repeated 700 times":              named(strings.Repeat(value, 700)),
		"4000 letters before the genuine token": named(strings.Repeat("A", 4000) + value),
		"value of separators":                   named("fHx8fHx8fHx8fHw="),
	} {
		t.Run(name, func(t *testing.T) {
			d.Store.Take()
			require.Empty(t, d.IdentityOf(cookies...))
			require.Empty(t, d.Store.Take(), "the store was asked")
			require.NoError(t, d.End(t.Context(), flowtest.NewVisitor("", cookies...).Exchange))
			require.Empty(t, d.Store.Take(), "the store was asked")
		})
	}
	require.Equal(t, "alice", d.IdentityOf("theme=dark", cookie, "session="+value))

	crowd := append(slices.Repeat([]string{"a=b"}, 4000), cookie)
	want := "alice"
	if len(flowtest.NewVisitor("", crowd...).Request.Cookies()) == 0 { // Go 1.25.2 and later take none of so many
		want = ""
	}
	require.Equal(t, want, d.IdentityOf(crowd...))

	for name, token := range map[string]string{
		"std alphabet":     stdAlphabet(d),
		"a line break":     value[:8] + "\n" + value[8:],
		"four line breaks": value[:8] + "\r\n\n\n" + value[8:],
		"carriage return":  value + "\r",
		"a NUL":            value + "\x00",
		"no UTF-8":         "\xff\xfe" + value,
		"trailing bits":    trailingBits(t, d),
		"1 MiB":            strings.Repeat("QUFB", 256<<10),
	} {
		t.Run("token: "+name, func(t *testing.T) {
			d.Store.Take()
			_, err := d.FromToken(t.Context(), token)
			require.ErrorIs(t, err, flowhook.ErrNoSession)
			require.Empty(t, d.Store.Take())
		})
	}
}

// stdAlphabet returns a genuine token in the other base64 alphabet.
func stdAlphabet(d *flowtest.SessionTest) string {
	_, s := d.SignIn("alice")
	for date := 1; ; date++ {
		if token := flowtest.SignToken(flowtest.Secret, flowtest.CookieName, fmt.Sprint(date),
			s.ID); strings.ContainsAny(token, "-_") {
			return strings.NewReplacer("-", "+", "_", "/").Replace(token)
		}
	}
}

// trailingBits returns a genuine token with bits set after its last byte, which a lax decoder
// ignores. Such bits exist only if the length of the token is not a multiple of 3. The length of
// the date changes that.
func trailingBits(t *testing.T, d *flowtest.SessionTest) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, date := range []string{"1", "12", "123"} {
		_, s := d.SignIn("alice")
		token := flowtest.SignToken(flowtest.Secret, flowtest.CookieName, date, s.ID)
		i := len(strings.TrimRight(token, "=")) - 1
		if i == len(token)-1 {
			continue
		}
		_, err := d.FromToken(t.Context(), token)
		require.NoError(t, err)
		changed := token[:i] + string(alphabet[strings.IndexByte(alphabet, token[i])+1]) + token[i+1:]
		require.Equal(t, must(base64.URLEncoding.DecodeString(token)), must(base64.URLEncoding.DecodeString(changed)))
		return changed
	}
	t.Fatal("no length has a remainder")
	return ""
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A signed ID is looked up, whenever it was signed: only the store decides whether the session is
// valid.
func TestCookies_SignedIDsAreLookedUp(t *testing.T) {
	d := flowtest.NewSessionTest(t, "")
	_, s := d.SignIn("alice")
	for _, date := range []string{"0", "1", "-9223372036854775808", "9223372036854775807", "4102444800",
		fmt.Sprint(time.Now().Unix())} {
		found, err := d.FromToken(t.Context(), flowtest.SignToken(flowtest.Secret, flowtest.CookieName, date, s.ID))
		require.NoError(t, err, date)
		require.Equal(t, s, *found)
	}
	d.Clock.Add(24 * time.Hour)
	_, err := d.FromToken(t.Context(), flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "9223372036854775807",
		s.ID))
	require.ErrorIs(t, err, flowhook.ErrNoSession)

	var other strings.Builder
	require.NoError(t, gob.NewEncoder(&other).Encode(map[string]any{"id": s.ID}))
	for _, content := range []string{"", "\x00", other.String(), `{"id":"x"}`, "\xff\xfe", s.ID + " ",
		strings.ToLower(s.ID), strings.Repeat("x", 2000), s.ID + "\x00"} {
		d.Store.Take()
		token := flowtest.SignToken(flowtest.Secret, flowtest.CookieName, "1", content)
		_, err := d.FromToken(t.Context(), token)
		require.ErrorIs(t, err, flowhook.ErrNoSession, "%q", content)
		require.Empty(t, d.IdentityOf(flowtest.CookieName+"="+token))
		require.NoError(t, d.End(t.Context(), flowtest.NewVisitor("", flowtest.CookieName+"="+token).Exchange))
	}
}
