package acceptance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A refusalTest is a login on a real server. Its hook "act" and its save do what the test says.
type refusalTest struct {
	t        *testing.T
	pipeline *flowhook.Pipeline
	store    *sessionLog
	log      *flowtest.LogBuffer
	server   *httptest.Server
	act      flowtest.Act // what the hook does
	saveErr  error        // what save returns, after it has saved the user
}

// A sessionLog is a store that knows which sessions were ever created in it.
type sessionLog struct {
	*flowtest.UserStore
	mu  sync.Mutex
	ids []string
}

func (s *sessionLog) CreateSession(ctx context.Context, v flowhook.Session) error {
	s.mu.Lock()
	s.ids = append(s.ids, v.ID)
	s.mu.Unlock()
	return s.UserStore.CreateSession(ctx, v)
}

func (s *sessionLog) ReplaceSession(ctx context.Context, old []string, v flowhook.Session) error {
	s.mu.Lock()
	s.ids = append(s.ids, v.ID)
	s.mu.Unlock()
	return s.UserStore.ReplaceSession(ctx, old, v)
}

// A content is what a store has.
type content struct{ Users, Sessions int }

func (s *sessionLog) content(t *testing.T) (c content) {
	t.Helper()
	s.Mu.Lock()
	c.Users = len(s.Users)
	s.Mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.ids {
		_, err := s.FindSession(t.Context(), id)
		switch {
		case err == nil:
			c.Sessions++
		case !errors.Is(err, flowhook.ErrNotFound):
			t.Error(err)
		}
	}
	return c
}

// newRefusalTest starts a service with the flow login of a file.
func newRefusalTest(t *testing.T, login string, change ...func(o *flowhook.Options)) *refusalTest {
	t.Helper()
	s := &refusalTest{t: t, store: &sessionLog{UserStore: flowtest.NewUserStore()}, log: &flowtest.LogBuffer{}}
	act := flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
		x.Writer.Header().Set("X-Hook", "was here")
		return s.act(ctx, x)
	})
	o := flowhook.Options{Store: s.store, Logger: slog.New(slog.NewTextHandler(s.log, nil)),
		Hooks: map[string]flowhook.HookFactory{
			"act": func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return act, nil },
		}}
	for _, c := range change {
		c(&o)
	}
	var err error
	s.pipeline, err = flowhook.New(flowtest.Parse(t, "selfservice: {login: "+login+"}"+flowtest.SecretYAML), o)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/complete", s.pipeline.Middleware(flowhook.Login)(http.HandlerFunc(s.complete)))
	mux.HandleFunc("/run/{phase}", s.run)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	s.server.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(s.log, nil), slog.LevelError)
	return s
}

func (s *refusalTest) complete(w http.ResponseWriter, r *http.Request) {
	x := flowhook.MustFromContext(r.Context())
	x.Identity = flowtest.Alice.Identity()
	handled, err := s.pipeline.Complete(r.Context(), flowhook.Login, flowhook.Password, func(ctx context.Context) error {
		x.Writer.Header().Set("X-Save", "was here")
		if err := s.store.SaveUser(ctx, flowtest.Alice); err != nil {
			return err
		}
		return s.saveErr
	})
	s.answer(w, r, handled, err)
}

func (s *refusalTest) run(w http.ResponseWriter, r *http.Request) {
	x := &flowhook.Exchange{Writer: w, Identity: flowtest.Alice.Identity(), Err: s.saveErr}
	r = r.WithContext(flowhook.NewContext(r.Context(), x))
	x.Request = r
	phase := flowhook.Phase(r.PathValue("phase"))
	strategy := flowhook.Password
	if phase == flowhook.Before {
		strategy = flowhook.FlowWide
	}
	handled, err := s.pipeline.Run(r.Context(), flowhook.Login, phase, strategy)
	s.answer(w, r, handled, err)
}

func (s *refusalTest) answer(w http.ResponseWriter, r *http.Request, handled bool, err error) {
	switch {
	case handled:
	case err != nil:
		s.pipeline.AnswerError(w, r, err)
	default:
		_, _ = io.WriteString(w, "done")
	}
}

// A reply is a whole response, except its Date and the Content-Length that net/http adds.
type reply struct {
	Status int
	Body   string
	Header http.Header // without Set-Cookie
}

// ask sends a request with Accept headers, and returns the response and its cookies.
func (s *refusalTest) ask(method, path string, accept ...string) (reply, []*http.Cookie) {
	s.t.Helper()
	got, cookies, err := s.try(method, path, accept...)
	require.NoError(s.t, err)
	return got, cookies
}

func (s *refusalTest) try(method, path string, accept ...string) (reply, []*http.Cookie, error) {
	req, err := http.NewRequest(method, s.server.URL+path, nil)
	if err != nil {
		return reply{}, nil, err
	}
	if accept != nil {
		req.Header["Accept"] = accept
	}
	res, err := s.server.Client().Transport.RoundTrip(req) // a client would follow redirects
	if err != nil {
		return reply{}, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	cookies := res.Cookies()
	for _, name := range []string{"Date", "Content-Length", "Set-Cookie"} {
		res.Header.Del(name)
	}
	return reply{res.StatusCode, string(body), res.Header}, cookies, err
}

// browser and jsonClient are the Accept headers of the two kinds of client.
const (
	browser    = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	jsonClient = "application/json"
)

// loginYAML returns the flow login with one entry at a phase, after the session hook.
func loginYAML(phase flowhook.Phase, entry string) string {
	session, rest := "{hook: session}", "}"
	switch phase {
	case flowhook.BeforePersist, flowhook.After:
		session += ", {" + entry + ", phase: " + string(phase) + "}"
	default:
		rest = ", " + string(phase) + ": [{" + entry + "}]}"
	}
	return "{after: [" + session + "]" + rest
}

const (
	refusalText  = "Please wait, Renée.\nThen try again."
	refusalCause = flowtest.Canary + " too many tries"
	hookProblem  = flowtest.Canary + " the disk of the hook is full"
	saveProblem  = flowtest.Canary + " the disk of the service is full"
)

// The three things by which a hook can end a flow.
var refusalEnds = []struct {
	name  string
	entry string
	act   flowtest.Act
}{
	{"refusal", "hook: act", func(context.Context, *flowhook.Exchange) error {
		return &flowhook.Refusal{Status: 429, Code: "slow_down", Text: refusalText, Field: "email",
			Err: errors.New(refusalCause), RetryAfter: 1500 * time.Millisecond}
	}},
	{"error", "hook: act", func(context.Context, *flowhook.Exchange) error { return errors.New(hookProblem) }},
	{"redirect", "hook: redirect, config: {to: /moved}", nil},
}

// endReply returns the exact response to a client for one of refusalEnds at a phase.
func endReply(phase flowhook.Phase, end string, json bool) reply {
	h := http.Header{"Vary": {"Accept"}}
	set := func(name, value string) { h[http.CanonicalHeaderKey(name)] = []string{value} }
	if json || end != "redirect" {
		set("Cache-Control", "no-store")
	}
	if end == "refusal" {
		set("Retry-After", "2")
	}
	switch kind := map[bool]string{true: "json", false: "browser"}[json] + " " + end; {
	case kind == "browser redirect":
		set("Location", "/moved")
		return reply{http.StatusFound, "", h}
	case kind == "json redirect" && phase == flowhook.After:
		set("Content-Type", "application/json")
		return reply{http.StatusOK,
			`{"continue_with":[{"action":"redirect_browser_to","redirect_browser_to":"/moved"}]}` + "\n", h}
	case kind == "json redirect":
		set("Content-Type", "application/json")
		return reply{http.StatusUnprocessableEntity,
			`{"error":{"id":"browser_location_change_required","code":422,"status":"Unprocessable Entity",` +
				`"reason":"To go on, open redirect_browser_to in a browser.",` +
				`"message":"the browser must change its location"},"redirect_browser_to":"/moved"}` + "\n", h}
	case json:
		set("Content-Type", "application/problem+json")
	default:
		set("Content-Type", "text/plain; charset=utf-8")
	}
	set("X-Content-Type-Options", "nosniff")
	switch {
	case json && end == "refusal":
		return reply{429, `{"title":"Too Many Requests","status":429,"detail":"Please wait, Renée.\nThen try again.",` +
			`"code":"slow_down","field":"email"}`, h}
	case json:
		return reply{500, `{"title":"Internal Server Error","status":500}`, h}
	case end == "refusal":
		return reply{429, refusalText + "\n", h}
	}
	return reply{500, "Internal Server Error\n", h}
}

// endContent returns what the store has after one of refusalEnds.
func endContent(way string, phase flowhook.Phase, end string) content {
	switch {
	case phase != flowhook.After || end != "redirect":
		return content{}
	case way == "Run":
		return content{Sessions: 1} // no user: the test saves none around Run
	}
	return content{Users: 1, Sessions: 1}
}

// Every phase ends in every way, for both kinds of client, through Complete (at before: through
// Middleware) and through Run.
func TestRefusal(t *testing.T) {
	for _, phase := range flowtest.Phases {
		for _, end := range refusalEnds {
			s := newRefusalTest(t, loginYAML(phase, end.entry))
			s.act = end.act
			for _, way := range []string{"Complete", "Run"} {
				path := "/complete"
				if way == "Run" {
					path = "/run/" + string(phase)
				}
				s.saveErr = nil
				if phase == flowhook.Failed {
					s.saveErr = errors.New(saveProblem)
				}
				for accept, json := range map[string]bool{browser: false, jsonClient: true} {
					name := fmt.Sprintf("%s/%s/%s/json=%t", phase, way, end.name, json)
					t.Run(name, func(t *testing.T) {
						s.requireEnd(t, way, phase, end.name, path, accept)
					})
				}
			}
		}
	}
}

func (s *refusalTest) requireEnd(t *testing.T, way string, phase flowhook.Phase, end, path, accept string) {
	was, logged := s.store.content(t), len(s.log.String())
	got, cookies := s.ask(http.MethodPost, path, accept)
	want := endReply(phase, end, accept == jsonClient)
	saved := endContent(way, phase, end)
	if saved.Users > 0 {
		want.Header.Set("X-Save", "was here")
	}
	require.Equal(t, want, got)
	assert.Len(t, cookies, saved.Sessions)
	is := s.store.content(t)
	assert.Equal(t, content{max(was.Users, saved.Users), was.Sessions + saved.Sessions}, is)
	flowtest.RequireSilent(t, fmt.Sprint(got, cookies))

	log := s.log.String()[logged:]
	for text, want := range map[string]bool{
		refusalCause:            end == "refusal",
		hookProblem:             end == "error",
		saveProblem:             phase == flowhook.Failed && way == "Complete",
		"flowhook: refused":     end == "refusal",
		refusalText:             false,
		"Then try again":        false,
		"level=ERROR":           end == "error" || phase == flowhook.Failed && way == "Complete",
		"a request failed":      end == "error",
		"at failed has answer":  phase == flowhook.Failed && way == "Complete" && end != "error",
		"has failed itself":     phase == flowhook.Failed && way == "Complete" && end == "error",
		"too late":              false,
		"superfluous":           false,
		"http: panic":           false,
		"level=WARN":            false,
		"flowhook: transaction": false,
	} {
		assert.Equal(t, want, strings.Contains(log, text), "%q in %s", text, log)
	}
}
