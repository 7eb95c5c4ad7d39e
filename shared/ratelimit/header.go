package ratelimit

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a header may say. More windows, or larger ones, than any API has are not believed.
const (
	mostWindows = 16
	longestSpan = 7 * 24 * time.Hour
)

// part is "requests:seconds" of a header.
type part struct {
	requests int
	span     time.Duration
}

// parse reads a header of the form "20:1,100:120", no number of requests below least. It is nil when there is none, or it
// is not of that form, in which case what is known is all there is to go by.
func parse(h http.Header, name string, least uint64) []part {
	text := h.Get(name)
	if text == "" {
		return nil
	}
	var parts []part
	for field := range strings.SplitSeq(text, ",") {
		requests, seconds, _ := strings.Cut(strings.TrimSpace(field), ":")
		n, err := strconv.ParseUint(requests, 10, 31)
		s, serr := strconv.ParseUint(seconds, 10, 31)
		span := time.Duration(s) * time.Second
		if err != nil || serr != nil || n < least || s == 0 || span > longestSpan || len(parts) == mostWindows || hasSpan(parts, span) {
			return nil
		}
		parts = append(parts, part{int(n), span})
	}
	return parts
}

func hasSpan(parts []part, span time.Duration) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.span == span })
}

// countOf is what was counted in the window of a span, 0 when that is not said.
func countOf(counts []part, span time.Duration) int {
	for _, c := range counts {
		if c.span == span {
			return c.requests
		}
	}
	return 0
}
