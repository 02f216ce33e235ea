package flowhook_test

import (
	"crypto/hkdf"
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
	"github.com/gorilla/securecookie"
	"github.com/stretchr/testify/require"
)

const deskSecret = "a-secret-for-the-tests"

// sign makes a token as flowhook does: gorilla/securecookie's format, under a key that is expanded from the secret.
// Where it changes, all users are signed out by the upgrade.
func sign(secret, name, date, content string) string {
	return encoded(date, content, func(signed string) []byte {
		mac := hmac.New(sha256.New, expand(secret))
		mac.Write([]byte(name + "|" + signed))
		return mac.Sum(nil)
	})
}

func encoded(date, content string, mac func(signed string) []byte) string {
	signed := date + "|" + base64.URLEncoding.EncodeToString([]byte(content))
	return base64.URLEncoding.EncodeToString([]byte(signed + "|" + string(mac(signed))))
}

func expand(secret string) []byte {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "flowhook session token", 64)
	if err != nil {
		panic(err)
	}
	return key
}

func TestForgedCookiesAreAnonymous(t *testing.T) {
	d := newDesk(t, "")
	cookie, s := d.signIn("alice")
	value := strings.TrimPrefix(cookie, hostSession+"=")
	now := fmt.Sprint(time.Now().Unix())
	raw, err := securecookie.New([]byte(deskSecret), nil).SetSerializer(securecookie.NopEncoder{}).MaxAge(0).Encode(hostSession, []byte(s.ID))
	require.NoError(t, err)
	unpadded := strings.TrimRight(value, "=")
	named := func(v string) []string { return []string{hostSession + "=" + v} }

	for name, cookies := range map[string][]string{
		"none":                          nil,
		"under another name":            {"session=" + value},
		"under a name in lower case":    {"__host-session=" + value},
		"signed for another name":       named(sign(deskSecret, "session", now, s.ID)),
		"two, both forged":              {hostSession + "=forged", hostSession + "=" + sign("another-secret-than-that", hostSession, now, s.ID)},
		"quoted":                        {hostSession + `="` + value + `"`},
		"quoted on one side":            {hostSession + `="` + value},
		"empty":                         {hostSession + "="},
		"percent-encoded":               named(strings.ReplaceAll(value, "=", "%3D")),
		"without padding":               named(unpadded),
		"with too much padding":         named(value + "===="),
		"the ID alone":                  named(s.ID),
		"signed with another secret":    named(sign("another-secret-than-that", hostSession, now, s.ID)),
		"signed with the secret itself": named(raw),
		"signed with an empty key": named(encoded(now, s.ID, func(m string) []byte {
			h := hmac.New(sha256.New, nil)
			h.Write([]byte(hostSession + "|" + m))
			return h.Sum(nil)
		})),
		"not signed":                      named(encoded(now, s.ID, func(string) []byte { return nil })),
		"signed with a piece":             named(encoded(now, s.ID, func(m string) []byte { return []byte(m)[:16] })),
		"a time that is none":             named(sign(deskSecret, hostSession, "now", s.ID)),
		"a time beyond all integers":      named(sign(deskSecret, hostSession, strings.Repeat("9", 30), s.ID)),
		"64 KiB":                          named(strings.Repeat("QUFB", 16<<10)),
		"64 KiB, signed":                  named(sign(deskSecret, hostSession, now, strings.Repeat("A", 36<<10))),
		"the token, 700 times over":       named(strings.Repeat(value, 700)),
		"4000 letters before the genuine": named(strings.Repeat("A", 4000) + value),
		"a value of separators":           named("fHx8fHx8fHx8fHw="),
	} {
		t.Run(name, func(t *testing.T) {
			d.store.take()
			require.Empty(t, d.who(cookies...))
			require.Empty(t, d.store.take(), "the store was asked")
			require.NoError(t, d.End(t.Context(), visit("", cookies...).Exchange))
			require.Empty(t, d.store.take(), "the store was asked")
		})
	}
	require.Equal(t, "alice", d.who("theme=dark", cookie, "session="+value))

	crowd := append(slices.Repeat([]string{"a=b"}, 4000), cookie)
	want := "alice"
	if len(visit("", crowd...).Request.Cookies()) == 0 { // Go 1.25.2 and later take none of so many
		want = ""
	}
	require.Equal(t, want, d.who(crowd...))

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
			d.store.take()
			_, err := d.FromToken(t.Context(), token)
			require.ErrorIs(t, err, flowhook.ErrNoSession)
			require.Empty(t, d.store.take())
		})
	}
}

// stdAlphabet gives a genuine token in the other alphabet of base64.
func stdAlphabet(d *desk) string {
	_, s := d.signIn("alice")
	for date := 1; ; date++ {
		if token := sign(deskSecret, hostSession, fmt.Sprint(date), s.ID); strings.ContainsAny(token, "-_") {
			return strings.NewReplacer("-", "+", "_", "/").Replace(token)
		}
	}
}

// trailingBits gives a genuine token with bits set behind its last byte, which a lax decoder overlooks. There are such
// bits where the length leaves a remainder, which the length of a date may change.
func trailingBits(t *testing.T, d *desk) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, date := range []string{"1", "12", "123"} {
		_, s := d.signIn("alice")
		token := sign(deskSecret, hostSession, date, s.ID)
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

// What the secret has signed is genuine; when it was signed does not count, only what the store says of the session.
func TestWhatIsSignedIsAskedFor(t *testing.T) {
	d := newDesk(t, "")
	_, s := d.signIn("alice")
	for _, date := range []string{"0", "1", "-9223372036854775808", "9223372036854775807", "4102444800", fmt.Sprint(time.Now().Unix())} {
		found, err := d.FromToken(t.Context(), sign(deskSecret, hostSession, date, s.ID))
		require.NoError(t, err, date)
		require.Equal(t, s, *found)
	}
	d.clock.Add(24 * time.Hour)
	_, err := d.FromToken(t.Context(), sign(deskSecret, hostSession, "9223372036854775807", s.ID))
	require.ErrorIs(t, err, flowhook.ErrNoSession)

	var other strings.Builder
	require.NoError(t, gob.NewEncoder(&other).Encode(map[string]any{"id": s.ID}))
	for _, content := range []string{"", "\x00", other.String(), `{"id":"x"}`, "\xff\xfe", s.ID + " ", strings.ToLower(s.ID), strings.Repeat("x", 2000), s.ID + "\x00"} {
		d.store.take()
		token := sign(deskSecret, hostSession, "1", content)
		_, err := d.FromToken(t.Context(), token)
		require.ErrorIs(t, err, flowhook.ErrNoSession, "%q", content)
		require.Empty(t, d.who(hostSession+"="+token))
		require.NoError(t, d.End(t.Context(), visit("", hostSession+"="+token).Exchange))
	}
}
