// Package hooktest tests a service's configuration, its hooks and its handlers, without its
// database, mail server or clock.
//
// [CheckFile] checks the configuration:
//
//	func TestConfiguration(t *testing.T) {
//		hooktest.CheckFile(t, "auth.yml", options()) // fails for every error and every warning
//	}
//
// A [Rig] runs the hooks around a flow, and returns what they did:
//
//	func TestNewUserIsSignedIn(t *testing.T) {
//		rig := hooktest.New(t, "auth.yml", options())
//		address := flowhook.Address{Via: "email", Value: "alice@example.org"}
//		alice := &flowhook.Identity{ID: "alice", Addresses: []flowhook.Address{address}}
//
//		got := rig.Complete(flowhook.Registration, flowhook.Password, &flowhook.Exchange{Identity: alice}, nil)
//
//		if want := []string{"block_disposable", "session", "verify"}; got.Err != nil || !slices.Equal(got.Ran, want) {
//			t.Errorf("ran %q, want %q: %v", got.Ran, want, got.Err)
//		}
//		if got.SignedIn == nil || len(got.Mails) != 1 {
//			t.Errorf("signed in: %v, emails: %v", got.SignedIn, got.Mails)
//		}
//	}
//
// A hook that refuses is in Result.Refusal:
//
//	func TestGuestsAreRefused(t *testing.T) {
//		rig := hooktest.New(t, "auth.yml", options())
//		guest := &flowhook.Identity{ID: "guest"}
//
//		got := rig.Complete(flowhook.Login, flowhook.Password, &flowhook.Exchange{Identity: guest}, nil)
//
//		if got.Refusal == nil || got.Refusal.Code != "not_invited" {
//			t.Errorf("not refused: %v", got.Err)
//		}
//	}
//
// [Rig.Serve] does the same with a handler of the service:
//
//	func TestRegister(t *testing.T) {
//		rig := hooktest.New(t, "auth.yml", options())
//		s := &service{pipeline: rig.Pipeline}
//		r := httptest.NewRequest("POST", "/registration?email=alice@example.org", nil)
//
//		got := rig.Serve(flowhook.Registration, http.HandlerFunc(s.register), r)
//
//		if got.Status != http.StatusSeeOther || got.SignedIn == nil {
//			t.Errorf("%d, signed in: %v", got.Status, got.SignedIn)
//		}
//	}
//
// Pass the options that the service passes to flowhook.New, as far as they matter: the factories of
// its hooks, and its own flows and strategies. The package sets the options that a test needs and
// you left empty. It does not change the others.
package hooktest
