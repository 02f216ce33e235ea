package flowhook_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hidden are characters that show nothing.
var hidden = []rune{'\u00ad', '\u034f', '\u061c', '\u115f', '\u180e', '\u200b', '\u200c', '\u200d', '\u200e', '\u202e', '\u2060', '\u2063',
	'\u2800', '\u3164', '\ufe0f', '\ufeff', '\u00a0', '\u3000', '\U000e0061'}

// resembling are letters that look like ASCII letters.
var resembling = map[rune]string{'a': "аαɑａ𝐚á", 'c': "сϲｃç", 'e': "еεｅé", 'i': "іιıｉì", 'k': "кκｋ", 'o': "оοｏö", 'p': "рρｐ", 's': "ѕｓ𝖘š", 't': "тτｔ",
	'u': "υｕü", 'v': "νѵｖ", 'y': "уｙý", 'r': "гｒř", 'n': "ηｎñ", 'f': "ｆ𝒇"}

// disguises returns words that look like word, each with the code point that an error must show, or
// "" if it is visible.
func disguises(word string) map[string]string {
	all := map[string]string{}
	for i, c := range word {
		for _, h := range hidden {
			all[word[:i]+string(h)+word[i:]] = fmt.Sprintf("%U", h)
		}
		for _, r := range resembling[c] {
			all[word[:i]+string(r)+word[i+1:]] = ""
		}
	}
	var wide strings.Builder
	for _, c := range word {
		wide.WriteRune(c - '!' + 0xff01)
	}
	all[wide.String()] = "U+FF"
	return all
}

func TestLookAlike(t *testing.T) {
	opts := flowtest.AnyOptions()
	for what, row := range map[string]struct {
		file  string
		words []string
	}{
		"top level":         {"%q: {}", []string{"selfservice", "secrets", "session", "cookies", "security", "urls", "login", "invite"}},
		"flow":              {"selfservice: {%q: {}}", []string{"login", "registration", "invite", "flows"}},
		"phase key":         {"selfservice: {login: {%q: []}}", []string{"before", "after", "failed"}},
		"strategy":          {"selfservice: {login: {after: {%q: []}}}", []string{"password", "oidc", "magic", "hooks"}},
		"hook":              {"selfservice: {login: {after: [{hook: %q}]}}", []string{"session", "verify", "audit"}},
		"phase":             {"selfservice: {login: {after: [{hook: audit, phase: %q}]}}", []string{"after"}},
		"key of an entry":   {"selfservice: {login: {after: [{hook: audit, %q: {}}]}}", []string{"config"}},
		"key of a config":   {"selfservice: {login: {after: [{hook: audit, config: {%q: []}}]}}", []string{"tags", "sinks"}},
		"list of secrets":   {"secrets: {%q: [0123456789abcdef]}", []string{"session", "default"}},
		"cookie":            {"session: {%q: {}}", []string{"cookie"}},
		"oldest return URL": {"urls: {%q: /}", []string{"default_return_to"}},
	} {
		t.Run(what+"/is an error", func(t *testing.T) {
			for _, word := range row.words {
				for wrong, code := range disguises(word) {
					cfg, err := flowhook.ParseConfig([]byte(fmt.Sprintf(row.file, wrong)))
					if err == nil {
						_, err = flowhook.New(cfg, opts)
					}
					require.Error(t, err, "%+q", wrong)
					assert.ErrorContains(t, err, code)
					assert.Contains(t, err.Error(), word, "%+q: the plain word is suggested", wrong)
				}
			}
		})
	}
}

func TestLookAlikeInCode(t *testing.T) {
	cfg := &flowhook.Config{}
	cfg.Add(flowtest.At("log\u200bin", flowhook.After, ""), "audit", nil)
	cfg.Add(flowtest.At(flowhook.Login, "аfter", ""), "audit", nil)
	cfg.Add(flowtest.At(flowhook.Login, flowhook.After, "pаssword"), "audit", nil)
	cfg.Add(flowtest.At(flowhook.Login, flowhook.After, ""), "ａudit", nil)
	_, err := flowhook.New(cfg, flowtest.AnyOptions())
	var got []string
	for _, e := range flowtest.ConfigErrors(err) {
		got = append(got, e.Problem+"; "+e.Hint)
	}
	assert.Equal(t, []string{
		`unknown flow "log\u200bin" (with U+200B, which is invisible); did you mean "login"?`,
		`unknown phase "\u0430fter" (with U+0430, a Cyrillic letter); did you mean "after"?`,
		`unknown strategy "p\u0430ssword" (with U+0430, a Cyrillic letter); did you mean "password"?`,
		`unknown hook "\uff41udit" (with U+FF41, a full-width character); did you mean "audit"?`,
	}, got)
}

// A key in another script is the host's, and a name in another script may be declared.
func TestOtherScript(t *testing.T) {
	for _, key := range []string{"секреты", "настройки", "ρυθμίσεις", "設定", "schlüssel", "x-заметки", "tls", "url"} {
		assert.NoError(t, flowtest.Build(key+": {}", flowhook.Options{}), key)
	}
	opts := flowtest.AnyOptions()
	opts.Flows = []flowhook.Flow{"приглашение"}
	opts.Hooks["журнал"] = opts.Hooks["audit"]
	assert.NoError(t, flowtest.Build("selfservice: {приглашение: {after: [{hook: журнал}]}}", opts))
	assert.Equal(t, []string{
		`1:15: selfservice."пригла\u00adшение": unknown flow "пригла\u00adшение"; did you mean "приглашение"?`,
		`1:65: selfservice.login.after[0].hook: unknown hook "журнал2"; did you mean "журнал"?`,
	}, flowtest.Problems(flowtest.Build("selfservice: {пригла\u00adшение: {after: []}, login: {after: [{hook: журнал2}]}}", opts)))
}

func TestErrUnknownPoint(t *testing.T) {
	p, err := flowhook.New(nil, flowtest.AnyOptions())
	require.NoError(t, err)
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{})
	for _, row := range []struct {
		point flowhook.Point
		want  string
	}{
		{flowtest.At("lgin", flowhook.After, "password"), `unknown flow "lgin"; did you mean "login"?`},
		{flowtest.At("newsletter", flowhook.After, ""), `unknown flow "newsletter"; known: login, registration, settings, verification, recovery, logout, invite; for one of the host's own, set Options.Flows`},
		{flowtest.At(flowhook.Login, "afer", "password"), `unknown phase "afer"; did you mean "after"?`},
		{flowtest.At(flowhook.Login, flowhook.After, "pasword"), `unknown strategy "pasword"; did you mean "password"?`},
		{flowtest.At(flowhook.Login, flowhook.After, "magik"), `unknown strategy "magik"; did you mean "magic"?`},
		{flowtest.At(flowhook.Login, flowhook.After, "sms"), `unknown strategy "sms"; did you mean "saml"? for one of the host's own, set Options.Strategies`},
		{flowtest.At(flowhook.Login, flowhook.After, "telegram"), `unknown strategy "telegram"; known: password, oidc, profile, link, code, totp, lookup_secret, webauthn, passkey, saml, magic; for one of the host's own, set Options.Strategies`},
	} {
		if row.point.Flow != flowhook.Login && row.point.Strategy == "" {
			assert.PanicsWithValue(t, "flowhook: unknown point: newsletter/before: "+row.want, func() { p.Middleware(row.point.Flow) })
		}
		_, err := p.Run(ctx, row.point.Flow, row.point.Phase, row.point.Strategy)
		assert.ErrorIs(t, err, flowhook.ErrUnknownPoint)
		assert.EqualError(t, err, "flowhook: unknown point: "+row.point.String()+": "+row.want)
		if row.point.Phase == flowhook.After {
			_, err = p.Complete(ctx, row.point.Flow, row.point.Strategy, func(context.Context) error { return nil })
			assert.EqualError(t, err, "flowhook: unknown point: "+row.point.String()+": "+row.want)
			_, err = p.ReturnURL(flowtest.NewRequest(), row.point.Flow, row.point.Strategy)
			assert.EqualError(t, err, "flowhook: unknown point: "+row.point.String()+": "+row.want)
		}
	}
}

func TestErrUnknownPointOutsideServes(t *testing.T) {
	opts := flowtest.AnyOptions()
	opts.Serves = []flowhook.Point{{Flow: flowhook.Login, Strategy: flowhook.Password}}
	p, err := flowhook.New(nil, opts)
	require.NoError(t, err)
	ctx := flowhook.NewContext(t.Context(), &flowhook.Exchange{})
	for _, at := range []flowhook.Point{flowtest.At(flowhook.Recovery, flowhook.After, flowhook.Link), flowtest.At(flowhook.Login, flowhook.After, flowhook.OIDC)} {
		_, err := p.Run(ctx, at.Flow, at.Phase, at.Strategy)
		assert.EqualError(t, err, "flowhook: unknown point: "+at.String()+": the service does not have it; add it to Options.Serves")
	}
}
