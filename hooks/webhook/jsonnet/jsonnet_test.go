package jsonnet_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

const (
	bodies = "../../../testdata/webhook/bodies/"
	kratos = "../../../testdata/kratos/"
)

func encode(snippet string) string {
	return "base64://" + base64.StdEncoding.EncodeToString([]byte(snippet))
}

func readCtx(t *testing.T, name string) (ctx any) {
	t.Helper()
	data, err := os.ReadFile(bodies + name + ".ctx.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &ctx))
	return ctx
}

// The results are worked out by hand from the Jsonnet specification.
func TestBody(t *testing.T) {
	for _, test := range []struct {
		snippet, ctx string
		canceled     bool
	}{
		{"traits", "registration", false},
		{"request", "registration", false},
		{"optional", "before", false},
		{"event", "registration", false},
		{"chat", "registration", false},
		{"verified", "registration", false},
		{"locals", "registration", false},
		{"metadata", "silent", false},
		{"default", "before", false},
		{"constant", "before", false},
		{"text", "before", false},
		{"newsletter", "registration", false},
		{"newsletter", "silent", true},
		{"cancel", "before", true},
		{"assert", "before", true},
	} {
		t.Run(test.snippet+"/"+test.ctx, func(t *testing.T) {
			snippet, err := os.ReadFile(bodies + test.snippet + ".jsonnet")
			require.NoError(t, err)
			render, err := jsonnet.Body(string(snippet))
			require.NoError(t, err)
			got, err := render(readCtx(t, test.ctx))
			if test.canceled {
				require.ErrorIs(t, err, webhook.ErrCanceled)
				return
			}
			require.NoError(t, err)
			want, err := os.ReadFile(bodies + test.snippet + ".json")
			require.NoError(t, err)
			assert.Equal(t, string(want), string(got))
		})
	}
}

func TestBody_other_errors_do_not_cancel(t *testing.T) {
	for _, snippet := range []string{`error "not canceled"`, `error "Cancel"`, `error "bad name: RUNTIME ERROR: cancel"`, `error { cancel: true }`, `"cancel".x`} {
		render, err := jsonnet.Body(encode(snippet))
		require.NoError(t, err)
		_, err = render(nil)
		require.Error(t, err, snippet)
		assert.NotErrorIs(t, err, webhook.ErrCanceled, snippet)
	}
}

func TestBody_ctx_is_any_JSON(t *testing.T) {
	type identity struct {
		ID     string          `json:"id"`
		Traits json.RawMessage `json:"traits"`
	}
	render, err := jsonnet.Body(encode(`function(ctx) ctx`))
	require.NoError(t, err)
	got, err := render(struct {
		Identity *identity `json:"identity"`
		Session  *identity `json:"session"`
	}{Identity: &identity{"1", json.RawMessage(`{"name": "\u003cb\u003e\ud800", "a": 1, "a": 2, "n": 12345678}`)}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"identity": {"id": "1", "traits": {"name": "<b>�", "a": 2, "n": 12345678}}, "session": null}`,
		string(got))
}

// Every body in Kratos' files renders what Kratos would send.
func TestBody_kratos_files(t *testing.T) {
	ctx := readCtx(t, "registration")
	identity := ctx.(map[string]any)["identity"]
	id := map[string]any{"id": identity.(map[string]any)["id"]}
	want := map[string]any{
		encode(`function(ctx) ctx.identity`):            identity,
		encode(`function(ctx) { id: ctx.identity.id }`): id,
	}
	files, err := filepath.Glob(kratos + "*.yml")
	require.NoError(t, err)
	count := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var doc any
		require.NoError(t, yaml.Unmarshal(data, &doc))
		for _, source := range bodiesIn(doc) {
			count++
			require.Contains(t, want, source, file)
			render, err := jsonnet.Body(source)
			require.NoError(t, err, file)
			got, err := render(ctx)
			require.NoError(t, err, file)
			expected, err := json.Marshal(want[source])
			require.NoError(t, err)
			assert.JSONEq(t, string(expected), string(got), file)
		}
	}
	assert.Equal(t, 6, count)
}

// bodiesIn returns the bodies of all web_hook entries.
func bodiesIn(v any) (found []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			found = append(found, bodiesIn(e)...)
		}
	case map[string]any:
		if config, ok := v["config"].(map[string]any); ok && v["hook"] == "web_hook" {
			if body, ok := config["body"].(string); ok {
				return []string{body}
			}
		}
		for _, e := range v {
			found = append(found, bodiesIn(e)...)
		}
	}
	return found
}

func TestBody_concurrent(t *testing.T) {
	render, err := jsonnet.BodyWithin(encode(`function(ctx) { n: ctx.n, twice: self.n * 2 }`), time.Minute)
	require.NoError(t, err)
	var calls sync.WaitGroup
	for n := range 64 {
		calls.Go(func() {
			got, err := render(map[string]int{"n": n})
			assert.NoError(t, err)
			assert.JSONEq(t, fmt.Sprintf(`{"n": %d, "twice": %d}`, n, 2*n), string(got))
		})
	}
	calls.Wait()
}
