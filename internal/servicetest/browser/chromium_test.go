package browser_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A visitor is a user with a browser: a Chromium process with its own profile and one tab.
type visitor struct {
	t      testing.TB
	name   string
	base   string
	ctx    context.Context
	report *report
	watch  *watch

	status int // of the current page
}

// newVisitor starts Chromium. options are added to its options.
func newVisitor(t testing.TB, path, name, base string, r *report, options ...chromedp.ExecAllocatorOption) *visitor {
	v := &visitor{t: t, name: name, base: base, report: r, watch: &watch{more: make(chan struct{})}}
	allocator, release := chromedp.NewExecAllocator(context.Background(),
		slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{
			chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
			// Turn off Chromium's background requests, which would fail without network access.
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update",
				true), chromedp.Flag("no-pings", true),
			chromedp.Flag("disable-gpu", true)}, options)...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(v.watch.listen))
	t.Cleanup(func() {
		ending, done := context.WithTimeout(ctx, 20*time.Second)
		chromedp.Cancel(ending) // waits for the process, so that its profile can be removed
		done()
		cancel()
		release()
	})
	v.ctx = ctx
	v.start()
	return v
}

// start opens the tab.
func (v *visitor) start() {
	v.t.Helper()
	require.NoError(v.t, chromedp.Do(v.ctx, command(network.Enable, network.EnableParams{}),
		command(log.Enable, cdp.Empty{}),
		command(audits.Enable, cdp.Empty{})), "starting Chromium")
	v.view(desktop)
}

// another returns a visitor in the same process. With chromedp.WithNewBrowserContext, it has its own
// cookies, as if it were another browser; otherwise, it is another tab.
func (v *visitor) another(t testing.TB, name string, options ...chromedp.ContextOption) *visitor {
	t.Helper()
	other := &visitor{t: t, name: name, base: v.base, report: v.report, watch: &watch{more: make(chan struct{})}}
	ctx, cancel := chromedp.NewContext(v.ctx, append(options, chromedp.WithListener(other.watch.listen))...)
	t.Cleanup(cancel)
	other.ctx = ctx
	other.start()
	return other
}

// command returns an action that runs a protocol command and ignores its result.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

const patience = 30 * time.Second // the limit for any condition

// run runs an action and returns its value.
func run[T any](v *visitor, a chromedp.Action[T]) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, a)
	if err != nil {
		v.fatal("%v", err)
	}
	return value
}

// js evaluates an expression on the page.
func js[T any](v *visitor, expression string) T {
	v.t.Helper()
	return run(v, chromedp.Evaluate[T](expression))
}

// fatal fails the test and shows the current page.
func (v *visitor) fatal(format string, args ...any) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, 5*time.Second)
	defer cancel()
	seen, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	v.t.Fatalf("%s: %s\nat %s\n%s", v.name, fmt.Sprintf(format, args...), seen, strings.Join(v.watch.all(), "\n"))
}
