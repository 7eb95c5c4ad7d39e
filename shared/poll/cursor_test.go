package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/timestamp"
	"github.com/riftline/riftline/shared/kafka"
)

// logged makes a run take the answers for a log whose timestamps, in milliseconds, are the entries' values.
func logged(s *connector.Source, d *Deps) {
	s.Dedupe.Mode = connector.Timestamp
	s.Timestamp = "/v"
}

// lines are the records of the topic in their order.
func (w *world) lines() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, p := range w.log {
		list = append(list, p.key+"="+p.value)
	}
	return strings.Join(list, " ")
}

func TestLogIsPublishedFromTheCursorOn(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		situation, answer string
		outcome           Outcome
		new, unchanged    int
		topic             string
	}{
		{"first answer", "a=1000 b=2000", Published, 2, 0, "a=1000 b=2000"},
		{"the same again", "a=1000 b=2000", NothingNew, 0, 2, "a=1000 b=2000"},
		{"a tie at the boundary, and one behind it", "b=2000 c=2000 a=3000", Published, 2, 1, "a=1000 b=2000 c=2000 a=3000"},
		{"newest first", "d=4000 c=3000 a=3000", Published, 2, 1, "a=1000 b=2000 c=2000 a=3000 c=3000 d=4000"},
		{"out of order, which a log is not", "f=6000 e=5000 g=7000", Published, 3, 0, "a=1000 b=2000 c=2000 a=3000 c=3000 d=4000 e=5000 f=6000 g=7000"},
		{"too late", "x=1", NothingNew, 0, 1, "a=1000 b=2000 c=2000 a=3000 c=3000 d=4000 e=5000 f=6000 g=7000"},
		{"nothing", "", NothingNew, 0, 0, "a=1000 b=2000 c=2000 a=3000 c=3000 d=4000 e=5000 f=6000 g=7000"},
	} {
		w.serve(c.answer)
		s := w.undisturbed(t, c.outcome, logged)
		if s.New != c.new || s.Unchanged != c.unchanged || s.Published != c.new {
			t.Errorf("%s: %+v", c.situation, s)
		}
		if got := w.lines(); got != c.topic {
			t.Errorf("%s: the topic holds %s, want %s", c.situation, got, c.topic)
		}
	}
	st := w.state()
	if !st.Cursor.At.Equal(time.UnixMilli(7000)) || !slices.Equal(st.Cursor.Keys, []string{"g"}) || st.Base.Len() != 0 {
		t.Errorf("%+v", st)
	}
}

// TestLogWithTheFirstOfAllTimes has the timestamp that .NET and Go write where there is none.
func TestLogWithTheFirstOfAllTimes(t *testing.T) {
	w := newWorld(t)
	const none = "0001-01-01T00:00:00Z"
	for _, c := range []struct {
		situation, answer string
		outcome           Outcome
		topic             string
	}{
		{"nothing but such entries", "a=" + none + " b=" + none, Published, "a=" + none + " b=" + none},
		{"the same again", "a=" + none + " b=" + none, NothingNew, "a=" + none + " b=" + none},
		{"a tie", "a=" + none + " b=" + none + " c=" + none, Published, "a=" + none + " b=" + none + " c=" + none},
		{"one that has a time", "a=" + none + " d=2000", Published, "a=" + none + " b=" + none + " c=" + none + " d=2000"},
		{"too late", "e=" + none, NothingNew, "a=" + none + " b=" + none + " c=" + none + " d=2000"},
	} {
		w.serve(c.answer)
		if s := w.undisturbed(t, c.outcome, logged); s.Error != "" {
			t.Errorf("%s: %+v", c.situation, s)
		}
		if got := w.lines(); got != c.topic {
			t.Errorf("%s: the topic holds %s, want %s", c.situation, got, c.topic)
		}
	}
}

func TestTheSameKeyAndTimestampTwiceIsOneEntry(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1000 a=1000 a=2000")
	if s := w.undisturbed(t, Published, logged); s.Repeated != 1 || s.New != 2 || w.lines() != "a=1000 a=2000" {
		t.Errorf("%+v, %s", s, w.lines())
	}
}

func TestNewerOnlyDropsTies(t *testing.T) {
	w := newWorld(t)
	newer := func(s *connector.Source, d *Deps) { logged(s, d); s.Dedupe.NewerOnly = true }
	w.serve("a=1000 b=1000")
	w.undisturbed(t, Published, newer)
	w.serve("c=1000 d=1001")
	w.undisturbed(t, Published, newer)
	if got := w.lines(); got != "a=1000 b=1000 d=1001" {
		t.Errorf("%s", got)
	}
	// The zero time is a tie with nothing before anything was published.
	w = newWorld(t)
	w.serve("a=0001-01-01T00:00:00Z")
	w.undisturbed(t, Published, newer)
	w.serve("b=0001-01-01T00:00:00Z")
	w.undisturbed(t, NothingNew, newer)
}

// TestNewerOnlyKilledAnywhere has ties that are published in different transactions: those of one answer are none that
// come late.
func TestNewerOnlyKilledAnywhere(t *testing.T) {
	for _, perPart := range []int{0, 2, 1} {
		t.Run(fmt.Sprintf("%d records in a part", perPart), func(t *testing.T) {
			change := func(s *connector.Source, d *Deps) {
				logged(s, d)
				s.Dedupe.NewerOnly, d.PartRecords = true, perPart
			}
			prepare := again(func() *world {
				w := newWorld(t)
				w.serve("a=1000")
				w.undisturbed(t, Published, change)
				w.serve("a=1000 late=1000 b=2000 c=2000 d=2000 e=2000 f=3000 g=3000")
				return w
			})
			last := 0
			_, _, _ = prepare().run("counted", func(p point) error { last = p.n; return nil }, change)
			for n := 1; n <= last; n++ {
				w := prepare()
				var where point
				_, _, _ = w.run("killed", func(p point) error {
					if p.n != n {
						return nil
					}
					where = p
					return errKilled
				}, change)
				w.pass(10 * time.Minute)
				if s, _, err := w.run("clean", nil, change); err != nil {
					t.Errorf("%s: %s: %v", where, s.Outcome, err)
				}
				if got := w.lines(); got != "a=1000 b=2000 c=2000 d=2000 e=2000 f=3000 g=3000" {
					t.Errorf("%s: the topic holds %s", where, got)
				}
				w.serve("g=3000 h=3000 i=4000")
				w.undisturbed(t, Published, change)
				if got := w.lines(); !strings.HasSuffix(got, "g=3000 i=4000") {
					t.Errorf("%s: the topic holds %s", where, got)
				}
			}
		})
	}
}

func TestLogBeginsAtTheInitialOffset(t *testing.T) {
	w := newWorld(t)
	initial := func(s *connector.Source, d *Deps) {
		logged(s, d)
		s.Initial = map[string]string{"timestamp": "1970-01-01T00:00:02Z"}
	}
	w.serve("a=1000 b=2000 c=3000")
	w.undisturbed(t, Published, initial)
	if got := w.lines(); got != "b=2000 c=3000" {
		t.Errorf("%s", got)
	}
	// Afterwards the cursor is what counts.
	w.serve("b=2000 d=2500 e=4000")
	w.undisturbed(t, Published, initial)
	if got := w.lines(); got != "b=2000 c=3000 e=4000" {
		t.Errorf("%s", got)
	}
	w = newWorld(t)
	w.serve("a=1000")
	w.undisturbed(t, Refused, func(s *connector.Source, d *Deps) {
		initial(s, d)
		s.Initial["timestamp"] = "yesterday"
	})
}

func TestOrderOfAnAnswer(t *testing.T) {
	for situation, c := range map[string]struct {
		mode   connector.Mode
		order  connector.Order
		answer string
		want   string
	}{
		"a log, as it comes":                   {connector.Timestamp, "", "a=1 b=2", "a=1 b=2"},
		"a log, newest first":                  {connector.Timestamp, "", "b=2 a=1", "a=1 b=2"},
		"ties keep the answer's order":         {connector.Timestamp, connector.Ascending, "b=1 a=1", "b=1 a=1"},
		"ties of an answer with newest first":  {connector.Timestamp, connector.Descending, "b=1 a=1", "a=1 b=1"},
		"nothing compared, newest first":       {connector.None, connector.Descending, "b=2 a=1", "a=1 b=2"},
		"nothing compared, and told otherwise": {connector.None, connector.Ascending, "b=2 a=1", "b=2 a=1"},
		"a snapshot, newest first":             {connector.Snapshot, "", "b=2 a=1", "a=1 b=2"},
	} {
		w := newWorld(t)
		w.serve(c.answer)
		w.undisturbed(t, Published, func(s *connector.Source, d *Deps) {
			logged(s, d)
			s.Dedupe.Mode, s.Order = c.mode, c.order
		})
		if got := w.lines(); got != c.want {
			t.Errorf("%s: %s, want %s", situation, got, c.want)
		}
	}
}

// TestFault23LogWithTiesKilledAnywhere kills a poll of a log at each of its points, with one transaction and with a
// transaction for each two records, and polls once without trouble: each entry is there exactly once.
func TestFault23LogWithTiesKilledAnywhere(t *testing.T) {
	for _, perPart := range []int{0, 2, 1} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d records in a part, answers lost %v", perPart, lost), func(t *testing.T) {
				parts := func(s *connector.Source, d *Deps) { logged(s, d); d.PartRecords = perPart }
				prepare := again(func() *world {
					w := newWorld(t)
					w.serve("a=1000 b=2000 c=2000")
					w.undisturbed(t, Published, parts)
					w.serve("b=2000 d=2000 c=2000 e=2000 a=3000 f=3000")
					return w
				})
				last := 0
				_, _, _ = prepare().run("counted", func(p point) error { last = p.n; return nil }, parts)
				for n := 1; n <= last; n++ {
					w := prepare()
					var where point
					_, _, _ = w.run("killed", func(p point) error {
						if p.n != n {
							return nil
						}
						where = p
						if lost {
							return errors.New("connection lost")
						}
						return errKilled
					}, parts)
					// More ties come between the two polls.
					w.serve("d=2000 c=2000 e=2000 a=3000 f=3000 g=3000 h=4000")
					w.pass(10 * time.Minute)
					if s, _, err := w.run("clean", nil, parts); err != nil {
						t.Errorf("%s: %s: %v", where, s.Outcome, err)
					}
					got := strings.Fields(w.lines())
					slices.Sort(got)
					if want := "a=1000 a=3000 b=2000 c=2000 d=2000 e=2000 f=3000 g=3000 h=4000"; strings.Join(got, " ") != want {
						t.Errorf("%s: the topic holds %v", where, got)
					}
					for i := 1; i < len(w.log); i++ {
						if w.log[i].value < w.log[i-1].value {
							t.Errorf("%s: not in the order of the timestamps: %s", where, w.lines())
							break
						}
					}
				}
			})
		}
	}
}

func TestTimestampsThatCannotBeRead(t *testing.T) {
	for situation, change := range map[string]func(*connector.Source, *Deps){
		"no such pointer": func(s *connector.Source, d *Deps) { logged(s, d); s.Timestamp = "/when" },
		"no time":         logged,
	} {
		w := newWorld(t)
		w.serve("a=1000 b=soon")
		s := w.undisturbed(t, Upstream, change)
		if len(w.log) > 0 || w.generation != 0 || !strings.Contains(s.Error, "entry") {
			t.Errorf("%s: %+v, %s", situation, s, w.lines())
		}
	}
	if _, err := timestamp.Default().Parse("soon"); !errors.Is(err, timestamp.ErrTimestamp) {
		t.Error(err)
	}
}

// offsets make templates see the offset properties of the entries.
func offsets(s *connector.Source, d *Deps) {
	s.Request.OffsetNames = []string{"key", "timestamp", "v"}
	s.Offset = map[string]string{"v": "/v"}
	s.Initial = map[string]string{"key": "none", "v": "0"}
}

// TestTemplatesSeeTheLastOffset looks at what the request is filled with, and at what moves the cursor.
func TestTemplatesSeeTheLastOffset(t *testing.T) {
	for mode, want := range map[connector.Mode][]string{
		connector.Timestamp: {"map[key:none v:0]", "map[key:b timestamp:1970-01-01T00:00:02Z v:2000]", "map[key:c timestamp:1970-01-01T00:00:02.500Z v:2500]"},
		connector.None:      {"map[key:none v:0]", "map[key:b timestamp:1970-01-01T00:00:02Z v:2000]", "map[key:c timestamp:1970-01-01T00:00:02.500Z v:2500]"},
		connector.Snapshot:  {"map[key:none v:0]", "map[key:none v:0]", "map[key:none v:0]"},
	} {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t)
			var seen []string
			change := func(s *connector.Source, d *Deps) {
				logged(s, d)
				offsets(s, d)
				s.Dedupe.Mode = mode
				inner := d.NewFetcher
				d.NewFetcher = func(s connector.Source) (Fetcher, error) {
					seen = append(seen, fmt.Sprint(s.Request.Values.Offset))
					return inner(s)
				}
			}
			w.serve("a=1000 b=2000")
			w.undisturbed(t, Published, change)
			w.serve("c=2500")
			w.undisturbed(t, Published, change)
			w.serve("")
			w.undisturbed(t, NothingNew, change)
			if !slices.Equal(seen, want) {
				t.Errorf("got  %q\nwant %q", seen, want)
			}
		})
	}
}

// TestCursorMovesWithoutAPublication has a tie that is not published and is the newest entry all the same.
func TestCursorMovesWithoutAPublication(t *testing.T) {
	w := newWorld(t)
	change := func(s *connector.Source, d *Deps) {
		logged(s, d)
		offsets(s, d)
		s.Dedupe.NewerOnly = true
	}
	w.serve("a=1000 b=2000")
	w.undisturbed(t, Published, change)
	w.serve("a=1000 b=2000 c=2000")
	clear(w.counts)
	w.undisturbed(t, NothingNew, change)
	if w.counts["write"] != 1 || w.counts["topic"]+w.counts["fence"]+w.counts["marker"] != 0 || w.state().Cursor.Offset["key"] != "c" {
		t.Errorf("%v, %+v", w.counts, w.state())
	}
	clear(w.counts)
	w.undisturbed(t, NothingNew, change)
	if w.counts["write"] != 0 {
		t.Errorf("an idle poll writes: %v", w.counts)
	}
	// Whatever becomes of the write, nothing is published and the next poll goes on.
	for n := 1; n <= 6; n++ {
		w.serve(fmt.Sprintf("b=2000 x%d=2000", n))
		_, _, _ = w.run("killed", func(p point) error {
			if p.n == n {
				return errKilled
			}
			return nil
		}, change)
		w.undisturbed(t, NothingNew, change)
		if want := fmt.Sprintf("x%d", n); w.state().Cursor.Offset["key"] != want || w.lines() != "a=1000 b=2000" {
			t.Errorf("killed at %d: %+v, %s", n, w.state().Cursor, w.lines())
		}
	}
}

func TestKindOfAnObjectDoesNotChange(t *testing.T) {
	w := newWorld(t)
	w.serve("a=1000")
	w.undisturbed(t, Published)
	if s := w.undisturbed(t, Stopped, logged); !strings.Contains(s.Error, "riftline.dedupe=snapshot") {
		t.Errorf("%+v", s)
	}
}

// finder notes since when a topic must reach back.
type finder struct {
	Producer
	since *time.Time
}

func (f finder) FindIntent(ctx context.Context, topic, id string, since time.Time) (kafka.Found, error) {
	*f.since = since
	return f.Producer.FindIntent(ctx, topic, id, since)
}

// TestTimestampsOfEntriesDoNotSayHowFarTheTopicReaches has an intent without a marker, older than riftline.marker.age.
func TestTimestampsOfEntriesDoNotSayHowFarTheTopicReaches(t *testing.T) {
	for _, log := range []bool{false, true} {
		w := newWorld(t)
		since := time.Unix(1, 0)
		change := func(s *connector.Source, d *Deps) {
			if log {
				logged(s, d)
			}
			inner := d.NewProducer
			d.NewProducer = func(k connector.Kafka, id string, l *slog.Logger) (Producer, error) {
				p, err := inner(k, id, l)
				return finder{p, &since}, err
			}
		}
		w.serve("a=1000")
		_, _, _ = w.run("killed", func(p point) error {
			if p.call == "produce" && p.after {
				return errKilled
			}
			return nil
		}, change)
		at := w.state().Intent.At
		w.pass(13 * time.Hour)
		w.undisturbed(t, Published, change)
		if want := map[bool]time.Time{false: at, true: {}}[log]; !since.Equal(want) {
			t.Errorf("a log %v: the topic must reach back to %v, want %v", log, since, want)
		}
	}
}

func TestInstant(t *testing.T) {
	for nanos, want := range map[int64]string{0: "1970-01-01T00:00:00Z", 5e6: "1970-01-01T00:00:00.005Z", 5e3: "1970-01-01T00:00:00.000005Z", 5: "1970-01-01T00:00:00.000000005Z"} {
		if got := instant(time.Unix(0, nanos)); got != want {
			t.Errorf("%d: %s, want %s", nanos, got, want)
		}
	}
}

// tombstoned publishes null values for keys that left.
func tombstoned(s *connector.Source, _ *Deps) { s.Dedupe.Tombstones = true }

func TestTombstones(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A c=A d=A e=A")
	w.undisturbed(t, Published, tombstoned)
	for _, c := range []struct {
		situation, answer string
		outcome           Outcome
		tombstones        int
	}{
		{"an empty answer", "", NothingNew, 0},
		{"less than half", "a=A b=A", NothingNew, 0},
		{"an answer for somebody else", "v=A w=A x=A y=A z=A", Published, 0},
		{"all are back", "a=A b=A c=A d=A e=A v=A w=A x=A y=A z=A", NothingNew, 0},
		{"two have left", "a=A b=B c=A v=A w=A x=A y=A z=A", Published, 2},
		{"the same again", "a=A b=B c=A v=A w=A x=A y=A z=A", NothingNew, 0},
		{"one is back as it was", "a=A b=B c=A d=A v=A w=A x=A y=A z=A", Published, 0},
		{"and leaves again, alone", "a=A b=B c=A v=A w=A x=A y=A z=A", Published, 1},
	} {
		w.serve(c.answer)
		if s := w.undisturbed(t, c.outcome, tombstoned); s.Tombstones != c.tombstones {
			t.Errorf("%s: %d tombstones: %+v", c.situation, s.Tombstones, s)
		}
	}
	if got := strings.Join(w.held()["d"], " "); got != "A (none) A (none)" {
		t.Errorf("d: %s", got)
	}
	if _, known := w.state().Base.Of("d"); known {
		t.Error("a key that left is not forgotten")
	}
}

func TestTombstonesOfKeysThatLeftBefore(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A c=A")
	w.undisturbed(t, Published)
	w.serve("a=B b=A")
	w.undisturbed(t, Published)
	if s := w.undisturbed(t, Published, tombstoned); s.Tombstones != 1 || strings.Join(w.held()["c"], " ") != "A (none)" {
		t.Errorf("%+v, %v", s, w.held())
	}
}

// TestNoTombstonesWhereKeysAreMissing has an entry whose key was lost: it may be the one that seems to have left.
func TestNoTombstonesWhereKeysAreMissing(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A c=A")
	w.undisturbed(t, Published, tombstoned)
	w.serve("a=A b=A =A")
	if s := w.undisturbed(t, Published, tombstoned); s.Tombstones != 0 || s.Keyless != 1 || len(w.held()["c"]) != 1 {
		t.Errorf("%+v, %v", s, w.held())
	}
}

func TestTombstonesKilledAnywhere(t *testing.T) {
	prepare := again(func() *world {
		w := newWorld(t)
		w.serve("a=A b=A c=A d=A")
		w.undisturbed(t, Published, tombstoned)
		w.serve("a=B b=A c=A")
		return w
	})
	last := 0
	_, _, _ = prepare().run("counted", func(p point) error { last = p.n; return nil }, tombstoned)
	for n := 1; n <= last; n++ {
		w := prepare()
		var where point
		_, _, _ = w.run("killed", func(p point) error {
			if p.n != n {
				return nil
			}
			where = p
			return errKilled
		}, tombstoned)
		w.pass(10 * time.Minute)
		if s, _, err := w.run("clean", nil, tombstoned); err != nil {
			t.Errorf("%s: %s: %v", where, s.Outcome, err)
		}
		if got := w.held(); strings.Join(got["d"], " ") != "A (none)" || strings.Join(got["a"], " ") != "A B" {
			t.Errorf("%s: %v", where, got)
		}
		if st := w.state(); st.Intent != nil || st.Base.Len() != 3 {
			t.Errorf("%s: %+v", where, st)
		}
	}
}
