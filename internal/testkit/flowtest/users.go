package flowtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// Document returns an example of the document.
func Document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "document", name))
	require.NoError(t, err)
	return string(text)
}

// WithStoreDown gives a Service a store that fails every call.
func WithStoreDown(h *Service, o *flowhook.Options) { o.Store = DownStore{h.Store} }

// WithUsers adds users to the store of a Service.
func WithUsers(users ...User) func(h *Service, o *flowhook.Options) {
	return func(h *Service, o *flowhook.Options) {
		for _, u := range users {
			h.Store.Users[u.ID] = u
		}
	}
}

// Alice and Bob are users with an unverified address.
var Alice, Bob = User{ID: "alice", Email: "alice@example.org"}, User{ID: "bob", Email: "bob@example.org"}

// VerifyYAML has a verify hook at registration and at settings.
const VerifyYAML = `
selfservice:
  registration: {after: [{hook: verify}]}
  settings: {after: [{hook: verification}]}
`

// LinkToken matches the link in an email. Its group is the token.
var LinkToken = regexp.MustCompile(`https://auth\.example/verify\?token=([A-Za-z0-9_-]{43})`)

// A User is a row of the host's own table.
type User struct {
	ID, Email, Name string
	Verified        bool
}

// Identity returns the identity of u.
func (u User) Identity() *flowhook.Identity {
	return &flowhook.Identity{ID: u.ID, Data: u,
		Addresses: []flowhook.Address{{Via: "email", Value: u.Email, Verified: u.Verified}}}
}
