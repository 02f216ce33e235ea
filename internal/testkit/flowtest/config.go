package flowtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// Flows are all flows of AnyOptions.
var Flows = []flowhook.Flow{"login", "registration", "settings", "verification", "recovery", "logout", "invite"}

// Phases are all phases of a file.
var Phases = []flowhook.Phase{"before", "before_persist", "after", "failed"}

// Strategies are all strategies of AnyOptions, with "" for flow-wide hooks.
var Strategies = []flowhook.Strategy{"", "password", "oidc", "profile", "link", "code", "totp", "lookup_secret",
	"webauthn", "passkey", "saml", "magic"}

// HasFinding reports whether a pipeline has a finding of the rule.
func HasFinding(p *flowhook.Pipeline, rule string) bool {
	return slices.ContainsFunc(p.Plan().Findings(), func(f flowhook.Finding) bool { return f.Rule == rule })
}

// FindingTexts returns findings as text, without the name of the file.
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

// StrongSecret is a secret without a finding.
const StrongSecret = "9b1f4e7a0c6d83255ef1a9c47d20b86e31fc5a9d7e4082b6c3d15f09ae7b2648"

// AnyStore has all store interfaces. None of its methods can be called.
type AnyStore struct {
	flowhook.Store
	flowhook.SessionStore
	flowhook.TokenStore
}

// AnyCourier is a courier that cannot be called.
type AnyCourier struct{ flowhook.Courier }

// NoOp is a hook that does nothing.
func NoOp(context.Context, *flowhook.Exchange) error { return nil }

// auditConfig is the config of the hook "audit", with a value of every kind.
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

// AnyOptions returns options with all that built-in hooks need, and with a hook, a flow and a
// strategy of the host's own.
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

// Problems returns the texts of the errors of ParseConfig or New.
func Problems(err error) (texts []string) {
	if err == nil {
		return nil
	}
	for _, e := range ConfigErrors(err) {
		texts = append(texts, e.Error())
	}
	return texts
}

// ConfigErrors returns the errors joined in err.
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

// Build parses a file and makes a pipeline, and returns the error of either.
func Build(yaml string, opts flowhook.Options) error {
	cfg, err := flowhook.ParseConfig([]byte(yaml))
	if err == nil {
		_, err = flowhook.New(cfg, opts)
	}
	return err
}

// RulesOf returns the rules of findings, sorted, each once.
func RulesOf(found []flowhook.Finding) (rules []string) {
	for _, f := range found {
		rules = append(rules, f.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// Bodies returns options whose hook "body" records its config.
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

// Parse parses a file.
func Parse(t testing.TB, text string) *flowhook.Config {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	return cfg
}

// StampOptions returns options whose hook "stamp" records which version of the file it is from.
func StampOptions() flowhook.Options {
	return flowhook.Options{
		Store: memstore.New(), Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"stamp": func(_ flowhook.Point, decode func(any) error) (flowhook.Hook,
			error) {
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

// StampsKey is the context key of the *[]int in which the hook "stamp" records versions.
type StampsKey struct{}

// VersionYAML returns a file with its version in the hooks of three phases, a redirect, the
// session's lifespan and the secrets. The first secret is the newest.
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

// VersionSecret returns the secret of a version.
func VersionSecret(n int) string { return fmt.Sprintf("the-secret-of-version-%d", n) }
