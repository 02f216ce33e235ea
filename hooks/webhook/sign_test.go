package webhook_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/flowhook/flowhook/hooks/webhook"
	"github.com/flowhook/flowhook/internal/testkit"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// Secrets that everybody can read.
const (
	secretOne   = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	secretTwo   = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWY="
	secretThree = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUY="
)

// signed returns requests of several kinds, with two signatures each.
func signed(t *testing.T) []call {
	r := receive(t, nil)
	body := func(source string) (func(any) ([]byte, error), error) {
		return func(any) ([]byte, error) { return []byte(source), nil }, nil
	}
	hooks := r.hooks(t, func(o *webhook.Options) { o.Body = body })
	both := "secrets: [" + secretOne + ", " + secretTwo + "]"
	for _, keys := range []string{
		both,
		both + ", method: PUT, body: 'naïve ☃ \U0001F600'",
		both + ", body: '{\"a\":  1}'",
		both + `, method: PATCH, body: '{"a": "b&c"}', headers: {Content-Type: application/x-www-form-urlencoded}`,
		both + ", method: GET",
	} {
		require.NoError(t, login(pipeline(t, hooks, loginFile("before", r.entry(keys)))).Err)
	}
	return r.take()
}

func TestSignature_Go(t *testing.T) {
	for _, c := range signed(t) {
		require.Len(t, strings.Fields(c.Header.Get("webhook-signature")), 2)
		for secret, valid := range map[string]bool{secretOne: true, secretTwo: true, secretThree: false} {
			verifier, err := standardwebhooks.NewWebhook(secret)
			require.NoError(t, err)
			require.Equal(t, valid, verifier.Verify([]byte(c.body), c.Header) == nil)
			require.Error(t, verifier.Verify([]byte(c.body+" "), c.Header))
		}
	}
}

// verifyJS reads a list of requests from stdin, and prints which of them each secret verifies.
const verifyJS = `
const {Webhook} = require(process.argv[1]);
const {secrets, requests} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const verified = (secret, r) => {
  try { new Webhook(secret).verify(r.body, r.headers, {jsonParse: false}); return true; } catch (e) { return false; }
};
console.log(JSON.stringify(secrets.map(s => requests.map(r => verified(s, r)))));
`

func TestSignature_JavaScript(t *testing.T) {
	library := testkit.Env(t, "FLOWHOOK_STANDARDWEBHOOKS")
	node, err := exec.LookPath("node")
	if err != nil {
		testkit.Missing(t, "there is no node in the PATH")
	}
	type request struct {
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers"`
	}
	var input struct {
		Secrets  []string  `json:"secrets"`
		Requests []request `json:"requests"`
	}
	input.Secrets = []string{secretOne, secretTwo, secretThree}
	for _, c := range signed(t) {
		headers := map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = c.Header.Get(name)
		}
		input.Requests = append(input.Requests, request{c.body, headers}, request{c.body + " ", headers})
	}
	text, err := json.Marshal(input)
	require.NoError(t, err)
	cmd := exec.Command(node, "-e", verifyJS, library)
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.Output()
	require.NoError(t, err)
	var verified [][]bool
	require.NoError(t, json.Unmarshal(out, &verified), string(out))
	require.Len(t, verified, 3)
	for i, list := range verified {
		require.Len(t, list, 10)
		for j, ok := range list {
			require.Equal(t, i < 2 && j%2 == 0, ok, "secret %d, request %d", i, j)
		}
	}
}

// TestSignature_None sends an unsigned request without secrets.
func TestSignature_None(t *testing.T) {
	r := receive(t, nil)
	require.NoError(t, login(pipeline(t, r.hooks(t), loginFile("before", r.entry("mode: gate")))).Err)
	got := r.take()[0].Header
	require.NotContains(t, got, http.CanonicalHeaderKey("webhook-signature"))
	require.Regexp(t, `^msg_[A-Z2-7]{26}$`, got.Get("webhook-id"))
	require.Regexp(t, `^\d{10}$`, got.Get("webhook-timestamp"))
}
