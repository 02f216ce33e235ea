// Package accept reads the Accept header of a request.
package accept

import (
	"strconv"
	"strings"
)

// JSON reports whether a client prefers application/json to text/html. values are the values of its
// Accept header, RFC 9110, section 12.5.1. A client without the header accepts everything and
// prefers nothing.
//
// If both have the same weight, the client prefers the one that it names more precisely. So
// "application/json, */*" prefers JSON, and "text/html, application/json" does not.
func JSON(values []string) bool {
	var json, html preference
	for _, value := range values {
		for entry := range strings.SplitSeq(value, ",") {
			media, weight := parse(entry)
			json.update(media, weight, "application/json", "application/*")
			html.update(media, weight, "text/html", "text/*")
		}
	}
	switch {
	case json.weight == 0 || json.precision == 0:
		return false
	case json.weight == html.weight:
		return json.precision > html.precision
	}
	return json.weight > html.weight
}

// A preference is how much a client wants one media type.
type preference struct {
	precision int // of the entry that counts: 3 names the type, 2 its group, 1 is */*; 0: none matches
	weight    int // of that entry, 0 to 1000
}

// update takes an entry of the header into account. The most precise one counts, and of two that
// are equally precise the first.
func (p *preference) update(media string, weight int, exact, group string) {
	precision := 0
	switch media {
	case exact:
		precision = 3
	case group:
		precision = 2
	case "*/*":
		precision = 1
	}
	if precision > p.precision {
		p.precision, p.weight = precision, weight
	}
}

// parse returns the media range of an entry, in lower case and without its parameters, and its
// weight. An entry with a malformed weight has the weight 0.
func parse(entry string) (media string, weight int) {
	media, parameters, _ := strings.Cut(entry, ";")
	weight = 1000
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight = thousandths(strings.TrimSpace(value))
			break
		}
	}
	return strings.ToLower(strings.TrimSpace(media)), weight
}

// thousandths parses a weight of at most three decimals, such as 0.8.
func thousandths(q string) int {
	if q == "" || len(q) > len("0.000") || strings.Trim(q, "0123456789.") != "" {
		return 0
	}
	w, err := strconv.ParseFloat(q, 64)
	if err != nil || w > 1 {
		return 0
	}
	return int(w*1000 + 0.5)
}
