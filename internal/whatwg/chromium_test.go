package whatwg

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook/internal/testkit"
)

// page is a page that writes URL.href for each target in targets.js, or null if a target is not a
// URL.
const page = `<!DOCTYPE html><meta charset="utf-8"><script src="targets.js"></script><pre id="hrefs"></pre><script>
document.getElementById("hrefs").textContent = JSON.stringify(targets.map(target => {
	try { return new URL(target, base).href } catch { return null }
}))
document.querySelectorAll("script").forEach(script => script.remove())
</script>`

// hrefs returns where targets lead in Chromium; "" means nowhere. A target must be UTF-8.
func hrefs(t *testing.T, targets []string) []string {
	t.Helper()
	dir := t.TempDir()
	list, err := json.Marshal(targets)
	require.NoError(t, err)
	script := "const base = \"" + base + "\", targets = " + string(list)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "targets.js"), []byte(script), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page.html"), []byte(page), 0o600))
	args := []string{"--headless", "--disable-gpu", "--disable-component-update", "--no-first-run", "--no-pings",
		"--user-data-dir=" + filepath.Join(dir, "profile"), "--dump-dom",
		"file://" + filepath.ToSlash(dir) + "/page.html"}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // the sandbox does not work as root
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	browser := exec.CommandContext(ctx, testkit.Chromium(t), args...)
	var dom, log bytes.Buffer
	browser.Stdout, browser.Stderr = &dom, &log
	require.NoError(t, browser.Run(), "%s", log.String())
	_, text, found := strings.Cut(dom.String(), `<pre id="hrefs">`)
	require.True(t, found, "%s\n%s", dom.String(), log.String())
	text, _, _ = strings.Cut(text, "</pre>")
	var got []*string
	require.NoError(t, json.Unmarshal([]byte(html.UnescapeString(text)), &got))
	require.Len(t, got, len(targets))
	all := make([]string, len(got))
	for i, href := range got {
		if href != nil {
			all[i] = *href
		}
	}
	return all
}

// href returns a place as Chromium writes it.
func (p place) href(target string) string {
	query, fragment := "", ""
	beforeFragment, _, hasFragment := strings.Cut(target, "#")
	if strings.Contains(beforeFragment, "?") {
		query = "?" + p.query
	}
	if hasFragment {
		fragment = "#" + p.fragment
	}
	return p.origin + p.path + query + fragment
}

// In Chromium, accepted targets lead where they seem to lead: those of the lists, and many
// mutations of them. As in check, an xn-- label may lead nowhere.
func TestChromium_AcceptedTargets(t *testing.T) {
	seed, r := random(t)
	count := 400_000
	if testkit.Percent(t) < 100 {
		count /= 10
	}
	redirects := vectors(t, "redirect/accepted.txt")
	returned := vectors(t, "return/accepted.txt")
	targets := slices.Concat(redirects, returned)
	seeds := slices.Concat(targets, vectors(t, "redirect/refused.txt"), vectors(t, "return/refused.txt"))
	for range count {
		if target := mutate(r, seeds); accepted(t, target) {
			targets = append(targets, target)
		}
	}
	require.Greater(t, len(targets), count/50, "too few to prove anything")
	nowhere := 0
	for i, href := range hrefs(t, targets) {
		want := shown(targets[i])
		if href == "" && strings.Contains(want.origin, "xn--") && i >= len(redirects)+len(returned) {
			nowhere++
			continue
		}
		require.Equal(t, want.href(targets[i]), href, "%q", targets[i])
	}
	t.Logf("redirect targets: in Chromium, %d accepted ones, most of them mutated (seed %d), lead where they seem to "+
		"(%d of them, with an xn-- label, lead nowhere)", len(targets), seed, nowhere)
}

// After the first ? or #, a character is accepted if and only if URL.href keeps it, except for a
// quote in a query.
func TestChromium_QueryAndFragment(t *testing.T) {
	var targets []string
	for _, part := range parts {
		for c := rune(0); c < 0x180; c++ {
			targets = append(targets, part+string(c)+"b")
		}
		targets = append(targets, part+"%", part+"%zz", part+"%0d%0a", part+"\u2028", part+"\U0001F600")
	}
	kept := 0
	for i, href := range hrefs(t, targets) {
		same := href == shown(targets[i]).href(targets[i])
		require.Equal(t, same, accepted(t, targets[i]), "%q is %q", targets[i], href)
		if same {
			kept++
		}
	}
	require.Greater(t, kept, 90*len(parts))
	require.Less(t, kept, 110*len(parts))
}
