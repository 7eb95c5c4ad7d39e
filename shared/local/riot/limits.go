package riot

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// window is one of a limit's windows: at most max requests in a span that begins with its first request.
type window struct {
	max   int
	span  time.Duration
	start time.Time
	count int
}

// limit is an app's or a method's limit.
type limit struct {
	text    string
	windows []window
}

// parseLimit reads "20:1,100:120": requests and seconds.
func parseLimit(text string) (limit, error) {
	l := limit{text: text}
	for part := range strings.SplitSeq(text, ",") {
		count, seconds, ok := strings.Cut(part, ":")
		n, err1 := strconv.Atoi(count)
		s, err2 := strconv.Atoi(seconds)
		if !ok || err1 != nil || err2 != nil || n < 1 || s < 1 {
			return limit{}, fmt.Errorf("the rate limit %q is not of the form requests:seconds,…", text)
		}
		l.windows = append(l.windows, window{max: n, span: time.Duration(s) * time.Second})
	}
	return l, nil
}

// take counts one request and says how long to wait when a window is full; 0 means that it may pass.
func (l *limit) take(now time.Time) (wait time.Duration) {
	for i := range l.windows {
		w := &l.windows[i]
		if w.count == 0 || now.Sub(w.start) >= w.span {
			w.start, w.count = now, 0
		}
		w.count++
		if w.count > w.max {
			wait = max(wait, w.start.Add(w.span).Sub(now))
		}
	}
	return wait
}

func (l *limit) counts() string {
	parts := make([]string, len(l.windows))
	for i, w := range l.windows {
		parts[i] = fmt.Sprintf("%d:%d", w.count, int(w.span/time.Second))
	}
	return strings.Join(parts, ",")
}

// admit counts a request in both limits and writes their headers. It answers 429 itself, and false, when one is full.
func admit(w http.ResponseWriter, app, method *limit, now time.Time) bool {
	kind, wait := "application", app.take(now)
	if m := method.take(now); wait == 0 && m > 0 {
		kind, wait = "method", m
	}
	h := w.Header()
	h.Set("X-App-Rate-Limit", app.text)
	h.Set("X-App-Rate-Limit-Count", app.counts())
	h.Set("X-Method-Rate-Limit", method.text)
	h.Set("X-Method-Rate-Limit-Count", method.counts())
	if wait == 0 {
		return true
	}
	h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	h.Set("X-Rate-Limit-Type", kind)
	status(w, http.StatusTooManyRequests, "Rate limit exceeded")
	return false
}
