package flowhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

func ExampleNew() {
	cfg, err := flowhook.ParseConfig([]byte(`
selfservice:
  login:
    before:
      - hook: redirect
        config:
          to: /maintenance
`))
	if err != nil {
		log.Fatal(err)
	}
	pipeline, err := flowhook.New(cfg, flowhook.Options{})
	if err != nil {
		log.Fatal(err)
	}
	login := pipeline.Middleware(flowhook.Login)(http.NotFoundHandler())

	w := httptest.NewRecorder()
	login.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/login", nil))
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 302 /maintenance
}

// New reports all problems at once.
func ExampleNew_errors() {
	cfg, err := flowhook.ParseConfig([]byte(`
selfservice:
  login:
    after:
      password:
        - hook: revoke_active_session
  settings:
    before:
      - hook: redirect
`))
	if err != nil {
		log.Fatal(err)
	}
	_, err = flowhook.New(cfg, flowhook.Options{Store: memstore.New()})
	fmt.Println(err)

	var first *flowhook.ConfigError
	if errors.As(err, &first) {
		fmt.Println("line", first.Line, "hint:", first.Hint)
	}
	// Output:
	// 6:17: selfservice.login.after.password[0].hook: unknown hook "revoke_active_session"; did you mean "revoke_active_sessions"?
	// 8:5: selfservice.settings.before: settings flows do not have before hooks; they do in the layout with selfservice.flows
	// line 6 hint: did you mean "revoke_active_sessions"?
}

func ExampleLoadConfig() {
	cfg, err := flowhook.LoadConfig("examples/minimal/auth.yml")
	if err != nil {
		log.Fatal(err)
	}
	_, err = flowhook.New(cfg, flowhook.Options{}) // has no store, no courier, and not the hook that the file names
	var first *flowhook.ConfigError
	fmt.Println(errors.As(err, &first), first.File, first.Path, first.Problem)

	_, err = flowhook.LoadConfig("examples/minimal/missing.yml")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// true examples/minimal/auth.yml selfservice.login.after.password[0].hook hook "revoke_active_sessions" needs a store that implements SessionRevoker
	// true
}

// Text that is not YAML is an error of ParseConfig. New reports the rest.
func ExampleParseConfig() {
	_, err := flowhook.ParseConfig([]byte("selfservice:\n\tlogin: {}\n"))
	fmt.Println(err)
	// Output: 2:1: not YAML: a tab; indent with spaces
}

func ExampleConfig_Add() {
	var cfg flowhook.Config
	settings := flowhook.Point{Flow: flowhook.Settings, Phase: flowhook.After, Strategy: flowhook.Profile}
	cfg.Add(settings, "audit", flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
		fmt.Println("audit:", x.Point(), x.Identity.ID)
		return nil
	}))
	cfg.Add(settings, "redirect", flowhook.Redirect("/settings?saved"))
	pipeline, err := flowhook.New(&cfg, flowhook.Options{})
	if err != nil {
		log.Fatal(err)
	}

	ctx, w := newExchange(&flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}})
	handled, err := pipeline.Complete(ctx, flowhook.Settings, flowhook.Profile, nil)
	fmt.Println(handled, err, w.Header().Get("Location"))
	// Output:
	// audit: settings/after/profile alice
	// true <nil> /settings?saved
}

// A factory makes a hook for each entry of the file, with the entry's config.
func ExampleHookFactory() {
	allowDomains := func(p flowhook.Point, decode func(v any) error) (flowhook.Hook, error) {
		var config struct {
			Domains []string `yaml:"domains"`
		}
		if p.Phase != flowhook.BeforePersist {
			return nil, errors.New("it refuses before anything is saved; write phase: before_persist")
		}
		if err := decode(&config); err != nil {
			return nil, err
		}
		return flowhook.HookFunc(func(_ context.Context, x *flowhook.Exchange) error {
			if x.Identity == nil { // the handler sets it too late, in save
				return flowhook.ErrNoIdentity
			}
			for _, a := range x.Identity.Addresses {
				if _, domain, _ := strings.Cut(a.Value, "@"); !slices.Contains(config.Domains, domain) {
					http.Error(x.Writer, "not from there", http.StatusForbidden)
					return nil
				}
			}
			return nil
		}), nil
	}
	pipeline := newPipeline(`
selfservice:
  registration:
    after:
      - hook: allow_domains
        phase: before_persist
        config:
          domains: [example.org]
`, flowhook.Options{Hooks: map[string]flowhook.HookFactory{"allow_domains": allowDomains}})

	for _, address := range []string{"alice@example.org", "eve@elsewhere.example"} {
		ctx, w := newExchange(&flowhook.Exchange{Identity: &flowhook.Identity{Addresses: []flowhook.Address{{Via: "email", Value: address}}}})
		handled, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, func(context.Context) error {
			fmt.Println("saving", address)
			return nil
		})
		fmt.Println(handled, err, w.Code)
	}
	ctx, _ := newExchange(&flowhook.Exchange{})
	_, err := pipeline.Complete(ctx, flowhook.Registration, flowhook.Password, nil)
	fmt.Println(errors.Is(err, flowhook.ErrNoIdentity))
	// Output:
	// saving alice@example.org
	// false <nil> 200
	// true <nil> 403
	// true
}

// Wrap wraps every hook, here to print what runs.
func ExampleOptions_wrap() {
	pipeline := newPipeline(`
selfservice:
  login:
    after:
      - hook: session
      - hook: redirect
        config:
          to: /news
`, flowhook.Options{
		Wrap: func(p flowhook.Point, name string, next flowhook.Hook) flowhook.Hook {
			return flowhook.HookFunc(func(ctx context.Context, x *flowhook.Exchange) error {
				err := next.Run(ctx, x)
				fmt.Println(p, name, err)
				return err
			})
		},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, _ := newExchange(&flowhook.Exchange{Identity: &flowhook.Identity{ID: "alice"}})
	handled, err := pipeline.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	fmt.Println(handled, err)
	// Output:
	// login/after session <nil>
	// login/after redirect <nil>
	// true <nil>
}

// A service with a flow of its own prints a schema that knows the flow.
func ExampleSchema() {
	schema := flowhook.Schema(flowhook.Options{Flows: []flowhook.Flow{"invite"}})
	var parsed struct {
		Version string `json:"$schema"`
	}
	if err := json.Unmarshal(schema, &parsed); err != nil {
		log.Fatal(err)
	}
	fmt.Println(parsed.Version)
	fmt.Println("knows invite:", strings.Contains(string(schema), `"invite": {`))
	// Output:
	// https://json-schema.org/draft/2020-12/schema
	// knows invite: true
}
