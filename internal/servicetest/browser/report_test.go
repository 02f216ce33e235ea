package browser_test

import (
	"math"
	"testing"
)

// A report counts the checks of all visitors.
type report struct {
	titles   map[string]string // from title to heading; pages with the same title must have the same heading
	pages    []string
	emails   []string // the kinds of emails that were shown
	pictures []string
	checks   map[string]int
	contrast float64 // the lowest of any text
	named    int     // controls with an accessible name
	tabs     int
	cookies  int
}

func newReport() *report {
	return &report{titles: map[string]string{}, checks: map[string]int{}, contrast: math.Inf(1)}
}

// log logs the counts if the test has passed.
func (r *report) log(t *testing.T, visitors ...*visitor) {
	for _, v := range visitors {
		for _, text := range v.watch.all() {
			t.Errorf("%s, at the end: %s", v.name, text)
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d pages and %d emails in Chromium; %d screenshots in FLOWHOOK_SCREENSHOTS=%s", len(r.pages), len(r.emails),
		len(r.pictures), screenshots)
	t.Logf("%d checks of structure, %d controls with an accessible name, %d checks of layout (1280, 640, 390, 320 "+
		"pixels, and text of 200 %%)", r.checks["structure"], r.named, r.checks["layout"])
	t.Logf("%d checks of colors, light and dark: the lowest contrast of a text is %.2f; %d Tab key steps, each with "+
		"a visible focus", r.checks["colors"], r.contrast, r.tabs)
	t.Logf("%d cookies checked: Secure, HttpOnly, SameSite=Lax, host-only, with an expiry", r.cookies)
	for _, v := range visitors {
		t.Logf("%s: %d responses and no complaints of the browser except %d for expected error pages", v.name,
			v.watch.responses, v.watch.expected)
	}
}
