package draw

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	all := chains([]string{"login", "registration"}, []string{"password"},
		"login/before ban", "login/after/password revoke", "login/after redirect /home", "login/after audit", "registration/after verify")
	all[0].Hooks[0].Timeout, all[0].Hooks[0].File = 2*time.Second, "auth.yml:3:5"
	require.Equal(t, strings.TrimPrefix(`
POINT                 HOOK               AT
login/before          ban, at most 2s    auth.yml:3:5
login/after           redirect to /home                answers
                      audit                            never runs
login/after/password  revoke
                      redirect to /home                answers
                      audit                            never runs
registration/after    verify
`, "\n"), Table(all))
}

func TestTable_NoHooks(t *testing.T) { require.Equal(t, "no hooks\n", Table(nil)) }

func TestTable_UnreachedRedirect(t *testing.T) {
	table := Table(chains([]string{"login"}, nil, "login/after redirect /one", "login/after redirect /two"))
	require.Regexp(t, `redirect to /one +answers\n`, table)
	require.Regexp(t, `redirect to /two +never runs\n`, table)
}

func TestTable_HostileNames(t *testing.T) {
	all := chains([]string{"login"}, nil, "login/after x")
	all[0].Flow, all[0].Strategy = "log\tin\v", "pass\nword"
	all[0].Hooks[0].Hook, all[0].Hooks[0].File = named("a\nlogin/after\tb\u202e\u2028"), "c\td:1"
	table := Table(all)
	require.Equal(t, 2, strings.Count(table, "\n"))
	require.Regexp(t, `(?m)^log\?in\?/after/pass\?word  a\?login/after\?b\?\?  c\?d:1$`, table)
}
