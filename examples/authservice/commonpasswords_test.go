package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// TestCommonPasswords checks that passwords that an attacker tries first are refused wherever a
// password is chosen.
func TestCommonPasswords(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir()+"/db")
	const common, own = "This password is too common", "not your name or your email address"
	for password, want := range map[string]string{
		"password": common, "PassWord": common, " 12345678 ": common, "ｐａｓｓｗｏｒｄ": common, "iloveyou": common,
		"alice.liddell@example.org": own, "Alice.Liddell": own, "ALICE LIDDELL": own,
	} {
		s.browser().open("/register").press("Register", "name", "Alice Liddell", "email", "alice.liddell@example.org",
			"password", password).refused(wrong, want)
	}
	require.Equal(t, 0, s.count("users"))

	s.register(email, password)
	b := s.signedIn(email, password)
	b.open("/settings").press("Change password", "current", password, "new", "password").refused(wrong, common)
	b.open("/settings").press("Change password", "current", password, "new", email).refused(wrong, own)
	b = s.browser().askRecovery(email)
	b.open(s.mail(email, recoverySubject, 0).Links[0]).refused(200, "This sets the password of "+email)
	b.press("Set the password", "new", "password").refused(wrong, common)
	b.press("Set the password", "new", email).refused(wrong, own)
	require.Equal(t, 1, s.count("audit WHERE point = 'recovery/failed/link' AND outcome = 'weak_password'"))
	b.press("Set the password", "new", newPassword).at("/recovery/done", "Your password is changed")

	require.GreaterOrEqual(t, len(commonPasswords()), 1000)
	for one := range commonPasswords() {
		require.GreaterOrEqual(t, utf8.RuneCountInString(one), passwordMin, one)
		require.Equal(t, strings.ToLower(one), one)
	}
}
