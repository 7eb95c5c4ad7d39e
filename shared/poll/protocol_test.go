package poll

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// undisturbed runs a poll that nothing interferes with.
func (w *world) undisturbed(t *testing.T, want Outcome, change ...func(*connector.Source, *Deps)) Summary {
	t.Helper()
	s, _, err := w.run("clean", nil, change...)
	if s.Outcome != want {
		t.Fatalf("outcome %s, want %s (%v)", s.Outcome, want, err)
	}
	if (err != nil) != want.Failed() {
		t.Fatalf("outcome %s with error %v", s.Outcome, err)
	}
	return s
}

// points counts the points that a poll in the state of the world passes.
func points(t *testing.T, prepare func() *world) int {
	t.Helper()
	n := 0
	w := prepare()
	if _, killed, _ := w.run("counted", func(p point) error { n = p.n; return nil }); killed {
		t.Fatal("killed")
	}
	return n
}

// scenarios are the states of the world in which one poll is disturbed.
func scenarios(t *testing.T) map[string]func() *world {
	t.Helper()
	m := map[string]func() *world{
		"first poll": func() *world {
			w := newWorld(t)
			w.serve("a=A b=A c=A")
			return w
		},
		"a change": func() *world {
			w := newWorld(t)
			w.serve("a=A b=A c=A")
			w.undisturbed(t, Published)
			w.serve("a=B b=A c=A d=A")
			return w
		},
		"nothing new": func() *world {
			w := newWorld(t)
			w.serve("a=A b=A c=A")
			w.undisturbed(t, Published)
			return w
		},
		"an intent was left that committed": func() *world { return leftBehind(t, "commit", true) },
		"an intent was left that did not":   func() *world { return leftBehind(t, "produce", true) },
		"an intent was left before a fence": func() *world { return leftBehind(t, "fence", false) },
	}
	for name, f := range m {
		m[name] = again(f)
	}
	return m
}

// leftBehind is a world in which a run was killed at a point and its intent is past its time.
func leftBehind(t *testing.T, call string, after bool) *world {
	t.Helper()
	w := newWorld(t)
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	w.serve("a=B b=A c=A")
	if _, killed, _ := w.run("left", func(p point) error {
		if p.call == call && p.after == after {
			return errKilled
		}
		return nil
	}); !killed {
		t.Fatal("the run was not killed")
	}
	w.pass(10 * time.Minute)
	w.serve("a=C b=A c=A")
	return w
}

// TestKilledAnywhere kills a poll at every point of every scenario, lets the API move on or back, and polls once more.
func TestKilledAnywhere(t *testing.T) {
	for name, prepare := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			last := points(t, prepare)
			for n := 1; n <= last; n++ {
				for _, next := range []string{"", "a=A b=A c=A", "a=Z b=Z c=Z"} {
					w := prepare()
					var where point
					if _, killed, _ := w.run("killed", func(p point) error {
						if where = p; p.n == n {
							return errKilled
						}
						return nil
					}); !killed {
						t.Fatalf("not killed at %d", n)
					}
					if next != "" {
						w.serve(next)
					}
					w.pass(10 * time.Minute)
					if s, _, err := w.run("clean", nil); err != nil {
						t.Errorf("%s, then %q: %s: %v", where, next, s.Outcome, err)
					}
					if wrong := w.check(); wrong != "" {
						t.Errorf("%s, then %q: %s", where, next, wrong)
					}
				}
			}
		})
	}
}

// TestFailedAnywhere makes one call fail, before it is carried out or after, and once each way again for the retry.
func TestFailedAnywhere(t *testing.T) {
	boom := errors.New("connection reset")
	for name, prepare := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			last := points(t, prepare)
			for n := 1; n <= last; n++ {
				for _, times := range []int{1, 2, 1000} {
					w := prepare()
					var where point
					failed := 0
					s, _, err := w.run("failing", func(p point) error {
						if p.n == n {
							where = p
						}
						if where.n != 0 && p.call == where.call && p.after == where.after && failed < times {
							failed++
							return boom
						}
						return nil
					})
					at := fmt.Sprintf("%s, %d times (%s: %v)", where, failed, s.Outcome, err)
					if st := w.generation; st != 0 && s.Outcome != Unknown && times == 1 && w.state().Claim != nil && where.call != "marker" && where.call != "fence" {
						t.Errorf("%s: a claim is left", at)
					}
					w.pass(10 * time.Minute)
					if s, _, err := w.run("clean", nil); err != nil {
						t.Errorf("%s: %s: %v", at, s.Outcome, err)
					}
					if wrong := w.check(); wrong != "" {
						t.Errorf("%s: %s", at, wrong)
					}
				}
			}
		})
	}
}

// TestOvertakenAnywhere stops a poll at every point, lets another one run from beginning to end, wakes the first up
// again, and polls once more. The other one runs while the first is left alone, and after its time is over.
func TestOvertakenAnywhere(t *testing.T) {
	for name, prepare := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			last := points(t, prepare)
			for n := 1; n <= last; n++ {
				for _, asleep := range []time.Duration{0, 10 * time.Minute} {
					for i, meanwhile := range []string{"", "a=A b=A c=A", "a=Z b=Z c=Z"} {
						w := prepare()
						w.unreplayed = (n+i)%3 != 0
						var where point
						var other Summary
						var otherErr error
						s, _, err := w.run("slow", func(p point) error {
							if p.n != n {
								return nil
							}
							where = p
							w.pass(asleep)
							if meanwhile != "" {
								w.serve(meanwhile)
							}
							other, _, otherErr = w.run("other", nil)
							return nil
						})
						at := fmt.Sprintf("%s, asleep for %v, then %q (%s: %v; other %s: %v)", where, asleep, meanwhile, s.Outcome, err, other.Outcome, otherErr)
						if otherErr != nil || (err != nil && s.Outcome != Unavailable) {
							t.Errorf("%s: a run failed", at)
						}
						w.pass(10 * time.Minute)
						if s, _, err := w.run("clean", nil); err != nil {
							t.Errorf("%s: %s: %v", at, s.Outcome, err)
						}
						if wrong := w.check(); wrong != "" {
							t.Errorf("%s: %s", at, wrong)
						}
					}
				}
			}
		})
	}
}

// TestOvertakenByOneThatIsKilled is the same with another run that dies at each of its points.
func TestOvertakenByOneThatIsKilled(t *testing.T) {
	prepare := scenarios(t)["a change"]
	last := points(t, prepare)
	for n := 1; n <= last; n++ {
		// A run that recovers has some points more.
		for m := 1; m <= last+12; m++ {
			w := prepare()
			w.unreplayed = (n+m)%replayed != 0
			var where, died point
			w.disturb("slow", func(p point) error {
				if p.n != n {
					return nil
				}
				where = p
				w.pass(10 * time.Minute)
				w.serve("a=A b=A c=A d=B")
				w.disturb("other", func(p point) error {
					if p.n != m {
						return nil
					}
					died = p
					return errKilled
				})
				return nil
			})
			w.pass(10 * time.Minute)
			if s, _, err := w.run("clean", nil); err != nil {
				t.Errorf("%s, other killed at %s: %s: %v", where, died, s.Outcome, err)
			}
			if wrong := w.check(); wrong != "" {
				t.Errorf("%s, other killed at %s: %s", where, died, wrong)
			}
		}
	}
}

// TestCommitThatIsCarriedOutLate loses the commit on its way; the broker carries it out when the next one fences, or
// never.
func TestCommitThatIsCarriedOutLate(t *testing.T) {
	for _, late := range []bool{true, false} {
		for _, killed := range []bool{true, false} {
			t.Run(fmt.Sprintf("late %v, killed %v", late, killed), func(t *testing.T) {
				w := newWorld(t)
				w.serve("a=A b=A")
				w.undisturbed(t, Published)
				w.serve("a=B b=A")
				id := ""
				lost := false
				s, _, err := w.run("lost", func(p point) error {
					if p.call != "commit" || p.after || lost {
						return nil
					}
					lost = true
					id = w.state().Intent.ID
					if late {
						w.late = func() {
							w.log = append(w.log, published{"a", "B", id})
							w.marker, w.marked = kafka.Marker{ID: id, Commits: 2}, true
						}
					}
					if killed {
						return errKilled
					}
					return errors.New("connection lost")
				})
				if killed {
					w.pass(10 * time.Minute)
					s, _, err = w.run("clean", nil)
				}
				if err != nil {
					t.Errorf("%s: %v", s.Outcome, err)
				}
				want := map[bool]string{true: "committed", false: "not_committed"}[late]
				if s.Recovered != want {
					t.Errorf("recovered %q, want %q", s.Recovered, want)
				}
				if !killed && (s.Outcome != Published || s.Published != 1 || s.New != 0 || s.Changed != 1) {
					t.Errorf("%+v", s)
				}
				if wrong := w.check(); wrong != "" {
					t.Error(wrong)
				}
				if got := strings.Join(w.held()["a"], " "); got != "A B" {
					t.Errorf("a: %s", got)
				}
			})
		}
	}
}

// TestTopicThatABrokerDoesNotKnowYet: that a broker knows of no such topic says nothing of what was committed to it,
// whether brokers give topics ids or, before Kafka 2.8, do not.
func TestTopicThatABrokerDoesNotKnowYet(t *testing.T) {
	for situation, id := range map[string][16]byte{"with an id": {1}, "without an id": {}} {
		t.Run(situation, func(t *testing.T) {
			w := leftBehind(t, "commit", true)
			w.topic.ID = id
			w.replace(func(s *sourceoffset.State) { s.TopicID = id })
			s, _, err := w.run("asks", func(p point) error {
				if p.call == "marker" && !p.after {
					return kafka.ErrTopicMissing
				}
				return nil
			})
			if err == nil || s.Outcome != Unavailable || !strings.Contains(s.Error, "riftline offsets reset ladder") {
				t.Errorf("%s: %v", s.Outcome, err)
			}
			w.pass(10 * time.Minute)
			if s := w.undisturbed(t, Published); s.Recovered != "committed" {
				t.Errorf("%+v", s)
			}
			if wrong := w.check(); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}
