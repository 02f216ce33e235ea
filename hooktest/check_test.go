package hooktest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/stretchr/testify/require"
)

// fake is a test that only writes down what it is told.
type fake struct {
	testing.TB // that is running
	errors     []string
	logs       []string
	fatal      string
}

func (f *fake) Helper()           {}
func (f *fake) Error(args ...any) { f.errors = append(f.errors, fmt.Sprint(args...)) }
func (f *fake) Errorf(format string, a ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, a...))
}
func (f *fake) Log(args ...any) { f.logs = append(f.logs, fmt.Sprint(args...)) }
func (f *fake) Logf(format string, args ...any) {
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}
func (f *fake) Fatal(args ...any)                { f.fatal = fmt.Sprint(args...); panic(f) }
func (f *fake) Fatalf(format string, arg ...any) { f.Fatal(fmt.Sprintf(format, arg...)) }

// under runs a test under a fake one.
func under(t *testing.T, test func(t testing.TB)) *fake {
	f := &fake{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(f) {
				panic(v)
			}
		}()
		test(f)
	}()
	return f
}

// write writes a file and gives its path.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// requireEach asserts that there is one text for each list of parts, in order, and that it has all
// of them.
func requireEach(t *testing.T, texts []string, parts ...[]string) {
	t.Helper()
	require.Len(t, texts, len(parts), "%q", texts)
	for i, text := range texts {
		for _, part := range parts[i] {
			require.Contains(t, text, part)
		}
	}
}

const enumerates = `selfservice:
  registration:
    after:
      password:
        - hook: session
`

// poor is a store that keeps nothing.
type poor struct{}

func (poor) Transaction(ctx context.Context, _ string, fn func(ctx context.Context) error) error {
	return fn(ctx)
}

func TestCheckFile(t *testing.T) {
	check := func(text string, opts flowhook.Options, accept ...string) (*fake, []flowhook.Finding) {
		var found []flowhook.Finding
		return under(t, func(fake testing.TB) { found = hooktest.CheckFile(fake, write(t, text), opts, accept...) }), found
	}

	t.Run("fails once for every error, with its place, problem and hint", func(t *testing.T) {
		got, found := check("selfservice:\n  login:\n    after:\n      password:\n        - hook: sesion\n      oidc:\n        - hook: verify\n          config: {lifespan: 1d}\n", flowhook.Options{})
		requireEach(t, got.errors, []string{"auth.yml:5:17: error: ", `unknown hook "sesion"`, `did you mean "session"?`},
			[]string{"auth.yml:8:30: error: ", "duration", "24h"})
		require.Len(t, found, 2)
		require.Equal(t, flowhook.SeverityError, found[0].Severity)
		require.Empty(t, got.fatal)
	})

	t.Run("fails for every warning", func(t *testing.T) {
		got, found := check(enumerates, flowhook.Options{})
		requireEach(t, got.errors, []string{"auth.yml:5:17: warning: enumeration: ", "the address was already taken", "; "})
		require.Len(t, found, 1)
		require.Equal(t, "enumeration", found[0].Rule)
	})

	t.Run("logs an accepted warning, and fails where nothing is left to accept", func(t *testing.T) {
		got, _ := check(enumerates, flowhook.Options{}, "enumeration")
		require.Empty(t, got.errors)
		requireEach(t, got.logs, []string{"enumeration: ", "(accepted)"})

		got, _ = check(enumerates, flowhook.Options{}, "enumeration", "never-runs")
		requireEach(t, got.errors, []string{"auth.yml", `"never-runs"`, "remove it from the list"})
	})

	t.Run("suggests the name of a misspelled rule", func(t *testing.T) {
		got, _ := check(enumerates, flowhook.Options{}, "enumerations")
		requireEach(t, got.errors, []string{"5:17: warning: enumeration: "}, []string{"auth.yml", `unknown rule "enumerations"`, `did you mean "enumeration"?`})
	})

	t.Run("drops what Options.Accept accepts", func(t *testing.T) {
		for _, strict := range []bool{false, true} {
			got, found := check(enumerates, flowhook.Options{Strict: strict, Accept: []string{"enumeration", "never-runs"}})
			require.Empty(t, got.errors)
			require.Empty(t, found)
		}
		got, _ := check(enumerates, flowhook.Options{Accept: []string{"enumerations"}})
		requireEach(t, got.errors, []string{"Options.Accept[0]", `did you mean "enumeration"?`})
	})

	t.Run("accepts no error, and behind one asks nothing of the list", func(t *testing.T) {
		got, _ := check(enumerates+"        - hook: nobody\n", flowhook.Options{}, "invalid", "enumeration")
		requireEach(t, got.errors, []string{"6:17", "nobody"})
		got, _ = check(enumerates+"security: {account_enumeration: {mitigate: true}}\n", flowhook.Options{}, "enumeration")
		requireEach(t, got.errors, []string{"5:17: error: enumeration"})
	})

	t.Run("accepts no warning of a service that is strict", func(t *testing.T) {
		got, found := check(enumerates+"        - hook: verify\n  login: {before: [{hook: redirect, config: {to: /closed}}]}\n", flowhook.Options{Strict: true}, "enumeration")
		requireEach(t, got.errors, []string{"5:17: warning: enumeration"})
		require.Greater(t, len(found), 1, "the notes are not kept back")
	})

	t.Run("logs a note", func(t *testing.T) {
		got, found := check("selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}\n", flowhook.Options{})
		require.Empty(t, got.errors)
		requireEach(t, got.logs, []string{"auth.yml:1:39: note: closed: ", "/closed"})
		require.Equal(t, flowhook.SeverityNote, found[0].Severity)
	})

	t.Run("finds nothing out about what it has filled in", func(t *testing.T) {
		text := "selfservice:\n  settings:\n    after:\n      profile:\n        - hook: verify\n        - hook: redirect\n          config: {to: 'https://www.example.org/saved'}\n  login: {after: {password: [{hook: session}]}}\n"
		for _, strict := range []bool{false, true} {
			got, found := check(text, flowhook.Options{Strict: strict})
			require.Empty(t, got.errors)
			require.Empty(t, found)
		}
	})

	t.Run("leaves what is given as it is", func(t *testing.T) {
		text := "selfservice: {login: {after: {password: [{hook: session}, {hook: verify}]}}}\n"
		got, _ := check(text, flowhook.Options{Secrets: []string{"short"}, VerificationURL: "http://auth.example/verify"})
		requireEach(t, got.errors, []string{"Options.Secrets[0]", "16 bytes"})
		got, _ = check(text, flowhook.Options{VerificationURL: "http://auth.example/verify"})
		requireEach(t, got.errors, []string{"Options.VerificationURL", "plain-link"})
		got, _ = check(text+"secrets: {session: [short]}\n", flowhook.Options{})
		requireEach(t, got.errors, []string{"auth.yml:2:21", "16 bytes"})
		got, _ = check("selfservice: {flows: {verification: {ui_url: /verify}, login: {after: {hooks: [{hook: verify}]}}}}\n", flowhook.Options{})
		requireEach(t, got.errors, []string{"auth.yml:1:46", "absolute"})
		got, _ = check("selfservice: {login: {after: {hooks: [{hook: session}]}}}\n", flowhook.Options{Store: poor{}})
		requireEach(t, got.errors, []string{"auth.yml:1:46", "hooktest_test.poor does not"})
	})

	t.Run("invents no store where no hook needs one", func(t *testing.T) {
		opts := options()
		text := "selfservice: {login: {after: {password: [{hook: greet}, {hook: session}]}}}\n"
		got, _ := check(text, opts)
		requireEach(t, got.errors, []string{"slow-lock", "greet"})
		opts.Issue = (&flowhook.Sessions{}).Issue
		got, _ = check(text, opts)
		require.Empty(t, got.errors, "without a store there is no transaction")
	})

	t.Run("ends the test where the file cannot be read", func(t *testing.T) {
		got, _ := check("a: b: c\n", flowhook.Options{})
		require.Contains(t, got.fatal, "auth.yml: not YAML")
		got = under(t, func(fake testing.TB) { hooktest.CheckFile(fake, "nowhere.yml", flowhook.Options{}) })
		require.Contains(t, got.fatal, "nowhere.yml")
	})

	t.Run("resolves references, and shows no secret", func(t *testing.T) {
		text := "secrets: {session: ['${HOOKTEST_SECRET}']}\nselfservice: {login: {after: {password: [{hook: session}]}}}\n"
		got, _ := check(text, flowhook.Options{})
		requireEach(t, got.errors, []string{"auth.yml:1:", "HOOKTEST_SECRET", "not set"})
		t.Setenv("HOOKTEST_SECRET", "PLEASE-CHANGE-ME-I-AM-AN-EXAMPLE")
		got, _ = check(text, flowhook.Options{})
		requireEach(t, got.errors, []string{"example-secret"})
		require.NotContains(t, strings.Join(got.errors, ""), "CHANGE-ME")
	})

	t.Run("of a good file fails nothing", func(t *testing.T) {
		hooktest.CheckFile(t, "testdata/auth.yml", options(), "enumeration")
	})
}

// inQueue is a courier that works only in the transaction.
type inQueue struct{ flowhook.Courier }

func (inQueue) NeedsOutbox() {}

// A rig demands Options.Outbox where the service's own New would.
func TestRig_CourierNeedsOutbox(t *testing.T) {
	path := write(t, "selfservice: {}\n")
	f := under(t, func(t testing.TB) { hooktest.New(t, path, flowhook.Options{Courier: inQueue{}}) })
	require.Contains(t, f.fatal, "set Options.Outbox")
	f = under(t, func(t testing.TB) { hooktest.New(t, path, flowhook.Options{Courier: inQueue{}, Outbox: true}) })
	require.Empty(t, f.fatal)
}

// started tells when the pipeline begins to use it.
type started struct{ t testing.TB }

func (started) Run(context.Context, *flowhook.Exchange) error { return nil }

func (s started) Started() { s.t.Error("a check has started a hook") }

func TestCheckFile_StartsNothing(t *testing.T) {
	hooktest.CheckFile(t, write(t, "selfservice: {login: {after: [{hook: own}]}}\n"), flowhook.Options{
		Hooks: map[string]flowhook.HookFactory{"own": func(flowhook.Point, func(any) error) (flowhook.Hook, error) {
			return started{t}, nil
		}}})
}
