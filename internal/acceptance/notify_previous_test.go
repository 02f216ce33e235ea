package acceptance_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

func TestNotify_Recipients(t *testing.T) {
	has := []flowhook.Address{verified(oldEmail), verified("second@example.org"), emails("third@example.org")[0]}
	for config, want := range map[string][]string{
		"":             {oldEmail},
		"removed":      {oldEmail},
		"all_verified": {oldEmail, "second@example.org"},
		"all":          {oldEmail, "second@example.org", "third@example.org"},
	} {
		for _, waits := range []bool{true, false} {
			t.Run(fmt.Sprintf("%q/change waits %t", config, waits), func(t *testing.T) {
				text := changeYAML
				if config != "" {
					text = strings.ReplaceAll(text, "{hook: notify_previous_addresses}",
						"{hook: notify_previous_addresses, config: {recipients: "+config+"}}")
				}
				if !waits {
					text = strings.ReplaceAll(text, "{hook: verify_new_address}, ", "")
				}
				s, v := newChangeService(t, text, has)
				res := v.post("/settings", "address", newEmail, "address", "second@example.org", "address", "third@example.org")
				require.Equal(t, http.StatusOK, res.StatusCode)
				var notices []flowhook.Message
				for _, m := range s.mail.Take() {
					if m.To == newEmail {
						require.True(t, waits)
						continue
					}
					notices = append(notices, m)
					requireNoMention(t, m, newEmail)
					require.Equal(t, m.To == oldEmail, m.Link != "", "only the owner of the old address gets a link")
				}
				require.Equal(t, want, recipients(notices))
			})
		}
	}
}
