// Package hooktest tests a service's configuration and its own hooks in a few lines, without its database, its mail server
// and its clock:
//
//	func TestConfiguration(t *testing.T) {
//		hooktest.CheckFile(t, "auth.yml", options()) // fails for every error and every warning
//	}
//
//	func TestNewUserIsSignedIn(t *testing.T) {
//		rig := hooktest.New(t, "auth.yml", options())
//		alice := &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{{Via: "email", Value: "alice@example.org"}}}
//
//		got := rig.Complete(flowhook.Registration, flowhook.Password, &flowhook.Exchange{Identity: alice}, nil)
//
//		if want := []string{"block_disposable", "session", "verify"}; got.Err != nil || !slices.Equal(got.Ran, want) {
//			t.Errorf("ran %q, want %q: %v", got.Ran, want, got.Err)
//		}
//		if got.SignedIn == nil || len(got.Mails) != 1 {
//			t.Errorf("signed in: %v, mails: %v", got.SignedIn, got.Mails)
//		}
//	}
//
// The options are those that the service gives to flowhook.New, as far as they matter: the factories of its hooks, its own
// flows and strategies. What is left out and a test needs, the package fills in; what is given, it leaves as it is.
package hooktest
