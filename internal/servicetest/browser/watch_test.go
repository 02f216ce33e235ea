package browser_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// A watch collects the browser's complaints: console messages, failed requests, exceptions, and
// issues with the page, such as violations of its content security policy.
type watch struct {
	mu         sync.Mutex
	complaints []complaint
	more       chan struct{} // closed and replaced at each complaint
	responses  int
	expected   int // the number of expected complaints
}

type complaint struct {
	url    string
	status int // of the server's answer; 0 if there is none
	text   string
}

// listen receives the events of the tab in order. It must not block.
func (w *watch) listen(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.complaints)
	add := func(format string, args ...any) {
		w.complaints = append(w.complaints, complaint{text: fmt.Sprintf(format, args...)})
	}
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelWarning || e.Entry.Level == log.EntryLevelError {
			c := complaint{url: e.Entry.URL, text: fmt.Sprintf("console, %s: %s %s", e.Entry.Level, e.Entry.Text,
				e.Entry.URL)}
			if e.Entry.Source == log.EntrySourceNetwork {
				fmt.Sscanf(e.Entry.Text, "Failed to load resource: the server responded with a status of %d", &c.status)
			}
			w.complaints = append(w.complaints, c)
		}
	case *runtime.EventConsoleAPICalled:
		add("the page has written to the console: %s", e.Type)
	case *runtime.EventExceptionThrown:
		add("exception: %s", e.ExceptionDetails.Text)
	case *network.EventLoadingFailed:
		add("a request has failed: %s, %s %s", e.Type, e.ErrorText, e.BlockedReason)
	case *network.EventResponseReceived:
		w.responses++
		if e.Response.Status >= 400 && e.Type != network.ResourceTypeDocument {
			add("a request has failed: %s, status %d, %s", e.Type, e.Response.Status, e.Response.URL)
		}
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		add("issue: %s %s", e.Issue.Code, details)
	}
	if len(w.complaints) > before {
		close(w.more)
		w.more = make(chan struct{})
	}
}

// settle waits until the console reports the error status of a document, and removes that
// complaint.
func (w *watch) settle(url string, status int) bool {
	for deadline := time.After(patience); ; {
		w.mu.Lock()
		i := slices.IndexFunc(w.complaints, func(c complaint) bool { return c.url == url && c.status == status })
		if i >= 0 {
			w.complaints = slices.Delete(w.complaints, i, i+1)
			w.expected++
		}
		more := w.more
		w.mu.Unlock()
		if i >= 0 {
			return true
		}
		select {
		case <-more:
		case <-deadline:
			return false
		}
	}
}

// all removes and returns the complaints.
func (w *watch) all() (texts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.complaints {
		texts = append(texts, c.text)
	}
	w.complaints = nil
	return texts
}
