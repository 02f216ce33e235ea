package letter

import "time"

// stub until the letters are merged
type Letter struct{ Subject, Text, HTML, Link, Code string }

func VerificationCode(code string, lifespan time.Duration) Letter {
	return Letter{Subject: "code", Text: code, Code: code}
}
func link(base, s string, d time.Duration) (l Letter) {
	l.Subject, l.Text, l.HTML, l.Link = VerificationOld(base, s, d)
	return l
}
func Verification(base, s string, d time.Duration) Letter  { return link(base, s, d) }
func Recovery(base, s string, d time.Duration) Letter      { return link(base, s, d) }
func RecoveryCode(code string, d time.Duration) Letter     { return VerificationCode(code, d) }
func AddressChange(base, s string, d time.Duration) Letter { return link(base, s, d) }
func AddressChangePending(base, s string, d time.Duration) Letter {
	return link(base, s, d)
}
func AddressRemoved(base, s string, d time.Duration) Letter {
	if s == "" {
		return Letter{Subject: "removed", Text: "removed"}
	}
	return link(base, s, d)
}
