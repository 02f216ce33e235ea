package sqltest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
)

// contents reads the tables on a connection without faults.
func (h *host) contents() (c contents) {
	h.t.Helper()
	read := func(query string, columns int, line func(v []string) string) {
		rows, err := h.clean.Query(query)
		require.NoError(h.t, err)
		defer rows.Close()
		for rows.Next() {
			v, into := make([]string, columns), make([]any, columns)
			for i := range v {
				into[i] = &v[i]
			}
			require.NoError(h.t, rows.Scan(into...))
			c = append(c, line(v))
		}
		require.NoError(h.t, rows.Err())
	}
	truth := func(s string) string {
		if s == "1" || s == "true" {
			return "yes"
		}
		return "no"
	}
	read("SELECT id, name, verified FROM users", 3, func(v []string) string {
		return "user " + v[0] + ": " + v[1] + ", verified: " + truth(v[2])
	})
	read("SELECT user_id FROM audit", 1, func(v []string) string { return "audit of " + v[0] })
	read("SELECT id, identity_id FROM flowhook_sessions", 2, func(v []string) string {
		name := map[string]string{h.current.ID: "current", "old": "old", "bobs": "bobs"}[v[0]]
		if name == "" {
			name = "fresh"
		}
		return "session " + name + " of " + v[1]
	})
	fresh := map[string]bool{}
	read("SELECT hash, identity_id, address, used FROM flowhook_verifications", 4, func(v []string) string {
		name := map[string]string{string(hashOf(redeemed)): "old", string(hashOf("bobs")): "old"}[v[0]]
		if name == "" {
			name, fresh[v[0]] = "fresh", true
		}
		return "token " + name + " of " + v[1] + " at " + v[2] + ", used: " + truth(v[3])
	})
	read("SELECT recipient, link FROM outbox", 2, func(v []string) string {
		link, err := url.Parse(v[1])
		require.NoError(h.t, err)
		if fresh[string(hashOf(link.Query().Get("token")))] {
			return "email to " + v[0]
		}
		return "email to " + v[0] + " with a link that verifies nothing"
	})
	slices.Sort(c)
	return c
}

// requireSuccess asserts that the client got the complete answer and that the tables have all
// effects.
func (h *host) requireSuccess(name string, a answer) {
	h.t.Helper()
	require.Less(h.t, a.status, 400, "%s: %v", name, h.lastError())
	require.Equal(h.t, h.done(), h.contents(), name)
	status, body, location := http.StatusOK, "done", ""
	if h.has("redirect") {
		status, body, location = http.StatusFound, "", landing
	}
	require.Equal(h.t, status, a.status, name)
	require.Equal(h.t, body, a.body, name)
	require.Equal(h.t, location, a.header.Get("Location"), name)
	require.Equal(h.t, !h.redeem, a.header.Get("X-Save") == "staged", name)
	switch {
	case h.issues || h.has("session"):
		require.Len(h.t, a.sessions, 1, name)
		s, err := h.pipeline.Sessions().FromToken(h.t.Context(), a.sessions[0])
		require.NoError(h.t, err, name)
		require.NotContains(h.t, []string{h.current.ID, "old", "bobs"}, s.ID, name)
	case h.flow == flowhook.Logout:
		require.Equal(h.t, []string{""}, a.sessions, name)
	default:
		require.Empty(h.t, a.header["Set-Cookie"], name)
	}
}

// requireRefused asserts that the client got the host's error page, and nothing from the hooks.
func (h *host) requireRefused(name string, a answer) {
	h.t.Helper()
	require.Equal(h.t, http.StatusInternalServerError, a.status, name)
	require.Equal(h.t, errorPage+"\n", a.body, name)
	require.Empty(h.t, a.header["Set-Cookie"], name)
	require.Empty(h.t, a.header["Location"], name)
	require.Empty(h.t, a.header["X-Save"], name)
	require.Equal(h.t, []string{"kept"}, a.header["X-Host"], name)
}

// An ending is how a request with a fault ended.
type ending string

const (
	rolledBack ending = "rolled back"
	absorbed   ending = "absorbed"
	committed  ending = "committed, with an error"
)

// ended asserts that the request had all of its effects or none, and that its answer said so. The
// one exception is an error of a commit that took effect, which is allowed if mayCommit is true.
func (h *host) ended(name string, a answer, mayCommit bool) ending {
	h.t.Helper()
	h.requireQuiet(name)
	if a.status < 400 {
		h.requireSuccess(name, a)
		return absorbed
	}
	h.requireRefused(name, a)
	is := h.contents()
	if mayCommit && slices.Equal(is, h.done()) {
		return committed
	}
	require.Equal(h.t, h.before(), is, "%s: %v", name, h.lastError())
	return rolledBack
}

// requireQuiet asserts that no connection is in use and no transaction is open in the database.
func (h *host) requireQuiet(name string) {
	h.t.Helper()
	waitUntil(h.t, func() string {
		n := 0
		if h.database.openTransactions != "" {
			require.NoError(h.t, h.clean.QueryRow(h.database.openTransactions).Scan(&n))
		}
		if used := h.db.Stats().InUse; n > 0 || used > 0 {
			return fmt.Sprintf("%s: %d transactions are open, and %d connections in use (%v)",
				name, n, used, h.lastError())
		}
		return ""
	})
	h.database.requireUntouched(h.t, h.db, name)
}

// canConflict reports whether a database may report a conflict at an operation.
func canConflict(op string) bool {
	return op != "Connect" && !strings.Contains(op, "SAVEPOINT") && !strings.Contains(op, "autocommit")
}
