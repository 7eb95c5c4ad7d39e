package model

import (
	"fmt"
	"strings"
)

// A Violation is how the protocol fails, with a shortest way to it. The zero value is none.
type Violation struct {
	What  string
	Trace []string
}

// String is the trace and what is wrong at its end.
func (v Violation) String() string {
	return v.What + ":\n  " + strings.Join(v.Trace, "\n  ")
}

// Explore looks at every state that the options allow, breadth first, and stops at the first violation.
func Explore(o Options) (states int, v Violation) {
	type step struct {
		from int32
		did  label
	}
	first := o.start()
	seen := map[state]struct{}{first: {}}
	queue, steps := []state{first}, []step{{from: -1}}
	for n := 0; n < len(queue); n++ {
		s := queue[n]
		var bad wrong
		found := -1
		o.next(s, func(did label, t state) {
			if found >= 0 {
				return
			}
			if _, ok := seen[t]; ok {
				return
			}
			seen[t] = struct{}{}
			queue, steps = append(queue, t), append(steps, step{int32(n), did})
			if bad = t.judge(); bad == fine && o.over(t) && t.b.tail != o.Answers[t.answer] {
				bad = leftBehind
			}
			if bad != fine {
				found = len(queue) - 1
			}
		})
		if found < 0 {
			continue
		}
		v.What = bad.String()
		for n := found; n > 0; n = int(steps[n].from) {
			v.Trace = append([]string{steps[n].did.String()}, v.Trace...)
		}
		return len(queue), v
	}
	return len(queue), v
}

// over tells whether the last, undisturbed run has ended or, where runs are patient, all the others have.
func (o Options) over(s state) bool {
	if o.Patient {
		for i := range o.Runs {
			if s.runs[i].at != ended {
				return false
			}
		}
		return true
	}
	return s.runs[o.Runs].at == ended
}

func (l label) String() string {
	if l.run < 0 {
		return "(around the runs)"
	}
	what := string(l.call)
	if what == "" {
		what = "connect"
	}
	return fmt.Sprintf("run %d: %s%s", l.run, what, [...]string{"", ", answer lost", ", lost", ", late"}[l.fate])
}

// An Event is one call of a real run, or how it ended: Call "end" when it returned, "kill" when its process died there.
type Event struct {
	Run  string
	Call Call
	Fate Fate
}

// The events that are no calls.
const (
	End  Call = "end"
	Kill Call = "kill"
)

// Accepts replays what real runs did, one event after the other, in every way that the model knows. It returns the
// number of events that it could follow: all of them when the runs kept to the protocol. Values and times are not
// compared; the order of the calls is, and what each can have come to.
func Accepts(o Options, events []Event) int {
	o.replay, o.Losses, o.Kills = true, 1, 1
	o.Runs, o.Answers = 0, "A"
	start := o.start()
	now := map[state]struct{}{start: {}}
	slot := map[string]int{}
	for n, e := range events {
		if _, known := slot[e.Run]; !known {
			free := freeSlot(slot)
			if free < 0 {
				return n
			}
			slot[e.Run] = free
			now = begun(o, now, free)
		}
		now = o.follow(closure(o, now), slot[e.Run], e)
		if len(now) == 0 {
			return n
		}
		if e.Call == End || e.Call == Kill {
			now = freed(now, slot[e.Run])
			delete(slot, e.Run)
		}
	}
	return len(events)
}

// reads tells whether it is the same to a call whether it or its answer is lost.
func (c Call) reads() bool {
	switch c {
	case Read, Fetch, Reread, Stat, Marker, Find:
		return true
	}
	return false
}

func freeSlot(used map[string]int) int {
	var taken [slots]bool
	for _, n := range used {
		taken[n] = true
	}
	for n, t := range taken {
		if !t {
			return n
		}
	}
	return -1
}

func begun(o Options, all map[state]struct{}, slot int) map[state]struct{} {
	out := make(map[state]struct{}, len(all))
	for s := range all {
		s.runs[slot] = run{at: load}
		if o.Mistakes.FetchBeforeLoad {
			s.runs[slot].at = fetch
		}
		out[s] = struct{}{}
	}
	return out
}

func freed(all map[state]struct{}, slot int) map[state]struct{} {
	out := make(map[state]struct{}, len(all))
	for s := range all {
		s.runs[slot] = run{}
		out[s] = struct{}{}
	}
	return out
}

// silent tells whether a transition leaves no event.
func (l label) silent() bool { return l.run < 0 || l.call == "" }

// closure adds all that can happen without an event.
func closure(o Options, all map[state]struct{}) map[state]struct{} {
	var queue []state
	for s := range all {
		queue = append(queue, s)
	}
	for n := 0; n < len(queue); n++ {
		o.next(queue[n], func(l label, t state) {
			if _, ok := all[t]; ok || !l.silent() {
				return
			}
			all[t] = struct{}{}
			queue = append(queue, t)
		})
	}
	return all
}

// follow gives the states in which the event can have happened.
func (o Options) follow(all map[state]struct{}, slot int, e Event) map[state]struct{} {
	out := map[state]struct{}{}
	for s := range all {
		switch e.Call {
		case End:
			if s.runs[slot].at == ended {
				out[s] = struct{}{}
			}
			continue
		case Kill:
			s.runs[slot] = run{at: dead}
			out[s] = struct{}{}
			continue
		}
		o.next(s, func(l label, t state) {
			same := l.fate == e.Fate || e.Fate == Lost && l.fate == Late || e.Fate == AnswerLost && l.fate == Lost && e.Call.reads()
			if int(l.run) == slot && l.call == e.Call && same {
				out[t] = struct{}{}
			}
		})
	}
	return out
}
