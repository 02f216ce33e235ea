package main

import (
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"
)

// takeNotice returns the notice that the response sets, and removes it from the header.
func (b *browser) takeNotice() notice {
	b.t.Helper()
	r := &http.Request{Header: http.Header{}}
	var others []string
	for _, line := range b.Header.Values("Set-Cookie") {
		if strings.HasPrefix(line, noticeCookie+"=") {
			require.Contains(b.t, line, "; HttpOnly; Secure; SameSite=Lax")
			pair, _, _ := strings.Cut(line, ";")
			r.Header.Set("Cookie", pair)
		} else {
			others = append(others, line)
		}
	}
	b.Header.Del("Set-Cookie")
	for _, line := range others {
		b.Header.Add("Set-Cookie", line)
	}
	return noticeOf(r)
}
