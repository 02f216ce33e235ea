package acceptance_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// serve serves one request with a handler in Middleware. It returns the response.
func (s *refusalTest) serve(handler http.HandlerFunc, accept ...string) (reply, []*http.Cookie) {
	s.t.Helper()
	s.server.Close()
	s.server = httptest.NewServer(s.pipeline.Middleware(flowhook.Login)(handler))
	s.t.Cleanup(s.server.Close)
	return s.ask(http.MethodPost, "/", accept...)
}

func TestAnswerError_KnownErrors(t *testing.T) {
	const used, bad = "This link or code was already used.", "This link or code is wrong, has expired or was already used."
	s := newRefusalTest(t, "{}")
	for _, row := range []struct {
		err         error
		plain, json string
	}{
		{flowhook.ErrBadReturnURL, "Bad Request", `"code":"bad_return_url"`},
		{flowhook.ErrUsedToken, used, `"detail":"` + used + `","code":"used_token"`},
		{flowhook.ErrBadToken, bad, `"detail":"` + bad + `","code":"bad_token"`},
	} {
		for _, err := range []error{row.err, fmt.Errorf(flowtest.Canary+": %w", row.err)} {
			answer := func(w http.ResponseWriter, r *http.Request) { s.pipeline.AnswerError(w, r, err) }
			got, _ := s.serve(answer)
			require.Equal(t, reply{http.StatusBadRequest, row.plain + "\n", plainFailure.Header}, got)
			got, _ = s.serve(answer, jsonClient)
			require.Equal(t, http.StatusBadRequest, got.Status)
			require.Equal(t, `{"title":"Bad Request","status":400,`+row.json+`}`, got.Body)
		}
	}
	require.NotContains(t, s.log.String(), "level=ERROR", "a client's mistake")
}

// When the response has begun, AnswerError only logs.
func TestAnswerError_ResponseBegun(t *testing.T) {
	s := newRefusalTest(t, "{}")
	for name, begin := range map[string]func(w http.ResponseWriter){
		"write":       func(w http.ResponseWriter) { _, _ = io.WriteString(w, "partial") },
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) },
		"flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
	} {
		for _, err := range []error{errors.New(hookProblem), flowhook.Refuse(403, "no", flowtest.Canary)} {
			for _, accept := range []string{browser, jsonClient} {
				t.Run(name, func(t *testing.T) {
					handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { begin(w) })
					want, _ := s.serve(handler, accept)
					got, _ := s.serve(func(w http.ResponseWriter, r *http.Request) {
						begin(w)
						s.pipeline.AnswerError(w, r, err)
					}, accept)
					require.Equal(t, want, got)
				})
			}
		}
	}
	require.Contains(t, s.log.String(), hookProblem)
	require.Contains(t, s.log.String(), "flowhook: refused")
	require.NotContains(t, s.log.String(), "superfluous")
}

// A response that was prepared but not sent does not describe the error.
func TestAnswerError_ReplacesPreparedResponse(t *testing.T) {
	s := newRefusalTest(t, "{}")
	for _, accept := range []string{browser, jsonClient} {
		got, cookies := s.serve(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Length", "5")
			h.Set("Content-Type", "text/html")
			h.Set("Cache-Control", "public, max-age=3600")
			h.Set("Vary", "Cookie")
			http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
			s.pipeline.AnswerError(w, r, flowhook.Refuse(403, "", "You are not invited."))
		}, accept)
		require.Equal(t, http.StatusForbidden, got.Status)
		require.Contains(t, got.Body, "You are not invited.")
		require.Equal(t, []string{"no-store"}, got.Header["Cache-Control"])
		require.Equal(t, []string{"Cookie", "Accept"}, got.Header["Vary"])
		require.NotContains(t, got.Header.Get("Content-Type"), "html")
		require.Len(t, cookies, 1, "the cookies of the host are its own")
	}
}

// Middleware calls Options.OnError, which may call AnswerError. AnswerError does not call it.
func TestAnswerError_OnError(t *testing.T) {
	var s *refusalTest
	var seen []error
	s = newRefusalTest(t, loginYAML(flowhook.Before, "hook: act"), func(o *flowhook.Options) {
		o.OnError = func(w http.ResponseWriter, r *http.Request, err error) {
			seen = append(seen, err)
			s.pipeline.AnswerError(w, r, err)
		}
	})
	refusal := flowhook.Refuse(403, "no", "You are not invited.")
	s.act = returning(refusal)
	got, _ := s.ask(http.MethodPost, "/complete")
	require.Equal(t, reply{http.StatusForbidden, "You are not invited.\n", plainFailure.Header}, got)
	require.Len(t, seen, 1)
	require.ErrorIs(t, seen[0], refusal)
	var hook *flowhook.HookError
	require.ErrorAs(t, seen[0], &hook)
	require.Equal(t, "act", hook.Name)
}

// A request that was not built by a server, and one without an exchange, are answered as well.
func TestAnswerError_WithoutExchange(t *testing.T) {
	s := newRefusalTest(t, "{}")
	w := httptest.NewRecorder()
	s.pipeline.AnswerError(w, flowtest.NewRequest(), flowhook.Refuse(409, "taken", "This name is taken."))
	require.Equal(t, http.StatusConflict, w.Code)
	require.Equal(t, "This name is taken.\n", w.Body.String())
}
