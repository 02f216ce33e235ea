package flowtest

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

var Flows = []flowhook.Flow{"login", "registration", "settings", "verification", "recovery", "logout", "invite"}

var Phases = []flowhook.Phase{"before", "before_persist", "after", "failed"}

var Strategies = []flowhook.Strategy{"", "password", "oidc", "profile", "link", "code", "totp", "lookup_secret", "webauthn", "passkey", "saml", "magic"}

func HasFinding(p *flowhook.Pipeline, rule string) bool {
	return slices.ContainsFunc(p.Plan().Findings(), func(f flowhook.Finding) bool { return f.Rule == rule })
}

// rules gives every rule that the code can find: the third argument of what adds to its list.
func Rules(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob("internal/check/*.go")
	require.NoError(t, err)
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		consts := map[string]string{}
		text := func(e ast.Expr) string {
			lit, ok := e.(*ast.BasicLit)
			require.True(t, ok, "%s: a rule that is no literal", file)
			s, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			return s
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						consts[n.Names[i].Name] = text(v)
					}
				}
			case *ast.CallExpr:
				s, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || s.Sel.Name != "hook" && s.Sel.Name != "setting" {
					break
				}
				if name, ok := n.Args[2].(*ast.Ident); ok {
					require.Contains(t, consts, name.Name, file)
					found[consts[name.Name]] = true
				} else {
					found[text(n.Args[2])] = true
				}
			}
			return true
		})
	}
	require.GreaterOrEqual(t, len(found), 20)
	return slices.Sorted(maps.Keys(found))
}

// said gives findings as text, without the name of the file.
func FindingTexts(file string, findings []flowhook.Finding) (texts []string) {
	for _, f := range findings {
		text := f.String()
		if file != "" {
			text = strings.ReplaceAll(text, file+":", "")
		}
		texts = append(texts, text)
	}
	return texts
}

const StrongSecret = "9b1f4e7a0c6d83255ef1a9c47d20b86e31fc5a9d7e4082b6c3d15f09ae7b2648"

// AnyStore has all interfaces and does nothing: here, nothing runs.
type AnyStore struct {
	flowhook.Store
	flowhook.SessionStore
	flowhook.VerificationStore
}

type AnyCourier struct{ flowhook.Courier }

func NoOp(context.Context, *flowhook.Exchange) error { return nil }

// auditConfig is the config of a host's hook, with something of every kind.
type auditConfig struct {
	Level uint8         `yaml:"level"`
	On    bool          `yaml:"on"`
	Wait  time.Duration `yaml:"wait"`
	Tags  []string      `yaml:"tags"`
	Sinks []struct {
		URL     string `yaml:"url"`
		Retries int    `yaml:"retries"`
	} `yaml:"sinks"`
}

// anything is a host that has all that the built-in hooks need, and hooks, a flow and a strategy of its own.
func AnyOptions() flowhook.Options {
	return flowhook.Options{
		Store:      AnyStore{},
		Courier:    AnyCourier{},
		Secrets:    []string{"0123456789abcdef"},
		Logger:     slog.New(slog.DiscardHandler),
		Flows:      []flowhook.Flow{"invite"},
		Strategies: []flowhook.Strategy{"magic"},
		Hooks: map[string]flowhook.HookFactory{
			"audit": func(p flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(NoOp), decode(&auditConfig{})
			},
		},
	}
}

// problems gives the texts of what New, or the reading before it, found.
func Problems(err error) (texts []string) {
	if err == nil {
		return nil
	}
	for _, e := range ConfigErrors(err) {
		texts = append(texts, e.Error())
	}
	return texts
}

func ConfigErrors(err error) (list []*flowhook.ConfigError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			list = append(list, ConfigErrors(err)...)
		}
		return list
	}
	var e *flowhook.ConfigError
	if errors.As(err, &e) {
		list = append(list, e)
	}
	return list
}

// build reads and builds, and gives what is wrong.
func Build(yaml string, opts flowhook.Options) error {
	cfg, err := flowhook.ParseConfig([]byte(yaml))
	if err == nil {
		_, err = flowhook.New(cfg, opts)
	}
	return err
}

func RulesOf(found []flowhook.Finding) (rules []string) {
	for _, f := range found {
		rules = append(rules, f.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// bodies are options whose hook "body" notes its config.
func Bodies(got *[]string) flowhook.Options {
	opts := AnyOptions()
	opts.Hooks["body"] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		var config struct{ Body string }
		err := decode(&config)
		*got = append(*got, config.Body)
		return flowhook.HookFunc(NoOp), err
	}
	return opts
}

// parse reads a configuration.
func Parse(t testing.TB, text string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return cfg
}

// stamping gives options whose host hook "stamp" notes, in the identity's data, which version of the file it is from.
func StampOptions() flowhook.Options {
	return flowhook.Options{
		Store: memstore.New(), Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"stamp": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			var config struct {
				Version int `yaml:"version"`
			}
			err := decode(&config)
			return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
				stamps := x.Request.Context().Value(StampsKey{}).(*[]int)
				*stamps = append(*stamps, config.Version)
				return nil
			}), err
		}},
	}
}

type StampsKey struct{}

// version is a file that says its number everywhere: in hooks of three phases, in a redirect, in the session's lifespan, and
// in the secrets, where it comes first.
func VersionYAML(n int, secrets ...string) string {
	return fmt.Sprintf(`
secrets: {session: [%s]}
session: {lifespan: %ds}
selfservice:
  flows:
    login:
      default_browser_return_url: /version/%d
      before: {hooks: [{hook: stamp, config: {version: %d}}]}
      after:
        hooks: [{hook: stamp, config: {version: %d}}]
        password: {hooks: [{hook: stamp, phase: before_persist, config: {version: %d}}, {hook: session}, {hook: stamp, config: {version: %d}}]}
    settings: {after: [{hook: redirect, config: {to: /version/%d}}]}
`, strings.Join(secrets, ", "), 3600+n, n, n, n, n, n, n)
}

func VersionSecret(n int) string { return fmt.Sprintf("the-secret-of-version-%d", n) }
