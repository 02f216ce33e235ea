package acceptance_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// FuzzProblem checks that whatever a Refusal says reaches a JSON client as JSON that cannot be read
// as HTML, and any other client as plain text.
func FuzzProblem(f *testing.F) {
	f.Add(uint8(3), "address_not_verified", "Please confirm your email address first.", "email")
	f.Add(uint8(29), "slow\r\nX-Evil: 1", "<script>alert(1)</script>\u2028&", `"},"status":200,"x":"`)
	f.Add(uint8(99), "\xff\xfe", "\x00\x1b[31m\u2029", "\xed\xa0\x80")
	f.Add(uint8(0), "", "", "")
	pipeline, err := flowhook.New(nil, flowtest.AnyOptions())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, n uint8, code, text, field string) {
		status := 400 + int(n)%100
		answer := func(accept, mediaType string) (body string) {
			w, r := httptest.NewRecorder(), flowtest.NewRequest()
			r.Header.Set("Accept", accept)
			pipeline.AnswerError(w, r, &flowhook.Refusal{Status: status, Code: code, Text: text, Field: field})
			require.Equal(t, status, w.Code)
			require.Equal(t, http.Header{"Cache-Control": {"no-store"}, "Content-Type": {mediaType}, "Vary": {"Accept"},
				"X-Content-Type-Options": {"nosniff"}}, w.Result().Header)
			return w.Body.String()
		}

		body := answer(jsonClient, "application/problem+json")
		require.True(t, json.Valid([]byte(body)), "%q", body)
		require.True(t, utf8.ValidString(body))
		require.False(t, strings.ContainsAny(body, "<>&\u2028\u2029"), "%q", body)
		got := readProblem(t, body)
		require.NotEmpty(t, got.Title)
		valid := func(s string) string { return string([]rune(s)) } // with U+FFFD for each invalid byte
		require.Equal(t, problemJSON{got.Title, valid(text), valid(code), valid(field), status}, got)

		want := text
		if text == "" {
			want = got.Title
		}
		require.Equal(t, want+"\n", answer(browser, "text/plain; charset=utf-8"))
	})
}
