package ratelimit

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestNoWindowIsExceeded: whatever requests are under way at once and however long they take, the API never counts more
// in a window than it allows, nor more of a connector than its share, once it has said what it allows.
func TestNoWindowIsExceeded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		w := newWorld(seed)
		w.run(400)
		if w.failed != "" {
			t.Fatalf("seed %d: %s", seed, w.failed)
		}
		if w.sent < 400 {
			t.Fatalf("seed %d: %d requests", seed, w.sent)
		}
	}
}

// TestRequestsOfOthers: with another process that asks the same API, most of what is asked is still answered, and every
// refusal is followed by what it asks for.
func TestRequestsOfOthers(t *testing.T) {
	t.Parallel()
	sent, refused := 0, 0
	for seed := range uint64(50) {
		w := newWorld(seed)
		w.others = true
		w.run(400)
		sent, refused = sent+w.sent, refused+w.refused
	}
	if refused == 0 || refused > sent/10 {
		t.Errorf("%d of %d requests were refused", refused, sent)
	}
}

// TestAWindowIsUsed: one connector that asks one request after the other gets what the API allows, but for a request's
// time at the end of each window.
func TestAWindowIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	w.spans, w.connectors = []apiWindow{{most: 20, span: time.Second}, {most: 100, span: 2 * time.Minute}}, w.connectors[:1]
	w.connectors[0].Share, w.slowest = 1, 50*time.Millisecond
	w.run(1000)
	if took := w.now.Sub(noon); took > 1100*time.Second+2*time.Minute {
		t.Errorf("1000 requests took %s", took)
	}
}

// apiWindow is a window as the API counts it.
type apiWindow struct {
	most  int
	span  time.Duration
	start time.Time
	count int
	of    map[string]int
}

// world is an API and who asks it, in virtual time.
type world struct {
	random     *rand.Rand
	limiter    Limiter
	now        time.Time
	events     events
	spans      []apiWindow
	connectors []Use
	slowest    time.Duration
	others     bool

	sent, refused int
	failed        string
}

func newWorld(seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 11))
	w := &world{random: random, now: noon, slowest: time.Duration(1+random.IntN(5000)) * time.Millisecond}
	for span := time.Second; len(w.spans) < 1+random.IntN(3); span *= time.Duration(2 + random.IntN(20)) {
		w.spans = append(w.spans, apiWindow{most: 1 + random.IntN(30*(len(w.spans)+1)), span: span})
	}
	n := 1 + random.IntN(5)
	for i := range n {
		u := use(fmt.Sprint(i))
		if n > 1 && random.IntN(2) == 0 {
			u.Share = float64(1+random.IntN(100)) / 100
		}
		w.connectors = append(w.connectors, u)
	}
	return w
}

// run makes requests until so many were sent. The first one is alone: before it nothing is known.
func (w *world) run(requests int) {
	w.ask(w.connectors[0], func() {
		for _, u := range w.connectors {
			for range 1 + w.random.IntN(3) {
				w.next(u)
			}
		}
		if w.others {
			w.after(w.spans[0].span, w.other)
		}
	})
	for w.sent < requests && w.failed == "" && len(w.events) > 0 {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
}

func (w *world) after(d time.Duration, do func()) {
	heap.Push(&w.events, event{w.now.Add(d), len(w.events), do})
}

func (w *world) latency() time.Duration { return time.Duration(w.random.Int64N(int64(w.slowest))) }

// next asks again after a while.
func (w *world) next(u Use) {
	w.after(w.latency()/10, func() { w.ask(u, func() { w.next(u) }) })
}

func (w *world) ask(u Use, then func()) {
	ticket, at := w.limiter.Take(u, w.now)
	if !at.IsZero() {
		if !at.After(w.now) {
			w.failed = "a wait that is none"
		}
		w.after(at.Sub(w.now), func() { w.ask(u, then) })
		return
	}
	w.sent++
	w.after(w.latency(), func() {
		h, after := w.count(u)
		w.after(w.latency(), func() {
			if w.sent > 1 && w.random.IntN(50) == 0 {
				ticket.Failed(w.now)
			} else {
				ticket.Answered(h, after, w.now)
			}
			then()
		})
	})
}

// other is a request of another process.
func (w *world) other() {
	w.count(Use{})
	w.after(w.latency()+3*w.spans[0].span/time.Duration(w.spans[0].most), w.other)
}

// count is the API: a window begins with the first request in it.
func (w *world) count(u Use) (http.Header, time.Duration) {
	after := time.Duration(-1)
	var limits, counts []string
	for i := range w.spans {
		s := &w.spans[i]
		if s.count == 0 || w.now.Sub(s.start) >= s.span {
			s.start, s.count, s.of = w.now, 0, map[string]int{}
		}
		s.count++
		s.of[u.Connector]++
		limits, counts = append(limits, fmt.Sprintf("%d:%d", s.most, s.span/time.Second)), append(counts, fmt.Sprintf("%d:%d", s.count, s.span/time.Second))
		if s.count > s.most {
			after = max(after, (s.start.Add(s.span).Sub(w.now) + time.Second - 1).Truncate(time.Second))
		}
		if !w.others && (s.count > s.most || s.of[u.Connector] > (&window{most: s.most}).share(u)) {
			w.failed = fmt.Sprintf("%d of %d requests in %s, %d of connector %s", s.count, s.most, s.span, s.of[u.Connector], u.Connector)
		}
	}
	if after >= 0 && u.Connector != "" {
		w.refused++
	}
	h := headers(strings.Join(limits, ","), strings.Join(counts, ","))
	if after >= 0 {
		h.Set("X-Rate-Limit-Type", "application")
	}
	return h, after
}

type event struct {
	at     time.Time
	serial int
	do     func()
}

// events are a heap, the earliest first.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}
