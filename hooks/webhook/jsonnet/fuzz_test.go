package jsonnet_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/hooks/webhook/jsonnet"
)

// A body is JSON, and an error has nothing from ctx.
func FuzzBody(f *testing.F) {
	files, err := filepath.Glob(bodies + "*.jsonnet")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		snippet, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(snippet))
	}
	f.Add(`function(ctx) error ctx.identity.id`)
	f.Add(`function(ctx) ctx[ctx.identity.traits.email]`)
	const ctx = `{"identity": {"id": "kanarienvogel", "traits": {"email": "kanarienvogel"}}, "flow": {}}`
	f.Fuzz(func(t *testing.T, snippet string) {
		if strings.Contains(snippet, "kanarienvogel") || strings.Contains(snippet, "%") {
			return // "%999999999d" takes a gigabyte, and memory is not limited
		}
		render, err := jsonnet.BodyWithin(encode(snippet), 100*time.Millisecond)
		if err == nil {
			var got []byte
			if got, err = render(json.RawMessage(ctx)); err == nil {
				if !json.Valid(got) {
					t.Fatalf("not JSON: %q", got)
				}
				return
			}
		}
		if !errors.Is(err, webhook.ErrCanceled) && !strings.HasPrefix(err.Error(), "jsonnet: base64: ") {
			t.Fatal(err)
		}
		if strings.Contains(err.Error(), "kanarienvogel") {
			t.Fatal(err)
		}
	})
}
