package jsonnet_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
)

// A file of Kratos sends what its snippets render, whether they are in files or in the YAML.
func TestBody_inHook(t *testing.T) {
	bodies := make(chan string, 2)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- r.URL.Path + " " + string(body)
	}))
	defer receiver.Close()
	dir := t.TempDir()
	snippet := "function(ctx) { id: ctx.identity.id, flow: ctx.flow.name }"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "body.jsonnet"), []byte(snippet), 0o600))
	file := filepath.Join(dir, "auth.yml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
selfservice:
  flows:
    login:
      before:
        hooks:
          - {hook: web_hook, config: {url: "%[1]s/canceled", method: POST, body: "%[2]s"}}
      after:
        hooks:
          - {hook: web_hook, config: {url: "%[1]s/file", method: POST, body: "file://body.jsonnet", can_interrupt: true}}
          - {hook: web_hook, config: {url: "%[1]s/text", method: POST, body: "%[3]s", can_interrupt: true}}
`, receiver.URL, encode(`function(ctx) error "cancel"`), encode(snippet)), 0o600))

	cfg, err := flowhook.LoadConfig(file)
	require.NoError(t, err)
	hook, err := webhook.New(webhook.Options{Insecure: true, Body: jsonnet.Body,
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	p, err := flowhook.New(cfg, flowhook.Options{Logger: slog.New(slog.DiscardHandler),
		Hooks: map[string]flowhook.HookFactory{"web_hook": hook.Factory}})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: r}
	ctx := flowhook.NewContext(r.Context(), x)
	_, err = p.Run(ctx, flowhook.Login, flowhook.Before, flowhook.FlowWide)
	require.NoError(t, err)
	x.Identity = &flowhook.Identity{ID: "ada"}
	_, err = p.Complete(ctx, flowhook.Login, flowhook.Password, nil)
	require.NoError(t, err)
	want, err := json.MarshalIndent(map[string]string{"id": "ada", "flow": "login"}, "", "   ")
	require.NoError(t, err)
	require.Equal(t, "/file "+string(want)+"\n", <-bodies)
	require.Equal(t, "/text "+string(want)+"\n", <-bodies)
	require.Empty(t, bodies, "the canceled call was not made")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "body.jsonnet"), []byte("function(ctx)\n{"), 0o600))
	cfg, err = flowhook.LoadConfig(file)
	require.NoError(t, err)
	_, err = flowhook.New(cfg, flowhook.Options{Hooks: map[string]flowhook.HookFactory{"web_hook": hook.Factory}})
	require.ErrorContains(t, err, "hooks[0].config.body: file://body.jsonnet: jsonnet: line 2: ")
}
