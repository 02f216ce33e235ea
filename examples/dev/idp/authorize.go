package idp

import (
	"crypto/rand"
	"net/http"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A request is an authorization request, from the URL and later from the hidden fields of the form.
type request struct {
	ClientID, RedirectURI, State, Nonce, Challenge string
	Scopes                                         []string
}

// hidden are the parameters that the form repeats.
var hidden = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method"}

// challenge matches a PKCE code challenge: SHA-256 in base64url.
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// read checks the parameters. If the client or its redirect URI is wrong, it answers with a page,
// because a browser must not be redirected to an unknown URL. It reports other errors to the
// client.
func (p *Provider) read(w http.ResponseWriter, q url.Values) (r request, ok bool) {
	for name, values := range q {
		if len(values) > 1 {
			p.page(w, http.StatusBadRequest, page{Problem: "The parameter " + name + " appears more than once."})
			return r, false
		}
	}
	r = request{q.Get("client_id"), q.Get("redirect_uri"), q.Get("state"), q.Get("nonce"), q.Get("code_challenge"),
		strings.Fields(q.Get("scope"))}
	switch {
	case r.ClientID != p.o.ClientID:
		p.page(w, http.StatusBadRequest, page{Problem: "The client_id is unknown. This provider has a single client " +
			"with another client_id."})
		return r, false
	case r.RedirectURI != p.o.RedirectURI:
		p.page(w, http.StatusBadRequest, page{Problem: "The redirect_uri is not the registered one. They must match " +
			"exactly."})
		return r, false
	}
	problem, description := "", ""
	switch {
	case q.Get("response_type") != "code":
		problem, description = "unsupported_response_type", "response_type must be code"
	case q.Get("response_mode") != "" && q.Get("response_mode") != "query":
		problem, description = "invalid_request", "response_mode must be query"
	case !slices.Contains(r.Scopes, "openid"):
		problem, description = "invalid_scope", "scope must contain openid"
	case q.Get("code_challenge_method") != "S256" || !challenge.MatchString(r.Challenge):
		problem, description = "invalid_request", "PKCE is required: a code_challenge with code_challenge_method S256"
	case q.Has("request"):
		problem, description = "request_not_supported", "request objects are not supported"
	case q.Get("prompt") == "none":
		problem, description = "login_required", "users do not stay signed in here"
	default:
		return r, true
	}
	p.back(w, r, url.Values{"error": {problem}, "error_description": {description}})
	return r, false
}

// back redirects the browser to the client. The redirect URI has been checked.
func (p *Provider) back(w http.ResponseWriter, r request, with url.Values) {
	with.Set("iss", p.issuer)
	if r.State != "" {
		with.Set("state", r.State)
	}
	separator := "?"
	if strings.Contains(r.RedirectURI, "?") {
		separator = "&"
	}
	h := w.Header()
	h.Set("Location", r.RedirectURI+separator+with.Encode())
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", p.policy)
	w.WriteHeader(http.StatusSeeOther)
}

// authorize shows the login page.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if _, ok := p.read(w, q); ok {
		p.page(w, http.StatusOK, page{Form: &form{Fields: fields(q), Email: q.Get("login_hint"), Verified: true}})
	}
}

func fields(q url.Values) (all [][2]string) {
	for _, name := range hidden {
		if q.Has(name) {
			all = append(all, [2]string{name, q.Get(name)})
		}
	}
	return all
}

// login handles the form and redirects to the client with a code.
func (p *Provider) login(w http.ResponseWriter, hr *http.Request) {
	if err := hr.ParseForm(); err != nil {
		p.page(w, http.StatusBadRequest, page{Problem: "The form could not be read."})
		return
	}
	q := hr.PostForm
	r, ok := p.read(w, q)
	if !ok {
		return
	}
	if q.Get("answer") == "cancel" {
		p.back(w, r, url.Values{"error": {"access_denied"}, "error_description": {"the user canceled"}})
		return
	}
	f := &form{Fields: fields(q), Name: strings.TrimSpace(q.Get("name")), Email: strings.TrimSpace(q.Get("email")),
		Verified: q.Get("verified") == "yes"}
	switch {
	case f.Name == "":
		f.NameProblem = "Enter a name."
	case !validName(f.Name):
		f.NameProblem = "Use at most 100 printable characters."
	}
	if !validEmail(f.Email) {
		f.EmailProblem = "Enter an email address such as name@example.org."
	}
	if f.NameProblem != "" || f.EmailProblem != "" {
		p.page(w, http.StatusUnprocessableEntity, page{Form: f})
		return
	}
	code := p.grant(grant{request: r, name: f.Name, email: f.Email, verified: f.Verified, at: p.o.Now()})
	p.back(w, r, url.Values{"code": {code}})
}

func validName(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= 100 &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254
}

// A grant is the sign-in that a code was issued for.
type grant struct {
	request
	name, email string
	verified    bool
	at          time.Time
}

const (
	codeLife = time.Minute
	maxCodes = 1000
)

func (p *Provider) grant(g grant) (code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for code, old := range p.codes {
		if len(p.codes) >= maxCodes || !g.at.Before(old.at.Add(codeLife)) {
			delete(p.codes, code)
		}
	}
	code = rand.Text()
	p.codes[code] = g
	return code
}

// redeem returns the grant of a code. A code works once.
func (p *Provider) redeem(code string) (grant, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.codes[code]
	delete(p.codes, code)
	return g, ok && p.o.Now().Before(g.at.Add(codeLife))
}
