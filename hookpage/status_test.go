package hookpage_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hookpage"
	"github.com/stretchr/testify/require"
)

// fact returns what the page says about a word, such as "File".
func fact(t *testing.T, page, about string) string {
	t.Helper()
	for _, e := range read(t, page).all("dl", "")[0].children {
		if e.all("dt", "")[0].words() == about {
			return e.all("dd", "")[0].words()
		}
	}
	t.Fatalf("no fact %q", about)
	return ""
}

func TestStatus_File(t *testing.T) {
	const text = "selfservice: {login: {before: [{hook: audit}], after: [{hook: note, config: {key: canary}}]}}"
	path := filepath.Join(t.TempDir(), "auth.yml")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(text)
	cfg, err := flowhook.LoadConfig(path)
	require.NoError(t, err)
	cfg.Add(flowhook.Point{Flow: flowhook.Login, Phase: flowhook.After}, "added", idle)
	p := build(t, cfg, options())
	for _, row := range []struct{ name, text, want string }{
		{"same", text, "matches the running configuration."},
		{"comment", text + "\n# x", "A reload would accept it: no change of hooks, 0 changed keys, 0 findings " +
			"Only comments, the order of keys or the layout differ."},
		{"hidden value", "selfservice: {login: {before: [{hook: audit}], after: [{hook: note, config: {key: other}}]}}",
			"A reload would accept it: no change of hooks, 1 changed key, 0 findings Changed keys: selfservice.login.after ."},
		{"settings", "session: {lifespan: 12h}\nsecrets: {cookie: [canary-and-another-secret]}\n" + text,
			"no change of hooks, 2 changed keys, 1 finding Changed keys: session , secrets ."},
		{"hooks", "selfservice: {login: {after: [{hook: note, timeout: 2s, config: {key: canary}}, {hook: audit}], " +
			"failed: [{hook: redirect, config: {to: /x}}, {hook: audit}]}}",
			"A reload would accept it: 3 changes of hooks, 3 changed keys, 1 finding login/before − audit " +
				"login/after − note {key: <hidden-value>} + note {key: <hidden-value>}, at most 2s → audit " +
				"login/failed + redirect {to: /x} → audit " +
				"Changed keys: selfservice.login.before , selfservice.login.after , selfservice.login.failed . " + path + ":1:"},
		{"wrong hook", "selfservice: {login: {after: [{hook: nobody}, {hook: none}]}}",
			`A reload would reject it: 2 errors ` + path + `:1:38: selfservice.login.after[0].hook: unknown hook "nobody"`},
		{"no YAML", "{", "A reload would reject it: 1 error " + path},
	} {
		t.Run(row.name, func(t *testing.T) {
			write(row.text)
			page := get(t, p, hookpage.Options{File: path})
			require.Contains(t, fact(t, page, "File"), row.want)
			require.NotContains(t, page, "canary")
			require.Len(t, read(t, page).all("div", "alarm"), strings.Count(row.want, "reject"), "only an error is an alarm")
		})
	}
	require.NoError(t, os.Remove(path))
	require.Contains(t, fact(t, get(t, p, hookpage.Options{File: path}), "File"),
		"A reload would reject it: 1 error flowhook: open "+path+": no such file or directory")
	require.NotContains(t, get(t, p), "<dt>File</dt>")

	sum := sha256.Sum256([]byte(text))
	require.Contains(t, fact(t, get(t, p), "Loaded"), "SHA-256 "+hex.EncodeToString(sum[:])[:12]+"…")
}

// With Options.Strict, a warning is a reason to reject a file.
func TestStatus_FileOfStrictPipeline(t *testing.T) {
	opts := options()
	opts.Strict = true
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte("selfservice: {login: {after: "+
		"[{hook: redirect, config: {to: /x}}, {hook: audit}]}}"), 0o600))
	require.Contains(t, fact(t, get(t, build(t, nil, opts), hookpage.Options{File: path}), "File"), "reject it: 1 error")
}

func TestStatus_LastReload(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	opts := options()
	opts.Now = func() time.Time { return now }
	p := build(t, parse(t, "selfservice: {login: {after: [{hook: audit}]}}"), opts)
	server := httptest.NewServer(hookpage.Handler(p, hookpage.Options{}))
	defer server.Close()
	show := func() string {
		_, page := fetch(t, server.URL)
		return page
	}
	require.Equal(t, "none since the start.", fact(t, show(), "Last reload"))
	now = now.Add(time.Hour)
	require.Error(t, p.Reload(parse(t, "selfservice: {login: {after: [{hook: nobody}, {hook: none}]}}")))
	require.Contains(t, fact(t, get(t, p), "Last reload"), "rejected", "also before the call of Handler")
	page := show()
	inOrder(t, fact(t, page, "Last reload"), "rejected at 2030-01-02 04:04:05 UTC", "2 errors", `unknown hook "nobody"`,
		`unknown hook "none"`)
	require.Contains(t, fact(t, page, "Loaded"), "2030-01-02 03:04:05 UTC")
	require.Equal(t, []string{"login: save → audit"}, summaries(t, page))
	now = now.Add(time.Hour)
	require.Error(t, p.ReloadFrom(func() (*flowhook.Config, error) { return nil, errors.New("no such file") }))
	inOrder(t, fact(t, show(), "Last reload"), "rejected at 2030-01-02 05:04:05 UTC", "1 error no such file")
	now = now.Add(time.Hour)
	require.NoError(t, p.Reload(parse(t, "selfservice: {login: {after: [{hook: audit}]}}")))
	require.Regexp(t, `^accepted at 2030-01-02 06:04:05 UTC \(.*\)\.$`, fact(t, show(), "Last reload"))
}

// The host's own check of a file counts, too.
func TestStatus_FileOfCheckingHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte("selfservice: {login: {after: [{hook: audit}]}}"), 0o600))
	p := build(t, nil, options())
	require.Contains(t, fact(t, get(t, p, hookpage.Options{File: path}), "File"), "A reload would accept it")
	load := func() (*flowhook.Config, error) { return nil, errors.New("secrets were added") }
	require.Contains(t, fact(t, get(t, p, hookpage.Options{File: path, Load: load}), "File"),
		"A reload would reject it: 1 error secrets were added")
	load = func() (*flowhook.Config, error) { return nil, nil }
	require.Contains(t, fact(t, get(t, p, hookpage.Options{File: path, Load: load}), "File"),
		"A reload would reject it: 1 error flowhook: load returned no configuration")
}

// A listError is an error with a text of its own that wraps a list.
type listError struct {
	text string
	list []error
}

func (e listError) Error() string   { return e.text }
func (e listError) Unwrap() []error { return e.list }

// Only the errors of errors.Join are shown one by one.
func TestStatus_ErrorTexts(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"joined", errors.Join(one, nil, two), "2 errors one two"},
		{"wrapped", fmt.Errorf("auth.yml: %w: %w", one, two), "1 error auth.yml: one: two"},
		{"empty list", listError{"nothing", nil}, "1 error nothing"},
		{"empty list and text", listError{}, "1 error"},
		{"nil in list", listError{"one", []error{one, nil}}, "1 error one"},
		{"text of its own", listError{"both", []error{one, nil, two}}, "1 error both"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := build(t, nil, options())
			server := httptest.NewServer(hookpage.Handler(p, hookpage.Options{}))
			defer server.Close()
			require.Error(t, p.ReloadFrom(func() (*flowhook.Config, error) { return nil, row.err }))
			_, page := fetch(t, server.URL)
			require.Regexp(t, `^rejected at .*\b`+regexp.QuoteMeta(row.want)+`$`, fact(t, page, "Last reload"))
		})
	}
}

func TestStatus_LastFailure(t *testing.T) {
	opts, recorder := options(), hookpage.NewRecorder()
	opts.Wrap = recorder.Wrap
	down := errors.New("canary")
	opts.Hooks["audit"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return down }), nil
	}
	p := build(t, parse(t, `selfservice: {login: {after: {oidc: [{hook: note}], hooks: [{hook: audit}]}},
		logout: {after: [{hook: audit}]}}`), opts)
	show := func() string { return get(t, p, hookpage.Options{Recorder: recorder}) }
	run := func(f flowhook.Flow, s flowhook.Strategy) {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest(http.MethodPost, "/", nil)}
		_, err := p.Complete(flowhook.NewContext(context.Background(), x), f, s, nil)
		require.ErrorIs(t, err, down)
	}
	require.Equal(t, "none. Errors of save and of the commit are in the log.", fact(t, show(), "Last failed hook"))
	require.Contains(t, fact(t, get(t, p), "Last failed hook"), "not recorded")
	run(flowhook.Logout, flowhook.FlowWide)
	require.Regexp(t, `^audit at logout/after: error, .* UTC \(just now\)\. logout by any strategy Errors of save`, fact(t, show(), "Last failed hook"))
	run(flowhook.Login, flowhook.Password)
	down = context.DeadlineExceeded
	run(flowhook.Login, flowhook.OIDC)
	page := show()
	require.Regexp(t, `^audit at login/after: timeout, .*\. login by oidc Errors of save`, fact(t, page, "Last failed hook"))
	require.NotContains(t, page, "canary")

	// The lanes have figures of their own.
	for title, want := range map[string]string{"login · oidc": "timeout", "login · any other strategy": "error", "logout": "error"} {
		l := laneOf(t, page, title)
		require.Equal(t, "1 failed", l.all("span", "bad")[0].words())
		require.Regexp(t, `audit flow-wide .* ran 1, answered 0, refused 0, failed 1 , p50 \S+, p95 \S+ last failure .* UTC : `+want,
			l.all("div", "body")[0].words())
	}

	// A reload that moves, renames or removes the entry does not hide the failure.
	const moved = "selfservice: {logout: {after: [{hook: note}, {hook: audit}]}}"
	require.NoError(t, p.Reload(parse(t, "selfservice: {login: {after: {oidc: [{hook: note}], hooks: [{hook: note}, {hook: audit}]}}}")))
	require.Regexp(t, `^audit at login/after: timeout, .*\. login by oidc Errors`, fact(t, show(), "Last failed hook"))
	require.NoError(t, p.Reload(parse(t, moved)))
	require.Regexp(t, `^audit at login/after: timeout, .*\(just now\)\. Errors`, fact(t, show(), "Last failed hook"))
}

// The overview counts refusals, and names the last one. They are no alarm.
func TestStatus_LastRefusal(t *testing.T) {
	opts, recorder := options(), hookpage.NewRecorder()
	opts.Wrap = recorder.Wrap
	opts.Hooks["audit"] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
		return flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error {
			return flowhook.Refuse(http.StatusTooManyRequests, "too_many", "")
		}), nil
	}
	p := build(t, parse(t, "selfservice: {login: {before: [{hook: audit}]}}"), opts)
	require.NotContains(t, get(t, p, hookpage.Options{Recorder: recorder}), "Last refusal")
	for range 3 {
		x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest(http.MethodPost, "/", nil)}
		_, err := p.Run(flowhook.NewContext(context.Background(), x), flowhook.Login, flowhook.Before, flowhook.FlowWide)
		require.Error(t, err)
	}
	page := get(t, p, hookpage.Options{Recorder: recorder})
	require.Regexp(t, `^audit at login/before, .* UTC \(just now\)\. login$`, fact(t, page, "Last refusal"))
	require.Contains(t, fact(t, page, "Last failed hook"), "none.")
	require.Equal(t, "3 refused", laneOf(t, page, "login").all("span", "marks")[0].words())
	require.Empty(t, read(t, page).all("div", "alarm"))
}
