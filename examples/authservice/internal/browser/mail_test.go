package browser_test

import (
	"time"

	"github.com/chromedp/chromedp"
)

// receives loads the mailbox until there are so many mails with this subject.
func (v *visitor) receives(subject string, mails int) *visitor {
	v.t.Helper()
	has := "Array.from(document.querySelectorAll('li a')).filter(a => a.textContent.trim() === " + quoted(subject) + ").length"
	for deadline := time.Now().Add(patience); ; {
		v.open(mailbox).at(mailbox, "Mailbox")
		switch n := js[int](v, has); {
		case n == mails:
			return v
		case n > mails, time.Now().After(deadline):
			v.fatal("%d mails %q, want %d", n, subject, mails)
		}
	}
}

// read opens the newest mail with this subject.
func (v *visitor) read(subject string) *visitor {
	v.t.Helper()
	v.open(mailbox).goes(200, chromedp.Click(having("a", subject), chromedp.NodeVisible))
	if h := js[string](v, "document.querySelector('h1').innerText"); h != subject {
		v.fatal("the mail's heading is %q, want %q", h, subject)
	}
	return v
}

// link gives the link in the mail that is shown.
func (v *visitor) link() string {
	v.t.Helper()
	return js[string](v, "document.querySelector('pre a').href")
}
