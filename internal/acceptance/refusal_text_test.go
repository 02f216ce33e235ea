package acceptance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func returning(err error) flowtest.Act {
	return func(context.Context, *flowhook.Exchange) error { return err }
}

// A problemJSON is what a JSON client reads.
type problemJSON struct {
	Title, Detail, Code, Field string
	Status                     int
}

func readProblem(t *testing.T, body string) (p problemJSON) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&p))
	return p
}

var plainFailure = reply{http.StatusInternalServerError, "Internal Server Error\n", http.Header{
	"Cache-Control": {"no-store"}, "Content-Type": {"text/plain; charset=utf-8"}, "Vary": {"Accept"},
	"X-Content-Type-Options": {"nosniff"}}}

// A Refusal that cannot be sent is a mistake of the hook, or of save. Its text is not sent.
func TestRefusal_BadStatus(t *testing.T) {
	for _, r := range []*flowhook.Refusal{nil, {Status: 200}, {Status: 302}, {Status: 399}, {Status: 500},
		{Status: 4030}, {Status: -403}} {
		name := "nil"
		if r != nil {
			name = fmt.Sprint(r.Status)
			r.Code, r.Text, r.Err = flowtest.Canary+"-code", flowtest.Canary+" text", errors.New(refusalCause)
		}
		for _, phase := range []flowhook.Phase{flowhook.Before, flowhook.BeforePersist, flowhook.After} {
			t.Run(name+"/"+string(phase), func(t *testing.T) {
				s := newRefusalTest(t, loginYAML(phase, "hook: act"))
				s.act = returning(r)
				s.requireFailure(t)
				assert.Contains(t, s.log.String(), map[bool]string{
					true: "a nil *Refusal", false: "status " + name + "; a Refusal has a status of 400 to 499"}[r == nil])
				if r != nil {
					assert.Contains(t, s.log.String(), refusalCause)
				}
			})
		}
		t.Run(name+"/save", func(t *testing.T) {
			s := newRefusalTest(t, "{}")
			s.saveErr = r
			s.requireFailure(t)
		})
		t.Run(name+"/failed", func(t *testing.T) {
			s := newRefusalTest(t, loginYAML(flowhook.Failed, "hook: act"))
			s.act, s.saveErr = returning(r), errors.New(saveProblem)
			s.requireFailure(t)
			assert.Contains(t, s.log.String(), saveProblem)
			assert.Contains(t, s.log.String(), "a hook at failed has failed itself")
		})
	}
}

// requireFailure asserts that a login fails with a 500 that says nothing, and saves nothing.
func (s *refusalTest) requireFailure(t *testing.T) {
	t.Helper()
	got, cookies := s.ask(http.MethodPost, "/complete")
	require.Equal(t, plainFailure, got)
	got, _ = s.ask(http.MethodPost, "/complete", jsonClient)
	require.Equal(t, `{"title":"Internal Server Error","status":500}`, got.Body)
	require.Equal(t, http.StatusInternalServerError, got.Status)
	require.Empty(t, cookies)
	require.Equal(t, content{}, s.store.content(t))
	require.Contains(t, s.log.String(), "level=ERROR")
	require.NotContains(t, s.log.String(), "level=INFO")
}

// A Refusal is found in an error that wraps it, and save may refuse as well as a hook.
func TestRefusal_Wrapped(t *testing.T) {
	refusal := flowhook.Refuse(http.StatusConflict, "taken", "This name is taken.")
	for name, err := range map[string]error{
		"bare":          refusal,
		"fmt.Errorf":    fmt.Errorf(flowtest.Canary+" query: %w", refusal),
		"errors.Join":   errors.Join(errors.New(hookProblem), refusal),
		"several times": fmt.Errorf(flowtest.Canary+" %w", errors.Join(fmt.Errorf("a: %w", refusal), errors.New(hookProblem))),
		"cause":         &flowhook.HookError{Err: refusal},
	} {
		for _, by := range []string{"before", "before_persist", "after", "save", "failed"} {
			t.Run(name+"/"+by, func(t *testing.T) {
				s := newRefusalTest(t, "{}")
				if by == "save" {
					s.saveErr = err
				} else {
					s = newRefusalTest(t, loginYAML(flowhook.Phase(by), "hook: act"))
					s.act = returning(err)
				}
				if by == "failed" {
					s.saveErr = errors.New(saveProblem)
				}
				for _, accept := range []string{browser, jsonClient} {
					got, cookies := s.ask(http.MethodPost, "/complete", accept)
					require.Equal(t, http.StatusConflict, got.Status)
					require.Equal(t, 1, strings.Count(fmt.Sprint(got), "This name is taken."), got)
					flowtest.RequireSilent(t, fmt.Sprint(got, cookies))
				}
				require.Equal(t, content{}, s.store.content(t))
				require.Contains(t, s.log.String(), "level=INFO msg=\"flowhook: refused\"")
			})
		}
	}
}

// Without a status, a Refusal is a 403. Without a text, the client gets the name of the status.
func TestRefusal_Zero(t *testing.T) {
	s := newRefusalTest(t, loginYAML(flowhook.BeforePersist, "hook: act"))
	for _, row := range []struct {
		refusal     flowhook.Refusal
		status      int
		plain, json string
	}{
		{flowhook.Refusal{}, 403, "Forbidden\n", `{"title":"Forbidden","status":403}`},
		{flowhook.Refusal{Status: 499}, 499, "Refused\n", `{"title":"Refused","status":499}`},
		{flowhook.Refusal{Status: 400, Text: "No.", RetryAfter: -1}, 400, "No.\n",
			`{"title":"Bad Request","status":400,"detail":"No."}`},
		{flowhook.Refusal{Status: 404, Field: "name"}, 404, "Not Found\n",
			`{"title":"Not Found","status":404,"field":"name"}`},
	} {
		s.act = returning(&row.refusal)
		got, _ := s.ask(http.MethodPost, "/complete")
		require.Equal(t, reply{row.status, row.plain, plainFailure.Header}, got)
		got, _ = s.ask(http.MethodPost, "/complete", jsonClient)
		require.Equal(t, row.status, got.Status)
		require.Equal(t, row.json, got.Body)
		require.NotContains(t, got.Header, "Retry-After")
	}
}

// The hooks at failed see the Refusal. If they pass, it is the answer; if they answer, theirs is.
func TestRefusal_SeenAtFailed(t *testing.T) {
	s := newRefusalTest(t, "{after: [{hook: act}], failed: [{hook: act}]}")
	refusal := flowhook.Refuse(http.StatusConflict, "taken", "This name is taken.")
	var seen error
	atFailed := returning(nil)
	s.act = func(ctx context.Context, x *flowhook.Exchange) error {
		if x.Point().Phase != flowhook.Failed {
			return refusal
		}
		seen = x.Err
		return atFailed(ctx, x)
	}
	got, _ := s.ask(http.MethodPost, "/complete")
	require.Equal(t, reply{http.StatusConflict, "This name is taken.\n", plainFailure.Header}, got)
	var found *flowhook.Refusal
	require.ErrorAs(t, seen, &found)
	require.Same(t, refusal, found)
	require.NotContains(t, s.log.String(), "level=ERROR")

	atFailed = flowtest.AnswerWith(http.StatusTeapot, "tea")
	got, _ = s.ask(http.MethodPost, "/complete")
	require.Equal(t, http.StatusTeapot, got.Status)
	require.Equal(t, "tea", got.Body)
	require.Contains(t, s.log.String(), "level=INFO msg=\"flowhook: a hook at failed has answered\"")
	require.NotContains(t, s.log.String(), "level=ERROR", "a Refusal is no failure, also when it is replaced")
	require.Equal(t, content{}, s.store.content(t))
}

// What a user typed may be in the text of a Refusal. It is never HTML, and ends no header.
func TestRefusal_HostileText(t *testing.T) {
	s := newRefusalTest(t, loginYAML(flowhook.BeforePersist, "hook: act"))
	for name, text := range map[string]string{
		"script":        `<script>alert("1")</script>`,
		"html document": "<!DOCTYPE html><html><body onload=alert(1)>",
		"quotes":        `"},"admin":true,'` + "`",
		"newlines":      "a\r\nSet-Cookie: a=b\r\n\r\n<script>",
		"U+2028":        "a\u2028b\u2029c",
		"entities":      "&lt;script&gt; &amp;",
		"control":       "\x00\x01\x1b[31m\x7f",
		"percent":       "%s %!d(MISSING) %00",
		"byte order":    "\ufeff<html>",
		"long":          strings.Repeat("<", 1<<16),
	} {
		t.Run(name, func(t *testing.T) {
			s.act = returning(&flowhook.Refusal{Status: 422, Code: text, Text: text, Field: text})
			got, cookies := s.ask(http.MethodPost, "/complete", browser)
			require.Equal(t, reply{http.StatusUnprocessableEntity, text + "\n", plainFailure.Header}, got)
			require.Empty(t, cookies)

			got, cookies = s.ask(http.MethodPost, "/complete", jsonClient)
			require.Empty(t, cookies)
			require.Equal(t, []string{"application/problem+json"}, got.Header["Content-Type"])
			require.Equal(t, []string{"nosniff"}, got.Header["X-Content-Type-Options"])
			require.False(t, strings.ContainsAny(got.Body, "<>&\u2028\u2029\r\n\x00"), "%q", got.Body)
			require.Equal(t, problemJSON{"Unprocessable Entity", text, text, text, 422}, readProblem(t, got.Body))
		})
	}
}
