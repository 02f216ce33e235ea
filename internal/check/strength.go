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

// strength estimates how many random bytes are as hard to guess as a secret. A character counts for as many bits as it
// takes to choose one of its alphabet, which is judged by those that are there, and in words for two. What continues a
// run, or repeats an earlier part, counts for nothing; since that happens in what is random, too, the sum is rounded up.
func strength(secret string) int {
	secret = secret[:min(len(secret), 1024)] // enough to judge by, and quick
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

// words says whether a secret looks like words: mostly letters, with few digits, and few or no others than capitals. What is
// random looks so less than once in ten thousand, if it has letters of both cases, or hexadecimal digits.
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
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	only := func(set string) bool { return strings.Trim(s, set) == "" }
	if !only(digits) && (only(digits+lower[:6]) || only(digits+upper[:6])) {
		return 16
	}
	both := strings.ContainsAny(s, lower) && strings.ContainsAny(s, upper) // then digits, too, which may be missing by chance
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
		size += 33 // what else is printable in ASCII
	}
	return max(size, 1)
}
