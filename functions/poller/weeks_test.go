package poller

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/local/riot"
	"github.com/riftline/riftline/shared/poll"
)

// weeks are minutely polls by a clock that does not wait, with everything real but the clock and the peers.
type weeks struct {
	*world
	s      *service
	random *rand.Rand
	now    atomic.Int64 // seconds

	ladder map[string]int
	// served are all the ladders that the API had, in order; known is what the topic holds, nil after a disturbance.
	served []map[string]int
	known  map[string]int

	mu      sync.Mutex
	disturb hook

	faults map[string]int
	sizes  []int
}

func newWeeks(t *testing.T, seed uint64) *weeks {
	w := &weeks{world: newWorld(t), random: rand.New(rand.NewPCG(seed, 14)), ladder: map[string]int{}, faults: map[string]int{}}
	// Each poll dials the API anew. Without TLS a poll takes half the time under the race detector; other tests have it.
	api := httptest.NewServer(w.riot)
	t.Cleanup(api.Close)
	overrides := `RIFTLINE_OVERRIDES={"challenger": {"http.request.headers": "X-Riot-Token: ${env:RIOT_API_KEY}",
		"http.request.url": "http://kr.api.riotgames.com/lol/league/v4/challengerleagues/by-queue/RANKED_SOLO_5x5"}}`
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	w.s = w.disturbed(func(call string, after bool) error {
		w.mu.Lock()
		h := w.disturb
		w.mu.Unlock()
		if h == nil {
			return nil
		}
		return h(call, after)
	}, func(d *poll.Deps) {
		d.Now = func() time.Time { return start.Add(time.Duration(w.now.Load()) * time.Second) }
	}, "RIFTLINE_LOG_LEVEL=error", overrides, "RIFTLINE_RESOLVE=kr.api.riotgames.com:80="+api.Listener.Addr().String())
	for n := range 8 {
		w.ladder[fmt.Sprintf("player-%d", n)] = 100
	}
	w.show()
	return w
}

// show makes the API answer the ladder.
func (w *weeks) show() {
	var entries []string
	now := map[string]int{}
	for n := range len(w.ladder) {
		key := fmt.Sprintf("player-%d", n)
		now[key] = w.ladder[key]
		entries = append(entries, fmt.Sprintf("%s=%d", key, w.ladder[key]))
	}
	w.served = append(w.served, now)
	w.serve(strings.Join(entries, " "))
}

func (w *weeks) set(h hook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturb = h
}

// nth does something at the n-th point that a run passes.
func nth(n int, do func() error) hook {
	var passed atomic.Int64
	return func(string, bool) error {
		if passed.Add(1) == int64(n) {
			return do()
		}
		return nil
	}
}

// minute lets the ladder move and polls, mostly without trouble.
func (w *weeks) minute() {
	w.t.Helper()
	w.now.Add(60)
	if w.random.IntN(4) == 0 {
		w.ladder[fmt.Sprintf("player-%d", w.random.IntN(8))] = 100 * (1 + w.random.IntN(3))
		w.show()
	}
	n := 1 + w.random.IntN(24)
	kind := ""
	switch w.random.IntN(50) {
	case 0:
		kind = "died"
		h, _ := dieAt(n)
		w.set(h)
	case 1:
		kind = "one answer lost"
		w.set(nth(n, func() error { return errDead }))
	case 2:
		kind = "overtaken"
		asleep := int64(w.random.IntN(2) * 600)
		w.set(nth(n, func() error {
			w.set(nil)
			w.now.Add(asleep)
			w.answered(w.poll())
			return nil
		}))
	case 3:
		kind = "delivered twice"
		var wait sync.WaitGroup
		wait.Go(func() { w.answered(w.poll()) })
		defer wait.Wait()
	case 4:
		kind = "lost on the way to the bucket"
		var requests atomic.Int64
		applied := w.random.IntN(2) == 0
		at := int64(1 + w.random.IntN(4))
		w.gcs.Intercept(func(gcs.Request) gcs.Fault {
			if requests.Add(1) != at {
				return gcs.Fault{}
			}
			return gcs.Fault{Drop: applied, DropBefore: !applied}
		})
		defer w.gcs.Intercept(nil)
	case 5:
		kind = "the API refused"
		w.fault(riot.Fault{Status: 403, Body: "no"})
		defer func() { w.show(); w.served = w.served[:len(w.served)-1] }()
	}
	s := w.poll()
	w.set(nil)
	w.faults[kind]++
	if kind != "" {
		w.known = nil
		return
	}
	w.undisturbed(s)
}

func (w *weeks) poll() poll.Summary {
	_, s, _ := post(w.t, w.s.poll, trig)
	return s
}

// answered wants that a run which was not disturbed itself did not fail.
func (w *weeks) answered(s poll.Summary) {
	if s.Outcome.Failed() {
		w.t.Errorf("%s: %s", s.Outcome, s.Error)
	}
}

// undisturbed wants that a poll published exactly what has changed.
func (w *weeks) undisturbed(s poll.Summary) {
	w.t.Helper()
	w.answered(s)
	if s.Outcome == poll.AnotherRun {
		w.known = nil // one that died is left alone for a while
		return
	}
	if w.known != nil {
		changed := 0
		for key, value := range w.ladder {
			if w.known[key] != value {
				changed++
			}
		}
		if s.Published != changed {
			w.t.Errorf("published %d, and %d have changed", s.Published, changed)
		}
	}
	w.known = w.served[len(w.served)-1]
	w.sizes = append(w.sizes, len(w.stored().Data))
}

// verify compares the topic with what was served.
func (w *weeks) verify() {
	w.t.Helper()
	got := w.values()
	for key := range w.ladder {
		values := got[key]
		if len(values) == 0 {
			w.t.Errorf("%s: nothing was published", key)
			continue
		}
		if len(slices.Compact(slices.Clone(values))) != len(values) {
			w.t.Errorf("%s: a value follows itself in %v", key, values)
		}
		left := values
		for _, ladder := range w.served {
			if len(left) > 0 && int64(ladder[key]) == left[0] {
				left = left[1:]
			}
		}
		if len(left) > 0 {
			w.t.Errorf("%s: %v was not served in this order", key, values)
		}
		if int64(w.ladder[key]) != values[len(values)-1] {
			w.t.Errorf("%s: %v does not end with %d", key, values, w.ladder[key])
		}
	}
}

// TestWeeksOfMinutelyPolls is one day; RIFTLINE_LONG makes it two weeks.
func TestWeeksOfMinutelyPolls(t *testing.T) {
	minutes := 24 * 60
	if os.Getenv("RIFTLINE_LONG") != "" {
		minutes *= 14
	}
	w := newWeeks(t, 1126)
	for range 60 {
		w.minute()
	}
	before := runtime.NumGoroutine()
	for range minutes - 60 {
		if w.minute(); t.Failed() {
			t.FailNow()
		}
	}
	w.now.Add(600)
	w.undisturbed(w.poll())
	w.verify()
	first, last := slices.Max(w.sizes[:30]), slices.Max(w.sizes[len(w.sizes)-30:])
	if last > first+first/10 {
		t.Errorf("the source offset object grew from %d to %d bytes", first, last)
	}
	// What a poll began has ended, save some connections that are kept for the next one.
	const kept = 12
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before+kept; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			buffer := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, and %d after the first hour\n%s", runtime.NumGoroutine(), before, buffer[:runtime.Stack(buffer, true)])
		}
	}
	t.Logf("%d polls, %d records, %v, object of %d bytes, %d goroutines", minutes, w.records(), w.faults, last, runtime.NumGoroutine())
}

func (w *weeks) records() (n int) {
	for _, values := range w.values() {
		n += len(values)
	}
	return n
}
