package poll

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/poll/model"
)

// parted makes parts of two records.
func parted(_ *connector.Source, d *Deps) { d.PartRecords = 2 }

// killAt ends a run before or after the n-th of its calls of a name.
func killAt(call string, after bool, n int) hook {
	return func(p point) error {
		if p.call != call || p.after != after {
			return nil
		}
		if n--; n == 0 {
			return errKilled
		}
		return nil
	}
}

// leaseLeftBehind is a world in which a run was killed after it had sent so many records of three, and its time is over.
func leaseLeftBehind(t *testing.T, sent int) *world {
	t.Helper()
	w := newWorld(t).refused()
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	w.serve("a=B b=B c=B")
	dies := killAt("send", false, sent+1)
	if sent == 3 {
		dies = killAt("write", false, 2)
	}
	if _, killed, _ := w.run("left", dies); !killed {
		t.Fatal("the run was not killed")
	}
	w.pass(10 * time.Minute)
	w.serve("a=C b=B c=B")
	return w
}

// leaseScenarios are the states of the world in which one poll without transactions is disturbed.
func leaseScenarios(t *testing.T) map[string]func() *world {
	t.Helper()
	m := map[string]func() *world{
		"first poll": func() *world {
			w := newWorld(t).refused()
			w.serve("a=A b=A c=A")
			return w
		},
		"a change": func() *world {
			w := newWorld(t).refused()
			w.serve("a=A b=A c=A")
			w.undisturbed(t, Published)
			w.serve("a=B b=A c=B d=A e=A")
			return w
		},
		"an intent was left with nothing sent": func() *world { return leaseLeftBehind(t, 0) },
		"an intent was left with a part":       func() *world { return leaseLeftBehind(t, 2) },
		"transactions were refused since": func() *world {
			w := newWorld(t)
			w.serve("a=A b=A c=A")
			w.undisturbed(t, Published)
			w.serve("a=B b=A c=B d=A e=A")
			return w.refused()
		},
	}
	for name, f := range m {
		m[name] = again(f)
	}
	return m
}

// calls are those of one run over an answer, in order. The model of the lease has them in the same one.
func (w *world) calls(name, entries string) string {
	w.serve(entries)
	n := len(w.events)
	w.disturb(name, nil)
	var names []string
	for _, e := range w.events[n:] {
		if e.Call != model.End {
			names = append(names, string(e.Call))
		}
	}
	return strings.Join(names, " ")
}

func TestLeaseSaysThatItIsNotExactlyOnce(t *testing.T) {
	w := newWorld(t).refused()
	w.serve("a=A b=A")
	s := w.undisturbed(t, Published)
	if s.ExactlyOnce || s.Published != 2 || s.Transactions != 0 || s.LastOffsets[0] != 1 {
		t.Errorf("%+v", s)
	}
	if st := w.state(); st.Last != "" || st.Commits != 0 || st.Intent != nil || st.Base.Len() != 2 {
		t.Errorf("%+v", st)
	}
	clear(w.counts)
	if s := w.undisturbed(t, NothingNew); s.Unchanged != 2 || len(w.counts) != 2 {
		t.Errorf("an idle poll asked for %v: %+v", w.counts, s)
	}
	w.serve("a=B b=A")
	clear(w.counts)
	w.undisturbed(t, Published)
	want := map[string]int{"read": 1, "fetch": 1, "topic": 1, "transactions": 1, "lease": 1, "schema": 1, "write": 2, "stat": 1, "send": 1}
	if fmt.Sprint(w.counts) != fmt.Sprint(want) {
		t.Errorf("a poll asked for %v, want %v", w.counts, want)
	}
	if got, want := w.calls("order", "a=C b=A"), "read fetch transactions lease write stat send write"; got != want {
		t.Errorf("a poll made the calls %s, want %s", got, want)
	}
	// Where transactions are allowed there are, and back.
	w.refusing = false
	w.serve("a=Y b=A")
	if s := w.undisturbed(t, Published); !s.ExactlyOnce || s.Transactions != 1 {
		t.Errorf("%+v", s)
	}
	w.refusing = true
	w.serve("a=D b=A")
	w.undisturbed(t, Published)
	w.refusing, w.requested = false, false
	w.serve("a=E b=A")
	if s := w.undisturbed(t, Published); !s.ExactlyOnce {
		t.Errorf("%+v", s)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
}

func TestLeaseKilledAnywhere(t *testing.T) {
	for name, prepare := range leaseScenarios(t) {
		t.Run(name, func(t *testing.T) {
			last := points(t, prepare)
			for n := 1; n <= last+20; n++ { // in parts there are more points
				for _, change := range []func(*connector.Source, *Deps){func(*connector.Source, *Deps) {}, parted} {
					for _, next := range []string{"", "a=A b=A c=A", "a=Z b=Z c=Z"} {
						w := prepare()
						var where point
						if _, killed, _ := w.run("killed", func(p point) error {
							if where = p; p.n == n {
								return errKilled
							}
							return nil
						}, change); !killed {
							continue
						}
						if next != "" {
							w.serve(next)
						}
						w.pass(10 * time.Minute)
						if s, _, err := w.run("clean", nil, change); err != nil {
							t.Errorf("%s, then %q: %s: %v", where, next, s.Outcome, err)
						}
						if wrong := w.check(); wrong != "" {
							t.Errorf("%s, then %q: %s", where, next, wrong)
						}
					}
				}
			}
		})
	}
}

// A call fails before it is carried out or after. One that a broker rejects is known not to be there: its intent ends at
// once.
func TestLeaseFailedAnywhere(t *testing.T) {
	for name, prepare := range leaseScenarios(t) {
		t.Run(name, func(t *testing.T) {
			last := points(t, prepare)
			for n := 1; n <= last; n++ {
				for _, times := range []int{1, 2, 1000} {
					for _, boom := range []error{errors.New("connection reset"), errRejected} {
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
						if errors.Is(boom, errRejected) && where.after {
							continue // no broker does that
						}
						at := fmt.Sprintf("%s, %d times %v (%s: %v)", where, failed, boom, s.Outcome, err)
						if st := w.generation; st != 0 && where.call == "send" && (w.state().Intent == nil) != errors.Is(boom, errRejected) {
							t.Errorf("%s: the intent is %v", at, w.state().Intent)
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

// A run sleeps, another one comes. What a run does that sleeps past its lease's end in the middle of sending is what a
// lease cannot help: those points are left out.
func TestLeaseOvertakenAnywhere(t *testing.T) {
	for name, prepare := range leaseScenarios(t) {
		t.Run(name, func(t *testing.T) {
			last := points(t, prepare)
			for n := 1; n <= last; n++ {
				for _, asleep := range []time.Duration{0, 10 * time.Minute} {
					for _, meanwhile := range []string{"", "a=A b=A c=A", "a=Z b=Z c=Z"} {
						w := prepare()
						var where point
						var other Summary
						var otherErr error
						s, _, err := w.run("slow", func(p point) error {
							if p.n != n {
								return nil
							}
							if where = p; p.call == "send" && asleep > 0 {
								return errKilled
							}
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

// The end of a lease is what others go by, half a minute later by their own clocks.
func TestLeaseIsWaitedFor(t *testing.T) {
	w := leaseLeftBehind(t, 1)
	until := w.state().Intent.Until
	for _, c := range []struct {
		at   time.Duration
		want Outcome
	}{{-time.Hour, AnotherRun}, {0, AnotherRun}, {leaseGrace - time.Millisecond, AnotherRun}, {leaseGrace, Published}} {
		w.now = until.Add(c.at)
		s := w.undisturbed(t, c.want)
		if published := s.Outcome == Published; published != (s.Recovered == "partly") || published && s.ExactlyOnce {
			t.Errorf("%v after its end: %+v", c.at, s)
		}
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
}

// A value goes back while a part of its change is there: what is there is changed back, what is not was never changed.
func TestLeaseValueThatGoesBack(t *testing.T) {
	for sent := range 4 {
		w := leaseLeftBehind(t, sent)
		if got := w.calls("clean", "a=A b=A c=A"); !strings.HasPrefix(got, "read since fetch transactions lease write stat send") {
			t.Errorf("a recovery made the calls %s", got)
		}
		// Records go from the last to the first.
		want := [][]string{{"[A]", "[A]", "[A]"}, {"[A]", "[A]", "[B A]"}, {"[A]", "[A B A]", "[B A]"}, {"[A B A]", "[A B A]", "[B A]"}}[sent]
		held := w.held()
		if got := []string{fmt.Sprint(held["a"]), fmt.Sprint(held["b"]), fmt.Sprint(held["c"])}; !slices.Equal(got, want) {
			t.Errorf("after %d of 3 records: %v, want %v", sent, got, want)
		}
	}
}

func TestLeaseOfALogKilledAnywhere(t *testing.T) {
	for _, mode := range []func(*connector.Source, *Deps){logged, func(s *connector.Source, d *Deps) { logged(s, d); parted(s, d) }} {
		for n := 1; ; n++ {
			w := newWorld(t).refused()
			w.serve("a=1000 b=1000")
			w.undisturbed(t, Published, mode)
			w.serve("a=1000 b=1000 c=1000 d=2000 e=2000 f=3000")
			var where point
			if _, killed, _ := w.run("killed", func(p point) error {
				if where = p; p.n == n {
					return errKilled
				}
				return nil
			}, mode); !killed {
				break
			}
			w.pass(10 * time.Minute)
			w.serve("b=1000 c=1000 d=2000 e=2000 f=3000 g=3000 h=3000 i=4000")
			w.undisturbed(t, Published, mode)
			lines := strings.Fields(w.lines())
			slices.Sort(lines)
			if got := strings.Join(lines, " "); got != "a=1000 b=1000 c=1000 d=2000 e=2000 f=3000 g=3000 h=3000 i=4000" {
				t.Errorf("%s: the topic holds %s", where, got)
			}
			if c := w.state().Cursor; len(c.Ahead) > 0 || c.At.UnixMilli() != 4000 {
				t.Errorf("%s: the cursor is %+v", where, c)
			}
			w.undisturbed(t, NothingNew, mode)
		}
	}
}

// Entries that are published ahead of the cursor stay known while the cursor is behind them.
func TestLeaseOfALogKnowsWhatIsAhead(t *testing.T) {
	w := newWorld(t).refused()
	w.serve("a=1000")
	w.undisturbed(t, Published, logged)
	w.serve("b=2000 c=3000 d=4000")
	w.disturb("killed", killAt("send", false, 2), logged) // d is there
	w.pass(10 * time.Minute)
	w.serve("b=2000")
	if s := w.undisturbed(t, Published, logged); s.Recovered != "partly" || s.Published != 1 {
		t.Errorf("%+v", s)
	}
	if c := w.state().Cursor; len(c.Ahead) != 1 || c.Ahead[0].Key != "d" || c.At.UnixMilli() != 2000 {
		t.Errorf("%+v", c)
	}
	out, _, _ := w.operate("operator", nil, OffsetsRequest{Verb: Rebuild}, logged)
	if out.ExitCode != 2 || !strings.Contains(out.Error, "let a poll publish the rest first") || out.Written {
		t.Errorf("%+v", out)
	}
	w.serve("c=3000 d=4000 e=5000")
	w.undisturbed(t, Published, logged)
	if got := w.lines(); !strings.Contains(got, "c=3000") || strings.Count(got, "d=4000") != 1 {
		t.Error(got)
	}
}

func TestLeaseWithoutComparing(t *testing.T) {
	none := func(s *connector.Source, _ *Deps) { s.Dedupe.Mode = connector.None }
	for sent, want := range []struct {
		recovered string
		records   int
	}{{"not_committed", 1 + 2}, {"partly", 1 + 1 + 2}, {"committed", 1 + 2 + 2}} {
		w := newWorld(t).refused()
		w.serve("a=A")
		w.undisturbed(t, Published, none)
		w.serve("a=B b=B")
		w.disturb("killed", func(p point) error {
			if p.call == "send" && !p.after {
				if sent == 0 {
					return errKilled
				}
				sent--
			}
			if p.call == "write" && len(w.raw) > 1 {
				return errKilled
			}
			return nil
		}, none)
		w.pass(10 * time.Minute)
		w.serve("a=C b=C")
		if s := w.undisturbed(t, Published, none); s.Recovered != want.recovered || len(w.raw) != want.records {
			t.Errorf("recovered %s with %d records, want %+v", s.Recovered, len(w.raw), want)
		}
	}
}

// What became of an intent is found out as it was announced, whatever setting and brokers say by then.
func TestRecoveryFollowsTheIntentsMode(t *testing.T) {
	w := leaseLeftBehind(t, 2)
	w.requested, w.refusing = false, false
	if s := w.undisturbed(t, Published); s.Recovered != "partly" || s.ExactlyOnce || s.Transactions != 1 || s.Published != 1 {
		t.Errorf("%+v", s)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
	w = leftBehind(t, "commit", true).refused()
	s := w.undisturbed(t, Refused)
	if !strings.Contains(s.Error, "riftline offsets settle ladder --committed") || len(w.log) != 4 {
		t.Errorf("%d records: %s", len(w.log), s.Error)
	}
	// The person who decides is believed as far as the marker can be read.
	w.pass(10 * time.Minute)
	if out := w.done(t, 3, OffsetsRequest{Verb: Settle}); !strings.Contains(out.Error, "--committed") {
		t.Error(out.Error)
	}
	w.done(t, 0, OffsetsRequest{Verb: Settle, Committed: true})
	if s := w.undisturbed(t, Published); s.ExactlyOnce || s.Published != 1 {
		t.Errorf("%+v", s)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
}

func TestLeaseIsRefusedOrPutOff(t *testing.T) {
	boom := errors.New("coordinator not available")
	for name, c := range map[string]struct {
		prepare func(*world)
		h       hook
		want    Outcome
		says    string
	}{
		"required":            {func(w *world) { w.requested = false }, nil, Refused, "transactions are refused"},
		"idempotence refused": {func(w *world) { w.barring = true }, nil, Refused, "idempotent publishing is refused"},
		"not known whether transactions are": {func(*world) {}, func(p point) error {
			if p.call == "transactions" {
				return fmt.Errorf("%w: %w", kafka.ErrUnreachable, boom)
			}
			return nil
		}, Unavailable, "coordinator"},
		"the time is over": {func(*world) {}, func(p point) error { return nil }, Unavailable, "time of the lease is over"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).refused()
			w.serve("a=A")
			c.prepare(w)
			h := c.h
			if name == "the time is over" {
				h = func(p point) error {
					if p.call == "stat" && p.after {
						w.pass(90 * time.Second)
					}
					return nil
				}
			}
			s, _, _ := w.run("run", h)
			if s.Outcome != c.want || !strings.Contains(s.Error, c.says) || len(w.log) > 0 {
				t.Errorf("%s: %s", s.Outcome, s.Error)
			}
			if w.generation != 0 && w.state().Intent != nil {
				t.Error("an intent is left")
			}
		})
	}
}

// Records that are gone are no reason to publish again what may have been there.
func TestLeaseThatCannotBeRead(t *testing.T) {
	gone := func(w *world) { w.gone = "partition 0 of topic ladder begins at 9 by now" }
	for _, c := range []struct {
		name    string
		sent    int
		prepare func(*world)
		outcome Outcome
		says    string
	}{
		{"gone, all found", 3, gone, Published, ""},
		{"gone, some found", 2, gone, Stopped, "2 of the 3 records"},
		{"too long", 2, func(w *world) { w.long = true }, Stopped, "too long to be searched"},
		{"created again", 2, func(w *world) { w.topic.ID = [16]byte{7} }, Stopped, "created again"},
		{"missing", 2, func(w *world) { w.missing = true }, Unavailable, "if the topic was deleted"},
		{"another record with the id", 2, func(w *world) {
			w.raw = append(w.raw, &kgo.Record{Topic: "ladder", Headers: []kgo.RecordHeader{{Key: kafka.HeaderID, Value: []byte(w.state().Intent.ID)}}})
		}, Stopped, "names no entry of it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := leaseLeftBehind(t, c.sent)
			if c.prepare(w); c.sent == 3 {
				w.serve("a=C b=B c=B")
			}
			s := w.undisturbed(t, c.outcome)
			if !strings.Contains(s.Error, c.says) {
				t.Error(s.Error)
			}
			if c.outcome == Stopped && w.state().Intent == nil {
				t.Error("the intent is gone")
			}
		})
	}
}

func TestOffsetsOfALease(t *testing.T) {
	w := leaseLeftBehind(t, 2)
	out := w.done(t, 0, OffsetsRequest{Verb: Show})
	if i := out.Before.Intent; i.Lease == nil || i.Lease.Records != 3 || !slices.Equal(i.Lease.Watermarks, []int64{2}) || i.MarkerTopic != "" || i.Until.IsZero() {
		t.Errorf("%+v", out.Before.Intent)
	}
	if !strings.Contains(out.Marker.Means, "without a transaction") || !out.HeldUntil.IsZero() {
		t.Errorf("%+v", out)
	}
	w.now = w.state().Intent.Until.Add(leaseGrace - time.Second)
	if out := w.done(t, 0, OffsetsRequest{Verb: Show}); out.HeldUntil.IsZero() {
		t.Errorf("%+v", out)
	}
	w.pass(10 * time.Minute)
	// What reading tells is not asked for.
	if out := w.done(t, 3, OffsetsRequest{Verb: Settle, Committed: true}); !strings.Contains(out.Error, "2 of the 3 records") || w.state().Claim != nil {
		t.Error(out.Error)
	}
	w.done(t, 0, OffsetsRequest{Verb: Settle})
	if s := w.undisturbed(t, Published); s.Published != 1 || s.Recovered != "" {
		t.Errorf("%+v", s)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
	w = leaseLeftBehind(t, 3)
	if out := w.done(t, 3, OffsetsRequest{Verb: Settle}); !strings.Contains(out.Error, "all 3 records") {
		t.Error(out.Error)
	}
	// Where reading does not tell any more the word of a person does, but for what is there.
	for _, committed := range []bool{true, false} {
		w = leaseLeftBehind(t, 2)
		w.gone = "its log was truncated"
		w.undisturbed(t, Stopped)
		w.done(t, 0, OffsetsRequest{Verb: Settle, Committed: committed})
		if st := w.state(); st.Base.Len() != 3 || st.Stopped != "" || st.Intent != nil {
			t.Errorf("%+v", st)
		}
		w.serve("a=B b=B c=B")
		outcome := map[bool]Outcome{true: NothingNew, false: Published}[committed]
		if s := w.undisturbed(t, outcome); s.Published != map[bool]int{true: 0, false: 1}[committed] {
			t.Errorf("committed %v: published %d", committed, s.Published)
		}
	}
	for name, q := range verbs() {
		if name == "set" {
			continue // an intent is open
		}
		w := leaseLeftBehind(t, 2)
		w.done(t, 0, q)
		w.undisturbed(t, Published)
	}
}

// A command that did not end is no obstacle where transactions are refused.
func TestLeaseAfterACommandThatDidNotEnd(t *testing.T) {
	w := newWorld(t).refused()
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	if _, killed, _ := w.operate("operator", killAt("marker", true, 2), OffsetsRequest{Verb: Set, Forget: []string{"b"}}); !killed {
		t.Fatal("not killed")
	}
	if w.state().Claim == nil {
		t.Fatal("no claim")
	}
	w.pass(10 * time.Minute)
	w.undisturbed(t, NothingNew)
	if st := w.state(); st.Claim != nil {
		t.Errorf("%+v", st)
	}
}

// A process stands still with its clock, as a machine that is suspended does: the time tells it nothing, the object does.
func TestLeaseOfARunWhoseClockStoodStill(t *testing.T) {
	w := newWorld(t).refused()
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	w.serve("a=B b=A")
	then := w.now
	s, _, err := w.run("slow", func(p point) error {
		if p.call == "stat" && !p.after {
			w.pass(10 * time.Minute)
			w.undisturbed(t, Published)
		}
		return nil
	}, func(_ *connector.Source, d *Deps) { d.Now = func() time.Time { return then } })
	if err != nil || s.Outcome != AnotherRun || s.Published != 0 {
		t.Errorf("%+v: %v", s, err)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
}
