package conf

import (
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/flowhook/flowhook/internal/reference"
	"github.com/flowhook/flowhook/internal/target"
	"gopkg.in/yaml.v3"
)

// Hidden is what [Entry.Redacted] writes for a key or a value that may be a secret.
const Hidden = "<hidden-value>"

// Redacted returns the config of an entry as one line of YAML that operators may see, or "" if there
// is none. It shows references as they are written, numbers, true and false, durations, plain words,
// the hosts of URLs, and the target of a built-in hook up to its first ?, # or ;, with its query if
// that is one lower-case word, such as ?saved. Any other text is replaced by [Hidden], and so is every
// value whose key, or a key above it, sounds like a secret.
func (e *Entry) Redacted() string {
	if e.Config.Node == nil {
		return ""
	}
	text, err := yaml.Marshal(redact(e.Config.Node, e.Builtin != "", ""))
	if err != nil {
		return Hidden
	}
	return strings.TrimSpace(string(text))
}

// redact returns a copy of n on one line, without comments. The name is that of the key above n.
func redact(n *yaml.Node, builtin bool, name string) *yaml.Node {
	clean := &yaml.Node{Kind: n.Kind, Style: yaml.FlowStyle}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, below := scalar(Hidden), n.Content[i].Value
			if harmlessKey(below) {
				key.Value = below
			}
			if soundsSecret(name) {
				below = name
			}
			clean.Content = append(clean.Content, key, redact(n.Content[i+1], builtin, below))
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			clean.Content = append(clean.Content, redact(item, builtin, name))
		}
	default:
		return redactScalar(n, builtin, name)
	}
	return clean
}

func scalar(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

func redactScalar(n *yaml.Node, builtin bool, name string) *yaml.Node {
	text := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: n.Value}
	isText := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
	switch {
	case isText && (reference.IsVariable(n.Value) || strings.HasPrefix(n.Value, "file:")):
		return text
	case soundsSecret(name):
	case n.Kind == yaml.ScalarNode && plainTag(n.ShortTag()) && len(n.Value) < 10:
		return scalar(n.Value)
	case !isText:
	case builtin && (name == "to" || name == "default_redirect_url"):
		shown := target.Shown(n.Value)
		if rest := n.Value[len(shown):]; rest != "" && !wordQuery(rest) {
			text.Value = shown + Hidden
		}
		return text
	case isDuration(n.Value) || plainWord(n.Value):
		return text
	case host(n.Value) != "":
		text.Value = host(n.Value) + Hidden
		return text
	}
	return scalar(Hidden)
}

// A random text matches none of these, unless it has lower-case letters only.
var (
	plainWord  = regexp.MustCompile(`^(?:[a-z][a-z_]{0,23}|[A-Z]{1,12})$`).MatchString
	plainWords = regexp.MustCompile(`^[A-Za-z]+(?:[-_.][A-Za-z]+)*$`).MatchString
	wordQuery  = regexp.MustCompile(`^\?[a-z][a-z_]{0,23}$`).MatchString // such as ?saved
	lowerWord  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,23}$`).MatchString
	secretWord = regexp.MustCompile(`auth|bearer|cert|code|cookie|cred|dsn|hash|jwt|key|license|nonce|otp|` +
		`pass|pepper|pin|private|pwd|salt|secret|seed|session|sign|token`).MatchString
)

func harmlessKey(s string) bool { return plainWords(s) || lowerWord(s) }

// soundsSecret reports whether a key is probably that of a secret.
func soundsSecret(key string) bool { return secretWord(strings.ToLower(key)) }

func plainTag(tag string) bool {
	return tag == "!!int" || tag == "!!float" || tag == "!!bool" || tag == "!!null"
}

func isDuration(s string) bool {
	_, err := time.ParseDuration(s)
	return err == nil
}

// host returns the scheme and the host of a URL that a redirect could have, or "".
func host(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || target.Check(s) != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/"
}
