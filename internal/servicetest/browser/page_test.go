package browser_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/flowhook/flowhook/internal/testkit/pagecheck"
	"github.com/stretchr/testify/require"
)

// A view is a way to display a page.
type view struct {
	width, height int64
	scale         float64 // device pixels per CSS pixel
	phone         bool
	dark          bool
	text          int // size in percent; 0 means 100
}

var (
	desktop = view{width: 1280, height: 800, scale: 1}
	phone   = view{width: 390, height: 844, scale: 2, phone: true}
)

// view changes how the page is displayed.
func (v *visitor) view(as view) {
	v.t.Helper()
	scheme := "light"
	if as.dark {
		scheme = "dark"
	}
	run(v, chromedp.Steps(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: as.width, Height: as.height, DeviceScaleFactor: as.scale, Mobile: as.phone}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})))
	if as.text != 0 {
		js[chromedp.Void](v, fmt.Sprintf("document.documentElement.style.fontSize = '%d%%'", as.text))
	}
}

// look inspects the current page and, for people, takes screenshots of it. name must be unique.
func (v *visitor) look(name string) *visitor {
	v.t.Helper()
	require.NotContains(v.t, v.report.pages, name, "two pages have this name")
	v.report.pages = append(v.report.pages, name)
	title, heading := js[string](v, "document.title"), js[string](v, "document.querySelector('h1').innerText.trim()")
	if other, taken := v.report.titles[title]; taken && other != heading {
		v.t.Errorf("%s: %q and %q have the same title, %q", name, heading, other, title)
	}
	v.report.titles[title] = heading

	v.pictures(name)
	v.inspect(name)
	return v
}

// wide checks the layout of the current page at 700 pixels. look checks it at 390, among others.
func (v *visitor) wide(name string) *visitor {
	v.t.Helper()
	v.view(view{width: 700, height: 900, scale: 1})
	v.check(name+" at 700", "layout")
	v.view(desktop)
	return v
}

func dark(as view) view { as.dark = true; return as }

// inspect runs all checks on the current page. TestBadPages tests the checks.
func (v *visitor) inspect(name string) {
	v.t.Helper()
	v.view(desktop)
	v.check(name, "structure")
	v.names(name)
	for _, as := range []view{desktop, phone, {width: 320, height: 640, scale: 2, phone: true},
		{width: 640, height: 400, scale: 2},                           // a window of 1280 zoomed to 200%
		{width: 390, height: 844, scale: 2, phone: true, text: 200}} { // text of 200% on a phone
		v.view(as)
		v.check(fmt.Sprintf("%s at %d, text %d", name, as.width, as.text), "layout")
	}
	js[chromedp.Void](v, "document.documentElement.removeAttribute('style')")
	for _, as := range []view{desktop, phone, dark(desktop), dark(phone)} {
		v.view(as)
		v.check(fmt.Sprintf("%s at %d, dark %t", name, as.width, as.dark), "colors")
	}
	v.view(desktop)
	v.tabs(name)
	for _, text := range v.watch.all() {
		v.t.Errorf("%s: %s", name, text)
	}
}

type findings struct {
	Seen  int      `json:"seen"`
	Wrong []string `json:"wrong"`
	Least *float64 `json:"least"`
	At    int      `json:"at"`
}

// check runs a function of pagecheck.JS.
func (v *visitor) check(where, function string) findings {
	v.t.Helper()
	f := js[findings](v, pagecheck.JS+"."+function+"()")
	for _, wrong := range f.Wrong {
		v.t.Errorf("%s: %s", where, wrong)
	}
	if f.Seen == 0 {
		v.t.Errorf("%s: %s made no checks", where, function)
	}
	v.report.checks[function] += f.Seen
	if function == "colors" && f.Least != nil {
		v.report.contrast = min(v.report.contrast, *f.Least)
	}
	return f
}

// controls are the roles of interactive elements.
var controls = []string{"button", "link", "textbox", "checkbox", "combobox", "DisclosureTriangle"}

// names checks that each control has a name in Chromium's accessibility tree, and asks for form
// issues.
func (v *visitor) names(name string) {
	v.t.Helper()
	tree := run(v, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	found := 0
	for _, node := range tree.Nodes {
		role := unquoted(node.Role)
		if node.Ignored || !slices.Contains(controls, role) {
			continue
		}
		found++
		if unquoted(node.Name) == "" {
			v.t.Errorf("%s: a %s has no accessible name", name, role)
		}
	}
	if stops := js[int](v, pagecheck.JS+".stops()"); found != stops {
		v.t.Errorf("%s: the accessibility tree has %d controls, the page %d", name, found, stops)
	}
	v.report.named += found
	run(v, command(audits.CheckFormsIssues, cdp.Empty{}))
}

func unquoted(value *accessibility.Value) string {
	if value == nil {
		return ""
	}
	return strings.Trim(string(value.Value), `" `)
}

// tabs moves through the page with the Tab key, which must focus each control in order and visibly.
func (v *visitor) tabs(name string) {
	v.t.Helper()
	stops := js[int](v, pagecheck.JS+".stops()")
	js[chromedp.Void](v, pagecheck.JS+".start()")
	at := func(key string, want int, modifiers ...kb.Modifier) {
		v.t.Helper()
		run(v, chromedp.KeyEvent(key, chromedp.KeyModifiers(modifiers...)))
		if f := v.check(name+", by the keyboard", "focus"); f.At != want {
			v.fatal("%s: the Tab key leads to control %d, want %d", name, f.At, want)
		}
		v.report.tabs++
	}
	for i := 1; i < stops; i++ {
		at(kb.Tab, i)
	}
	for i := stops - 2; i >= 0; i-- {
		at(kb.Tab, i, kb.ModifierShift)
	}
	js[chromedp.Void](v, "document.activeElement.blur()")
}

// screenshots is the directory for screenshots of all pages and emails, for people. If it is empty,
// there are none.
var screenshots = os.Getenv("FLOWHOOK_SCREENSHOTS")

// pictures takes screenshots of the current page.
func (v *visitor) pictures(name string) *visitor {
	v.t.Helper()
	if screenshots == "" {
		return v
	}
	v.picture(name+"-1280", desktop)
	v.picture(name+"-390", phone)
	v.picture(name+"-1280-dark", dark(desktop))
	v.picture(name+"-390-dark", dark(phone))
	v.view(desktop)
	return v
}

// picture takes a screenshot of the whole page.
func (v *visitor) picture(name string, as view) {
	v.t.Helper()
	v.view(as)
	as.height = max(as.height, js[int64](v, "document.documentElement.scrollHeight"))
	v.view(as)
	png := run(v, func(ctx context.Context, t *chromedp.Target) (page.CaptureScreenshotResult, error) {
		return cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{})
	})
	name += ".png"
	require.NoError(v.t, os.MkdirAll(screenshots, 0o755))
	require.NoError(v.t, os.WriteFile(filepath.Join(screenshots, name), png.Data, 0o644))
	v.report.pictures = append(v.report.pictures, name)
}
