package flowhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
)

// errCause is the cause of a refusal, which only the log may show.
var errCause = errors.New("the cause " + flowtest.Canary)

// loginServer is a service that completes a login with a hook at a phase, and answers errors with
// AnswerError.
type loginServer struct {
	*httptest.Server
	pipeline *flowhook.Pipeline
	log      *flowtest.LogBuffer
	saved    bool
}

func newLoginServer(t *testing.T, phase flowhook.Phase, act flowtest.Act, change ...func(o *flowhook.Options)) *loginServer {
	s := &loginServer{log: &flowtest.LogBuffer{}}
	opts := flowhook.Options{Logger: slog.New(slog.NewTextHandler(s.log, nil))}
	for _, c := range change {
		c(&opts)
	}
	var cfg flowhook.Config
	strategy := flowhook.Password
	if phase == flowhook.Before {
		strategy = flowhook.FlowWide
	}
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: phase, Strategy: strategy}, "gate", flowhook.HookFunc(act))
	var err error
	s.pipeline, err = flowhook.New(&cfg, opts)
	require.NoError(t, err)
	s.Server = httptest.NewServer(s.pipeline.Middleware(flowhook.Login)(http.HandlerFunc(s.login)))
	t.Cleanup(s.Close)
	return s
}

func (s *loginServer) login(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	x.Identity = &flowhook.Identity{ID: "alice"}
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, func(context.Context) error {
		s.saved = true
		if r.URL.Query().Has("fail") {
			return errors.New("save fails " + flowtest.Canary)
		}
		return nil
	})
	switch {
	case err != nil:
		s.pipeline.AnswerError(w, r, err)
	case !handled:
		_, _ = io.WriteString(w, "signed in")
	}
}

// request sends a request with an Accept header and returns the response without its date.
func (s *loginServer) request(t *testing.T, path, accept string) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.URL+path, nil)
	require.NoError(t, err)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	answer.Header.Del("Date")
	return answer.StatusCode, answer.Header, string(text)
}

func TestRefusal(t *testing.T) {
	full := &flowhook.Refusal{Status: http.StatusTooManyRequests, Code: "too_many", Text: "Try <b>later</b> & again.",
		Field: "password", Err: errCause, RetryAfter: 1500 * time.Millisecond}
	for _, phase := range flowtest.Phases {
		t.Run(string(phase), func(t *testing.T) {
			s := newLoginServer(t, phase, func(context.Context, *flowhook.Exchange) error { return full })
			path := "/"
			if phase == flowhook.Failed {
				path = "/?fail"
			}

			status, header, body := s.request(t, path, "text/html")
			require.Equal(t, http.StatusTooManyRequests, status)
			require.Equal(t, "Try <b>later</b> & again.\n", body)
			require.Equal(t, http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"},
				"Retry-After": {"2"}, "Vary": {"Accept"}, "Cache-Control": {"no-store"}, "Content-Length": {"26"}}, header)

			status, header, body = s.request(t, path, "application/json")
			require.Equal(t, http.StatusTooManyRequests, status)
			require.Equal(t, "application/problem+json", header.Get("Content-Type"))
			require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
			require.Equal(t, "2", header.Get("Retry-After"))
			require.JSONEq(t, `{"title":"Too Many Requests","status":429,"detail":"Try <b>later</b> & again.",
				"code":"too_many","field":"password"}`, body)
			require.NotContains(t, body, "<")

			require.Contains(t, s.log.String(), errCause.Error())
			require.Contains(t, s.log.String(), "flowhook: refused")
			require.NotContains(t, s.log.String(), "later")
			require.Equal(t, phase == flowhook.After || phase == flowhook.Failed, s.saved)
		})
	}
}

func TestRefusal_Defaults(t *testing.T) {
	refusal := flowhook.Refuse(0, "", "")
	require.Equal(t, "refused", refusal.Error())
	require.NoError(t, refusal.Unwrap())
	s := newLoginServer(t, flowhook.After, func(context.Context, *flowhook.Exchange) error {
		return fmt.Errorf("wrapped: %w", refusal)
	})
	status, header, body := s.request(t, "/", "")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "Forbidden\n", body)
	require.NotContains(t, header, "Retry-After")
	_, _, body = s.request(t, "/", "application/json")
	require.JSONEq(t, `{"title":"Forbidden","status":403}`, body)
	refusal.Status = 499
	_, _, body = s.request(t, "/", "application/json")
	require.JSONEq(t, `{"title":"Refused","status":499}`, body)
}

func TestRefusal_Invalid(t *testing.T) {
	var none *flowhook.Refusal
	require.Equal(t, "a nil *Refusal", none.Error())
	require.NoError(t, none.Unwrap())
	for _, row := range []struct {
		name    string
		refusal *flowhook.Refusal
		says    string
		is      error
	}{
		{"nil", none, "returned a nil *Refusal; return nil to pass", nil},
		{"success", &flowhook.Refusal{Status: 200, Text: flowtest.Canary}, "refused with status 200; a Refusal has a status of 400 to 499", nil},
		{"just below", &flowhook.Refusal{Status: 399}, "refused with status 399;", nil},
		{"just above", &flowhook.Refusal{Status: 500, Err: errCause}, "refused with status 500;", errCause},
		{"negative", &flowhook.Refusal{Status: -1}, "refused with status -1;", nil},
		{"caused by another", &flowhook.Refusal{Status: 302, Err: flowhook.Refuse(409, "", "")}, "refused with status 302;", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := flowtest.NewRunTest(t)
			var seen error
			b.Options.Wrap = func(_ flowhook.Point, _ string, next flowhook.Hook) flowhook.Hook {
				return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
					seen = next.Run(ctx, x)
					return seen
				})
			}
			b.Add(flowtest.LoginAfter, "gate", func(context.Context, *flowhook.Exchange) error { return row.refusal })
			_, err := b.Complete(nil)
			require.ErrorContains(t, err, row.says)
			var refusal *flowhook.Refusal
			require.False(t, errors.As(err, &refusal))
			require.False(t, errors.As(seen, &refusal), "a wrap sees the verdict")
			require.ErrorContains(t, seen, row.says)
			if row.is != nil {
				require.ErrorIs(t, err, row.is)
			}

			s := newLoginServer(t, flowhook.After, func(context.Context, *flowhook.Exchange) error { return row.refusal })
			status, _, body := s.request(t, "/", "")
			require.Equal(t, http.StatusInternalServerError, status)
			require.Equal(t, "Internal Server Error\n", body)
		})
	}
}

func TestRefusal_AtFailed(t *testing.T) {
	s := newLoginServer(t, flowhook.Failed, func(_ context.Context, x *flowhook.Exchange) error {
		return &flowhook.Refusal{Code: "locked", Text: "Your account is locked.", Err: x.Err}
	})
	status, _, body := s.request(t, "/?fail", "")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "Your account is locked.\n", body)
	require.Contains(t, s.log.String(), "a hook at failed has answered")
	require.Contains(t, s.log.String(), "level=ERROR")

	b := flowtest.NewRunTest(t)
	log := &flowtest.LogBuffer{}
	b.Options.Logger = slog.New(slog.NewTextHandler(log, nil))
	b.Add(flowtest.LoginAfter, "gate", func(context.Context, *flowhook.Exchange) error {
		return flowhook.Refuse(400, "first", "")
	})
	b.Add(flowtest.LoginFailed, "audit", func(_ context.Context, x *flowhook.Exchange) error {
		var refusal *flowhook.Refusal
		require.ErrorAs(t, x.Err, &refusal)
		require.Equal(t, "first", refusal.Code)
		return flowhook.Refuse(400, "second", "")
	})
	handled, err := b.Complete(nil)
	require.False(t, handled)
	var refusal *flowhook.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "second", refusal.Code)
	require.NotContains(t, log.String(), "level=ERROR", "a refusal is no failure")
	b.RequireUntouched()
}

func TestRefusal_Panic(t *testing.T) {
	s := newLoginServer(t, flowhook.BeforePersist, func(context.Context, *flowhook.Exchange) error {
		panic(flowhook.Refuse(409, "taken", "Taken."))
	})
	status, _, body := s.request(t, "/", "")
	require.Equal(t, http.StatusInternalServerError, status, "a panic is a failure")
	require.Equal(t, "Internal Server Error\n", body)
	require.Contains(t, s.log.String(), "panic: taken")
}

func TestRefusal_RetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", math.MaxInt64: "9223372037", 0: "", -1: ""} {
		s := newLoginServer(t, flowhook.After, func(context.Context, *flowhook.Exchange) error {
			return &flowhook.Refusal{Status: 429, RetryAfter: wait}
		})
		_, header, _ := s.request(t, "/", "")
		require.Equal(t, want, header.Get("Retry-After"))
	}
}

func TestAnswerError(t *testing.T) {
	p, err := flowhook.New(nil, flowhook.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	answer := func(err error, accept string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		w.Header().Set("Content-Length", "1")
		w.Header().Set("Vary", "Cookie")
		p.AnswerError(w, r, err)
		return w
	}
	for _, row := range []struct {
		err    error
		status int
		plain  string
		json   string
	}{
		{errCause, 500, "Internal Server Error\n", `{"title":"Internal Server Error","status":500}`},
		{nil, 500, "Internal Server Error\n", `{"title":"Internal Server Error","status":500}`},
		{flowhook.ErrBadReturnURL, 400, "Bad Request\n", `{"title":"Bad Request","status":400,"code":"bad_return_url"}`},
		{flowhook.ErrUsedToken, 400, "This link or code was already used.\n",
			`{"title":"Bad Request","status":400,"code":"used_token","detail":"This link or code was already used."}`},
		{flowhook.ErrBadToken, 400, "This link or code is wrong, has expired or was already used.\n",
			`{"title":"Bad Request","status":400,"code":"bad_token",
			"detail":"This link or code is wrong, has expired or was already used."}`},
	} {
		t.Run(fmt.Sprint(row.err), func(t *testing.T) {
			w := answer(row.err, "text/html")
			require.Equal(t, row.status, w.Code)
			require.Equal(t, row.plain, w.Body.String())
			require.Equal(t, []string{"Cookie", "Accept"}, w.Header()["Vary"])
			w = answer(row.err, "application/json")
			require.Equal(t, row.status, w.Code)
			require.JSONEq(t, row.json, w.Body.String())
			require.Empty(t, w.Header().Get("Content-Length"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		})
	}
}

func TestAnswerError_ResponseHasBegun(t *testing.T) {
	log := &flowtest.LogBuffer{}
	p, err := flowhook.New(nil, flowhook.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	p.Middleware(flowhook.Login)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half an ans")
		p.AnswerError(w, r, errCause)
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, "half an ans", w.Body.String())
	require.Contains(t, log.String(), errCause.Error())
}

func TestRedirect_JSON(t *testing.T) {
	location := `{"error":{"id":"browser_location_change_required","code":422,"status":"Unprocessable Entity",
		"reason":"To go on, open redirect_browser_to in a browser.","message":"the browser must change its location"},
		"redirect_browser_to":"/next?a=1&b=%3C2%3E"}`
	for _, row := range []struct {
		phase  flowhook.Phase
		status int
		body   string
	}{
		{flowhook.Before, 422, location},
		{flowhook.BeforePersist, 422, location},
		{flowhook.After, 200, `{"continue_with":[{"action":"redirect_browser_to","redirect_browser_to":"/next?a=1&b=%3C2%3E"}]}`},
		{flowhook.Failed, 422, location},
	} {
		t.Run(string(row.phase), func(t *testing.T) {
			hook := flowhook.Redirect("/next?a=1&b=%3C2%3E")
			s := newLoginServer(t, row.phase, hook.Run)
			path := "/"
			if row.phase == flowhook.Failed {
				path = "/?fail"
			}
			status, header, body := s.request(t, path, "application/json, text/plain, */*")
			require.Equal(t, row.status, status)
			require.JSONEq(t, row.body, body)
			require.Empty(t, header.Get("Location"))
			require.Equal(t, "application/json", header.Get("Content-Type"))
			require.Equal(t, "no-store", header.Get("Cache-Control"))
			require.Equal(t, []string{"Accept"}, header["Vary"])

			status, header, body = s.request(t, path, "*/*")
			require.Equal(t, http.StatusFound, status)
			require.Empty(t, body)
			require.Equal(t, http.Header{"Location": {"/next?a=1&b=%3C2%3E"}, "Vary": {"Accept"}, "Content-Length": {"0"}}, header)
		})
	}
}

func TestOptions_JSON(t *testing.T) {
	app := func(o *flowhook.Options) {
		o.JSON = func(r *http.Request) bool { return r.URL.Query().Has("app") }
	}
	s := newLoginServer(t, flowhook.After, flowhook.Redirect("/next").Run, app)
	status, header, _ := s.request(t, "/?app", "text/html")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, header, "Vary")
	status, header, _ = s.request(t, "/", "application/json")
	require.Equal(t, http.StatusFound, status)
	require.NotContains(t, header, "Vary")

	s = newLoginServer(t, flowhook.After, func(context.Context, *flowhook.Exchange) error {
		return flowhook.Refuse(409, "taken", "Taken.")
	}, app)
	_, header, body := s.request(t, "/?app", "text/html")
	require.JSONEq(t, `{"title":"Conflict","status":409,"detail":"Taken.","code":"taken"}`, body)
	require.NotContains(t, header, "Vary")
	_, _, body = s.request(t, "/", "application/json")
	require.Equal(t, "Taken.\n", body)
}
