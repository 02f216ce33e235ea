package acceptance_test

import (
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/assert"
)

func provesNestedConfig(t *testing.T) {
	const rule, closed = "nested-config", "selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}"
	own := func(_ *flowtest.Service, o *flowhook.Options) { o.Secrets = []string{flowtest.StrongSecret} }
	const noSecrets = " # secrets: in the options"
	for _, text := range []string{
		"kratos: {config: {" + closed + "}}" + noSecrets,
		"secrets: {session: [" + flowtest.StrongSecret + "]}\nlog: {level: info, " + closed + "}" + noSecrets,
		"session: {lifespan: 1h}\nkratos: {login: {before: [{hook: redirect, config: {to: /closed}}]}}" + noSecrets,
		"data: {auth.yml: \"" + closed + "\"}" + noSecrets,
	} {
		h := claimed(t, rule, text, own)
		assert.Empty(t, h.Browser().GetPath("/login").Header["Location"], text)
	}
	h := mended(t, rule, closed+noSecrets, own)
	assert.Equal(t, []string{"/closed"}, h.Browser().GetPath("/login").Header["Location"])
}

func provesUnresolved(t *testing.T) {
	const rule = "unresolved"
	t.Setenv("FLOWHOOK_BODY", "the value")
	var got []string
	own := func(_ *flowtest.Service, o *flowhook.Options) { o.Hooks = flowtest.Bodies(&got).Hooks }
	texts := []string{"$FLOWHOOK_BODY", "Bearer ${FLOWHOOK_BODY}", "https://${FLOWHOOK_BODY}/x", " ${FLOWHOOK_BODY} ",
		"a ${FLOWHOOK_BODY:-b}"}
	for _, text := range texts {
		claimed(t, rule, "selfservice: {login: {before: [{hook: body, config: {body: '"+text+"'}}]}}", own)
	}
	for _, text := range []string{"${FLOWHOOK_BODY}", "$${FLOWHOOK_BODY}", "$5 and {FLOWHOOK_BODY}"} {
		mended(t, rule, "selfservice: {login: {before: [{hook: body, config: {body: '"+text+"'}}]}}", own)
	}
	assert.Equal(t, append(texts, "the value", "${FLOWHOOK_BODY}", "$5 and {FLOWHOOK_BODY}"), got)
}

// An entry that accepts nothing hides the first finding of its rule.
func provesUnusedAccept(t *testing.T) {
	const rule = "unused-accept"
	const open = "selfservice: {login: {after: [{hook: session}]}}\n"
	const closed = "selfservice: {login: {before: [{hook: redirect, config: {to: /closed}}]}}\n"
	const accept = "flowhook: {accept: [{rule: closed, reason: maintenance}]}\n"
	hides := func(h *flowtest.Service, with string) bool {
		assert.NoError(t, h.Pipeline.Reload(flowtest.Parse(t, closed+with)))
		assert.Equal(t, []string{"/closed"}, h.Browser().GetPath("/login").Header["Location"])
		return !flowtest.HasFinding(h.Pipeline, "closed")
	}
	assert.True(t, hides(claimed(t, rule, open+accept), accept))
	assert.False(t, hides(mended(t, rule, open), ""))
}
