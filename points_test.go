package flowhook_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// many has every kind of place: a flow that is closed, hooks of a strategy and flow-wide ones, one that never runs.
const many = `selfservice:
  flows:
    settings:
      before:
        hooks:
          - hook: redirect
            config:
              to: https://www.example.org/closed?ticket=secret#there
      after:
        profile:
          hooks:
            - hook: audit
    registration:
      after:
        password:
          hooks:
            - hook: audit
              phase: before_persist
              timeout: 2s
            - hook: session
            - hook: redirect
              phase: after
              timeout: 1m30s
              config:
                to: /welcome
            - hook: audit
        hooks:
          - hook: verify
      failed:
        hooks:
          - hook: audit
    login:
      after:
        oidc:
          hooks:
            - hook: session
courier: {}
`

// A listed is what Points gives of one point.
type listed struct {
	at    flowhook.Point
	hooks []flowhook.HookInfo
}

func points(p *flowhook.Pipeline) (all []listed) {
	for at, hooks := range p.Plan().Points() {
		all = append(all, listed{at, hooks})
	}
	return all
}

// configured makes a pipeline of a file's text, with what any hook in it may need.
func configured(t *testing.T, text string, change ...func(cfg *flowhook.Config, o *flowhook.Options)) *flowhook.Pipeline {
	t.Helper()
	cfg, err := flowhook.ParseConfig([]byte(text))
	require.NoError(t, err)
	opts := flowtest.AnyOptions()
	opts.VerificationURL = "https://auth.example.org/verify"
	for _, c := range change {
		c(cfg, &opts)
	}
	p, err := flowhook.New(cfg, opts)
	require.NoError(t, err)
	return p
}

func TestPoints(t *testing.T) {
	p := configured(t, many)
	line := func(line, column int) flowhook.Position { return flowhook.Position{Line: line, Column: column} }
	var (
		wide  = flowtest.At(flowhook.Registration, flowhook.After, flowhook.FlowWide)
		gate  = flowtest.At(flowhook.Registration, flowhook.BeforePersist, flowhook.Password)
		after = flowtest.At(flowhook.Registration, flowhook.After, flowhook.Password)
		fail  = flowtest.At(flowhook.Registration, flowhook.Failed, flowhook.FlowWide)
		oidc  = flowtest.At(flowhook.Login, flowhook.After, flowhook.OIDC)
		shut  = flowtest.At(flowhook.Settings, flowhook.Before, flowhook.FlowWide)
		saved = flowtest.At(flowhook.Settings, flowhook.After, flowhook.Profile)
	)
	verify := flowhook.HookInfo{Name: "verify", Position: line(28, 19), Point: wide}
	verifyBehind := verify
	verifyBehind.NeverRuns = true
	audit := flowhook.HookInfo{Name: "audit", Position: line(31, 19), Point: fail, Custom: true}
	want := []listed{ // flows in the order of their constants
		{oidc, []flowhook.HookInfo{{Name: "session", Position: line(36, 21), Point: oidc}}},
		{wide, []flowhook.HookInfo{verify}},
		{fail, []flowhook.HookInfo{audit}},
		{gate, []flowhook.HookInfo{{Name: "audit", Position: line(17, 21), Point: gate, Custom: true, Timeout: 2 * time.Second}}},
		{after, []flowhook.HookInfo{
			{Name: "session", Position: line(20, 21), Point: after},
			{Name: "redirect", Position: line(21, 21), Point: after, Target: "/welcome", Timeout: 90 * time.Second},
			{Name: "audit", Position: line(26, 21), Point: after, Custom: true, NeverRuns: true},
			verifyBehind,
		}},
		{flowtest.At(flowhook.Registration, flowhook.Failed, flowhook.Password), []flowhook.HookInfo{audit}},
		{shut, []flowhook.HookInfo{{Name: "redirect", Position: line(6, 19), Point: shut, Target: "https://www.example.org/closed"}}},
		{saved, []flowhook.HookInfo{{Name: "audit", Position: line(12, 21), Point: saved, Custom: true, NeverRuns: true}}},
	}
	got := points(p)
	require.Len(t, got, len(want))
	for i := range got {
		for j := range got[i].hooks {
			got[i].hooks[j].Findings = nil // below
			require.Equal(t, got[i].hooks[j].Name == "audit", got[i].hooks[j].Description == "", "built-in hooks describe themselves")
			got[i].hooks[j].Description = ""
		}
		require.Equal(t, want[i], got[i])
	}

	t.Run("as a table", func(t *testing.T) {
		require.Equal(t, strings.TrimPrefix(`
POINT                                 HOOK                                        AT
login/after/oidc                      session                                     36:21
registration/after                    verify                                      28:19
registration/failed                   audit                                       31:19
registration/before_persist/password  audit, at most 2s                           17:21
registration/after/password           session                                     20:21
                                      redirect to /welcome, at most 1m30s         21:21  answers
                                      audit                                       26:21  never runs
                                      verify                                      28:19  never runs
registration/failed/password          audit                                       31:19
settings/before                       redirect to https://www.example.org/closed  6:19   answers
settings/after/profile                audit                                       12:21  never runs
`, "\n"), p.Plan().String())
		require.Equal(t, "no hooks\n", configured(t, "").Plan().String())
	})

	t.Run("with the findings beside the hooks that they are about", func(t *testing.T) {
		beside := map[string][]string{}
		for _, l := range points(p) {
			for _, h := range l.hooks {
				for _, f := range h.Findings {
					require.Contains(t, p.Plan().Findings(), f)
					key := l.at.String() + " " + h.Name + " " + h.Position.String()
					beside[key] = append(beside[key], f.Rule)
				}
			}
		}
		require.Equal(t, map[string][]string{
			"registration/after/password session 20:21": {"enumeration", "kratos-session-last"},
			"registration/after/password audit 26:21":   {"never-runs"},
			"registration/after verify 28:19":           {"never-runs"}, // by password, it says
			"registration/after/password verify 28:19":  {"never-runs"},
			"settings/before redirect 6:19":             {"closed"},
			"settings/after/profile audit 12:21":        {"never-runs"},
		}, beside)
	})

	t.Run("of which the slices are the caller's", func(t *testing.T) {
		was := fmt.Sprintf("%+v", points(p))
		for _, hooks := range p.Plan().Points() {
			for i := range hooks {
				clear(hooks[i].Findings)
			}
			clear(hooks)
		}
		clear(p.Plan().Findings())
		require.Equal(t, was, fmt.Sprintf("%+v", points(p)))
		require.NotZero(t, p.Plan().Findings()[0])
		for range p.Plan().Points() {
			break // an iterator may be left
		}
	})
}

func TestPointsHasWhatWasAdded(t *testing.T) {
	invite := flowtest.At("invite", flowhook.After, "magic")
	p := configured(t, "selfservice: {flows: {invite: {after: {magic: {hooks: [{hook: audit}]}}}}}", func(cfg *flowhook.Config, _ *flowhook.Options) {
		cfg.Add(invite, "greets", flowhook.HookFunc(flowtest.NoOp))
		cfg.Add(invite, "session", nil)
		cfg.Add(invite, "redirect", flowhook.Redirect("https://example.org/?token=secret"))
		cfg.Add(invite, "redirect", flowhook.Redirect("/#secret"))
	})
	all := points(p)
	require.Len(t, all, 1)
	require.Equal(t, invite, all[0].at)
	var got []string
	for _, h := range all[0].hooks {
		require.Equal(t, invite, h.Point)
		require.Equal(t, h.Name == "audit" || h.Name == "greets", h.Custom)
		got = append(got, h.Name+" "+h.Target)
		if h.Name != "audit" {
			require.Equal(t, "points_test.go", filepath.Base(h.Position.File))
			require.Positive(t, h.Position.Line)
		}
	}
	require.Equal(t, []string{"audit ", "greets ", "session ", "redirect https://example.org/", "redirect /"}, got)
	require.NotContains(t, p.Plan().String(), "secret")
}

// A host may declare what flowhook knows, or one thing twice: it is there once.
func TestWhatIsDeclaredTwiceIsThereOnce(t *testing.T) {
	const text = "selfservice: {login: {after: {password: [{hook: session}], magic: [{hook: session}]}}, invite: {after: [{hook: session}]}}"
	once := configured(t, text)
	twice := configured(t, text, func(_ *flowhook.Config, o *flowhook.Options) {
		o.Flows = []flowhook.Flow{flowhook.Login, "invite", "invite"}
		o.Strategies = []flowhook.Strategy{flowhook.Password, "magic", "magic"}
	})
	require.Equal(t, points(once), points(twice))
	require.Equal(t, once.Plan().Findings(), twice.Plan().Findings())
	require.Equal(t, 3, strings.Count(twice.Plan().String(), "session"), twice)
}

func TestPointsFollowReload(t *testing.T) {
	p := configured(t, many)
	before := p.Plan().Points()
	cfg, err := flowhook.ParseConfig([]byte("selfservice: {login: {after: {password: [{hook: sesion}]}}}"))
	require.NoError(t, err)
	was := p.Plan().String()
	require.Error(t, p.Reload(cfg))
	require.Equal(t, was, p.Plan().String())

	cfg, err = flowhook.ParseConfig([]byte("selfservice: {login: {after: {password: [{hook: session}]}}}"))
	require.NoError(t, err)
	require.NoError(t, p.Reload(cfg))
	all := points(p)
	all[0].hooks[0].Description = ""
	require.Equal(t, []listed{{flowtest.LoginAfter, []flowhook.HookInfo{{Name: "session", Position: flowhook.Position{Line: 1, Column: 49}, Point: flowtest.LoginAfter}}}}, all)
	require.NotContains(t, flowtest.RulesOf(p.Plan().Findings()), "enumeration")
	n := 0
	for range before {
		n++
	}
	require.Equal(t, 8, n, "who has begun to look sees one configuration")
}

func TestPointsSayWhichRedirectsAsk(t *testing.T) {
	p, err := flowhook.New(flowtest.Parse(t, `
selfservice:
  allowed_return_urls: [/app]
  login: {after: {oidc: [{hook: redirect, config: {to: "/home?token=x", allow_user_defined_redirect: true}}], code: [{hook: redirect, config: {to: /}}]}}
`), flowhook.Options{})
	require.NoError(t, err)
	asks := map[string]bool{}
	for _, hooks := range p.Plan().Points() {
		asks[hooks[0].Target] = hooks[0].FollowsReturnTo
	}
	require.Equal(t, map[string]bool{"/home": true, "/": false}, asks)
	require.Contains(t, p.Plan().String(), "redirect to /home or return_to ")
	require.Contains(t, p.Plan().Mermaid(), "home or return_to")
}
