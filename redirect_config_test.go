package flowhook_test

import (
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

func TestRedirect_Config(t *testing.T) {
	const returns = "selfservice: {allowed_return_urls: [/app], "
	for _, row := range []struct{ name, file, config, target, key, problem string }{
		{"to", "", "{to: https://www.ory.sh/maintenance}", "https://www.ory.sh/maintenance", "", ""},
		{"default_redirect_url", "", "{default_redirect_url: /x}", "/x", "", ""},
		{"return_to_off", "", "{to: /x, allow_user_defined_redirect: false}", "/x", "", ""},
		{"return_to_without_urls", "", "{to: /x, allow_user_defined_redirect: true}", "", ".allow_user_defined_redirect", "selfservice.allowed_return_urls"},
		{"return_to_with_urls", returns, "{to: /x, allow_user_defined_redirect: true}", "/x", "", ""},
		{"both", "", "{to: /x, default_redirect_url: /y}", "", ".default_redirect_url", `"to" is set as well`},
		{"both_one_empty", "", `{to: "/z", default_redirect_url: ""}`, "", ".default_redirect_url", `"to" is set as well`},
		{"none", "", "{}", "", "", `"to" is missing`},
		{"null", "", "{to: }", "", ".to", "found null"},
		{"empty", "", `{to: ""}`, "", ".to", "is empty"},
		{"bad_target", "", "{to: //other.example}", "", ".to", "another host"},
		{"bad_target_under_the_other_key", "", "{default_redirect_url: //other.example}", "", ".default_redirect_url", "another host"},
		{"misspelled_key", "", "{too: /x}", "", ".too", `unknown key "too"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := row.file
			if file == "" {
				file = "selfservice: {"
			}
			p, err := flowhook.New(flowtest.Parse(t, file+"login: {before: [{hook: redirect, config: "+row.config+"}]}}"), flowhook.Options{})
			if row.problem != "" {
				var first *flowhook.ConfigError
				require.ErrorAs(t, err, &first)
				require.Equal(t, "selfservice.login.before[0].config"+row.key, first.Path)
				require.Contains(t, first.Problem, row.problem)
				return
			}
			require.NoError(t, err)
			for _, hooks := range p.Plan().Points() {
				require.Equal(t, row.target, hooks[0].Target)
				require.Equal(t, row.file != "", hooks[0].FollowsReturnTo)
			}
		})
	}
}

func TestRedirect_ConfigReportsAllKeys(t *testing.T) {
	_, err := flowhook.New(flowtest.Parse(t, "selfservice: {login: {before: [{hook: redirect, config: "+
		"{to: foo, default_redirect_url: /x, allow_user_defined_redirect: true}}]}}"), flowhook.Options{})
	var paths []string
	for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
		paths = append(paths, err.(*flowhook.ConfigError).Path)
	}
	const config = "selfservice.login.before[0].config."
	require.Equal(t, []string{config + "to", config + "default_redirect_url", config + "allow_user_defined_redirect"}, paths)
}
