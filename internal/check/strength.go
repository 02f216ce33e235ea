package check

import (
	"math"
	"strings"
)

// examples are what documentation, here and at Kratos, calls its secrets; in lower case, without what stands between words.
var examples = []string{
	"somethingsupersecret", "oldsessionsecret", "oldersessionsecret", "ancientsessionsecret", // the hooks page
	"pleasechangeme", "veryinsecure", "notsecureatall", "longsecretnotsecure", // Kratos' quickstarts
	"changeme", "onlyforthisexample", "verysecret", "yoursecret", "mysecret", "secretkey", "examplesecret", "passwordpassword",
}

// example says whether a secret contains one that is written down somewhere.
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

// strength estimates how many random bytes are as hard to guess as a secret. What its characters are drawn from is judged
// by those that are there; what continues a run, or repeats an earlier part, counts for nothing. It is an upper bound:
// words are not looked up.
func strength(secret string) int {
	fresh := 0
	for i := range len(secret) {
		if !continues(secret[:i+1]) {
			fresh++
		}
	}
	return int(math.Log2(float64(alphabet(secret))) * float64(fresh) / 8)
}

// continues says whether the last character of s was to be expected: the fifth, or a later one, of a run such as aaaaa or
// 12345, or the end of six that stood together before. Both are rare in what is random.
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

// alphabet gives the size of the smallest of the usual alphabets that has all characters of s.
func alphabet(s string) (size int) {
	for _, hex := range []string{"0123456789abcdef", "0123456789ABCDEF"} {
		if strings.Trim(s, hex) == "" && strings.Trim(s, "0123456789") != "" {
			return 16
		}
	}
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	rest := s
	for _, class := range []string{digits, lower, upper} {
		without := strings.Map(func(r rune) rune {
			if strings.ContainsRune(class, r) {
				return -1
			}
			return r
		}, rest)
		if without != rest {
			size += len(class)
		}
		rest = without
	}
	switch {
	case rest == "":
	case strings.Trim(rest, "+/=") == "" || strings.Trim(rest, "-_=") == "":
		size += 2 // base64
	default:
		size += 33 // what else is printable in ASCII
	}
	return max(size, 1)
}
