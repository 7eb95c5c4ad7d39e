package timestamp

import (
	"strings"
	"time"
)

// names are zone names that java.time prints and reads as texts. Those of other countries are ambiguous and are not
// taken.
var names = map[string]int{
	"Z": 0, "UTC": 0, "GMT": 0, "UT": 0,
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}

// loadZone finds a zone by what ZoneId.of takes: a region, an offset, or an offset behind UTC, GMT or UT.
func loadZone(id string) (*time.Location, bool) {
	if id == "" || id == "Local" {
		return nil, false
	}
	if hours, ok := names[id]; ok && hours == 0 {
		return time.UTC, true
	}
	for _, prefix := range []string{"UTC", "GMT", "UT", ""} {
		rest, ok := strings.CutPrefix(id, prefix)
		if !ok {
			continue
		}
		if seconds, n, ok := offset(rest); ok && n == len(rest) {
			return time.FixedZone(id, seconds), true
		}
	}
	zone, err := time.LoadLocation(id)
	return zone, err == nil
}

// offset reads "+02", "+2", "+0200", "+02:00", "+02:00:00" and the same with "-" at the beginning of the text, in
// seconds, and returns how many bytes it takes.
func offset(text string) (seconds, n int, ok bool) {
	if text == "" || text[0] != '+' && text[0] != '-' {
		return 0, 0, false
	}
	hours, n := digits(text, 1, 2)
	if n == 1 {
		return 0, 0, false
	}
	seconds = hours * 3600
	for _, unit := range []int{60, 1} {
		at := n
		if at < len(text) && text[at] == ':' {
			at++
		}
		value, end := digits(text, at, 2)
		if end != at+2 || value > 59 {
			break
		}
		seconds += value * unit
		n = end
	}
	if seconds > 18*3600 {
		return 0, 0, false
	}
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, n, true
}

// digits reads up to most digits from at on and returns the end.
func digits(text string, at, most int) (value, end int) {
	for end = at; end < len(text) && end < at+most && isDigit(text[end]); end++ {
		value = 10*value + int(text[end]-'0')
	}
	return value, end
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
