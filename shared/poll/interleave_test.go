package poll

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// actor is a run that goes on only when it is told to, up to a point.
type actor struct {
	stops  chan point // it reached where it was to stop
	goes   chan int   // up to which call before it stops again
	done   chan struct{}
	killed bool
	// calls counts the calls that the run was about to make.
	calls int
}

// start makes a run that stands still before its first call. lost makes the answer of its first write get lost.
func (w *world) start(name string, lost bool) *actor {
	a := &actor{stops: make(chan point), goes: make(chan int), done: make(chan struct{})}
	until := 0
	go func() {
		defer close(a.done)
		w.disturb(name, func(p point) error {
			if p.after {
				if lost && p.call == "write" {
					lost = false
					return errors.New("connection reset")
				}
				return nil
			}
			if a.calls++; a.calls > until {
				a.stops <- p
				until = <-a.goes
			}
			if a.killed {
				return errKilled
			}
			return nil
		})
	}()
	return a
}

// upTo lets the run go on until it is about to make its n-th call, and says which one; false when it ended before.
func (a *actor) upTo(n int) (point, bool) {
	for {
		select {
		case p := <-a.stops:
			if a.calls > n {
				return p, true
			}
			a.goes <- n
		case <-a.done:
			return point{}, false
		}
	}
}

// resume lets a run that stands go on until it is about to make its n-th call.
func (a *actor) resume(n int) (point, bool) {
	select {
	case a.goes <- n:
		return a.upTo(n)
	case <-a.done:
		return point{}, false
	}
}

const toTheEnd = 1 << 20

// replayed says that of many cases each of so many is replayed in the model.
const replayed = 17

// kill ends a run that stands, as if its process had died there.
func (a *actor) kill() {
	a.killed = true
	a.resume(toTheEnd)
}

// TestInterleavedRuns lets a run stop before each of its calls, another take over up to each of its own, the first go
// on and die before each later one, and the other end. Two runs are told apart by what they publish: the API has moved
// on in between.
func TestInterleavedRuns(t *testing.T) {
	prepare := again(func() *world {
		w := newWorld(t)
		w.serve("a=A b=A")
		w.undisturbed(t, Published)
		w.serve("a=B b=A")
		return w
	})
	tried, overtaken := 0, 0
	for _, lost := range []bool{false, true} {
		for _, back := range []bool{false, true} {
			for n := 0; ; n++ {
				w := prepare()
				first := w.start("first", lost)
				at, more := first.upTo(n)
				if !more {
					break
				}
				first.kill()
				for m := 0; ; m++ {
					var ended bool
					for k := n; ; k++ {
						w := prepare()
						w.unreplayed = tried%replayed != 0
						first := w.start("first", lost)
						first.upTo(n)
						w.pass(10 * time.Minute)
						if back {
							w.serve("a=A b=A")
						}
						second := w.start("second", false)
						mid, standing := second.upTo(m)
						ended = !standing
						died, alive := first.resume(k)
						if alive {
							first.kill()
						}
						if standing {
							second.resume(toTheEnd)
							overtaken++
						}
						tried++
						w.pass(20 * time.Minute)
						what := fmt.Sprintf("lost %v, back %v: first stops %s, second %s, first dies %s", lost, back, at, mid, died)
						if s, _, err := w.run("clean", nil); err != nil {
							t.Fatalf("%s: %s: %v", what, s.Outcome, err)
						}
						if wrong := w.check(); wrong != "" {
							t.Fatalf("%s: %s", what, wrong)
						}
						if !alive {
							break
						}
					}
					if ended {
						break
					}
				}
			}
		}
	}
	t.Logf("%d interleavings, %d with the second run still on its way", tried, overtaken)
}
