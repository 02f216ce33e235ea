package check

import (
	"math"
	"strings"
)

// examples are parts of the secrets in the documentation of flowhook and Kratos, in lower case and
// without separators.
var examples = []string{
	"somethingsupersecret", "oldsessionsecret", "oldersessionsecret", "ancientsessionsecret", // flowhook
	"pleasechangeme", "veryinsecure", "notsecureatall", "longsecretnotsecure", // Kratos' quickstarts
	"changeme", "onlyforthisexample", "verysecret", "yoursecret", "mysecret", "secretkey", "examplesecret",
	"passwordpassword",
}

// example reports whether a secret contains one that is published in documentation.
func example(secret string) bool {
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_ .!", r) {
			return -1
		}
		return r
	}, strings.ToLower(secret))
	for _, e := range examples {
		if strings.Contains(plain, e) {
			return true
		}
	}
	return false
}

// strength estimates how many random bytes are as hard to guess as a secret. Each character counts
// for the bits that choose one of its alphabet, or in words for two bits. A character that continues
// a run, or repeats an earlier part, counts for none. Because random secrets have some of those, too,
// the sum is rounded up.
func strength(secret string) int {
	secret = secret[:min(len(secret), 1024)] // enough for a verdict, and fast
	fresh := 0
	for i := range len(secret) {
		if !continues(secret[:i+1]) {
			fresh++
		}
	}
	bits := math.Log2(float64(alphabet(secret)))
	if words(secret) {
		bits = min(bits, 2)
	}
	return int(math.Ceil(bits * float64(fresh) / 8))
}

// words reports whether a secret looks like words: mostly letters, few digits, and either few capitals
// or only capitals. Fewer than one random secret in ten thousand looks like that, if it has letters of
// both cases or is hexadecimal.
func words(s string) bool {
	var digits, upper, lower int
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case 'A' <= c && c <= 'Z':
			upper++
		case 'a' <= c && c <= 'z':
			lower++
		}
	}
	return 2*(upper+lower) > len(s) && 12*digits <= len(s) && (6*upper <= upper+lower || lower == 0 && digits == 0)
}

// continues reports whether the last character of s was predictable. It is if it is at least the fifth
// of a run such as aaaaa or 12345, or if the last six characters already occurred together. Both are
// rare in random secrets.
func continues(s string) bool {
	n := len(s)
	if n >= 5 {
		step, run := int(s[n-1])-int(s[n-2]), true
		for i := n - 4; i < n-1; i++ {
			run = run && int(s[i])-int(s[i-1]) == step
		}
		if run && -1 <= step && step <= 1 {
			return true
		}
	}
	return n >= 7 && strings.Contains(s[:n-1], s[n-6:])
}

// alphabet returns the size of the smallest common alphabet that contains all characters of s.
func alphabet(s string) (size int) {
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	only := func(set string) bool { return strings.Trim(s, set) == "" }
	if !only(digits) && (only(digits+lower[:6]) || only(digits+upper[:6])) {
		return 16
	}
	// A random secret with letters of both cases may lack digits by chance, so they count, too.
	both := strings.ContainsAny(s, lower) && strings.ContainsAny(s, upper)
	for _, class := range []string{digits, lower, upper} {
		if strings.ContainsAny(s, class) || both {
			size += len(class)
		}
	}
	switch letters := digits + lower + upper; {
	case only(letters):
	case only(letters+"+/=") || only(letters+"-_="):
		size += 2 // base64
	default:
		size += 33 // the rest of printable ASCII
	}
	return max(size, 1)
}
