package browser_test

import (
	"time"

	"github.com/chromedp/chromedp"
)

// receives reloads the inbox until it has this many emails with this subject.
func (v *visitor) receives(subject string, mails int) *visitor {
	v.t.Helper()
	has := "Array.from(document.querySelectorAll('li a')).filter(a => a.textContent.trim() === " + quoted(subject) +
		").length"
	for deadline := time.Now().Add(patience); ; {
		v.open(inbox).at(inbox, "Inbox")
		switch n := js[int](v, has); {
		case n == mails:
			return v
		case n > mails, time.Now().After(deadline):
			v.fatal("%d emails %q, want %d", n, subject, mails)
		}
	}
}

// read opens the newest email with this subject.
func (v *visitor) read(subject string) *visitor {
	v.t.Helper()
	v.open(inbox).goes(200, chromedp.Click(having("a", subject), chromedp.NodeVisible))
	if h := js[string](v, "document.querySelector('h1').innerText"); h != subject {
		v.fatal("the heading of the email is %q, want %q", h, subject)
	}
	return v
}

// link returns the link in the current email.
func (v *visitor) link() string {
	v.t.Helper()
	return js[string](v, "document.querySelector('pre a').href")
}
