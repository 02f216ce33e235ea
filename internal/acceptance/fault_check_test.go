package acceptance_test

import (
	"bufio"
	"crypto/sha256"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// do sends a request and returns the bytes of the response and what the handler saw.
func (r *faultTest) do() (raw string, o outcome) {
	r.t.Helper()
	raw = r.request("/")
	return raw, <-r.outcome
}

// mails returns the number of emails that a successful request sends.
func (r *faultTest) mails() int {
	if r.has("verify") && !r.outbox {
		return 2
	}
	return 0
}

// requireOutcome asserts what the handler saw, and that its exchange is unchanged.
func (r *faultTest) requireOutcome(i injection, o outcome) {
	r.t.Helper()
	require.Empty(r.t, o.changed, i.name)
	refused := 1
	if r.run || i.ends == cutOff || i.ends == panicked || i.ends == onlyLogged {
		refused = 0
	}
	require.Equal(r.t, refused, o.refused, "how often the failed hooks ran: "+i.name)
	switch i.ends {
	case panicked:
		require.NotNil(r.t, o.ended, i.name)
		require.NotEqual(r.t, errGone, o.ended, i.name)
		return
	case cutOff:
		require.Contains(r.t, []any{errGone, http.ErrAbortHandler}, o.ended, i.name)
		return
	case onlyLogged:
		require.NoError(r.t, o.err, i.name)
	default:
		require.Error(r.t, o.err, i.name)
		require.False(r.t, o.handled, i.name)
		require.ErrorContains(r.t, o.err, i.says, i.name)
		if i.is != nil {
			require.ErrorIs(r.t, o.err, i.is, i.name)
		}
	}
	require.Nil(r.t, o.ended, i.name)
}

// requireSuccess asserts that a request without a fault has all its effects. commits is the number
// of commits including this request's.
func (r *faultTest) requireSuccess(name string, commits, mails int) {
	r.t.Helper()
	raw, o := r.do()
	require.NoError(r.t, o.err, name)
	require.Nil(r.t, o.ended, name)
	require.Empty(r.t, o.changed, name)
	require.Equal(r.t, r.answers, o.handled, name)
	r.requireStored(name, commits)
	r.requireAnswer(name, raw, mails)
}

// requireStored asserts that the whole transaction is committed.
func (r *faultTest) requireStored(name string, commits int) {
	r.t.Helper()
	is := r.contents()
	issues, revokes := r.issues || r.has("session"), r.has("revoke_active_sessions")
	for _, s := range r.fixed {
		gone := s.IdentityID == identityID && revokes && (r.flow != flowhook.Settings || s != r.came)
		if s == r.came && issues {
			gone = true
		}
		if found, ok := is.sessions[s.ID]; gone {
			require.False(r.t, ok, "%s: session %s", name, s.ID)
		} else {
			require.Equal(r.t, s, found, name)
		}
		delete(is.sessions, s.ID)
	}
	fresh := 0
	if issues {
		fresh = commits
	}
	if issues && revokes {
		fresh = 1
	}
	require.Len(r.t, is.sessions, fresh, name)
	for _, s := range is.sessions {
		require.Equal(r.t, identityID, s.IdentityID, name)
	}

	verified, rows := 1, map[string]flowtest.User{"greeting for " +
		identityID: {ID: "greeting for " + identityID, Name: "hello"},
		identityID: {ID: identityID, Name: "saved"}}
	if r.run {
		rows[identityID] = flowtest.User{ID: identityID, Name: "as it was"}
	}
	if r.has("verify") {
		verified = 3 - r.forgotten
	}
	require.Len(r.t, is.tokens, verified, name)
	outbox := 0
	for id, u := range is.users {
		if link, ok := strings.CutPrefix(id, "mail "); ok {
			outbox++
			require.Contains(r.t, is.tokens, hashOf(r, link), name)
			rows[id] = u
		}
	}
	require.Equal(r.t, rows, is.users, name)
	if r.outbox {
		require.Equal(r.t, verified-1, outbox, name)
	}
}

// requireOneSession asserts that no second session was issued, not even one that was ended again.
func (r *faultTest) requireOneSession(calls []storeCall) {
	r.t.Helper()
	issued, want := 0, 0
	for _, call := range calls {
		if call.method == "CreateSession" || call.method == "ReplaceSession" {
			issued++
		}
	}
	if r.issues || r.has("session") {
		want = 1
	}
	require.Equal(r.t, want, issued)
}

// hashOf returns the stored hash of a link's token.
func hashOf(r *faultTest, link string) string {
	u, err := url.Parse(link)
	require.NoError(r.t, err)
	hash := sha256.Sum256([]byte(u.Query().Get("token")))
	return string(hash[:])
}

// requireAnswer asserts that the client got the whole response, a working session, and the emails.
func (r *faultTest) requireAnswer(name, raw string, mails int) {
	r.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil)
	require.NoError(r.t, err, name)
	body, err := io.ReadAll(res.Body)
	require.NoError(r.t, err, name)
	status, says := http.StatusOK, "done"
	if r.answers {
		status, says = http.StatusSeeOther, ""
	}
	require.Equal(r.t, status, res.StatusCode, name)
	require.Equal(r.t, says, string(body), name)
	require.Equal(r.t, "https://elsewhere.example/", res.Header.Get("Location"), name)
	require.Equal(r.t, []string{"changed"}, res.Header["X-Host"], name)
	require.NotContains(r.t, res.Header, "Vary", name)
	require.Equal(r.t, !r.run, res.Header.Get("X-Save") == "staged", name)

	session := ""
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			require.Empty(r.t, session, "%s: two cookies", name)
			session = c.Value
		} else {
			require.Equal(r.t, "greeting=1", c.Raw, name)
		}
	}
	if r.issues || r.has("session") {
		s, err := r.pipeline.Sessions().FromToken(r.t.Context(), session)
		require.NoError(r.t, err, name)
		require.Equal(r.t, identityID, s.IdentityID, name)
	} else {
		require.Empty(r.t, session, name)
	}

	sent := r.mail.Take()
	require.Len(r.t, sent, mails, name)
	is, dead := r.contents(), 0
	for _, m := range sent {
		if _, ok := is.tokens[hashOf(r, m.Link)]; !ok {
			dead++
		}
	}
	if unsent := r.mails() - mails; r.forgotten > 0 {
		require.Equal(r.t, r.forgotten-unsent, dead, name)
	} else {
		require.Zero(r.t, dead, name)
	}
}
