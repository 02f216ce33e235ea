package acceptance_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// requireSilentError checks an error in every format, and every error that it wraps, except errors
// of a test's own types.
func requireSilentError(t testing.TB, err error, planted ...string) {
	t.Helper()
	if err == nil {
		return
	}
	typ := reflect.TypeOf(err)
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if strings.HasSuffix(typ.PkgPath(), "_test") {
		return
	}
	for _, verb := range []string{"%v", "%+v", "%s", "%q"} {
		flowtest.RequireSilent(t, fmt.Sprintf(verb, err), planted...)
	}
	flowtest.RequireSilent(t, err.Error(), planted...)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		requireSilentError(t, e.Unwrap(), planted...)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			requireSilentError(t, err, planted...)
		}
	}
}

// newLogs returns a text log and a JSON log that write to the same buffer.
func newLogs() (book *flowtest.LogBuffer, loggers map[string]*slog.Logger) {
	book = &flowtest.LogBuffer{}
	all := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	return book, map[string]*slog.Logger{"text": slog.New(slog.NewTextHandler(book, all)),
		"JSON": slog.New(slog.NewJSONHandler(book, all))}
}

// A quotingType is a type of the host whose decoder quotes what it cannot read.
type quotingType struct{}

func (*quotingType) UnmarshalText(text []byte) error { return quotingError{text: string(text)} }

// canaryHook is a factory of the host with a secret in its config.
func canaryHook(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
	var config struct {
		APIKey  string            `yaml:"api_key"`
		Count   int               `yaml:"count"`
		On      bool              `yaml:"on"`
		Keys    []string          `yaml:"keys"`
		Headers map[string]string `yaml:"headers"`
		Own     *quotingType      `yaml:"own"`
	}
	if err := decode(&config); err != nil {
		return nil, fmt.Errorf("the config of the host's hook: %w", err)
	}
	return refuseHook, nil
}

var refuseHook = flowhook.HookFunc(flowtest.Refuse)

// The errors of a bad file contain no secret.
func TestSecrecy_ConfigErrors(t *testing.T) {
	const long, short = flowtest.Canary + "-long-enough", flowtest.Canary
	session := func(list string) string { return "secrets: {session: " + list + "}" }
	config := func(c string) string { return "selfservice: {login: {before: [{hook: canary, config: " + c + "}]}}" }
	rows := map[string]string{
		"short":                         session("[" + short + "]"),
		"duplicate":                     session("[" + long + ", " + long + "]"),
		"beside an empty one":           session("[" + long + ", '']"),
		"beside a null":                 session("[" + long + ", ~]"),
		"mapping in the list":           session("[{" + long + ": " + long + "}]"),
		"mapping of a mapping":          session("[{" + long + ": {" + long + ": " + long + "}}]"),
		"list in the list":              session("[[" + long + "]]"),
		"mapping for the list":          session("{" + long + ": " + long + "}"),
		"string for the list":           session(long),
		"block string for the list":     "secrets:\n  session: |\n    " + long + "\n",
		"tag":                           session("[!" + long + " " + long + "]"),
		"tag of a secret":               session("[!secret " + long + "]"),
		"binary":                        session("[!!binary " + long + "]"),
		"anchor":                        session("[&" + long + " " + long + ", *" + long + "]"),
		"anchor alone":                  session("[&" + long + " " + long + "]"),
		"anchor of the list":            session("&" + long + " [" + long + "]"),
		"placeholder":                   session("[<your-secret-goes-here>, " + short + "]"),
		"template":                      session("['{{ " + long + " }}']"),
		"reference of Kubernetes":       session("[$(" + short + ")]"),
		"URL":                           session("['vault://" + long + "']"),
		"white space alone":             session("[' ', " + long + "]"),
		"alias without an anchor":       session("[*" + long + "]"),
		"alias as the list":             session("*" + long),
		"list as a key":                 "secrets: {? [" + long + "] : x}",
		"mapping as a key":              "secrets: {? {" + long + ": x} : x}",
		"merge":                         "x: &x {session: [" + long + "]}\nsecrets: {<<: *x}",
		"as a key":                      "secrets: {" + long + ": x}",
		"as a short key":                "secrets: {" + short + ": x}",
		"as a key twice":                "secrets: {" + long + ": x, " + long + ": x}",
		"as a key with a tag":           "secrets: {!" + long + " " + long + ": x}",
		"for the mapping":               "secrets: " + long,
		"in a list for the mapping":     "secrets: [" + long + "]",
		"in a list of mappings":         "secrets: [{session: " + long + "}]",
		"under a misspelled key":        "secrets: {sesion: [" + long + "]}",
		"under the cookie's key, short": "secrets: {cookie: [" + short + "]}",
		"under default, twice":          "secrets: {default: [" + long + ", " + long + "]}",
		"twice the key":                 "secrets: {session: [" + long + "], session: [" + long + "]}",
		"tab":                           "secrets:\n\tsession: [" + long + "]",
		"open quote":                    session("[\"" + long + "]"),
		"open list":                     "secrets: {session: [" + long,
		"escape":                        session("[\"\\" + long + "\"]"),
		"bad indentation":               "secrets:\n    session:\n  - " + long + "\n - " + long,
		"control character":             session("[\"" + long + "\x01\"]"),
		"no UTF-8":                      session("[\"" + long + "\xff\"]"),
		"directive":                     "%" + long + " x\n---\n" + session("["+long+"]"),
		"second document":               session("["+long+"]") + "\n---\n" + session("["+long+"]"),
		"percent":                       session("[%" + long + "]"),
		"at sign":                       session("[@" + long + "]"),
		"backtick":                      session("[`" + long + "]"),
		"document of one secret":        long,
		"value with a colon":            "secrets:\n  session:\n    - " + long + ": x: y\n",
		"too deep":                      session(strings.Repeat("[", 200) + long + strings.Repeat("]", 200)),
		"too big":                       "# " + strings.Repeat(long, 20000) + "\n" + session("["+long+"]"),

		"config: an int":               config("{count: " + long + "}"),
		"config: an int from a list":   config("{count: [" + long + "]}"),
		"config: a bool":               config("{on: " + long + "}"),
		"config: a list for a string":  config("{api_key: [" + long + "]}"),
		"config: a mapping":            config("{api_key: {" + long + ": " + long + "}}"),
		"config: a string for a list":  config("{keys: " + long + "}"),
		"config: mappings in a list":   config("{keys: [{" + long + ": x}]}"),
		"config: a string for a map":   config("{headers: " + long + "}"),
		"config: a list in a map":      config("{headers: {x: [" + long + "]}}"),
		"config: an unknown key":       config("{apikey: " + long + "}"),
		"config: a key twice":          config("{api_key: " + long + ", api_key: " + long + "}"),
		"config: a string":             config(long),
		"config: a list":               config("[" + long + "]"),
		"config: a tag":                config("{api_key: !" + long + " " + long + "}"),
		"config: an alias":             config("{api_key: &a " + long + ", count: *a}"),
		"config: an anchor":            config("{api_key: &" + long + " " + long + "}"),
		"config: a decoder that talks": config("{own: " + long + "}"),
		"config: not asked for":        "selfservice: {login: {after: [{hook: revoke_active_sessions, config: {api_key: " + long + "}}]}}",

		"reference: of a reference": session("['${FLOWHOOK_NESTED}']"),
		"reference: in a cookie":    "session: {cookie: {domain: '${" + long + "}'}}",
		"reference: in a timeout": "selfservice: {login: {before: [{hook: canary, timeout: '${FLOWHOOK_NONE:-" +
			long + "}'}]}}",
		"reference: a short secret":     session("['${FLOWHOOK_SHORT}']"),
		"reference: a secret twice":     session("['${FLOWHOOK_LONG}', '${FLOWHOOK_LONG}']"),
		"reference: a part of a secret": session("['${FLOWHOOK_LONG}" + long + "']"),
		"reference: a default":          session("['${FLOWHOOK_NONE:-" + long + "}']"),
		"reference: an int":             config("{count: '${FLOWHOOK_LONG}'}"),
		"reference: a list":             config("{keys: '${FLOWHOOK_LONG}'}"),
		"reference: a decoder":          config("{own: '${FLOWHOOK_LONG}'}"),
		"reference: none at all":        config("{api_key: '${FLOWHOOK_NONE" + long + "'}"),

		"return URL: user info": "selfservice: {default_browser_return_url: 'https://user:" + long +
			"@example.org/'}",
		"allowed return URL: user info": "selfservice: {allowed_return_urls: ['https://user:" + long +
			"@example.org/']}",
		"timeout": "selfservice: {login: {before: [{hook: canary, timeout: " + long + "}]}}",

		"redirect: user info": "selfservice: {login: {before: [{hook: redirect, config: {to: 'https://user:" +
			long + "@example.org/'}}]}}",
		"redirect: user info, bad": "selfservice: {login: {before: [{hook: redirect, config: {to: 'https://user:" +
			long + "%zz@example.org:x/'}}]}}",
		"verification: user info": "selfservice: {flows: {verification: {ui_url: 'https://user:" + long +
			"@example.org/'}, login: {after: {hooks: [{hook: verify}]}}}}",
	}
	t.Setenv("FLOWHOOK_LONG", long)
	t.Setenv("FLOWHOOK_SHORT", short)
	t.Setenv("FLOWHOOK_NESTED", "$("+short+")")
	for name, text := range rows {
		t.Run(name, func(t *testing.T) {
			book, loggers := newLogs()
			for _, log := range loggers {
				err := load(t, text, log)
				require.Error(t, err)
				requireSilentError(t, err)
				log.Debug("failed to start", "error", err)
			}
			flowtest.RequireSilent(t, book.String())
		})
	}
	t.Logf("%d files with a misplaced secret: rejected without showing it", len(rows))
}

// load reads a file, from memory and from disk, and makes a pipeline of it.
func load(t *testing.T, text string, log *slog.Logger) error {
	path := filepath.Join(t.TempDir(), "hooks.yml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	opts := flowhook.Options{Logger: log, Store: flowtest.NewRecordingStore(), Courier: &flowtest.Mailbox{},
		Hooks: map[string]flowhook.HookFactory{"canary": canaryHook}}
	var errs []error
	for _, read := range []func() (*flowhook.Config, error){
		func() (*flowhook.Config, error) { return flowhook.ParseConfig([]byte(text)) },
		func() (*flowhook.Config, error) { return flowhook.LoadConfig(path) },
	} {
		cfg, err := read()
		if err == nil {
			_, err = flowhook.New(cfg, opts)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func TestSecrecy_OptionErrors(t *testing.T) {
	const long, short = flowtest.Canary + "-long-enough", flowtest.Canary
	for name, opts := range map[string]flowhook.Options{
		"short":                        {Secrets: []string{short}},
		"duplicate":                    {Secrets: []string{long, long}},
		"beside an empty one":          {Secrets: []string{long, ""}},
		"URL with user info":           {VerificationURL: "https://user:" + long + "@example.org/"},
		"invalid URL":                  {VerificationURL: "https://user:" + long + "%zz@example.org:x/"},
		"URL without a host":           {VerificationURL: "/" + long},
		"with hooks that need options": {Secrets: []string{long}},
	} {
		t.Run(name, func(t *testing.T) {
			book, loggers := newLogs()
			for _, log := range loggers {
				opts.Logger = log
				cfg := &flowhook.Config{}
				cfg.Add(flowtest.At(flowhook.Login, flowhook.After, flowhook.FlowWide), "session",
					nil) // there is no store
				_, err := flowhook.New(cfg, opts)
				require.Error(t, err)
				requireSilentError(t, err)
				log.Debug("failed to start", "error", err)
			}
			flowtest.RequireSilent(t, book.String())
		})
	}
}
