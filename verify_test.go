package flowhook_test

import (
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// withVerify has a verify hook with a config.
func withVerify(config string) string {
	return strings.ReplaceAll(verifyYAML, "{hook: verify}", "{hook: verify, config: {"+config+"}}")
}

func TestAMailSaysHowLongItsLinkIsGood(t *testing.T) {
	for _, row := range []struct{ lifespan, says string }{
		{"1s", "expires in one second."}, {"1m", "expires in one minute."}, {"1h", "expires in one hour."}, {"60m", "expires in one hour."},
		{"90s", "expires in 90 seconds."}, {"90m", "expires in 90 minutes."}, {"48h", "expires in 48 hours."}, {"1500ms", "expires in 1.5s."},
	} {
		h := newHost(t, withVerify("lifespan: "+row.lifespan))
		h.browser().post("/registration/password", "user", "carol")
		mails := h.mail.take()
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
		_, err = flowhook.New(cfg, flowhook.Options{Store: newHostStore(), Courier: &mailbox{}, VerificationURL: "https://auth.example/verify"})
		require.ErrorContains(t, err, says, config)
	}
}

func TestTheLongestAddressGetsItsMail(t *testing.T) {
	h := newHost(t, verifyYAML)
	local := strings.Repeat("a", 254-len("@example.org"))
	h.browser().post("/registration/password", "user", local)
	require.Len(t, h.mail.take(), 1)
	h.browser().post("/registration/password", "user", local+"a")
	require.Empty(t, h.mail.take())
}
