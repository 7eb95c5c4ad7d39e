package ratelimit

import (
	"math"
	"slices"
	"time"
)

// slotsASpan is how finely the ends of requests are told apart.
const slotsASpan = 64

// window is at most so many requests in a span.
//
// The API's window that a request is in has begun when the answer came at the latest, and is over a span later. So a
// request counts from when it is sent until a span after its answer, which is at least as long as the API counts it.
type window struct {
	span time.Duration
	most int
	// own are this process's requests that were answered, by connector, the first to end first.
	own map[string][]slot
	// others is how many requests the API has counted besides, which end at othersEnd.
	others    int
	othersEnd time.Time
}

// slot is some requests that end at nearly the same time, the first at from and the last at end.
type slot struct {
	from, end time.Time
	requests  int
}

// add counts a request that the API has had by now.
func (w *window) add(connector string, now time.Time) {
	end := now.Add(w.span)
	list := w.own[connector]
	if n := len(list); n > 0 && end.Sub(list[n-1].from) <= w.span/slotsASpan {
		list[n-1].end = later(list[n-1].end, end)
		list[n-1].requests++
		return
	}
	if w.own == nil {
		w.own = map[string][]slot{}
	}
	w.own[connector] = append(list, slot{from: end, end: end, requests: 1})
}

// expire forgets what has ended.
func (w *window) expire(now time.Time) {
	for connector, list := range w.own {
		n := 0
		for n < len(list) && !list[n].end.After(now) {
			n++
		}
		if n == len(list) {
			delete(w.own, connector)
			continue
		}
		w.own[connector] = list[n:]
	}
	if !w.othersEnd.After(now) {
		w.others = 0
	}
}

// used is how many requests count at the time now, those under way included.
func (w *window) used(underWay map[string]int, now time.Time) int {
	w.expire(now)
	return w.ours(underWay) + w.others
}

func (w *window) ours(underWay map[string]int) int {
	n := 0
	for _, list := range w.own {
		n += requests(list)
	}
	for _, sent := range underWay {
		n += sent
	}
	return n
}

func requests(list []slot) int {
	n := 0
	for _, s := range list {
		n += s.requests
	}
	return n
}

// free is when there may be room for the request, the zero time when there is.
func (w *window) free(u Use, underWay map[string]int, now time.Time) time.Time {
	var at time.Time
	if over := w.used(underWay, now) - w.most + 1; over > 0 {
		all := []slot{{end: w.othersEnd, requests: w.others}}
		for _, list := range w.own {
			all = append(all, list...)
		}
		at = w.without(all, over, now)
	}
	own := w.own[u.Connector]
	if over := requests(own) + underWay[u.Connector] - w.share(u) + 1; over > 0 {
		at = later(at, w.without(own, over, now))
	}
	return at
}

// without is when so many requests of a list have ended. If these are not so many, some under way have to end, too.
func (w *window) without(list []slot, over int, now time.Time) time.Time {
	list = slices.SortedFunc(slices.Values(list), func(a, b slot) int { return a.end.Compare(b.end) })
	for _, s := range list {
		if over -= s.requests; over <= 0 {
			return s.end
		}
	}
	return now.Add(w.span)
}

// share is how many requests of the window a connector may make.
func (w *window) share(u Use) int {
	// A tenth of 30 is 3, and not the 2 that the nearest binary fraction may give.
	return max(1, int(math.Floor(float64(w.most)*u.Share+1e-9)))
}

// compare finds what others have used from what the API has counted.
func (w *window) compare(counted int, underWay map[string]int, alone bool, now time.Time) {
	w.expire(now)
	others := max(0, counted-w.ours(underWay))
	if others > w.others || alone {
		w.others, w.othersEnd = others, now.Add(w.span)
	}
}

// endBy has all that was answered end at a time at the latest.
func (w *window) endBy(until time.Time) {
	for _, list := range w.own {
		for i := range list {
			list[i].end = earlier(list[i].end, until)
			list[i].from = earlier(list[i].from, until)
		}
	}
	w.othersEnd = earlier(w.othersEnd, until)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
