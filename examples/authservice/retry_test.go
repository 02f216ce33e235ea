package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/sqlstore"
	"github.com/stretchr/testify/require"
)

// TestConflict checks that a conflict is retried and the work done once, even if the conflict comes
// after everything is written, email included. The number of attempts is bounded.
func TestConflict(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		s := newSite(t, database)
		for _, c := range []struct{ conflicts, tries, status, done int }{
			{maxAttempts, maxAttempts, http.StatusServiceUnavailable, 0},
			{1, 2, http.StatusSeeOther, 1},
		} {
			tries := 0
			service, err := newService(s.service.config, s.service.db,
				courier(func(ctx context.Context, m flowhook.Message) error {
					tries++
					if err := s.outbox.Courier().Send(ctx, m); err != nil || tries > c.conflicts {
						return err
					}
					return sqlstore.ErrConflict
				}), nil, s.service.log)
			require.NoError(t, err)
			handler, err := service.handler()
			require.NoError(t, err)
			r, err := http.NewRequest("POST", s.server.URL+"/register",
				strings.NewReader(url.Values{"name": {"Alice"}, "email": {email}, "password": {password}}.Encode()))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			require.Equal(t, c.status, answer.Code, answer.Body)
			require.Equal(t, c.tries, tries)
			require.Equal(t, c.done, s.count("users"))
			require.Equal(t, c.done, s.count("flowhook_verifications"))
			require.Equal(t, c.done, s.count("river_job"))
			require.Equal(t, c.done, s.count("audit WHERE point = 'registration/after/password'"))
		}
		require.Equal(t, maxAttempts+1, s.count("audit WHERE point = 'registration/failed/password' AND outcome = "+
			"'conflict'"))
		s.mail(email, confirmSubject, 0)
	})
}
