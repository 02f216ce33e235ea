package acceptance_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exactTarget is a URL that net/url and http.Redirect would write in another way.
const exactTarget = "HTTPS://Example.ORG:443/a%2fb%7e//c?q={|}^\\'&r=%zz&empty=#frag?/%"

// wantsJSON has Accept headers, and whether a client that sends them wants JSON.
var wantsJSON = []struct {
	name   string
	accept []string // nil: no header
	json   bool
}{
	{"missing", nil, false},
	{"empty", []string{""}, false},
	{"anything", []string{"*/*"}, false},
	{"browser", []string{browser}, false},
	{"browser's fetch of JSON", []string{"application/json, */*;q=0.5"}, true},
	{"JSON", []string{"application/json"}, true},
	{"JSON in upper case, with a parameter", []string{"APPLICATION/JSON; charset=utf-8"}, true},
	{"HTML preferred by q", []string{"application/json;q=0.8, text/html;q=0.9"}, false},
	{"JSON preferred by q", []string{"application/json;q=0.9, text/html;q=0.8"}, true},
	{"equal", []string{"application/json, text/html"}, false},
	{"JSON not accepted", []string{"application/json;q=0"}, false},
	{"repeated, JSON preferred", []string{"text/html;q=0.1", "application/json"}, true},
	{"repeated, HTML preferred", []string{"application/json;q=0.1", "text/html"}, false},
	{"a problem document is not JSON", []string{"application/problem+json"}, false},
}

// redirectReply returns the exact response of a redirect to exactTarget.
func redirectReply(phase flowhook.Phase, method string, asJSON bool) reply {
	r := reply{http.StatusFound, "", http.Header{"Vary": {"Accept"}}}
	if phase == flowhook.After {
		r.Header.Set("X-Save", "was here")
	}
	if !asJSON {
		r.Header.Set("Location", exactTarget)
		return r
	}
	r.Header.Set("Cache-Control", "no-store")
	r.Header.Set("Content-Type", "application/json")
	to, _ := json.Marshal(exactTarget)
	if phase == flowhook.After {
		r.Status = http.StatusOK
		r.Body = `{"continue_with":[{"action":"redirect_browser_to","redirect_browser_to":` + string(to) + "}]}\n"
	} else {
		r.Status = http.StatusUnprocessableEntity
		r.Body = `{"error":{"id":"browser_location_change_required","code":422,"status":"Unprocessable Entity",` +
			`"reason":"To go on, open redirect_browser_to in a browser.",` +
			`"message":"the browser must change its location"},"redirect_browser_to":` + string(to) + "}\n"
	}
	if method == http.MethodHead {
		r.Body = ""
	}
	return r
}

// A redirect answers browsers with exactly the 302 of the file, and JSON clients as Kratos does. A
// Refusal is in the same form.
func TestRedirect_Accept(t *testing.T) {
	entry := "hook: redirect, config: {to: " + strconv.Quote(exactTarget) + "}"
	for _, phase := range flowtest.Phases {
		s := newRefusalTest(t, loginYAML(phase, entry))
		if phase == flowhook.Failed {
			s.saveErr = fmt.Errorf("save")
		}
		for _, row := range wantsJSON {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				t.Run(fmt.Sprintf("%s/%s/%s", phase, row.name, method), func(t *testing.T) {
					want := redirectReply(phase, method, row.json)
					got, _ := s.ask(method, "/complete", row.accept...)
					require.Equal(t, want, got)
				})
			}
		}
	}
}

func TestRefusal_Accept(t *testing.T) {
	s := newRefusalTest(t, loginYAML(flowhook.BeforePersist, "hook: act"))
	s.act = returning(flowhook.Refuse(http.StatusConflict, "taken", "This name is taken."))
	for _, row := range wantsJSON {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			t.Run(row.name+"/"+method, func(t *testing.T) {
				want := reply{http.StatusConflict, "This name is taken.\n", plainFailure.Header.Clone()}
				if row.json {
					want.Header.Set("Content-Type", "application/problem+json")
					want.Body = `{"title":"Conflict","status":409,"detail":"This name is taken.","code":"taken"}`
				}
				if method == http.MethodHead {
					want.Body = ""
				}
				got, _ := s.ask(method, "/complete", row.accept...)
				require.Equal(t, want, got)
			})
		}
	}
}

// Options.JSON decides instead of the Accept header, which the response then does not depend on.
func TestOptions_JSON(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		decides := func(o *flowhook.Options) {
			o.JSON = func(r *http.Request) bool { return r.URL.Query().Has("json") == asJSON }
		}
		for _, accept := range []string{browser, jsonClient} { // it does not matter
			redirect := newRefusalTest(t, loginYAML(flowhook.Before, "hook: redirect, config: {to: /moved}"), decides)
			refuse := newRefusalTest(t, loginYAML(flowhook.After, "hook: act"), decides)
			refuse.act = returning(flowhook.Refuse(409, "taken", "This name is taken."))
			broken := newRefusalTest(t, loginYAML(flowhook.After, "hook: act"), decides)
			broken.act = returning(fmt.Errorf("broken"))
			for _, s := range []*refusalTest{redirect, refuse, broken} {
				for path, flagged := range map[string]bool{"/complete": false, "/complete?json": true} {
					got, _ := s.ask(http.MethodPost, path, accept)
					require.NotContains(t, got.Header, "Vary")
					kind := got.Header.Get("Content-Type")
					require.Equal(t, flagged == asJSON, kind == "application/json" || kind == "application/problem+json", got)
				}
			}
		}
	}
}

// Requests at once of both kinds of client, some refused and some not, get their own responses.
func TestRefusal_Concurrent(t *testing.T) {
	s := newRefusalTest(t, "{after: [{hook: session}, {hook: act}, {hook: redirect, config: {to: /moved}}]}")
	s.act = func(_ context.Context, x *flowhook.Exchange) error {
		n, err := strconv.Atoi(x.Request.FormValue("n"))
		if err != nil || n%3 != 0 {
			return err
		}
		return flowhook.Refuse(400+n, "number", fmt.Sprintf("You are number %d.", n))
	}
	flowtest.Concurrently(atOnce, func(n int) {
		asJSON, refused := n%2 == 0, n%3 == 0
		accept := map[bool]string{true: jsonClient, false: browser}[asJSON]
		got, cookies, err := s.try(http.MethodPost, fmt.Sprintf("/complete?n=%d", n), accept)
		if !assert.NoError(t, err) {
			return
		}
		text := fmt.Sprintf("You are number %d.", n)
		switch {
		case refused && asJSON:
			var p problemJSON
			assert.NoError(t, json.Unmarshal([]byte(got.Body), &p))
			assert.Equal(t, problemJSON{Title: p.Title, Status: 400 + n, Detail: text, Code: "number"}, p)
			assert.Equal(t, 400+n, got.Status)
		case refused:
			assert.Equal(t, reply{400 + n, text + "\n", plainFailure.Header}, got)
		case asJSON:
			assert.Equal(t, http.StatusOK, got.Status)
			assert.JSONEq(t, `{"continue_with":[{"action":"redirect_browser_to","redirect_browser_to":"/moved"}]}`, got.Body)
		default:
			assert.Equal(t, http.StatusFound, got.Status)
			assert.Equal(t, []string{"/moved"}, got.Header["Location"])
		}
		assert.Equal(t, refused, len(cookies) == 0, "number %d", n)
	})
	passed := 0
	for n := range atOnce {
		if n%3 != 0 {
			passed++
		}
	}
	require.Equal(t, content{Users: 1, Sessions: passed}, s.store.content(t))
}
