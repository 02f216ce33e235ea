package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const canary = "cAnArY7Q-long-enough"

// readAt reads a file whose folder is dir.
func readAt(t *testing.T, dir, text string) (*File, Value) {
	t.Helper()
	root, bad := Parse([]byte(text))
	require.Nil(t, bad)
	return Read(root, []string{"login"}, []string{"password"}, ResolveReferences(root, dir)), root
}

// write creates a file in a folder and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Each row is read as a secret and in the config of a hook.
func TestReferences(t *testing.T) {
	t.Setenv("FLOWHOOK_SECRET", canary)
	t.Setenv("_Flowhook2", canary+"$${X}\nfile:x")
	t.Setenv("FLOWHOOK_EMPTY", "")
	t.Setenv("FLOWHOOK_SPACE", "\ufeff\r\n "+canary+" \t"+canary+"\u00a0\n\n\ufeff")
	t.Setenv("FLOWHOOK_BLANK", " \ufeff\n")
	t.Setenv("FLOWHOOK_BYTES", canary+"\xff")
	require.NoError(t, os.Unsetenv("FLOWHOOK_NONE"))
	dir := t.TempDir()
	abs := write(t, dir, "secret", canary+"\n")
	write(t, dir, "sub/crlf", canary+"\r\n")
	write(t, dir, "bare", canary)
	write(t, dir, "breaks", canary+"\n\r\n\n")
	write(t, dir, "return", canary+"\r")
	write(t, dir, "space", "\ufeff\r\n "+canary+" \t"+canary+"\u00a0\n\n\ufeff")
	write(t, dir, "reference", "${FLOWHOOK_NONE}--------\n")
	write(t, dir, "empty", "\n")
	write(t, dir, "bytes", canary+"\xff")
	write(t, dir, "most", strings.Repeat("m", 64<<10))
	write(t, dir, "big", strings.Repeat("b", 64<<10+1))
	makePipe(t, filepath.Join(dir, "pipe"))
	require.NoError(t, os.Symlink("secret", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("none", filepath.Join(dir, "dangling")))
	require.NoError(t, os.Symlink("pipe", filepath.Join(dir, "piped")))

	for _, row := range []struct{ name, text, want, problem string }{
		{"a variable", "${FLOWHOOK_SECRET}", canary, ""},
		{"what it holds is not resolved", "${_Flowhook2}", canary + "$${X}\nfile:x", ""},
		{"a variable that is not set", "${FLOWHOOK_NONE}", "", `the environment variable "FLOWHOOK_NONE" is not set`},
		{"a variable that is empty", "${FLOWHOOK_EMPTY}", "", `the environment variable "FLOWHOOK_EMPTY" is empty`},
		{"a variable of bytes", "${FLOWHOOK_BYTES}", "", `the environment variable "FLOWHOOK_BYTES" is not UTF-8`},
		{"a name that has spaces around it", "${ FLOWHOOK_SECRET }", "", "a reference must be the whole value"},
		{"a reference and more", "${FLOWHOOK_SECRET}" + canary, "", "a reference must be the whole value"},
		{"a line break and more after it", `${FLOWHOOK_SECRET}\n-`, "", "a reference must be the whole value"},
		{"no name", "${}" + canary, "", "a reference must be the whole value"},
		{"a name that is none", "${2FLOWHOOK}--------", "", "a reference must be the whole value"},
		{"a default", "${FLOWHOOK_NONE:-" + canary + "}", "", "a reference must be the whole value"},
		{"white space around a variable", "${FLOWHOOK_SPACE}", canary + " \t" + canary, ""},
		{"a variable of white space", "${FLOWHOOK_BLANK}", "", `the environment variable "FLOWHOOK_BLANK" is empty`},

		{"a file", "file:secret", canary, ""},
		{"a file, absolute", "file:" + abs, canary, ""},
		{"a file, as a URL", "file://" + abs, canary, ""},
		{"a file, as a URL with a dot", "file://./sub/crlf", canary, ""},
		{"a file, as Kratos writes it", "file://sub/crlf", canary, ""},
		{"a file in a folder that is missing", "file://.host/secret", "", `the file ".host/secret" cannot be read: no such file or directory`},
		{"CR LF", "file:sub/crlf", canary, ""},
		{"dots", "file:sub/../secret", canary, ""},
		{"no line break", "file:bare", canary, ""},
		{"several line breaks", "file:breaks", canary, ""},
		{"CR alone", "file:return", canary, ""},
		{"white space around a file", "file:space", canary + " \t" + canary, ""},
		{"a link", "file:link", canary, ""},
		{"a reference in a file", "file:reference", "${FLOWHOOK_NONE}--------", ""},
		{"64 KiB", "file:most", strings.Repeat("m", 64<<10), ""},
		{"more", "file:big", "", `the file "big" is too big`},
		{"nothing but a line break", "file:empty", "", `the file "empty" is empty`},
		{"bytes", "file:bytes", "", `the file "bytes" is not UTF-8`},
		{"none", "file:none", "", `the file "none" cannot be read: no such file or directory`},
		{"a link to none", "file:dangling", "", `the file "dangling" cannot be read: no such file or directory`},
		{"a folder", "file:sub", "", `the file "sub" is not a regular file`},
		{"a pipe", "file:pipe", "", `the file "pipe" is not a regular file`},
		{"a link to a pipe", "file:piped", "", `the file "piped" is not a regular file`},
		{"a device", "file:/dev/zero", "", `the file "/dev/zero" is not a regular file`},
		{"no path", "file:", "", "file: without a path"},
		{"no path in a URL", "file://", "", "file: without a path"},
		{"a host", "file://localhost" + abs, "", `the file "localhost/`},
	} {
		t.Run(row.name, func(t *testing.T) {
			file, root := readAt(t, dir, `{secrets: {session: ["`+row.text+`"]}, selfservice: {methods: {hook: x, config: {keys: [{"file:none": "`+row.text+`"}]}}}}`)
			var config struct {
				Keys []map[string]string
			}
			inConfig, err := root.Get("selfservice").Get("methods").Get("config").Decode(&config, file.Resolve)
			require.NoError(t, err)
			if row.problem == "" {
				require.Empty(t, file.Problems)
				require.Len(t, file.Secrets, 1)
				assert.Equal(t, row.want, file.Secrets[0].Text)
				assert.Equal(t, "secrets.session[0]", file.Secrets[0].Path)
				require.Empty(t, inConfig)
				assert.Equal(t, []map[string]string{{"file:none": row.want}}, config.Keys, "keys are not resolved")
				return
			}
			require.Len(t, file.Problems, 1)
			require.Len(t, inConfig, 1)
			require.Len(t, file.Secrets, 1, "there is one, although nobody knows which")
			assert.Empty(t, file.Secrets[0].Text)
			assert.Equal(t, "secrets.session[0]", file.Problems[0].Path)
			assert.Equal(t, `selfservice.methods.config.keys[0]."file:none"`, inConfig[0].Path)
			for _, p := range append(inConfig, file.Problems...) {
				assert.Contains(t, p.Text, row.problem)
				assert.NotEmpty(t, p.Hint)
				assert.NotZero(t, p.Line)
				assert.NotContains(t, p.Text+p.Hint+p.Path, canary)
			}
		})
	}
}

// If only a part of a value looks like a reference, a secret is rejected and a config is unchanged.
func TestReferences_PartOfValueIsNotResolved(t *testing.T) {
	t.Setenv("FLOWHOOK_SECRET", canary)
	for text, want := range map[string]string{
		canary + "${FLOWHOOK_SECRET}": canary + "${FLOWHOOK_SECRET}",
		"$${FLOWHOOK_SECRET}":         "${FLOWHOOK_SECRET}",
		"$${" + canary:                "${" + canary,
	} {
		file, root := readAt(t, "", `{secrets: {default: ["`+text+`"]}, selfservice: {methods: {hook: x, config: ["`+text+`"]}}}`)
		require.Len(t, file.Problems, 1, text)
		assert.Equal(t, "a reference must be the whole value", file.Problems[0].Text)
		assert.NotContains(t, file.Problems[0].Text+file.Problems[0].Hint, canary)
		var config []string
		bad, err := root.Get("selfservice").Get("methods").Get("config").Decode(&config, file.Resolve)
		require.NoError(t, err)
		assert.Empty(t, bad)
		assert.Equal(t, []string{want}, config)
	}
}

// All lists are checked, not only the one that counts.
func TestSecrets_ResolvedTextIsChecked(t *testing.T) {
	t.Setenv("FLOWHOOK_SECRET", canary)
	t.Setenv("FLOWHOOK_SHORT", canary[:8])
	file, _ := readAt(t, "", `secrets: {session: ["${FLOWHOOK_SHORT}", "${FLOWHOOK_SECRET}", "`+canary+`", ""], default: ["${FLOWHOOK_SHORT}"]}`)
	var got []string
	for _, p := range file.Problems {
		got = append(got, p.Path+": "+p.Text)
	}
	assert.Equal(t, []string{
		"secrets.session[0]: a secret of less than 16 bytes",
		"secrets.session[2]: a duplicate secret",
		"secrets.session[3]: an empty secret",
		"secrets.default[0]: a secret of less than 16 bytes",
	}, got)
}

// What is resolved is a string, and is not in what is said of it. Without a resolver, nothing is.
func TestDecode_ResolvesReferences(t *testing.T) {
	t.Setenv("FLOWHOOK_SECRET", canary)
	t.Setenv("FLOWHOOK_WAIT", "3s")
	const entry = "selfservice: {methods: {hook: x, config: "
	file, root := readAt(t, "", entry+"{wait: '${FLOWHOOK_WAIT}', level: '${FLOWHOOK_SECRET}', key: &any '${FLOWHOOK_SECRET}', again: *any }}}")
	var config struct {
		Wait       time.Duration
		Level      int
		Key, Again string
	}
	bad, _ := root.Get("selfservice").Get("methods").Get("config").Decode(&config, file.Resolve)
	require.Len(t, bad, 2)
	assert.Equal(t, "anchors are not allowed here", bad[0].Text)
	assert.Equal(t, "aliases are not allowed here", bad[1].Text)

	file, root = readAt(t, "", entry+"{wait: '${FLOWHOOK_WAIT}', level: '${FLOWHOOK_SECRET}', key: '${FLOWHOOK_SECRET}'}}}")
	bad, _ = root.Get("selfservice").Get("methods").Get("config").Decode(&config, file.Resolve)
	require.Len(t, bad, 1)
	assert.Equal(t, "expected int, found a string", bad[0].Text)
	assert.Equal(t, 3*time.Second, config.Wait)
	assert.Equal(t, canary, config.Key)

	_, root = readAt(t, "", entry+"{key: '${FLOWHOOK_SECRET}', again: 'file:none'}}}")
	bad, err := root.Get("selfservice").Get("methods").Get("config").Decode(&config, nil)
	require.NoError(t, err)
	assert.Empty(t, bad)
	assert.Equal(t, "${FLOWHOOK_SECRET} file:none", config.Key+" "+config.Again)
}

// Without a folder, relative paths begin at the working directory.
func TestReferences_RelativePathWithoutFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sub/secret", canary)
	t.Chdir(dir)
	for _, folder := range []string{"", ".", dir} {
		file, _ := readAt(t, folder, "secrets: {session: ['file:sub/secret']}")
		require.Empty(t, file.Problems)
		assert.Equal(t, canary, file.Secrets[0].Text)
	}
}

func TestTimeouts(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"2s": 2 * time.Second, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second, "'2s'": 2 * time.Second, "1ns": 1,
		"0s": 0, "-1s": 0, "2": 0, "2.5": 0, "~": 0, "''": 0, "2 s": 0, "[2s]": 0, "!x 2s": 0, "300y": 0, "0": 0,
	} {
		for _, in := range []string{"before: [%]", "after: {password: [%]}", "failed: {hooks: [%]}"} {
			file := read(t, "selfservice: {login: {"+strings.ReplaceAll(in, "%", "{hook: any, timeout: "+text+"}")+"}}")
			require.Len(t, file.Entries, 1)
			e := file.Entries[0]
			assert.Equal(t, want, e.Timeout, text)
			assert.Equal(t, want == 0, e.Broken, text)
			assert.Equal(t, want > 0, e.TimeoutAt.Node != nil, text)
			if want == 0 {
				require.Len(t, file.Problems, 1, text)
				assert.True(t, strings.HasSuffix(file.Problems[0].Path, ".timeout"), text)
			}
		}
	}
}

// A reference that was not read with the file never reaches a hook unresolved.
func TestResolve_ReferenceNotReadWithFile(t *testing.T) {
	file := read(t, "selfservice: {login: {before: [{hook: x, config: {a: '${FLOWHOOK_SECRET}', b: 'file:none', c: plain}}]}}")
	var config struct{ A, B, C string }
	bad, err := file.Entries[0].Config.Decode(&config, file.Resolve)
	require.NoError(t, err)
	require.Len(t, bad, 2)
	for _, p := range bad {
		assert.Equal(t, "a reference that was not read with the file", p.Text)
	}
}
