package flowhook_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// A block is a fenced code block of the README or of a page in docs.
type block struct {
	language string
	text     string
	marked   string // the line above the fence
	page     string // the file's name, without its extension
	line     int
}

// otherTests have these pages: two in modules that have a database, and TestSecondFactorPage.
var otherTests = []string{"docs/own-store.md", "docs/postgresql.md", "docs/second-factor.md"}

// readme returns the blocks of the README and of docs.
func readme(t *testing.T) (blocks []block) {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, page := range append([]string{"README.md"}, pages...) {
		if !slices.Contains(otherTests, page) {
			blocks = append(blocks, blocksOf(t, page)...)
		}
	}
	return blocks
}

func blocksOf(t *testing.T, page string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	name := strings.TrimSuffix(filepath.Base(page), ".md")
	above, in := "", false
	for i, line := range strings.Split(string(text), "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !in:
			blocks = append(blocks, block{language: language, marked: above, page: name, line: i + 1})
			in = true
		case fence:
			in = false
		case in:
			blocks[len(blocks)-1].text += line + "\n"
		}
		above = line
	}
	require.False(t, in, "%s: the last block is open", page)
	return blocks
}

// TestREADMECode builds every block of Go in the README and in docs, in a module of its own, which
// uses this checkout as the README says. A block that begins with "package" is a program: it runs,
// and prints the next text block. All others are parts of one package: declarations as they are,
// statements in a function with the parameters of around. Tests run, beside the README's auth.yml.
// The packages of imports that a part mentions are imported.
func TestREADMECode(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "go %s: %s%s", strings.Join(args, " "), stderr.String(), out)
		return string(out)
	}

	checkout, err := os.Getwd()
	require.NoError(t, err)
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	sum, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	write("go.mod", strings.Replace(string(mod), "module github.com/flowhook/flowhook\n", "module example.org/readme\n", 1))
	write("go.sum", string(sum))
	run("mod", "edit", "-require=github.com/flowhook/flowhook@v0.0.0", "-replace=github.com/flowhook/flowhook="+checkout)

	printed := map[string]string{} // by program
	tests := 0
	blocks := readme(t)
	for i, b := range blocks {
		switch {
		case b.marked == "<!-- auth.yml -->":
			write("parts/auth.yml", b.text)
		case b.language != "go":
		case b.marked == "<!-- otel -->": // of another module, which compares it with its example
		case strings.HasPrefix(b.text, "package main"):
			name := fmt.Sprintf("%s%d", b.page, b.line)
			write(name+"/main.go", b.text)
			require.Equal(t, "text", blocks[i+1].language, "line %d: the program's output is to follow", b.line)
			printed[name] = blocks[i+1].text
		default:
			suffix := ""
			if strings.Contains(b.text, "(t *testing.T) {") {
				suffix = "_test"
				tests++
			}
			write(fmt.Sprintf("parts/%s_line%d%s.go", b.page, b.line, suffix), part(b.text))
		}
	}
	require.NotEmpty(t, printed)
	run("vet", "./...")
	require.NotZero(t, tests)
	run("test", "./parts")
	for name, want := range printed {
		require.Equal(t, want, run("run", "./"+name))
	}
}

const around = "w http.ResponseWriter, r *http.Request, x *flowhook.Exchange, cfg *flowhook.Config, store flowhook.Store, pipeline *flowhook.Pipeline, " +
	"user struct{ ID, Email string; Verified bool }"

var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "rand": "crypto/rand", "slices": "slices",
	"slog": "log/slog", "strings": "strings", "testing": "testing", "httptest": "net/http/httptest",
	"hookpage":  "github.com/flowhook/flowhook/hookpage",
	"hooktest":  "github.com/flowhook/flowhook/hooktest",
	"flowhook":  "github.com/flowhook/flowhook",
	"memstore":  "github.com/flowhook/flowhook/store/memstore",
	"storetest": "github.com/flowhook/flowhook/store/storetest",
}

// part makes a file of a block that is not a program.
func part(text string) string {
	if !regexp.MustCompile(`^(func|type|var|const) `).MatchString(text) {
		text = "func _(" + around + ") (_ error) {\nvar err error\n{\n" + text + "}\nreturn err\n}\n"
	}
	head := "package parts\n"
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.`).MatchString(text) {
			head += fmt.Sprintf("import %q\n", path)
		}
	}
	return head + text
}

// TestREADMEYAML loads every block of YAML. One under "refused" is refused, as the next text block says.
func TestREADMEYAML(t *testing.T) {
	blocks := readme(t)
	refused, findings := 0, 0
	for i, b := range blocks {
		if b.language != "yaml" || b.marked == "<!-- auth.yml -->" { // with hooks that TestREADMECode has
			continue
		}
		cfg, err := flowhook.ParseConfig([]byte(b.text))
		require.NoError(t, err, "line %d", b.line)
		opts := flowhook.Options{Store: memstore.New(), Courier: &mailbox{}, VerificationURL: "https://auth.example.org/verification",
			Logger: slog.New(slog.DiscardHandler)}
		if b.marked == "<!-- findings -->" {
			findings++
			var lines []string
			for _, f := range cfg.Check(opts) {
				lines = append(lines, f.String()+"\n")
			}
			require.Equal(t, blocks[i+1].text, strings.Join(lines, ""), "line %d", b.line)
			p, err := flowhook.New(cfg, opts)
			require.NoError(t, err)
			require.Equal(t, "<!-- table -->", blocks[i+2].marked)
			require.Equal(t, blocks[i+2].text, p.String(), "line %d", blocks[i+2].line)
			continue
		}
		opts.Secrets = []string{"only-for-this-test-0123456789"}
		_, err = flowhook.New(cfg, opts)
		if b.marked != "<!-- refused -->" {
			require.NoError(t, err, "line %d", b.line)
			continue
		}
		refused++
		require.EqualError(t, err, strings.TrimSuffix(blocks[i+1].text, "\n"), "line %d", b.line)
	}
	require.Equal(t, 1, refused)
	require.Equal(t, 1, findings)
}

// TestREADMENamesWhatThereIs compares the README's lists with the library.
func TestREADMENamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, s := range []flowhook.Strategy{flowhook.Password, flowhook.OIDC, flowhook.Profile, flowhook.Link, flowhook.Code,
		flowhook.TOTP, flowhook.LookupSecret, flowhook.WebAuthn, flowhook.Passkey, flowhook.SAML} {
		require.Contains(t, string(text), "`"+string(s)+"`")
	}
	source, err := os.ReadFile("hook.go")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^\t(Err[A-Z]\w+)\s+= `).FindAllStringSubmatch(string(source), -1) {
		require.Contains(t, string(text), "| `"+m[1]+"` |")
	}
	for _, rule := range rules(t) {
		require.Regexp(t, "(?m)^\\| .*`"+rule+"`.* \\|", string(text))
	}
	mayStand := map[string][]flowhook.Flow{ // besides flows of the host's own
		"session":                {flowhook.Login, flowhook.Registration, flowhook.Verification, flowhook.Recovery},
		"revoke_active_sessions": {flowhook.Login, flowhook.Recovery, flowhook.Settings},
		"verify":                 {flowhook.Registration, flowhook.Settings, flowhook.Login},
	}
	for name, flows := range mayStand {
		row := regexp.MustCompile("(?m)^\\| `" + name + "`.*$").FindString(string(text))
		for _, flow := range []flowhook.Flow{flowhook.Login, flowhook.Registration, flowhook.Settings, flowhook.Verification,
			flowhook.Recovery, flowhook.Logout} {
			var cfg flowhook.Config
			cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.After}, name, nil)
			_, err := flowhook.New(&cfg, flowhook.Options{
				Store: memstore.New(), Courier: &mailbox{}, VerificationURL: "https://auth.example/verification",
				Issue: func(context.Context, *flowhook.Exchange) error { return nil },
			})
			require.Equal(t, slices.Contains(flows, flow), err == nil, "%s at %s: %v", name, flow, err)
			_, cell, _ := strings.Cut(row, "`after` ")
			require.Equal(t, slices.Contains(flows, flow), strings.Contains(cell, string(flow)), "%s at %s: %s", name, flow, row)
		}
	}
}
