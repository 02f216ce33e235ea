package browser_test

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// goes runs an action that leads to another page, waits until that has loaded, and checks its
// status.
func (v *visitor) goes(status int, by chromedp.Action[chromedp.Void]) *visitor {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, by)
	if err != nil {
		v.fatal("%v", err)
	}
	if v.status = int(response.Status); v.status != status {
		v.fatal("status %d, want %d", v.status, status)
	}
	if status >= 400 && !v.watch.settle(response.URL, status) {
		v.fatal("Chromium's console does not report the status %d", status)
	}
	return v
}

func (v *visitor) open(target string) *visitor { return v.opens(200, target) }

func (v *visitor) opens(status int, target string) *visitor {
	v.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = v.base + target
	}
	return v.goes(status, chromedp.Navigate(target))
}

// follow clicks on a link, by its text.
func (v *visitor) follow(text string) *visitor {
	v.t.Helper()
	return v.goes(200, chromedp.Click(having("a", text), chromedp.NodeVisible))
}

// press clicks on a button, by its text.
func (v *visitor) press(text string) *visitor { return v.presses(200, text) }

func (v *visitor) presses(status int, text string) *visitor {
	v.t.Helper()
	return v.goes(status, chromedp.Click(having("button", text), chromedp.NodeVisible))
}

// fill clicks labels, each of which must focus its field, and replaces the values of the fields.
func (v *visitor) fill(pairs ...string) *visitor {
	v.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		run(v, chromedp.Click(having("label", pairs[i]), chromedp.NodeVisible))
		focused := "document.activeElement.matches('input') && Array.from(document.activeElement.labels)" +
			".some(l => l.textContent.trim() === " + quoted(pairs[i]) + ")"
		if !js[bool](v, focused) {
			v.fatal("a click on the label %q does not focus its field", pairs[i])
		}
		run(v, chromedp.KeyEvent("a", chromedp.KeyModifiers(kb.ModifierCtrl)))
		run(v, chromedp.KeyEvent(kb.Backspace+pairs[i+1]))
	}
	return v
}

// reveals clicks on the button in a password field, by its text, and checks the type of the field
// afterwards, and that its value has not changed.
func (v *visitor) reveals(id, button, want string) *visitor {
	v.t.Helper()
	field := "document.getElementById(" + quoted(id) + ")"
	typed := js[string](v, field+".value")
	run(v, chromedp.Click(having("button", button), chromedp.NodeVisible))
	if got := js[string](v, field+".type"); got != want || js[string](v, field+".value") != typed || typed == "" {
		v.fatal("after a click on %q, the field has the type %q, want %q", button, got, want)
	}
	return v
}

// at checks which page is shown, and that the browser has no complaints.
func (v *visitor) at(path, heading string) *visitor {
	v.t.Helper()
	if at := js[string](v, "location.pathname"); at != path {
		v.fatal("at %s, want %s", at, path)
	}
	if h := js[string](v, "document.querySelector('h1').innerText.trim()"); h != heading {
		v.fatal("the heading is %q, want %q", h, heading)
	}
	for _, text := range v.watch.all() {
		v.t.Errorf("%s, at %s: %s", v.name, path, text)
	}
	return v
}

// sees checks that the page shows texts.
func (v *visitor) sees(texts ...string) *visitor {
	v.t.Helper()
	body := js[string](v, "document.body.innerText")
	for _, text := range texts {
		if !strings.Contains(body, text) {
			v.fatal("the page does not show %q", text)
		}
	}
	return v
}

// count counts elements.
func (v *visitor) count(css string) int {
	v.t.Helper()
	return js[int](v, "document.querySelectorAll("+quoted(css)+").length")
}

// having finds an element by its text.
func having(element, text string) chromedp.Search {
	return chromedp.Search("//" + element + "[normalize-space()=" + quoted(text) + "]")
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// signIn signs in with a password.
func (v *visitor) signIn(email, password string) *visitor {
	v.t.Helper()
	v.open("/login").fillLogin(email, password).press("Sign in")
	if at := js[string](v, "location.pathname"); at != "/" {
		v.fatal("not signed in")
	}
	return v
}

func (v *visitor) fillLogin(email, password string) *visitor {
	v.t.Helper()
	return v.fill("Email address", email, "Password", password)
}

// byKeyboard signs in from the home page with the keyboard alone.
func (v *visitor) byKeyboard(email, password string) *visitor {
	v.t.Helper()
	v.open("/")
	v.tabTo("Sign in")
	v.goes(200, chromedp.KeyEvent(kb.Enter)).at("/login", "Sign in")
	v.tabTo("Email address")
	run(v, chromedp.KeyEvent(email))
	v.tabTo("Password")
	run(v, chromedp.KeyEvent(password))
	return v.goes(200, chromedp.KeyEvent(kb.Enter))
}

// tabTo presses Tab until the focus is on the control with this name.
func (v *visitor) tabTo(name string) {
	v.t.Helper()
	for range 50 {
		run(v, chromedp.KeyEvent(kb.Tab))
		if js[string](v, "(e => (e.labels?.[0] ?? e).textContent.trim())(document.activeElement)") == name {
			return
		}
	}
	v.fatal("the Tab key does not lead to %q", name)
}
