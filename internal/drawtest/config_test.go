package drawtest

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// load returns the pipeline of a file. If name is empty, the configuration is empty.
func load(t *testing.T, name string, opts flowhook.Options) *flowhook.Pipeline {
	cfg := &flowhook.Config{}
	if name != "" {
		var err error
		cfg, err = flowhook.LoadConfig("testdata/" + name)
		require.NoError(t, err)
	}
	return build(t, cfg, opts)
}

func build(t *testing.T, cfg *flowhook.Config, opts flowhook.Options) *flowhook.Pipeline {
	opts.Store, opts.Courier, opts.Logger = memstore.New(), nowhere{}, slog.New(slog.NewTextHandler(io.Discard, nil))
	opts.VerificationURL = "https://auth.example.net/confirm"
	opts.Flows = append(opts.Flows, "sign_out_everywhere")
	opts.Hooks = map[string]flowhook.HookFactory{}
	for _, name := range []string{"audit", "invited", "not_banned", "slow_down"} {
		opts.Hooks[name] = func(flowhook.Point, func(any) error) (flowhook.Hook, error) { return idle, nil }
	}
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	return p
}

type nowhere struct{}

func (nowhere) Send(context.Context, flowhook.Message) error { return nil }

var idle = flowhook.HookFunc(func(context.Context, *flowhook.Exchange) error { return nil })

var random = []string{"gQ7v2LhXk9TzR4mWc8NbYp3sJd6FaEuK1o5wVxHiSt0"}

// hostileNames are names that would be markup or Mermaid syntax without escaping.
var hostileNames = []string{
	`<script>document.title='run'</script>`, `<img src=x onerror="document.title='run'">`, `"><b id="made">`,
	`'"]; click n1 "javascript:x"`, "`code` **bold** _em_", "1. first", "- item", "# heading",
	"%%{init: {'theme':'forest'}}%%", "%% comment", "end", "]] --> evil", "$$x^2$$", "fa:fa-car", "style x:y#z;",
	"&lt;b&gt;", "#quot;#35;", "a|b{c}(d)[e]", "{{.Style}}", "\u202egnp.exe", "line\nbreak\ttab", "naïve 名前",
	strings.Repeat("long", 40),
}

// hostile returns a pipeline with such names for hooks, a flow and a strategy.
func hostile(t *testing.T) *flowhook.Pipeline {
	const flow, strategy = `flow "]<i id="made">`, "way `**`]"
	cfg := &flowhook.Config{}
	for _, name := range hostileNames {
		cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.After}, name, idle)
	}
	cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.BeforePersist, Strategy: strategy}, hostileNames[0], idle)
	return build(t, cfg, flowhook.Options{Flows: []flowhook.Flow{flow}, Strategies: []flowhook.Strategy{strategy}})
}
