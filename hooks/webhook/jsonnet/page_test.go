package jsonnet_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
)

// The functions up to describe are those of docs/webhooks.md, unchanged.

func newHooks() (*webhook.Webhook, error) {
	return webhook.New(webhook.Options{Body: jsonnet.Body, Describe: describe})
}

// sample renders the body in a file with a ctx as that of a registration.
func sample(file string) (string, error) {
	snippet, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	render, err := jsonnet.Body(string(snippet))
	if err != nil {
		return "", err
	}
	body, err := render(map[string]any{
		"flow":            map[string]any{"name": "registration"},
		"identity":        map[string]any{"id": "alice", "traits": map[string]any{"email": "alice@example.org"}},
		"request_headers": map[string][]string{"User-Agent": {"Firefox"}},
	})
	return string(body), err
}

func describe(context.Context, *flowhook.Exchange) (any, error) { return nil, nil }

// TestPage runs the code with Jsonnet of docs/webhooks.md. The rest of the page is tested in
// hooks/webhook.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../../docs/webhooks.md")
	require.NoError(t, err)
	code, err := os.ReadFile("page_test.go")
	require.NoError(t, err)
	parts := strings.Split(string(page), "\n```")
	blocks, file := 0, filepath.Join(t.TempDir(), "registered.jsonnet")
	for i := 1; i < len(parts); i += 2 {
		language, text, _ := strings.Cut(parts[i], "\n")
		switch {
		case language == "go" && strings.Contains(text, "jsonnet."):
			require.Contains(t, string(code), "\n\n"+text+"\n\n")
			blocks++
		case language == "jsonnet":
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		}
	}
	require.Equal(t, 2, blocks)
	body, err := sample(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"user": "alice", "email": "alice@example.org", "flow": "registration", "browser": "Firefox"}`, body)
	_, err = newHooks()
	require.NoError(t, err)
}
