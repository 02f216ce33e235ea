package acceptance_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// repeatToMaxSize repeats a piece until the text has the maximum size of a file.
func repeatToMaxSize(head, piece, tail string) string {
	return head + strings.Repeat(piece, (256<<10-len(head)-len(tail))/len(piece)) + tail
}

// repeatToMaxValues repeats a piece up to the limit on values, 22,000, or on size.
func repeatToMaxValues(head, piece, tail string) string {
	values := 0
	for _, c := range "\n\r,:[{?" {
		values += strings.Count(piece, string(c))
	}
	n := min((256<<10-len(head)-len(tail))/len(piece), (22_000-50)/values)
	return head + strings.Repeat(piece, n) + tail
}

// hostileFiles are files that try to exhaust memory, time or the stack, and other broken files.
func hostileFiles() map[string]string {
	laughs := "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	const n = 10_000
	return map[string]string{
		"10,000 levels, flow":          "selfservice: " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"10,000 levels, flow mappings": "selfservice: " + strings.Repeat("{a: ", n) + strings.Repeat("}", n),
		"10,000 levels, block":         strings.Repeat("- ", n) + "a",
		"10,000 levels, block keys":    strings.Repeat("? ", n) + "a",
		"10,000 levels, both": strings.Repeat("- ", n/2) + strings.Repeat("[", n/2) +
			strings.Repeat("]", n/2),
		"101 levels in what is not ours": "dsn: " + strings.Repeat("[", 101) + strings.Repeat("]", 101),
		"flow never closed":              repeatToMaxSize("", "[", ""),
		"flow mappings never closed":     repeatToMaxSize("", "{a: ", ""),
		"block levels to the end":        repeatToMaxSize("", "- ", ""),
		"aliases of aliases, as flow":    laughs + "selfservice: {login: {before: *a11}}",
		"aliases of aliases, as config": laughs +
			"selfservice: {login: {before: [{hook: audit, config: {tags: *a11}}]}}",
		"aliases of aliases, as settings": laughs + "session: *a11\nsecrets: {session: *a11}\ncookies: {domain: *a11}",
		"alias of itself":                 "selfservice: &a {login: {before: [{hook: audit, config: {tags: *a}}]}}",
		"merge of itself":                 "selfservice: &a {<<: *a}",
		"duplicate keys":                  "selfservice: {login: {}, login: {}}",
		"second document":                 "selfservice: {}\n---\nselfservice: {}",
		"many documents":                  repeatToMaxSize("", "---\n", ""),
		"null for a list":                 "selfservice: {login: {before: ~}}",
		"null for a flow":                 "selfservice: {login: ~}",
		"list for a flow":                 "selfservice: {login: []}",
		"string for hooks":                "selfservice: {login: {before: session}}",
		"number for a hook":               "selfservice: {login: {before: [{hook: 1}]}}",
		"64 MiB":                          strings.Repeat("a: b # padding\n", 64<<20/15),
		"one byte too many":               repeatToMaxSize("", "#", "") + "#",
		"long list":                       repeatToMaxSize("selfservice: [", "a,", "]"),
		"long list of nothing":            repeatToMaxSize("selfservice:\n", "-\n", ""),
		"long mapping":                    repeatToMaxSize("selfservice: {", "a: 1,", "}"),
		"long mapping of different keys":  longMapping(),
		"many entries that are wrong": repeatToMaxValues("selfservice:\n  login:\n    before:\n",
			"      - {hook: x}\n", ""),
		"many entries without a hook": repeatToMaxValues("selfservice:\n  login:\n    before:\n", "    - {}\n",
			""),
		"many values in a list":          repeatToMaxValues("selfservice: [", "a,", "]"),
		"many values in a mapping":       repeatToMaxValues("dsn: {", "a: 1,", "}\nsession: 1"),
		"many empty values":              repeatToMaxValues("selfservice:\n", "-\n", ""),
		"many pairs in what is not ours": repeatToMaxValues("session: 1\ndsn:\n", " abcdefghi: 1\n", ""),
		"many comments":                  repeatToMaxValues("session: 1\n", "#\n", ""),
		"many comments at values":        repeatToMaxValues("session: 1\ndsn:\n", " - a #\n", ""),
		"many secrets as keys":           strings.ReplaceAll(longMapping(), "selfservice", "secrets"),
		"many secrets":                   repeatToMaxValues("secrets:\n  session:\n", "  - a\n", ""),
		"long key":                       repeatToMaxSize("selfservice: {? ", "a", " : 1}"),
		"long hook":                      repeatToMaxSize("selfservice: {login: {before: [{hook: ", "a", "}]}}"),
		"many wrong values in a config":  repeatToMaxValues("selfservice: {login: {before: [{hook: audit, config: {sinks: [", "{url: []},", "]}}]}}"),
		"many unknown keys in a config":  longConfig(),
		"quotes without end":             repeatToMaxSize("selfservice: ", "\"a", ""),
		"control characters":             "selfservice: \x01",
		"not UTF-8":                      "selfservice: \xff\xfe",
		"undefined tag handle":           "selfservice: !x!y {}",
		"directive":                      "%YAML 9.9\n---\nselfservice: {}",
		"alias without an anchor":        "selfservice: *nowhere",
	}
}

func longMapping() string {
	var b strings.Builder
	b.WriteString("selfservice:\n")
	for i := 0; i < 10_900; i++ {
		fmt.Fprintf(&b, " k%d: 1\n", i)
	}
	return b.String()
}

func longConfig() string {
	var b strings.Builder
	b.WriteString("selfservice:\n  login:\n    before:\n      - hook: audit\n        config:\n")
	for i := 0; i < 10_900; i++ {
		fmt.Fprintf(&b, "          k%d: 1\n", i)
	}
	return b.String()
}

func TestConfig_HostileYAML(t *testing.T) {
	opts := flowtest.AnyOptions()
	for name, text := range hostileFiles() {
		t.Run(name, func(t *testing.T) {
			data := []byte(text)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			cfg, err := flowhook.ParseConfig(data)
			if err == nil {
				_, err = flowhook.New(cfg, opts)
			}
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			mib := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20)
			t.Logf("hostile YAML, %s: rejected after %s, %.1f MiB allocated", name, took.Round(10*time.Microsecond),
				mib)
			assert.Less(t, mib, 32.0)
			require.Error(t, err)
			lines := strings.Count(text, "\n") + 1
			for i, e := range flowtest.ConfigErrors(err) {
				if i == 0 {
					t.Logf("%.200s", e)
				}
				assert.LessOrEqual(t, e.Line, lines)
				assert.Less(t, len(e.Error()), 1000)
			}
		})
	}
}

func TestConfig_OversizedFileIsNotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big.yml")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, 64<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := flowhook.LoadConfig(file)
	runtime.ReadMemStats(&after)
	assert.EqualError(t, err, file+": the file is too big; at most 256 KiB")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20))
}

// A typical file of the maximum size loads.
func TestConfig_LargestFileLoads(t *testing.T) {
	text := repeatToMaxSize("selfservice:\n  login:\n    before:\n",
		"      - hook: audit\n        config:\n          level: 7 # as in RFC 5424\n", "")
	assert.NoError(t, flowtest.Build(text, flowtest.AnyOptions()))
}

func FuzzParseConfig(f *testing.F) {
	for _, pattern := range []string{"testdata/document/*.yml", "testdata/bad/*.yml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			text, err := os.ReadFile(inRoot(file))
			require.NoError(f, err)
			f.Add(text)
		}
	}
	for _, text := range hostileFiles() {
		if len(text) < 4096 {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte("selfservice: {login: {after: [{hook: any, config: {a: [1, x, 2020-01-01, {b: 1.5}], 3: true, ? \"\\x7f\\u2028\" : <<}}]}}"))
	opts := flowtest.AnyOptions()
	opts.Hooks["any"] = func(p flowhook.Point, decode func(any) error) (flowhook.Hook, error) {
		var anything map[string]any
		return flowhook.HookFunc(flowtest.NoOp), decode(&anything)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029",
			"\n").
			Replace(string(data)), "\n") + 1
		cfg, err := flowhook.ParseConfig(data)
		if err == nil {
			_, err = flowhook.New(cfg, opts)
		}
		for _, e := range flowtest.ConfigErrors(err) {
			if e.Line < 0 || e.Line > lines+1 || e.Column < 0 || e.Column > len(data)+2 {
				t.Errorf("%d lines, %d bytes: %v", lines, len(data), e)
			}
		}
	})
}
