package main

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSessions(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		s.register(email, password)
		a, b, c := s.signedIn(email, password), s.signedIn(email, password), s.signedIn(email, password)
		a.follow("Sessions").at("/sessions", "Your sessions")
		list := within(a.all("ul")[0], "li")
		require.Len(t, list, 3)
		for i, want := range []string{"Sign out", "End session", "End session"} { // the current one is the oldest
			require.Equal(t, i == 0, strings.Contains(text(list[i]), "Firefox on Linux this session"))
			button := within(list[i], "button")[0]
			require.Equal(t, want, text(button))
			var name []string
			for id := range strings.FieldsSeq(attribute(button, "aria-labelledby")) {
				name = append(name, text(a.byID(id)))
			}
			require.Contains(t, strings.Join(name, " "), want+" Firefox on Linux")
		}

		c.press("Sign out").at("/", "Welcome to Accounts")
		own := attribute(within(within(b.open("/sessions").all("ul")[0], "li")[0], "input")[0], "value")
		b.post("/sessions/end", url.Values{"session": {own}}).at("/", "Welcome to Accounts")
		a.open("/sessions").at("/sessions", "Your sessions")
		require.Len(t, within(a.all("ul")[0], "li"), 1)
		require.NotContains(t, a.Body, "Sign out everywhere")

		eve := "eve@example.org"
		s.register(eve, password)
		hers := s.signedIn(eve, password).open("/sessions")
		handle := attribute(within(a.all("li")[0], "input")[0], "value")
		hers.post("/sessions/end", url.Values{"session": {handle}}).at("/sessions", "Your sessions") // not her session
		a.open("/").at("/", "Hello, Alice")

		b = s.signedIn(email, password)
		b.open("/sessions").press("Sign out everywhere").at("/", "Welcome to Accounts")
		a.open("/settings").at("/login", "Sign in")
		b.open("/settings").at("/login", "Sign in")
		hers.open("/").at("/", "Hello, Alice")
		require.Equal(t, 1, s.count("flowhook_sessions"))
		require.Equal(t, 1, s.count("audit WHERE point = 'sign_out_everywhere/after'"))
	})
}

// TestSession_EndedMeanwhile checks that a request changes nothing if its session ends while it
// waits for its transaction.
func TestSession_EndedMeanwhile(t *testing.T) {
	s := newSite(t, newPostgreSQL(t))
	s.register(email, password)
	for path, form := range map[string]url.Values{
		"/settings/profile":  {"name": {"Eve"}},
		"/settings/email":    {"email": {"eve@example.org"}, "current": {password}},
		"/settings/delete":   {"current": {password}},
		"/settings/password": {"current": {password}, "new": {"the password of somebody else"}},
		"/sessions/end":      {"session": {"none"}},
		"/sessions/end-all":  nil,
	} {
		b := s.signedIn(email, password)
		var id string
		require.NoError(t, s.service.db.QueryRow("SELECT id FROM users").Scan(&id))
		rows := s.count("audit WHERE outcome = 'ok'")
		done := make(chan *browser)
		err := s.service.store.Transaction(t.Context(), id, func(ctx context.Context) error {
			go func() { done <- b.post(path, form) }()
			if err := s.someoneWaits(ctx); err != nil {
				return err
			}
			return s.service.store.DeleteSessions(ctx, id, "")
		})
		require.NoError(t, err)
		(<-done).at("/login", "Sign in")
		require.Equal(t, rows, s.count("audit WHERE outcome = 'ok'"), path)
	}
	s.signedIn(email, password) // as before
}
