package cost

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSchedule is wrapped by the errors of [Runs].
var ErrSchedule = errors.New("not a cron schedule")

var (
	monthNames = []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	dayNames   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// Runs is how often a unix-cron schedule of five fields comes up in a month of 30 days, on average over a year: a day of
// the week comes up in one of seven days, a month in one of twelve. Where day of month and day of week are both given,
// either counts, as in cron.
func Runs(cron string) (float64, error) {
	fields := strings.Fields(strings.ToLower(cron))
	if len(fields) != 5 {
		return 0, fmt.Errorf("%q: %w of five fields", cron, ErrSchedule)
	}
	var counts [5]float64
	for i, f := range []struct {
		from, to int
		names    []string
	}{{0, 59, nil}, {0, 23, nil}, {1, 31, nil}, {1, 12, monthNames}, {0, 7, dayNames}} {
		n, err := count(fields[i], f.from, f.to, f.names)
		if err != nil {
			return 0, fmt.Errorf("%q: %w: %w", cron, ErrSchedule, err)
		}
		counts[i] = float64(n)
	}
	ofMonth, ofWeek := counts[2]/31, counts[4]/7
	days := ofMonth * ofWeek
	if !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*") {
		days = ofMonth + ofWeek - ofMonth*ofWeek
	}
	return counts[0] * counts[1] * Days * days * counts[3] / 12, nil
}

// count is how many values a field of a schedule has: "*", "5", "1-5", "*/15", "0-30/10", "mon-fri", lists of them.
func count(field string, from, to int, names []string) (int, error) {
	hit := map[int]bool{}
	for part := range strings.SplitSeq(field, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			n, err := strconv.Atoi(stepText)
			if err != nil || n < 1 {
				return 0, fmt.Errorf("the step %q", stepText)
			}
			step = n
		}
		first, last := from, to
		if span != "*" {
			a, b, isSpan := strings.Cut(span, "-")
			var okA, okB bool
			first, okA = value(a, names)
			last, okB = first, true
			if isSpan {
				last, okB = value(b, names)
			} else if stepped {
				last = to
			}
			if !okA || !okB || first < from || last > to || last < first {
				return 0, fmt.Errorf("the field %q", part)
			}
		}
		for v := first; v <= last; v += step {
			if to == 7 {
				hit[v%7] = true
			} else {
				hit[v] = true
			}
		}
	}
	return len(hit), nil
}

func value(text string, names []string) (int, bool) {
	for i, name := range names {
		if name != "" && name == text {
			return i, true
		}
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}
