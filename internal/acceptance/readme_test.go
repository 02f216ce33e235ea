package acceptance_test

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

	"github.com/flowhook/flowhook/internal/check"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/flowhook/flowhook/store/memstore"
	"github.com/stretchr/testify/require"
)

// A block is a fenced code block of a page.
type block struct {
	language string
	text     string
	marked   string // the line above the fence
	page     string // the path of the page
	line     int
}

// String returns the position of b.
func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// name returns the position of b as a name for a file or directory.
func (b block) name() string {
	page := strings.ReplaceAll(strings.TrimSuffix(b.page, ".md"), "/", "_")
	return fmt.Sprintf("%s_line%d", page, b.line)
}

// testedElsewhere are the pages whose blocks other tests compile: TestPages in internal/sqltest and
// TestPage in internal/querytest, which have databases, those of the modules in hooks and outbox, and
// TestSecondFactorPage.
var testedElsewhere = []string{"docs/outbox.md", "docs/own-store.md", "docs/postgresql.md", "docs/queries.md",
	"docs/ratelimit.md", "docs/second-factor.md", "docs/webhooks.md"}

// pages returns the paths of the README and of all other pages for readers.
func pages(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob(inRoot("docs/*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, docs)
	for i, path := range docs {
		docs[i] = "docs/" + filepath.Base(path)
	}
	return append([]string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md",
		"examples/authservice/README.md"}, docs...)
}

// readme returns the blocks of all pages but those that are tested elsewhere.
func readme(t *testing.T) (blocks []block) {
	t.Helper()
	for _, page := range pages(t) {
		if !slices.Contains(testedElsewhere, page) {
			blocks = append(blocks, blocksOf(t, page)...)
		}
	}
	return blocks
}

func blocksOf(t *testing.T, page string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(inRoot(page))
	require.NoError(t, err)
	above, in := "", false
	for i, line := range strings.Split(string(text), "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !in:
			blocks = append(blocks, block{language: language, marked: above, page: page, line: i + 1})
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

// TestREADME_Code builds every block of Go in the README and the other pages. It uses a module of its
// own, which replaces flowhook by this checkout. A block that begins with "package" is a program: it
// prints the next text block, and logs nothing. All other blocks are parts of one package:
// declarations are compiled unchanged, and statements in a function with the parameters of around.
// The tests among them run next to the auth.yml of docs/hooks.md. A part imports those packages of
// imports that it mentions.
func TestREADME_Code(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	run := func(args ...string) (stdout, logged string) {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "go %s: %s%s", strings.Join(args, " "), stderr.String(), out)
		return string(out), stderr.String()
	}

	checkout, err := os.Getwd()
	require.NoError(t, err)
	mod, err := os.ReadFile(inRoot("go.mod"))
	require.NoError(t, err)
	sum, err := os.ReadFile(inRoot("go.sum"))
	require.NoError(t, err)
	write("go.mod", strings.Replace(string(mod), "module github.com/flowhook/flowhook\n",
		"module example.org/readme\n", 1))
	write("go.sum", string(sum))
	run("mod", "edit", "-require=github.com/flowhook/flowhook@v0.0.0", "-replace=github.com/flowhook/flowhook="+
		checkout)

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
			write(b.name()+"/main.go", b.text)
			require.Equal(t, "text", blocks[i+1].language, "%s: no output follows the program", b)
			printed[b.name()] = blocks[i+1].text
		default:
			suffix := ""
			if strings.Contains(b.text, "(t *testing.T) {") {
				suffix = "_test"
				tests++
			}
			write("parts/"+b.name()+suffix+".go", part(b.text))
		}
	}
	require.NotEmpty(t, printed)
	run("vet", "./...")
	require.NotZero(t, tests)
	run("test", "./parts")
	for name, want := range printed {
		stdout, logged := run("run", "./"+name)
		require.Equal(t, want, stdout, name)
		require.Empty(t, logged, "%s: the output is not all that the program prints", name)
	}
}

const around = "w http.ResponseWriter, r *http.Request, x *flowhook.Exchange, cfg *flowhook.Config, store flowhook.Store, pipeline *flowhook.Pipeline, " +
	"user struct{ ID, Email string; Verified bool }"

var imports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "rand": "crypto/rand",
	"slices": "slices", "html": "html", "time": "time", "os": "os",
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

// TestREADME_YAML loads every block of YAML. A block marked as refused fails with the errors in the
// next text block. A block marked as findings has those of the next text block, and the table after.
func TestREADME_YAML(t *testing.T) {
	blocks := readme(t)
	refused, findings := 0, 0
	for i, b := range blocks {
		if b.language != "yaml" || b.marked == "<!-- auth.yml -->" { // with hooks that TestREADME_Code has
			continue
		}
		cfg, err := flowhook.ParseConfig([]byte(b.text))
		require.NoError(t, err, "%s", b)
		opts := flowhook.Options{Store: memstore.New(), Courier: &flowtest.Mailbox{},
			VerificationURL: "https://auth.example.org/verification",
			Logger:          slog.New(slog.DiscardHandler)}
		if b.marked == "<!-- findings -->" {
			findings++
			var lines []string
			for _, f := range cfg.Check(opts) {
				lines = append(lines, f.String()+"\n")
			}
			require.Equal(t, blocks[i+1].text, strings.Join(lines, ""), "%s", b)
			p, err := flowhook.New(cfg, opts)
			require.NoError(t, err)
			require.Equal(t, "<!-- table -->", blocks[i+2].marked)
			require.Equal(t, blocks[i+2].text, p.Plan().String(), "%s", blocks[i+2])
			continue
		}
		opts.Secrets = []string{"only-for-this-test-0123456789"}
		_, err = flowhook.New(cfg, opts)
		if b.marked != "<!-- refused -->" {
			require.NoError(t, err, "%s", b)
			continue
		}
		refused++
		require.EqualError(t, err, strings.TrimSuffix(blocks[i+1].text, "\n"), "%s", b)
	}
	require.Equal(t, 1, refused)
	require.Equal(t, 1, findings)
}

// TestREADME_Tables compares the tables of strategies, hooks, errors and rules with the library.
func TestREADME_Tables(t *testing.T) {
	read := func(page string) string {
		text, err := os.ReadFile(inRoot(page))
		require.NoError(t, err)
		return string(text)
	}
	text, handlers, checks := read("README.md"), read("docs/handlers.md"), read("docs/checks.md")
	for _, s := range []flowhook.Strategy{flowhook.Password, flowhook.OIDC, flowhook.Profile, flowhook.Link,
		flowhook.Code,
		flowhook.TOTP, flowhook.LookupSecret, flowhook.WebAuthn, flowhook.Passkey, flowhook.SAML} {
		require.Regexp(t, "(?m)^\\| strategy .*`"+string(s)+"`", text)
	}
	source, err := os.ReadFile(inRoot("errors.go"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^\t(Err[A-Z]\w+)\s+= `).FindAllStringSubmatch(string(source), -1) {
		require.Contains(t, handlers, "\n| `"+m[1]+"` |")
	}
	for _, rule := range check.Rules {
		require.Regexp(t, "(?m)^\\| .*`"+rule+"`.* \\|", checks)
	}
	mayStand := map[string][]flowhook.Flow{ // besides flows of the host's own
		"session":                {flowhook.Login, flowhook.Registration, flowhook.Verification, flowhook.Recovery},
		"revoke_active_sessions": {flowhook.Login, flowhook.Recovery, flowhook.Settings},
		"verify":                 {flowhook.Registration, flowhook.Settings, flowhook.Login},
	}
	for name, flows := range mayStand {
		row := regexp.MustCompile("(?m)^\\| `" + name + "`.*$").FindString(text)
		for _, flow := range []flowhook.Flow{flowhook.Login, flowhook.Registration, flowhook.Settings,
			flowhook.Verification,
			flowhook.Recovery, flowhook.Logout} {
			var cfg flowhook.Config
			cfg.Add(flowhook.Point{Flow: flow, Phase: flowhook.After}, name, nil)
			_, err := flowhook.New(&cfg, flowhook.Options{
				Store: memstore.New(), Courier: &flowtest.Mailbox{},
				VerificationURL: "https://auth.example/verification",
				Issue:           func(context.Context, *flowhook.Exchange) error { return nil },
			})
			require.Equal(t, slices.Contains(flows, flow), err == nil, "%s at %s: %v", name, flow, err)
			_, cell, _ := strings.Cut(row, "`after` ")
			require.Equal(t, slices.Contains(flows, flow), strings.Contains(cell, string(flow)), "%s at %s: %s", name,
				flow, row)
		}
	}
}

// TestREADME_Links follows every relative link of the README and the other pages, to its anchor. The
// README links to every page of docs.
func TestREADME_Links(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linked := map[string]bool{} // from the README
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(prose(t, page), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, anchor, hasAnchor := strings.Cut(match[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			require.FileExists(t, target, "%s links to %s", page, match[1])
			if hasAnchor {
				require.Contains(t, anchors(t, target), anchor, "%s links to %s", page, match[1])
			}
			linked[target] = linked[target] || page == "README.md"
		}
	}
	for _, page := range pages(t)[1:] {
		require.True(t, linked[page], "the README does not link to %s", page)
	}
}

// prose returns the text of a page without its code blocks.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(inRoot(page))
	require.NoError(t, err)
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(string(text), "")
}

// anchors returns the anchors that GitHub derives from the headings of a page.
func anchors(t *testing.T, page string) (all []string) {
	t.Helper()
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(prose(t, page), -1) {
		anchor := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchor = strings.ReplaceAll(anchor, " ", "-")
		require.NotContains(t, all, anchor, "%s: two headings have the same anchor", page)
		all = append(all, anchor)
	}
	return all
}
