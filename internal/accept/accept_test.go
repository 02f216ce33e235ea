package accept_test

import (
	"mime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/accept"
)

func TestJSON(t *testing.T) {
	const chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8," +
		"application/signed-exchange;v=b3;q=0.7"
	for _, test := range []struct {
		name   string
		values []string
		want   bool
	}{
		{"missing", nil, false},
		{"empty", []string{""}, false},
		{"everything, as fetch sends", []string{"*/*"}, false},
		{"a browser's navigation", []string{chromium}, false},
		{"JSON only", []string{"application/json"}, true},
		{"as axios sends", []string{"application/json, text/plain, */*"}, true},
		{"upper case", []string{"Application/JSON"}, true},
		{"with a charset", []string{"application/json; charset=utf-8"}, true},
		{"HTML is named with the same weight", []string{"application/json, text/html"}, false},
		{"HTML first", []string{"text/html, application/json"}, false},
		{"HTML weighs less", []string{"text/html;q=0.9, application/json"}, true},
		{"HTML weighs more", []string{"application/json;q=0.8, text/html;q=0.9"}, false},
		{"weights differ in the third decimal", []string{"application/json;q=0.901, text/html;q=0.9"}, true},
		{"JSON is refused", []string{"application/json;q=0, */*"}, false},
		{"JSON is refused with decimals", []string{"application/json;q=0.000"}, false},
		{"HTML is refused", []string{"*/*, text/html;q=0"}, true},
		{"group of JSON", []string{"application/*"}, true},
		{"group of HTML", []string{"application/json, text/*"}, true},
		{"group of HTML weighs more", []string{"application/json;q=0.5, text/*"}, false},
		{"everything weighs more", []string{"application/json;q=0.5, */*"}, false},
		{"repeated header", []string{"text/html;q=0.1", "application/json"}, true},
		{"repeated header, HTML later", []string{"application/json;q=0.1", "text/html"}, false},
		{"first of two weights", []string{"application/json;q=0, application/json;q=1"}, false},
		{"space around everything", []string{" application/json ; Q = 1 , text/html ; q = 0.5 "}, true},
		{"malformed weight", []string{"application/json;q=high"}, false},
		{"weight without digits", []string{"application/json;q="}, false},
		{"weight above one", []string{"application/json;q=1.5"}, false},
		{"weight with an exponent", []string{"application/json;q=1e0"}, false},
		{"weight that is infinite", []string{"application/json;q=+Inf"}, false},
		{"another JSON type", []string{"application/problem+json"}, false},
		{"a prefix", []string{"application/jsonlines"}, false},
		{"many entries", []string{strings.Repeat("text/plain,", 10_000) + "application/json"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, accept.JSON(test.values))
		})
	}
}

// FuzzJSON checks that a header without JSON never asks for it, that the spelling of a header does
// not matter, and that a browser which names HTML without a weight gets no JSON.
func FuzzJSON(f *testing.F) {
	f.Add("application/json, text/html;q=0.5")
	f.Add("text/html,application/json;q=0.9,*/*;q=0.8")
	f.Add(";q=,,;;q=2")
	f.Fuzz(func(t *testing.T, header string) {
		got := accept.JSON([]string{header})
		require.Equal(t, got, accept.JSON(strings.Split(header, ",")), "one header is the same as several")
		require.Equal(t, got, accept.JSON([]string{strings.ReplaceAll(header, ",", " , ")}))
		if strings.ToUpper(header) == upperASCII(header) {
			require.Equal(t, got, accept.JSON([]string{upperASCII(header)}))
		}
		if !strings.Contains(strings.ToLower(header), "application/") {
			require.False(t, got)
		}
		require.False(t, accept.JSON([]string{"text/html", header}), "nothing is preferred to HTML without a weight")
		if media, _, err := mime.ParseMediaType(header); err == nil && media == "application/json" && !strings.Contains(header, "=") {
			require.True(t, got, "only JSON is accepted")
		}
	})
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, s)
}
