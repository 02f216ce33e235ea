package flowhook_test

import (
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/internal/testkit/flowtest"
	"github.com/stretchr/testify/require"
)

// withVerify has a verify hook with a config.
func withVerify(config string) string {
	return strings.ReplaceAll(flowtest.VerifyYAML, "{hook: verify}", "{hook: verify, config: {"+config+"}}")
}

func TestAMailSaysHowLongItsLinkIsGood(t *testing.T) {
	for _, row := range []struct{ lifespan, says string }{
		{"1s", "for one second."}, {"1m", "for one minute."}, {"1h", "for one hour."}, {"60m", "for one hour."},
		{"90s", "for 90 seconds."}, {"90m", "for 90 minutes."}, {"48h", "for 48 hours."}, {"1500ms", "for 1.5s."},
	} {
		h := flowtest.NewService(t, withVerify("lifespan: "+row.lifespan))
		h.Browser().PostPath("/registration/password", "user", "carol")
		mails := h.Mail.Take()
		require.Len(t, mails, 1, row.lifespan)
		require.Contains(t, mails[0].Text, row.says, row.lifespan)
	}
}

func TestVerifyRefusesWhatIsNoDurationForIt(t *testing.T) {
	for config, says := range map[string]string{
		"lifespan: 999ms": "lifespan: must be a duration of at least a second",
		"lifespan: 24":    "lifespan: must be a duration of at least a second",
		"interval: 1":     "interval: must be a duration with a unit",
		"interval: -1ns":  "interval: must be a duration with a unit",
	} {
		cfg, err := flowhook.ParseConfig([]byte(withVerify(config)))
		require.NoError(t, err)
		_, err = flowhook.New(cfg, flowhook.Options{Store: flowtest.NewUserStore(), Courier: &flowtest.Mailbox{}, VerificationURL: "https://auth.example/verify"})
		require.ErrorContains(t, err, says, config)
	}
}

func TestTheLongestAddressGetsItsMail(t *testing.T) {
	h := flowtest.NewService(t, flowtest.VerifyYAML)
	local := strings.Repeat("a", 254-len("@example.org"))
	h.Browser().PostPath("/registration/password", "user", local)
	require.Len(t, h.Mail.Take(), 1)
	h.Browser().PostPath("/registration/password", "user", local+"a")
	require.Empty(t, h.Mail.Take())
}
