package connector

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/riftline/riftline/shared/connector/template"
)

// commaList splits as castorm and Connect do: at commas, blanks trimmed, empty parts dropped.
func commaList(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

type pair struct{ name, value string }

// pairList reads "name=value, name2=value2". A name that is repeated is an error, as in castorm.
func pairList(text string) ([]pair, error) {
	var out []pair
	seen := map[string]bool{}
	for _, part := range commaList(text) {
		name, value, ok := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" {
			return nil, fmt.Errorf("%s is not name=value", quote(part))
		}
		if seen[name] {
			return nil, fmt.Errorf("the name %s is given twice", quote(name))
		}
		seen[name] = true
		out = append(out, pair{name, value})
	}
	return out, nil
}

// codeRanges reads "200..299, 304" as castorm does; the ends of a range may stand in either order.
func codeRanges(text string) ([]CodeRange, error) {
	var out []CodeRange
	for _, part := range commaList(text) {
		from, to, isRange := strings.Cut(part, "..")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(strings.TrimSpace(from))
		b, errB := strconv.Atoi(strings.TrimSpace(to))
		if errA != nil || errB != nil || min(a, b) < 100 || max(a, b) > 999 {
			return nil, fmt.Errorf("%s is not a status code or a range of them", quote(part))
		}
		out = append(out, CodeRange{min(a, b), max(a, b)})
	}
	return out, nil
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// validHeaderValue reports whether value may stand in a header: no control characters, above all no line break.
func validHeaderValue(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// splitHeaders reads "Name: Value, Name2: Value2" as castorm does: a comma inside a value is written "\,". Errors name
// no value, since it may be a credential.
func splitHeaders(text string) ([]pair, error) {
	var out []pair
	masked, restore := template.Cut(text)
	for i, part := range splitUnescaped(masked) {
		name, value, ok := strings.Cut(part, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(strings.ReplaceAll(value, `\,`, ","))
		switch {
		case !ok:
			return nil, fmt.Errorf("the part number %d of the headers has no \":\"", i+1)
		case !headerName.MatchString(name):
			return nil, fmt.Errorf("the name of header number %d is not one", i+1)
		case !validHeaderValue(value):
			return nil, fmt.Errorf("the value of header %s holds characters that a header must not have", http.CanonicalHeaderKey(name))
		}
		out = append(out, pair{name, restore(value)})
	}
	return out, nil
}

// splitUnescaped splits at commas that no backslash stands before.
func splitUnescaped(text string) []string {
	var out []string
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && (text[i] != ',' || i > 0 && text[i-1] == '\\') {
			continue
		}
		if part := strings.TrimSpace(text[start:i]); part != "" {
			out = append(out, part)
		}
		start = i + 1
	}
	return out
}
