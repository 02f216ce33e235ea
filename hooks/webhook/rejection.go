package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/flowhook/flowhook"
)

// A rejection is an answer, or a problem, that another attempt does not change. It is ErrRejected.
type rejection struct {
	status  int    // 0 without an answer
	problem string // empty if the status says it
	body    []byte
	err     error
}

func (r *rejection) Error() string {
	text := r.problem
	if r.status != 0 {
		text = fmt.Sprintf("the receiver answered %d", r.status)
		if r.problem != "" {
			text += ", " + r.problem
		}
	}
	return ErrRejected.Error() + ": " + text
}

func (r *rejection) Unwrap() []error {
	if r.err == nil {
		return []error{ErrRejected}
	}
	return []error{ErrRejected, r.err}
}

// no reports whether the receiver has said no. on_error does not apply to it.
func (r *rejection) no() bool { return 400 <= r.status && r.status <= 499 }

// An answer is the body of a receiver that says no: messages is Kratos' format, and error this
// hook's own.
type answer struct {
	Messages []struct {
		InstancePtr string `json:"instance_ptr"`
		Messages    []struct {
			ID   int    `json:"id"`
			Text string `json:"text"`
		} `json:"messages"`
	} `json:"messages"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Field   string `json:"field"`
	} `json:"error"`
}

// refusal returns what the receiver wants the user to read, or nil if its body has no such text.
func (r *rejection) refusal() *flowhook.Refusal {
	var a answer
	if json.Unmarshal(r.body, &a) != nil {
		return nil
	}
	status := r.status
	if status == http.StatusUnauthorized || status == http.StatusProxyAuthRequired {
		status = http.StatusForbidden // those two would be about the credentials of the browser
	}
	refused := &flowhook.Refusal{Status: status, Err: r}
	var texts []string
	for _, group := range a.Messages {
		for _, m := range group.Messages {
			text := clean(m.Text, maxText)
			if text == "" {
				continue
			}
			if texts = append(texts, text); len(texts) == 1 {
				refused.Field = field(group.InstancePtr)
				if m.ID != 0 {
					refused.Code = strconv.Itoa(m.ID)
				}
			}
		}
	}
	if len(texts) == 0 && a.Error != nil {
		texts = []string{clean(a.Error.Message, maxText)}
		refused.Code, refused.Field = code(a.Error.Code), field(a.Error.Field)
	}
	refused.Text = clean(strings.Join(texts, " "), maxText)
	if refused.Text == "" && refused.Code == "" {
		return nil
	}
	refused.Code = cmp.Or(refused.Code, "webhook_refused")
	return refused
}

const maxText = 500 // characters

// clean returns at most n characters of a text, without control characters and those that change
// the direction of the text after them.
func clean(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return -1
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > n {
		text = string(runes[:n])
	}
	return text
}

// code returns a code for programs, or "" if the text is not one.
func code(text string) string {
	other := func(r rune) bool {
		return !(r == '_' || r == '-' || r == '.' || r == ':' || r == '/' ||
			'0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	if len(text) > 100 || strings.ContainsFunc(text, other) {
		return ""
	}
	return text
}

// field returns the name of a form field. A JSON pointer such as #/traits/email becomes
// traits.email, which is Kratos' name of that field.
func field(pointer string) string {
	name := strings.Trim(strings.TrimPrefix(pointer, "#"), "/")
	return clean(strings.NewReplacer("/", ".", "~1", "/", "~0", "~").Replace(name), 100)
}

// identityIn returns the identity in an answer, or nil if there is none.
func identityIn(body []byte) (json.RawMessage, error) {
	if len(body) == 0 {
		return nil, nil
	}
	var a struct {
		Identity json.RawMessage `json:"identity"`
	}
	if json.Unmarshal(body, &a) != nil {
		return nil, errors.New("webhook: the answer is not JSON; answer 204 if there is nothing to change")
	}
	if string(a.Identity) == "null" {
		return nil, nil
	}
	return a.Identity, nil
}
