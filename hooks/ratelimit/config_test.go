package ratelimit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/hooks/ratelimit"
)

func options(t *testing.T) flowhook.Options {
	t.Helper()
	limit, err := ratelimit.New(ratelimit.Options{Key: keysOf, Limiter: &recorder{}})
	require.NoError(t, err)
	return flowhook.Options{Hooks: map[string]flowhook.HookFactory{"rate_limit": limit.Factory}}
}

// entry is a file with one entry at before login.
func entry(config string) string {
	return "selfservice:\n  flows:\n    login:\n      before:\n        hooks:\n          - hook: rate_limit\n" +
		"            config: " + config + "\n"
}

// Every problem of an entry is reported at once, with its position and a hint.
func TestFactory_BadConfig(t *testing.T) {
	const row = "{by: pair, tries: 5, every: 1m}"
	for config, want := range map[string][]string{
		"{}":           {"there are no limits; write a row, such as {by: account, tries: 5, every: 1m}"},
		"{limits: []}": {"there are no limits"},
		"{limits: [{by: acount, tries: 5, every: 1m}]}": {
			`limits[0]: unknown by "acount"; write client, account or pair`},
		"{limits: [{tries: 5, every: 1m}]}": {`limits[0]: unknown by ""`},
		"{limits: [" + row + ", {by: client, every: 1m}]}": {
			"limits[1]: tries is 0; write a positive number"},
		"{limits: [{by: client, tries: -1, every: 1m}]}": {"limits[0]: tries is -1"},
		"{limits: [{by: client, tries: 5}]}": {
			`limits[0]: every is "0s"; write at least 1ms`},
		"{limits: [{by: client, tries: 5, every: 999us}]}": {`limits[0]: every is "999µs"`},
		"{limits: [{by: client, tries: 5, every: -1m}]}":   {`limits[0]: every is "-1m0s"`},
		"{limits: [{by: client, tries: 366, every: 24h}]}": {
			"limits[0]: tries times every is more than 365 days"},
		"{limits: [{by: client, tries: 9223372036854775807, every: 1ms}]}": {
			"limits[0]: tries times every is more than"},
		"{limits: [" + row + ", {by: pair, tries: 50, every: 1h}]}": {
			"limits[1]: a second row by pair; put it into another entry"},
		"{on_error: pass, limits: [" + row + "]}": {
			`unknown on_error "pass"; write continue or refuse`},
		"{name: '', limits: [" + row + "]}": {"the name is empty; leave it out"},
		"{limit: [" + row + "]}": {
			`unknown key "limit"; did you mean "limits"?`},
		"{limits: [{by: pair, tries: 5, evry: 1m}]}": {
			`unknown key "evry"; did you mean "every"?`},
		"{limits: [{by: pair, tries: many, every: 1m}]}": {"7:"},
		"{on_error: x, limits: [{by: x}, {by: client, tries: 5, every: 1m}, {by: client, tries: 0, every: 1m}]}": {
			`unknown on_error "x"`, `limits[0]: unknown by "x"`, "limits[0]: tries is 0", "limits[2]: a second row",
			"limits[2]: tries is 0"},
	} {
		_, err := flowhook.New(parse(t, entry(config)), options(t))
		require.Error(t, err, config)
		for _, w := range want {
			require.ErrorContains(t, err, w, config)
		}
		require.Len(t, strings.Split(err.Error(), "\n"), len(want), "%s: %v", config, err)
		require.Regexp(t, `^[67]:\d+: selfservice.flows.login.before.hooks`, err.Error(), config)
	}
	for _, config := range []string{"{limits: [{by: client, tries: 365, every: 24h}]}",
		"{limits: [{by: client, tries: 1, every: 1ms}]}", "{name: x, on_error: refuse, limits: [" + row + "]}",
		"{on_error: continue, limits: [" + row + "]}"} {
		_, err := flowhook.New(parse(t, entry(config)), options(t))
		require.NoError(t, err, config)
	}
}

func TestFactory_Phases(t *testing.T) {
	for text, problem := range map[string]string{
		"before: {hooks: [{hook: rate_limit}]}":                                         "there are no limits",
		"failed: {hooks: [{hook: rate_limit}]}":                                         "rate_limit is allowed at before",
		"after: {hooks: [{hook: rate_limit, phase: before_persist}]}":                   "rate_limit is allowed at before",
		"after: {hooks: [{hook: rate_limit, config: {name: x}}]}":                       `hook "rate_limit" takes no config`,
		"after: {password: {hooks: [{hook: rate_limit}]}, hooks: [{hook: rate_limit}]}": "",
	} {
		_, err := flowhook.New(parse(t, "selfservice: {flows: {login: {"+text+"}}}"), options(t))
		if problem == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, problem, text)
		}
	}
}

func TestFactory_Describes(t *testing.T) {
	p, err := flowhook.New(parse(t, basic), options(t))
	require.NoError(t, err)
	described := map[string]string{}
	for point, hooks := range p.Plan().Points() {
		for _, h := range hooks {
			described[point.String()] = h.Description
		}
	}
	require.Equal(t, `Limits attempts at "login": 5 by pair, then one every 1m0s; 8 by account, `+
		"then one every 5m0s; 20 by client, then one every 10s.", described["login/before"])
	require.Equal(t, "Gives the attempt back, because it has succeeded.", described["login/after"])
}

func TestFactory_LockOut(t *testing.T) {
	for config, want := range map[string]bool{
		"{limits: [{by: account, tries: 5, every: 1m}]}":                                    true,
		"{limits: [{by: account, tries: 5, every: 1m}, {by: pair, tries: 5, every: 1m}]}":   true,
		"{limits: [{by: account, tries: 5, every: 1m}, {by: client, tries: 2, every: 1m}]}": true,
		"{limits: [{by: account, tries: 5, every: 1m}, {by: pair, tries: 4, every: 1m}]}":   false,
		"{limits: [{by: client, tries: 5, every: 1m}]}":                                     false,
	} {
		found := parse(t, entry(config)).Check(options(t))
		if !want {
			require.Empty(t, found, config)
			continue
		}
		require.Len(t, found, 1, config)
		require.Equal(t, flowhook.SeverityNote, found[0].Severity)
		require.Equal(t, "rate_limit/lock-out", found[0].Rule)
		require.Equal(t, 7, found[0].Position.Line)
	}
}
