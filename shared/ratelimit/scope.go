package ratelimit

import (
	"net/http"
	"time"
)

// scope is what has windows: an app at a host, or a method there.
type scope struct {
	windows []*window
	// blocked is up to when the API wants no request, whatever the windows say.
	blocked time.Time
	// underWay counts the requests without an answer, by connector; serial is the number of the last one.
	underWay map[string]int
	serial   int
}

// free is when there may be room for the request, the zero time when there is.
func (s *scope) free(u Use, now time.Time) time.Time {
	var at time.Time
	if s.blocked.After(now) {
		at = s.blocked
	}
	for _, w := range s.windows {
		at = later(at, w.free(u, s.underWay, now))
	}
	return at
}

func (s *scope) take(u Use) place {
	s.serial++
	p := place{scope: s}
	if len(s.underWay) == 0 {
		p.serial = s.serial
		s.underWay = map[string]int{}
	}
	s.underWay[u.Connector]++
	return p
}

// landed ends a request that the API has counted at the time now at the latest.
func (s *scope) landed(u Use, now time.Time) {
	if s.underWay[u.Connector]--; s.underWay[u.Connector] == 0 {
		delete(s.underWay, u.Connector)
	}
	for _, w := range s.windows {
		w.add(u.Connector, now)
	}
}

// learn takes over what an answer says of the scope's windows.
func (p place) learn(h http.Header, name string, u Use, now time.Time) {
	if limits := parse(h, name, 1); limits != nil {
		windows := make([]*window, len(limits))
		for i, l := range limits {
			windows[i] = p.window(l.span)
			windows[i].most = l.requests
		}
		p.windows = windows
	}
	p.landed(u, now)
	counts := parse(h, name+"-Count", 0)
	for _, w := range p.windows {
		if counted := countOf(counts, w.span); counted > 0 {
			// Alone: no other request, which the API may have had before this one or after it, was under way meanwhile.
			w.compare(counted, p.underWay, p.serial == p.scope.serial, now)
		}
	}
}

// window is the one of a span, which is what windows are known by: their number and order may change.
func (s *scope) window(span time.Duration) *window {
	for _, w := range s.windows {
		if w.span == span {
			return w
		}
	}
	return &window{span: span}
}

// block keeps requests away, and takes a Retry-After for the end of what is full: the API knows it, and here the latest
// that it may be is known.
func (s *scope) block(now, until time.Time) {
	s.blocked = later(s.blocked, until)
	for _, w := range s.windows {
		if w.used(s.underWay, now) >= w.most {
			w.endBy(until)
		}
	}
}

func (s *scope) over(now time.Time) bool {
	if len(s.underWay) > 0 || s.blocked.After(now) {
		return false
	}
	for _, w := range s.windows {
		if w.used(nil, now) > 0 {
			return false
		}
	}
	return true
}
