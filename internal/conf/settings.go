package conf

import "slices"

// A setting is a key that flowhook knows. Its row in [settings] is all there is to know about it.
type setting struct {
	path   string             // where the key is
	older  []string           // where it was in older versions of Kratos, oldest first
	kratos bool               // whether the key shows that the file is one of Kratos
	doc    string             // one sentence, for [Schema]; may be empty for a key that is only ignored
	is     object             // the JSON Schema of a valid value; nil: anything
	at     func(*File) *Value // where File keeps the value; nil: nowhere
	read   func(*layout, found)
}

// settings are the keys that flowhook knows, except hooks and the keys that lead to them.
//
// If a file has a setting in several places, all values are checked, and the newest place counts.
// The values in the other places are Overruled if File keeps the value. If read is nil, the value
// is not checked.
//
// <flow> and <strategy> are any flow and strategy. A file may leave out "flows".
var settings = []setting{
	{path: "session.lifespan",
		doc:  "How long a session is valid, such as 24h, which is the default.",
		is:   schemaDuration,
		read: func(l *layout, v found) { l.lifespan(v.Value, &l.file.Session.Lifespan) }},
	{path: "session.earliest_possible_extend", kratos: true,
		doc: "Has no effect here.",
		at:  func(f *File) *Value { return &f.Extend }},
	{path: "session.whoami", kratos: true},

	{path: "session.cookie.name",
		doc:  "The name of the session cookie. Default: __Host-session, if possible, or session.",
		is:   schemaText,
		at:   func(f *File) *Value { return &f.CookieAt.Name },
		read: func(l *layout, v found) { l.file.Session.Name = l.cookieName(v.Value) }},
	{path: "session.cookie.domain", older: []string{"cookies.domain"},
		doc:  "The domain of the session cookie. Default: the host itself.",
		is:   schemaText,
		at:   func(f *File) *Value { return &f.CookieAt.Domain },
		read: func(l *layout, v found) { l.file.Session.Domain = l.cookieDomain(v.Value) }},
	{path: "session.cookie.path", older: []string{"cookies.path"},
		doc:  "The path of the session cookie. Default: /.",
		is:   schemaText,
		at:   func(f *File) *Value { return &f.CookieAt.Path },
		read: func(l *layout, v found) { l.file.Session.Path = l.cookiePath(v.Value) }},
	{path: "session.cookie.same_site", older: []string{"security.session.cookie.same_site", "cookies.same_site"},
		doc:  "The SameSite mode of the session cookie. Default: Lax.",
		is:   object{"enum": []string{"Strict", "Lax", "None"}},
		at:   func(f *File) *Value { return &f.CookieAt.SameSite },
		read: func(l *layout, v found) { l.file.Session.SameSite = l.sameSite(v.Value) }},
	{path: "session.cookie.persistent",
		doc:  "Whether the session cookie outlives the browser. Default: true.",
		is:   schemaFlag,
		read: func(l *layout, v found) { l.flag(v.Value, &l.file.Session.Persistent) }},
	{path: "session.cookie.secure", older: []string{"cookies.secure"},
		doc:  "Whether the session cookie is sent over https only. Default: true.",
		is:   schemaFlag,
		at:   func(f *File) *Value { return &f.CookieAt.Secure },
		read: func(l *layout, v found) { l.flag(v.Value, &l.file.Session.Secure) }},

	{path: "secrets.session", older: []string{"secrets.default", "secrets.cookie"},
		doc:  "The secrets of the session cookie: the first signs, all verify. ${NAME} and file:PATH refer to one.",
		is:   object{"type": "array", "items": schemaText, "minItems": 1},
		read: func(l *layout, v found) { l.file.Secrets = l.secrets(v.Value) }},
	{path: "secrets.cipher", kratos: true},
	{path: "secrets.pagination", kratos: true},

	{path: "security.account_enumeration.mitigate",
		doc: "Whether nobody may find out who has an account: makes the finding enumeration an error.",
		is:  schemaFlag,
		read: func(l *layout, v found) {
			if on := false; l.flag(v.Value, &on) && on {
				l.file.Mitigate = v.Value
			}
		}},

	{path: "selfservice.allowed_return_urls",
		older: []string{"urls.whitelisted_return_to_urls",
			"selfservice.whitelisted_return_to_urls", "selfservice.whitelisted_return_urls"},
		doc:  "The URLs that a request may name in return_to.",
		is:   object{"type": "array", "items": schemaText},
		at:   func(f *File) *Value { return &f.AllowedAt },
		read: func(l *layout, v found) { l.file.Allowed = l.allowed(v.Value) }},
	{path: "selfservice.default_browser_return_url",
		older: []string{"urls.default_return_to", "selfservice.default_return_to"},
		doc:   "Where users go after a flow, unless the request says so.",
		is:    schemaText,
		read:  (*layout).returnURL},
	{path: "selfservice.flows.<flow>.after.default_browser_return_url",
		older: []string{ // the key of the flow itself is not older, but overruled as well
			"selfservice.flows.<flow>.default_return_to", "selfservice.flows.<flow>.default_browser_return_url",
			"selfservice.flows.<flow>.after.default_return_to"},
		doc:  "Where users go after this flow, unless the request says so.",
		is:   schemaText,
		read: (*layout).returnURL},
	{path: "selfservice.flows.<flow>.after.<strategy>.default_browser_return_url",
		older: []string{"selfservice.flows.<flow>.after.<strategy>.default_return_to"},
		doc:   "Where users go after this flow by this strategy, unless the request says so.",
		is:    schemaText,
		read:  (*layout).returnURL},

	{path: "selfservice.flows.verification.ui_url", older: []string{"urls.verify_ui"},
		doc: "Your page for links of verification emails.",
		at:  func(f *File) *Value { return &f.Verification.URL }},
	{path: "selfservice.flows.verification.use",
		doc:  "What verification emails have: a link, which is the default, or a code.",
		is:   schemaLinkOrCode,
		read: func(l *layout, v found) { l.use(v.Value, &l.file.Verification) }},
	{path: "selfservice.flows.verification.lifespan",
		doc:  "How long a link or a code is valid. Default: 24h for a link, 10m for a code.",
		is:   schemaDuration,
		read: func(l *layout, v found) { l.lifespan(v.Value, &l.file.Verification.Lifespan) }},
	{path: "selfservice.flows.recovery.ui_url",
		doc: "Your page for links of recovery emails.",
		at:  func(f *File) *Value { return &f.Recovery.URL }},
	{path: "selfservice.flows.recovery.use",
		doc:  "What recovery emails have: a link, which is the default, or a code.",
		is:   schemaLinkOrCode,
		read: func(l *layout, v found) { l.use(v.Value, &l.file.Recovery) }},
	{path: "selfservice.flows.recovery.lifespan",
		doc:  "How long a link or a code is valid. Default: 1h for a link, 10m for a code.",
		is:   schemaDuration,
		read: func(l *layout, v found) { l.lifespan(v.Value, &l.file.Recovery.Lifespan) }},
	{path: "selfservice.flows.<flow>.enabled", kratos: true,
		doc: "Has no effect here: Kratos closes a flow with false.",
		is:  schemaFlag,
		read: func(l *layout, v found) {
			if on := false; l.flag(v.Value, &on) {
				l.file.Enabled = append(l.file.Enabled, Flag{v.flow, on, v.Value})
			}
		}},
	{path: "flowhook.accept", // read by accept
		doc: "The rules of findings that are intended.",
		is:  schemaAccept,
		at:  func(f *File) *Value { return &f.AcceptAt }},
	{path: "selfservice.methods", kratos: true},
	{path: "selfservice.strategies", kratos: true},
}

// places returns the paths of a setting, oldest first.
func (s *setting) places() []string { return slices.Concat(s.older, []string{s.path}) }

// ignored lists keys of Kratos that flowhook does not read, by the path that they are below. They
// do not show that a file is one of Kratos, because they tell too little.
var ignored = map[string][]string{
	"selfservice.flows.<flow>": {"enable_legacy_one_step", "lifespan", "link_lifespan", "login_hints",
		"notify_unknown_recipients", "privileged_session_max_age", "redirect_to", "request_lifespan", "required_aal",
		"style", "ui_url", "use"},
	"selfservice.flows.verify": {"return_to"}, // until v0.3
}

var (
	// kratosTops are the keys at the top level that only a file of Kratos has. Keys that any
	// service may have, such as log, are not among them.
	kratosTops = []string{"ciphers", "courier", "feature_flags", "hashers", "oauth2_provider"}

	// kratosPairs are keys that some other services have as well. A file with two of them is one of
	// Kratos; the version counts as one.
	kratosPairs = []string{"dsn", "identity", "serve"}

	// kratosPages are keys beside the flows, in some version of Kratos, that cannot have hooks.
	kratosPages = []string{"error", "profile", "verify"}
)
