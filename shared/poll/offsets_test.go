package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/sourceoffset"
)

func (c *client) ReadAll(_ context.Context, _ string, _ bool, each func(*kgo.Record) error) (x kafka.Extent, err error) {
	var raw []*kgo.Record
	err = c.p.do("readall", func() error {
		raw = slices.Clone(c.p.w.raw)
		x = kafka.Extent{Topic: c.p.w.topic, Whole: true}
		return nil
	})
	for _, r := range raw {
		if err != nil {
			break
		}
		x.Records++
		err = each(r)
	}
	return x, err
}

// operate does once what a person asks. killed is true when the hook ended the process.
func (w *world) operate(name string, h hook, q OffsetsRequest, change ...func(*connector.Source, *Deps)) (out OffsetsReport, killed bool, err error) {
	p := &process{w: w, name: name, hook: h}
	w.mu.Lock()
	w.byHand = true
	w.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			if e, ok := v.(error); !ok || !errors.Is(e, errKilled) {
				panic(v)
			}
			killed = true
		}
	}()
	src, deps := w.source(), p.deps()
	for _, f := range change {
		f(&src, &deps)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	q.Who = "alice on a laptop"
	out, err = Operate(ctx, src, deps, q)
	return out, false, err
}

// done operates and fails the test unless that ends with the exit code.
func (w *world) done(t *testing.T, want int, q OffsetsRequest) OffsetsReport {
	t.Helper()
	out, _, err := w.operate("operator", nil, q)
	if out.ExitCode != want || (err != nil) != (want != 0 && q.Verb != Show) {
		t.Fatalf("%s: exit %d, want %d: %v", q.Verb, out.ExitCode, want, err)
	}
	return out
}

func verbs() map[string]OffsetsRequest {
	return map[string]OffsetsRequest{
		"reset":   {Verb: Reset},
		"rebuild": {Verb: Rebuild},
		"set":     {Verb: Set, Forget: []string{"b"}},
	}
}

func TestShow(t *testing.T) {
	w := newWorld(t)
	out := w.done(t, 0, OffsetsRequest{Verb: Show})
	if out.Generation != 0 || out.Before != nil || !strings.Contains(out.Next, "riftline offsets rebuild ladder --from-topic") {
		t.Errorf("nothing yet: %+v", out)
	}
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	clear(w.counts)
	out = w.done(t, 0, OffsetsRequest{Verb: Show, Keys: true})
	if s := out.Before; s.Keys != 2 || s.Commits != 1 || s.Last == "" || len(s.Known) != 2 || out.Marker.ID != s.Last || out.Next != "" {
		t.Errorf("%+v, %+v", out, s)
	}
	if want := map[string]int{"read": 1, "marker": 1}; !maps.Equal(w.counts, want) {
		t.Errorf("asked for %v, want %v", w.counts, want)
	}
	w = leftBehind(t, "commit", true)
	out = w.done(t, 0, OffsetsRequest{Verb: Show})
	if out.Before.Intent == nil || out.Before.Intent.Changes != 2 || out.Marker.Means != "the intent was committed" || !out.HeldUntil.IsZero() {
		t.Errorf("an intent: %+v, %+v", out.Before, out.Marker)
	}
	w.pass(-10 * time.Minute)
	if out = w.done(t, 0, OffsetsRequest{Verb: Show}); out.HeldUntil.IsZero() {
		t.Errorf("a young intent: %+v", out)
	}
	w.object = []byte("torn")
	out = w.done(t, 3, OffsetsRequest{Verb: Show})
	if !strings.Contains(out.Refused, "damaged") || !strings.Contains(out.Next, "riftline offsets reset ladder") || out.Marker.ID == "" {
		t.Errorf("a damaged object: %+v", out)
	}
}

func TestReset(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	last := w.state().Last
	out := w.done(t, 0, OffsetsRequest{Verb: Reset})
	if st := w.state(); st.Base.Len() != 0 || st.Last != last || st.Commits != 1 || st.Claim != nil || !out.Written || out.After.Keys != 0 {
		t.Errorf("%+v, %+v", st, out)
	}
	if !strings.Contains(out.Audit, "alice on a laptop ran 'riftline offsets reset ladder': 2 keys known before and 0 after") {
		t.Errorf("audit %q", out.Audit)
	}
	if s := w.undisturbed(t, Published); s.New != 2 {
		t.Errorf("%+v", s)
	}
	if s := w.undisturbed(t, NothingNew); s.Unchanged != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSet(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	w.done(t, 0, OffsetsRequest{Verb: Set, Forget: []string{"b"}})
	if s := w.undisturbed(t, Published); s.New != 1 || s.Unchanged != 1 {
		t.Errorf("%+v", s)
	}
	known := w.done(t, 0, OffsetsRequest{Verb: Show, Keys: true}).Before.Known
	w.done(t, 0, OffsetsRequest{Verb: Reset})
	w.done(t, 0, OffsetsRequest{Verb: Set, Known: known})
	w.undisturbed(t, NothingNew)
	for name, q := range map[string]OffsetsRequest{
		"a key that is not known": {Verb: Set, Forget: []string{"z"}},
		"no fingerprint":          {Verb: Set, Known: map[string]string{"a": "x"}},
		"nothing":                 {Verb: Set},
		"no such verb":            {Verb: "mend"},
		"no intent":               {Verb: Settle},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.state()
			w.done(t, 2, q)
			if !sourceoffset.Same(before)(w.state()) {
				t.Error("something was written")
			}
		})
	}
}

func TestRebuild(t *testing.T) {
	w := newWorld(t)
	for _, answer := range []string{"a=A b=A", "a=B b=A", "a=B b=A c=A"} {
		w.serve(answer)
		w.undisturbed(t, Published)
	}
	w.generation, w.object = 0, nil
	out := w.done(t, 0, OffsetsRequest{Verb: Rebuild})
	if r := out.Rebuilt; r.Records != 4 || r.Typed != 4 || !r.Whole || out.After.Keys != 3 || out.After.Commits != 3 {
		t.Errorf("%+v, %+v", r, out.After)
	}
	w.undisturbed(t, NothingNew)
	w.serve("a=B b=C c=A")
	if s := w.undisturbed(t, Published); s.Changed != 1 || s.OnlyNewFields != 0 {
		t.Errorf("%+v", s)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}
}

// TestRebuildLeavesKeysOutThatAreNoText has a record of another program's, whose key is the number 200 in Confluent's wire
// format.
func TestRebuildLeavesKeysOutThatAreNoText(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	other := *w.raw[0]
	other.Key = []byte("\x00\x00\x00\x00\xc8\x02a")
	w.raw = append(w.raw, &other)
	out := w.done(t, 0, OffsetsRequest{Verb: Rebuild})
	if r := out.Rebuilt; r.Records != 3 || r.Unreadable != 1 || !strings.Contains(r.First, "UTF-8") || out.After.Keys != 2 {
		t.Errorf("%+v, %+v", r, out.After)
	}
	w.undisturbed(t, NothingNew)
}

// Every stop names a command, and that command lifts it.
func TestEveryStopHasAWayOut(t *testing.T) {
	unknowable := func(t *testing.T) *world {
		w := leftBehind(t, "commit", true)
		w.pass(13 * time.Hour)
		w.marked, w.unsearchable = false, true
		return w
	}
	long := func(t *testing.T) *world {
		w := unknowable(t)
		w.unsearchable, w.long = false, true
		return w
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T) *world
		command string
		q       OffsetsRequest
		exact   bool
	}{
		"it cannot be found out, and was":     {unknowable, "settle ladder --committed", OffsetsRequest{Verb: Settle, Committed: true}, true},
		"it cannot be found out, and was not": {unknowable, "settle ladder --not-committed", OffsetsRequest{Verb: Settle}, false},
		"the search takes too long":           {long, "settle ladder --committed", OffsetsRequest{Verb: Settle, Committed: true}, true},
		"it cannot be found out: rebuild":     {unknowable, "settle", OffsetsRequest{Verb: Rebuild}, true},
		"the topic was created again": {func(t *testing.T) *world {
			w := newWorld(t)
			w.serve("a=A")
			w.undisturbed(t, Published)
			w.topic.ID, w.marked, w.log, w.raw = [16]byte{9}, false, nil, nil
			w.serve("a=B")
			return w
		}, "reset ladder", OffsetsRequest{Verb: Reset}, true},
		"an older object was restored": {func(t *testing.T) *world {
			w := newWorld(t)
			w.serve("a=A")
			w.undisturbed(t, Published)
			old := slices.Clone(w.object)
			w.serve("a=B")
			w.undisturbed(t, Published)
			w.object = old
			w.generation++
			w.serve("a=C")
			return w
		}, "rebuild ladder --from-topic", OffsetsRequest{Verb: Rebuild}, true},
		"the object was deleted": {func(t *testing.T) *world {
			w := newWorld(t)
			w.serve("a=A")
			w.undisturbed(t, Published)
			w.deleted, w.generation, w.object = w.generation, 0, nil
			return w
		}, "rebuild ladder --from-topic", OffsetsRequest{Verb: Rebuild}, true},
		"the object is damaged": {func(t *testing.T) *world {
			w := newWorld(t)
			w.serve("a=A")
			w.undisturbed(t, Published)
			w.object = w.object[:len(w.object)/2]
			return w
		}, "rebuild ladder --from-topic", OffsetsRequest{Verb: Rebuild}, true},
		"the object is that of another topic": {func(t *testing.T) *world {
			w := newWorld(t)
			w.serve("a=A")
			w.undisturbed(t, Published)
			w.replace(func(s *sourceoffset.State) { s.Topic = "other" })
			return w
		}, "reset ladder", OffsetsRequest{Verb: Reset}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.prepare(t)
			s := w.undisturbed(t, Stopped)
			if !strings.Contains(s.Error, "riftline offsets "+c.command) {
				t.Errorf("says %q", s.Error)
			}
			if shown := w.done(t, 3, OffsetsRequest{Verb: Show}); !strings.Contains(shown.Next, "riftline offsets "+strings.Fields(c.command)[0]) {
				t.Errorf("show says %q", shown.Next)
			}
			object, generation, epoch := slices.Clone(w.object), w.generation, w.epoch
			dry := c.q
			dry.DryRun = true
			out := w.done(t, 0, dry)
			if !slices.Equal(object, w.object) || generation != w.generation || epoch != w.epoch || out.Written || out.After == nil {
				t.Errorf("a dry run wrote or fenced: %+v", out)
			}
			done := w.done(t, 0, c.q)
			if *done.After.ignoringNothing() != *out.After.ignoringNothing() {
				t.Errorf("the dry run said %+v, and it became %+v", out.After, done.After)
			}
			if st := w.state(); st.Stopped != "" || st.Claim != nil || st.Intent != nil {
				t.Errorf("%+v", st)
			}
			if _, _, err := w.run("clean", nil); err != nil {
				t.Error(err)
			}
			w.undisturbed(t, NothingNew)
			if wrong := w.check(); c.exact && wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// ignoringNothing is the part of a report that can be compared.
func (s *OffsetsState) ignoringNothing() *struct {
	Keys    int
	Commits int64
	Last    string
} {
	return &struct {
		Keys    int
		Commits int64
		Last    string
	}{s.Keys, s.Commits, s.Last}
}

func TestSettleThatTheMarkerContradicts(t *testing.T) {
	for call, c := range map[string]struct {
		after     bool
		committed bool
	}{"commit": {true, true}, "produce": {true, false}} {
		w := leftBehind(t, call, c.after)
		w.replace(func(s *sourceoffset.State) { s.Stopped = "by hand" })
		before := w.state()
		out := w.done(t, 3, OffsetsRequest{Verb: Settle, Committed: !c.committed})
		if !strings.Contains(out.Error, "marker") || !sourceoffset.Same(before)(w.state()) {
			t.Errorf("%s: %q, %+v", call, out.Error, w.state())
		}
		w.done(t, 0, OffsetsRequest{Verb: Settle, Committed: c.committed})
		if _, _, err := w.run("clean", nil); err != nil {
			t.Error(err)
		}
		if wrong := w.check(); wrong != "" {
			t.Errorf("%s: %s", call, wrong)
		}
	}
}

func TestOffsetsLeaveALiveRunAlone(t *testing.T) {
	for name, q := range verbs() {
		w := leftBehind(t, "produce", true)
		w.pass(-10 * time.Minute)
		object, epoch := slices.Clone(w.object), w.epoch
		if out := w.done(t, 1, q); !strings.Contains(out.Error, "another run") || !slices.Equal(object, w.object) || w.epoch != epoch {
			t.Errorf("%s: %s", name, out.Error)
		}
	}
}

func TestOffsetsOfANewerFormatAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.object, w.generation = []byte(`{"format":99,"minReader":99}`), 1
	for name, q := range verbs() {
		if out := w.done(t, 3, q); !strings.Contains(out.Error, "newer") || w.generation != 1 {
			t.Errorf("%s: %s", name, out.Error)
		}
	}
}

// TestOffsetsKilledAnywhere kills an operation at every point and polls: nothing is lost, and what was rebuilt is not
// doubled. Where the object was absent or refused, a cut operation is a stop that the same command lifts.
func TestOffsetsKilledAnywhere(t *testing.T) {
	prepare := again(func() *world {
		w := newWorld(t)
		w.serve("a=A b=A")
		w.undisturbed(t, Published)
		w.serve("a=B b=A c=A")
		return w
	})
	for _, damaged := range []bool{false, true} {
		for name, q := range verbs() {
			if damaged && q.Verb == Set {
				continue
			}
			for n := 1; ; n++ {
				w := prepare()
				if damaged {
					w.object = []byte("torn")
				}
				var where point
				_, killed, _ := w.operate("killed", func(p point) error {
					if where = p; p.n == n {
						return errKilled
					}
					return nil
				}, q)
				if !killed {
					if n < 10 {
						t.Errorf("%s has %d points", name, n)
					}
					break
				}
				w.pass(time.Hour)
				s, _, err := w.run("clean", nil)
				if s.Outcome == Stopped && damaged {
					if !strings.Contains(s.Error, "riftline offsets "+name) {
						t.Errorf("%s killed at %s: %s", name, where, s.Error)
					}
					w.done(t, 0, q)
					s, _, err = w.run("clean", nil)
				}
				if err != nil || s.Outcome != Published {
					t.Errorf("%s killed at %s: %s, %v", name, where, s.Outcome, err)
				}
				w.undisturbed(t, NothingNew)
				if wrong := w.check(); wrong != "" && (q.Verb == Rebuild || !strings.Contains(wrong, "twice")) {
					t.Errorf("%s killed at %s: %s", name, where, wrong)
				}
			}
		}
	}
}

// TestRunOvertakenByOffsets stops a poll at every point, lets an operation run, and wakes the poll up again.
func TestRunOvertakenByOffsets(t *testing.T) {
	for scenario, prepare := range scenarios(t) {
		for name, q := range verbs() {
			last := points(t, prepare)
			for n := 1; n <= last; n++ {
				for _, asleep := range []time.Duration{0, 10 * time.Minute} {
					w := prepare()
					var where point
					var opErr error
					s, _, err := w.run("slow", func(p point) error {
						if p.n != n {
							return nil
						}
						where = p
						w.pass(asleep)
						_, _, opErr = w.operate("operator", nil, q)
						return nil
					})
					at := fmt.Sprintf("%s, %s at %s after %v (%s: %v; %v)", scenario, name, where, asleep, s.Outcome, err, opErr)
					if err != nil && s.Outcome != Unavailable {
						t.Errorf("%s: the run failed", at)
					}
					w.pass(10 * time.Minute)
					if s, _, err := w.run("clean", nil); err != nil {
						t.Errorf("%s: %s: %v", at, s.Outcome, err)
					}
					w.undisturbed(t, NothingNew)
					if wrong := w.check(); wrong != "" && (q.Verb == Rebuild || !strings.Contains(wrong, "twice")) {
						t.Errorf("%s: %s", at, wrong)
					}
				}
			}
		}
	}
}

// TestOffsetsFailedAnywhere makes one call of an operation fail. What it leaves can be polled.
func TestOffsetsFailedAnywhere(t *testing.T) {
	prepare := scenarios(t)["a change"]
	for name, q := range verbs() {
		for n := 1; ; n++ {
			w := prepare()
			failed := false
			out, _, err := w.operate("failing", func(p point) error {
				if p.n != n {
					return nil
				}
				failed = true
				return errors.New("connection reset")
			}, q)
			if !failed {
				break
			}
			if err != nil && out.Written {
				t.Errorf("%s, call %d: written, and %v", name, n, err)
			}
			w.pass(time.Hour)
			if s, _, err := w.run("clean", nil); err != nil {
				t.Errorf("%s, call %d: %s: %v", name, n, s.Outcome, err)
			}
			if wrong := w.check(); wrong != "" && (q.Verb == Rebuild || !strings.Contains(wrong, "twice")) {
				t.Errorf("%s, call %d: %s", name, n, wrong)
			}
		}
	}
}

func TestOffsetsAreLogged(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A")
	w.undisturbed(t, Published)
	var text strings.Builder
	p := &process{w: w, name: "operator"}
	ctx := logging.With(t.Context(), logging.New(&text, logging.Options{Level: slog.LevelInfo}))
	if _, err := Operate(ctx, w.source(), p.deps(), OffsetsRequest{Verb: Reset, Who: "alice on a laptop"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"offsets were changed by hand", "alice on a laptop", "reset", "gs://state/poll/ladder/"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the log lacks %q: %s", want, text.String())
		}
	}
}

// FuzzObject puts anything where the source offset object lies. What is not intact is a stop that names the way on; it
// is never a beginning.
func FuzzObject(f *testing.F) {
	w := newWorld(nil)
	w.serve("a=A b=A")
	_, _, _ = w.run("first", nil)
	intact, generation := slices.Clone(w.object), w.generation
	f.Add(intact)
	f.Add(intact[:len(intact)/2])
	f.Add([]byte(nil))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"format":2,"minReader":2}`))
	f.Add([]byte(`{"base":{},"format":1,"minReader":1,"sum":"00000000"}`))
	f.Fuzz(func(t *testing.T, object []byte) {
		_, err := sourceoffset.Decode(object)
		if err == nil {
			return
		}
		w := newWorld(t)
		w.serve("a=B b=A")
		w.object, w.generation = object, generation
		s, _, runErr := w.run("poll", nil)
		wayOut := "riftline offsets rebuild ladder --from-topic"
		if errors.Is(err, sourceoffset.ErrNewer) {
			wayOut = "update"
		}
		if s.Outcome != Stopped || runErr == nil || !strings.Contains(s.Error, wayOut) {
			t.Errorf("%s: %v", s.Outcome, runErr)
		}
		if len(w.log) > 0 || w.generation != generation {
			t.Error("something was published or written")
		}
	})
}

// TestRebuildOfSeveralSourcePartitions has records that do not say which of them they are of.
func TestRebuildOfSeveralSourcePartitions(t *testing.T) {
	matrix := func(values ...string) func(*connector.Source, *Deps) {
		return func(s *connector.Source, _ *Deps) {
			s.Matrix = []connector.Variable{{Name: "u", Values: values}}
			s.Variables = map[string]string{"u": values[0]}
		}
	}
	bare := func(t *testing.T, change func(*connector.Source, *Deps)) *world {
		w := newWorld(t)
		w.serve("a=A b=A")
		w.undisturbed(t, Published, change)
		return w
	}
	castorm := func(t *testing.T, change func(*connector.Source, *Deps)) *world {
		w := bare(t, change)
		w.schema = schema.CastormValue
		for _, r := range w.raw {
			// value, key, and no timestamp
			r.Value = append(schema.AppendHeader(nil, 1), "\x12{\"k\":\"a\"}\x00\x00"...)
		}
		return w
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T, func(*connector.Source, *Deps)) *world
		values  []string
		exit    int
		says    string
	}{
		"typed records without variables": {bare, []string{"1", "2"}, 2, "a typed record"},
		"castorm's envelopes":             {castorm, []string{"1", "2"}, 2, "castorm's envelope"},
		"one source partition":            {bare, []string{"1"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			change := matrix(c.values...)
			w := c.prepare(t, change)
			before := w.state()
			out, _, err := w.operate("operator", nil, OffsetsRequest{Verb: Rebuild}, change)
			if out.ExitCode != c.exit || (err == nil) != (c.exit == 0) {
				t.Fatalf("exit %d, want %d: %v", out.ExitCode, c.exit, err)
			}
			if c.exit == 0 {
				return
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "riftline offsets reset ladder") {
				t.Errorf("says %v", err)
			}
			after := w.state()
			if out.Written || after.Claim != nil || !maps.Equal(maps.Collect(before.Base.All()), maps.Collect(after.Base.All())) {
				t.Errorf("before %+v, after %+v", before, after)
			}
		})
	}
}
