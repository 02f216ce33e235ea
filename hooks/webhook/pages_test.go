package webhook_test

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooktest"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the file that is copied from docs/webhooks.md")

// pageHeader is the part of internal/page/page.go that precedes the code of docs/webhooks.md.
const pageHeader = `// Package page has the code of docs/webhooks.md.
package page

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A User is the host's.
type User struct{ Plan string }

`

// TestPage asserts that the code in docs/webhooks.md is that of the package page, byte for byte,
// and that the rest of the page is true: its YAML loads, its JSON is JSON, and its tables are
// complete. The code with Jsonnet is tested by that module.
func TestPage(t *testing.T) {
	t.Setenv("WEBHOOK_SECRET", secretOne)
	text, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	page := string(text)
	parts := strings.Split("\n"+page, "\n```")
	require.Equal(t, 1, len(parts)%2, "the last block has no end")
	blocks := map[string][]string{}
	for i := 1; i < len(parts); i += 2 {
		language, code, _ := strings.Cut(parts[i], "\n")
		if language == "go" && strings.Contains(code, "jsonnet.") {
			language = "go with jsonnet"
		}
		blocks[language] = append(blocks[language], code+"\n")
	}
	require.Len(t, blocks, 5)

	code := pageHeader + strings.Join(blocks["go"], "\n")
	const file = "internal/page/page.go"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(code), 0o644))
	}
	compiled, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, code, string(compiled), "%s differs from the page; write it with go test . -run Page -update", file)

	for _, text := range blocks["json"] {
		require.True(t, json.Valid([]byte(text)), text)
	}

	rule := regexp.MustCompile(`(?:Severity(?:Note|Warning|Error), |note\(|Rule: )"([a-z-]+)"`)
	found := rule.FindAllStringSubmatch(sourceOf(t, "findings.go")+sourceOf(t, "config.go"), -1)
	require.NotEmpty(t, found)
	rows := map[string]bool{}
	for _, m := range found {
		rows["| `web_hook/"+m[1]+"` |"] = true
		require.Contains(t, page, "| `web_hook/"+m[1]+"` |")
	}
	require.Len(t, rows, strings.Count(page, "\n| `web_hook/"))
	for _, key := range regexp.MustCompile("yaml:\"([a-z_]+)\"").FindAllStringSubmatch(sourceOf(t, "config.go"), -1) {
		require.Contains(t, page, key[1])
	}

	t.Chdir(t.TempDir())
	require.Len(t, blocks["jsonnet"], 1)
	require.NoError(t, os.WriteFile("registered.jsonnet", []byte(blocks["jsonnet"][0]), 0o600))
	hooks := newHooks(t, webhook.Options{}, anything)
	for _, yaml := range blocks["yaml"] {
		require.Empty(t, loadError(t, hooks, yaml))
		require.Empty(t, rules(t, hooks, yaml))
	}
}

func sourceOf(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// TestKratosFiles loads the files of Kratos that have a web_hook.
func TestKratosFiles(t *testing.T) {
	hooks := newHooks(t, webhook.Options{}, anything)
	for file, entries := range map[string]int{"v0.11.yml": 4, "v1.0.yml": 3, "v26.yml": 2} {
		t.Run(file, func(t *testing.T) {
			cfg, err := flowhook.LoadConfig("../../testdata/kratos/" + file)
			require.NoError(t, err)
			opts := options(hooks)
			opts.Store, opts.Courier = memstore.New(), &flowtest.Mailbox{}
			opts.Hooks["b2b_sso"] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
				return flowhook.HookFunc(flowtest.NoOp), decode(&map[string]any{})
			}
			rig := hooktest.NewWith(t, cfg, opts)
			n := map[flowhook.Position]bool{}
			for _, list := range rig.Pipeline.Plan().Points() {
				for _, h := range list {
					if h.Name == "web_hook" {
						n[h.Position] = true
						require.NotEmpty(t, h.Findings)
						require.Contains(t, h.Description, "hooks.internal")
					}
				}
			}
			require.Len(t, n, entries)
		})
	}
}
