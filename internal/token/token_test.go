package token

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/stretchr/testify/require"
)

// counted is a codec that counts the tokens that it verifies.
type counted struct {
	securecookie.Codec
	decoded *int
}

func (c counted) Decode(name, value string, dst any) error {
	*c.decoded++
	return c.Codec.Decode(name, value, dst)
}

// FromRequest verifies at most 64 cookies of a request, each with every secret.
func TestFromRequest_ManyCookies(t *testing.T) {
	secrets := []string{"secret-number-one", "secret-number-two", "secret-number-three"}
	carrier, err := New(http.Cookie{Name: "sid", Path: "/"}, secrets)
	require.NoError(t, err)
	foreign, err := New(http.Cookie{Name: "sid", Path: "/"}, []string{"secret-of-a-stranger"})
	require.NoError(t, err)
	decoded := 0
	for i, c := range carrier.codecs {
		carrier.codecs[i] = counted{c, &decoded}
	}
	request := func(values ...string) *http.Request {
		return &http.Request{Header: http.Header{"Cookie": {"sid=" + strings.Join(values, "; sid=")}}}
	}
	signed := func(c *Carrier, n int) (tokens []string) {
		for i := range n {
			token, err := c.Sign(fmt.Sprint("session ", i))
			require.NoError(t, err)
			tokens = append(tokens, token)
		}
		return tokens
	}

	ids, err := carrier.FromRequest(request(signed(foreign, 2000)...), nil)
	require.ErrorIs(t, err, errTooManyCookies)
	require.Empty(t, ids)
	require.Equal(t, 64*len(secrets), decoded)

	decoded = 0
	ids, err = carrier.FromRequest(request(signed(carrier, 2000)...), nil)
	require.ErrorIs(t, err, errTooManyIDs)
	require.Empty(t, ids)
	require.Equal(t, 9, decoded, "each is verified by the first secret; the ninth is one too many")

	decoded = 0
	short := strings.Repeat("A", 40) // less than the base64 of an HMAC
	ids, err = carrier.FromRequest(request(append(slices.Repeat([]string{short}, 1000), signed(carrier, 1)...)...), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"session 0"}, ids)
	require.Equal(t, 1, decoded)
}
