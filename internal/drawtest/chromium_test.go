package drawtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/flowhook/flowhook/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A tab is a tab of a Chromium process of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string // console messages, exceptions, failed requests, violations of a policy
}

func newTab(t *testing.T) *tab {
	b := &tab{t: t}
	allocator, release := chromedp.NewExecAllocator(context.Background(), append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(testkit.Chromium(t)), chromedp.UserDataDir(t.TempDir()),
		// Without these, Chromium makes requests of its own, which fail on a machine that is
		// offline.
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-pings", true),
		chromedp.Flag("disable-gpu", true))...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(b.listen))
	t.Cleanup(func() {
		ending, done := context.WithTimeout(ctx, 20*time.Second)
		chromedp.Cancel(ending) // waits for the process, so that its profile can be removed
		done()
		cancel()
		release()
	})
	b.ctx = ctx
	require.NoError(t, chromedp.Do(ctx, command(network.Enable, network.EnableParams{}),
		command(log.Enable, cdp.Empty{}), command(audits.Enable, cdp.Empty{})), "starting Chromium")
	return b
}

// listen records the complaints of the browser.
func (b *tab) listen(event any) {
	add := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	}
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelWarning || e.Entry.Level == log.EntryLevelError {
			add("console, %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		add("the page wrote to the console: %s", e.Type)
	case *runtime.EventExceptionThrown:
		add("exception: %s", e.ExceptionDetails.Text)
	case *network.EventLoadingFailed:
		add("a request failed: %s, %s %s", e.Type, e.ErrorText, e.BlockedReason)
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		add("issue: %s %s", e.Issue.Code, details)
	}
}

// heard returns the complaints since the last call.
func (b *tab) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.complaints = nil }()
	return b.complaints
}

// command returns an action that runs a command of the protocol and ignores its result.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// run runs an action and returns its value.
func run[T any](b *tab, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, a)
	require.NoError(b.t, err)
	return value
}

// js evaluates an expression on the page as DevTools do, unaffected by the page's policy.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression))
}

// open opens a page, whose status must be 200.
func (b *tab) open(url string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, chromedp.Navigate(url))
	require.NoError(b.t, err)
	require.EqualValues(b.t, 200, response.Status)
}

// A look is a width and a color scheme.
type look struct {
	width int64
	dark  bool
}

func (l look) String() string {
	if l.dark {
		return fmt.Sprintf("%d-dark", l.width)
	}
	return fmt.Sprint(l.width)
}

var looks = []look{{1280, false}, {390, false}, {320, false}, {1280, true}, {390, true}, {320, true}}

// as shows the page with a look.
func (b *tab) as(l look, height int64) {
	b.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	run(b, chromedp.Steps(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: l.width, Height: height, DeviceScaleFactor: 1, Mobile: l.width < 640,
		}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})))
}

// part saves a screenshot of an element, for people.
func (b *tab) part(name, css string, l look) {
	b.t.Helper()
	b.save(name, l, run(b, chromedp.Screenshot(chromedp.Search(css))))
}

func (b *tab) save(name string, l look, png []byte) {
	require.NoError(b.t, os.MkdirAll("screenshots", 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join("screenshots", name+"-"+l.String()+".png"), png, 0o644))
}

// picture saves a screenshot of the whole page, for people.
func (b *tab) picture(name string, l look) {
	b.t.Helper()
	b.as(l, js[int64](b, "document.documentElement.scrollHeight"))
	png := run(b, func(ctx context.Context, t *chromedp.Target) (page.CaptureScreenshotResult, error) {
		return cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{})
	})
	b.save(name, l, png.Data)
	b.as(l, 800)
}
