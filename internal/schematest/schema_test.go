package schematest

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// options returns the options that the files are loaded with. The host's own hooks take any config.
func options() flowhook.Options {
	o := flowtest.AnyOptions()
	o.Secrets, o.VerificationURL = nil, "https://auth.example.org/verification"
	o.Logger = slog.New(slog.DiscardHandler)
	names := []string{"web_hook", "b2b_sso"}
	for name := range o.Hooks {
		names = append(names, name)
	}
	for _, name := range names {
		o.Hooks[name] = func(_ flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
			return flowhook.HookFunc(flowtest.NoOp), decode(&map[string]any{})
		}
	}
	return o
}

// compile returns a validator for a schema. It fails if the schema is not valid itself.
func compile(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("auth.schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("auth.schema.json")
}

func schemaOf(t *testing.T, o flowhook.Options) *jsonschema.Schema {
	t.Helper()
	schema, err := compile(flowhook.Schema(o))
	require.NoError(t, err)
	return schema
}

// tree parses YAML. A file without a value is nil.
func tree(t *testing.T, text []byte) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &doc))
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// value returns a node as the JSON value that an editor makes of it.
func value(n *yaml.Node) any {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.AliasNode:
		return value(n.Alias)
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, value(item))
		}
		return list
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(n.Content[i+1])
		}
		return m
	}
	var v any
	switch n.ShortTag() {
	case "!!null", "!!bool", "!!int", "!!float":
		if n.Decode(&v) == nil {
			return v
		}
	}
	return n.Value
}

func loads(text []byte, o flowhook.Options) error { return flowtest.Build(string(text), o) }

// files returns the contents of all YAML files of the tests and the examples that load, by path.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	t.Setenv("FLOWHOOK_SECRET", flowtest.StrongSecret)
	all := map[string][]byte{}
	for _, pattern := range []string{"../../testdata/*/*.yml", "../../examples/*/*.yml", "../../*/testdata/*.yml"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, paths, pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			if loads(text, options()) == nil {
				all[path] = text
			}
		}
	}
	return all
}

func TestSchema_IsValid(t *testing.T) {
	schema := flowhook.Schema(options())
	require.Contains(t, string(schema), `"$schema": "https://json-schema.org/draft/2020-12/schema"`)
	_, err := compile(schema)
	require.NoError(t, err)
	_, err = compile(bytes.Replace(schema, []byte(`"type": "boolean"`), []byte(`"type": "bool"`), 1))
	require.Error(t, err, "the compiler must check the schema")
}

func TestSchema_AcceptsFilesThatLoad(t *testing.T) {
	schema := schemaOf(t, options())
	all := files(t)
	require.Greater(t, len(all), 130)
	for path, text := range all {
		assert.NoError(t, schema.Validate(value(tree(t, text))), path)
	}
}

// TestSchema_RejectsMisspellings misspells each key, and each value that is one of a few words. The
// schema rejects what New rejects, and accepts what it accepts.
func TestSchema_RejectsMisspellings(t *testing.T) {
	o := options()
	schema := schemaOf(t, o)
	words := map[string]bool{"hook": true, "phase": true, "same_site": true, "use": true, "need": true,
		"recipients": true, "rule": true}
	ours := map[string]bool{"selfservice": true, "secrets": true, "session": true, "cookies": true, "security": true,
		"urls": true, "flowhook": true}
	seen := map[string]bool{}
	rejected, accepted := 0, 0
	var misspell func(t *testing.T, root, n *yaml.Node, path string)
	try := func(t *testing.T, root, n *yaml.Node, path string) {
		if seen[path+" "+n.Value] {
			return
		}
		seen[path+" "+n.Value] = true
		right := n.Value
		defer func() { n.Value = right }()
		for _, wrong := range misspellings(right) {
			n.Value = wrong
			text, err := yaml.Marshal(root)
			require.NoError(t, err)
			want, got := loads(text, o), schema.Validate(value(root))
			if strings.Contains(fmt.Sprint(want), "duplicate key") { // another key is spelled like this
				continue
			}
			if want != nil {
				rejected++
				assert.Error(t, got, "%s: %q: New: %v", path, wrong, want)
			} else {
				accepted++
				assert.NoError(t, got, "%s: %q", path, wrong)
			}
		}
	}
	misspell = func(t *testing.T, root, n *yaml.Node, path string) {
		if n == nil {
			return
		}
		for i, child := range n.Content {
			switch {
			case n.Kind == yaml.SequenceNode:
				misspell(t, root, child, path+"[]")
			case n.Kind == yaml.MappingNode && i%2 == 0:
				try(t, root, child, path)
				in := path + "." + child.Value
				if words[child.Value] && n.Content[i+1].Kind == yaml.ScalarNode {
					try(t, root, n.Content[i+1], in)
				}
				if ignored := path == "" && !ours[child.Value] || child.Value == "config" && isCustom(n, o); !ignored {
					misspell(t, root, n.Content[i+1], in)
				}
			}
		}
	}
	for path, text := range files(t) {
		t.Run(strings.TrimPrefix(path, "../../"), func(t *testing.T) {
			root := tree(t, text)
			misspell(t, root, root, "")
		})
	}
	t.Logf("misspellings: %d rejected, %d accepted", rejected, accepted)
	require.Greater(t, rejected, 5000, "the test misspells too little")
	require.Greater(t, accepted, 100)
}

// isCustom reports whether an entry has a hook of the host's own.
func isCustom(entry *yaml.Node, o flowhook.Options) bool {
	for i := 0; i < len(entry.Content); i += 2 {
		if entry.Content[i].Value == "hook" {
			return o.Hooks[entry.Content[i+1].Value] != nil
		}
	}
	return false
}

// misspellings returns words that are one edit from a word: at each place two kinds of edits, in
// turn.
func misspellings(word string) (all []string) {
	letters := []rune(word)
	for i := range letters {
		before, letter, after := string(letters[:i]), string(letters[i]), string(letters[i+1:])
		edits := []string{before + after, before + "x" + after, before + "x" + letter + after,
			before + letter + letter + after, before + strings.ToUpper(letter) + after}
		if i+1 < len(letters) {
			edits = append(edits, before+string(letters[i+1])+letter+string(letters[i+2:]))
		}
		for j := range 2 {
			if wrong := edits[(2*i+j)%len(edits)]; wrong != word {
				all = append(all, wrong)
			}
		}
	}
	return append(all, word+"x", word+"s", word+"_")
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// At the top level and in urls, unknown keys are allowed unless they look like known ones. The
// schema knows the looks of ASCII only.
func TestSchema_OpenMappings(t *testing.T) {
	o := options()
	schema := schemaOf(t, o)
	for _, row := range []struct {
		file string
		keys []string
	}{
		{"%q: {}", []string{"cookies", "flowhook", "secrets", "security", "selfservice", "session", "urls", "version",
			"login", "flows", "before_persist", "session.lifespan", "selfservice/flows", "registration.after", "tls",
			"log", "webhook", "cookie.name", "sécurité", "session設定", "login.title", "identity"}},
		{"urls: {%q: https://www.example.org/}", []string{"default_return_to", "verify_ui",
			"whitelisted_return_to_urls", "login_ui", "self"}},
	} {
		for _, key := range row.keys {
			words := append(misspellings(key), key)
			for i, word := range misspellings(key) {
				twice := misspellings(word)
				for j := i % 7; j < len(twice); j += 7 {
					words = append(words, twice[j])
				}
			}
			rejected := 0
			for _, word := range words {
				text := []byte(fmt.Sprintf(row.file, word))
				if err := loads(text, o); err != nil && isASCII(word) {
					rejected++
					assert.Error(t, schema.Validate(value(tree(t, text))), "%s: New: %v", text, err)
				} else if err == nil {
					assert.NoError(t, schema.Validate(value(tree(t, text))), "%s", text)
				}
			}
			t.Logf("%s: %d of %d rejected", key, rejected, len(words))
		}
	}
}

func TestSchema_Places(t *testing.T) {
	schema := schemaOf(t, options())
	for text, ok := range map[string]bool{
		"": true, "[]": false, "selfservice: ~": false, "dsn: memory": true, "$schema: ./auth.schema.json": true,

		"selfservice: {login: {after: [{hook: session}]}}":                                     true,
		"selfservice: {login: {before: [{hook: session}]}}":                                    false,
		"selfservice: {login: {failed: [{hook: session}]}}":                                    false,
		"selfservice: {logout: {after: [{hook: session}]}}":                                    false,
		"selfservice: {invite: {after: [{hook: session}]}}":                                    true,
		"selfservice: {login: {after: [{hook: session, phase: before_persist}]}}":              false,
		"selfservice: {login: {after: [{hook: session, config: {}}]}}":                         false,
		"selfservice: {login: {after: [{hook: audit, phase: before_persist}]}}":                true,
		"selfservice: {login: {before: [{hook: audit, phase: before}]}}":                       false,
		"selfservice: {login: {after: [{hook: require_verified_address, phase: after}]}}":      true,
		"selfservice: {settings: {after: [{hook: verify_new_address, phase: after}]}}":         false,
		"selfservice: {settings: {after: [{hook: verify_new_address}]}}":                       true,
		"selfservice: {login: {after: {password: {password: []}}}}":                            false,
		"selfservice: {login: {before: {password: []}}}":                                       false,
		"selfservice: {login: {failed: {magic: {hooks: [{hook: audit}]}}}}":                    true,
		"selfservice: {settings: {before: [{hook: audit}]}}":                                   false,
		"selfservice: {flows: {settings: {before: [{hook: audit}]}}}":                          true,
		"selfservice: {flows: {}, login: {}}":                                                  false,
		"selfservice: {flows: {}, methods: {password: {enabled: true}}}":                       true,
		"selfservice: {flows: {error: {ui_url: /error}}}":                                      true,
		"selfservice: {flows: {error: {after: []}}}":                                           false,
		"selfservice: {default_return_to: /, default_browser_return_url: /}":                   false,
		"selfservice: {login: {after: {default_return_to: /, default_browser_return_url: /}}}": false,
		"selfservice: {login: {failed: {default_return_to: /}}}":                               false,
		"selfservice: {login: {after: [{hook: audit, config: {anything: [1, {a: b}]}}]}}":      true,
		"selfservice: {login: {after: [{hook: audit, config: []}]}}":                           false,
		"selfservice: {login: {after: [{hook: audit, timeout: 2s}]}}":                          true,
		"selfservice: {login: {after: [{hook: audit, timeout: 2}]}}":                           false,
		"selfservice: {login: {after: [{config: {}}]}}":                                        false,
		"selfservice: {login: {after: [{hook: redirect, config: {to: 5}}]}}":                   false,
		"selfservice: {login: {after: [{hook: verify, config: {lifespan: 1h30m}}]}}":           true,
		"selfservice: {login: {after: [{hook: verify, config: {lifespan: 1 hour}}]}}":          false,

		"session: {lifespan: 1.5h, cookie: {secure: true}}":             true,
		"session: {cookie: {secure: 'true'}}":                           false,
		"session: {cookie: {same_site: lax}}":                           false,
		"secrets: {session: []}":                                        false,
		"secrets: {session: [0123456789abcdef]}":                        true,
		"flowhook: {accept: [{rule: closed, reason: x}]}":               true,
		"flowhook: {accept: [{rule: closed}]}":                          false,
		"flowhook: {accept: [{rule: closed, reason: ' '}]}":             false,
		"flowhook: {accept: [{rule: invalid, reason: x}]}":              false,
		"flowhook: {accept: [{rule: audit/slow, reason: x}]}":           true,
		"flowhook: {accept: [{rule: session/slow, reason: x}]}":         false,
		"flowhook: {accept: [{rule: not/audit/slow, reason: x}]}":       false,
		"security: {account_enumeration: {mitigate: true}}":             true,
		"security: {account_enumeration: {mitigate: yes}}":              false,
		"selfservice: {flows: {verification: {use: link}}}":             true,
		"selfservice: {flows: {login: {use: anything}}}":                true,
		"selfservice: {allowed_return_urls: [https://www.example.org]}": true,
		"selfservice: {allowed_return_urls: https://www.example.org}":   false,
	} {
		err := schema.Validate(value(tree(t, []byte(text))))
		assert.Equal(t, ok, err == nil, "%s: %v", text, err)
		if !ok && !strings.Contains(text, "lifespan: 1 hour") {
			assert.Error(t, loads([]byte(text), options()), text)
		}
	}
}

// Without options, the host's own names are unknown. A factory of the host's replaces a built-in
// hook.
func TestSchema_Options(t *testing.T) {
	for _, text := range []string{
		"selfservice: {invite: {}}", "selfservice: {login: {after: {magic: []}}}",
		"selfservice: {login: {after: [{hook: audit}]}}", "flowhook: {accept: [{rule: audit/slow, reason: x}]}",
	} {
		doc := value(tree(t, []byte(text)))
		assert.Error(t, schemaOf(t, flowhook.Options{}).Validate(doc), text)
		assert.NoError(t, schemaOf(t, options()).Validate(doc), text)
	}
	doc := value(tree(t, []byte("selfservice: {login: {before: [{hook: require_verified_address, config: {own: 1}}]}}")))
	o := flowhook.Options{Hooks: map[string]flowhook.HookFactory{"session": nil}}
	assert.Error(t, schemaOf(t, o).Validate(doc))
	o.Hooks["require_verified_address"] = nil
	assert.NoError(t, schemaOf(t, o).Validate(doc))
	doc = value(tree(t, []byte("selfservice: {login: {before: [{hook: session}]}}")))
	assert.Error(t, schemaOf(t, o).Validate(doc), "the name is reserved")

	odd := flowhook.Options{Flows: []flowhook.Flow{"a/b~c d%"}}
	assert.NoError(t, schemaOf(t, odd).Validate(value(tree(t, []byte("selfservice: {a/b~c d%: {after: []}}")))))
}

// The schema has the keys that each built-in hook decodes.
func TestSchema_Configs(t *testing.T) {
	known := regexp.MustCompile(`unknown key "zzzzzzzz"; known: (.*)`)
	for name, flow := range map[string]string{"redirect": "login", "verify": "login", "verification": "login",
		"require_verified_address": "login", "show_verification_ui": "login", "notify_previous_addresses": "settings",
		"verify_new_address": "settings"} {
		entry := func(config string) []byte {
			return []byte("selfservice: {" + flow + ": {after: [{hook: " + name + ", config: {" + config + "}}]}}")
		}
		m := known.FindStringSubmatch(loads(entry("zzzzzzzz: 1"), options()).Error())
		require.NotNil(t, m, name)
		for _, key := range strings.Split(m[1], ", ") {
			values := []string{"x", "1h", "true", "any", "all"}
			valid := 0
			for _, v := range values {
				if schemaOf(t, options()).Validate(value(tree(t, entry(key+": "+v)))) == nil {
					valid++
				}
			}
			assert.NotZero(t, valid, "%s: %s", name, key)
		}
	}
}
