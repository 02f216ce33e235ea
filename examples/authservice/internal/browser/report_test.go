package browser_test

import (
	"math"
	"testing"
)

// A report counts what was looked at, over all visitors.
type report struct {
	titles   map[string]string // the heading by title: two pages with one title are one page in two states
	pages    []string
	pictures []string
	checks   map[string]int
	contrast float64 // the least of any text
	named    int     // controls that the accessibility tree has a name for
	tabs     int
	cookies  int
}

func newReport() *report {
	return &report{titles: map[string]string{}, checks: map[string]int{}, contrast: math.Inf(1)}
}

// log tells what was shown, where nothing has failed.
func (r *report) log(t *testing.T, visitors ...*visitor) {
	for _, v := range visitors {
		for _, text := range v.watch.all() {
			t.Errorf("%s, at the end: %s", v.name, text)
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d pages seen in Chromium, %d pictures of them at 390 and 1280 pixels, light and dark, in screenshots", len(r.pages), len(r.pictures))
	t.Logf("%d checks of structure, %d controls with an accessible name, %d checks of layout (1280, 640, 390, 320 pixels, and text of 200 %%)", r.checks["structure"], r.named, r.checks["layout"])
	t.Logf("%d checks of colours, light and dark: the least contrast of a text is %.2f; %d steps by the Tab key, the focus seen at each", r.checks["colours"], r.contrast, r.tabs)
	t.Logf("%d cookies Secure, HttpOnly, SameSite=Lax, of this host alone, and with an expiry", r.cookies)
	for _, v := range visitors {
		t.Logf("%s: %d responses, and no complaint of the browser's but %d for pages that are meant to be refusals", v.name, v.watch.responses, v.watch.accounted)
	}
}
