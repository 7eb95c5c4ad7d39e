package poll

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/record"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/secret"
	"github.com/riftline/riftline/shared/sourceoffset"
)

func TestOnlyChangesArePublished(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		answer                       string
		outcome                      Outcome
		fetched, new, changed, same  int
		left, repeated, inTheTopicBy int
	}{
		{"a=A b=A c=A", Published, 3, 3, 0, 0, 0, 0, 3},
		{"c=A b=A a=A", NothingNew, 3, 0, 0, 3, 0, 0, 3},
		{"a=B b=A c=A d=A", Published, 4, 1, 1, 2, 0, 0, 5},
		{"a=A b=A c=A d=A", Published, 4, 0, 1, 3, 0, 0, 6},
		{"", NothingNew, 0, 0, 0, 0, 0, 0, 6},
		{"a=A b=A c=A", NothingNew, 3, 0, 0, 3, 1, 0, 6},
		{"a=A b=A c=A d=A", NothingNew, 4, 0, 0, 4, 0, 0, 6},
		{"a=A a=C b=A c=A", Published, 4, 0, 1, 2, 1, 1, 7},
		{"a=C b=A c=A d=A", NothingNew, 4, 0, 0, 4, 0, 0, 7},
		{"a=C", NothingNew, 1, 0, 0, 1, 0, 0, 7},
	} {
		w.serve(c.answer)
		s := w.undisturbed(t, c.outcome)
		got := []int{s.Fetched, s.New, s.Changed, s.Unchanged, s.Left, s.Repeated, s.Published, len(w.log)}
		want := []int{c.fetched, c.new, c.changed, c.same, c.left, c.repeated, c.new + c.changed, c.inTheTopicBy}
		if !slices.Equal(got, want) {
			t.Errorf("%q: fetched, new, changed, unchanged, left, repeated, published, in the topic: %v, want %v", c.answer, got, want)
		}
		if wrong := w.check(); wrong != "" {
			t.Errorf("%q: %s", c.answer, wrong)
		}
	}
	if s := w.state(); s.Commits != 4 || s.Intent != nil || s.Last == "" {
		t.Errorf("%+v", s)
	}
}

func TestIdlePollAsksForOneObjectAndNothingOfKafka(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A")
	w.undisturbed(t, Published)
	clear(w.counts)
	w.undisturbed(t, NothingNew)
	if want := map[string]int{"read": 1, "fetch": 1}; !maps.Equal(w.counts, want) {
		t.Errorf("asked for %v, want %v", w.counts, want)
	}
	clear(w.counts)
	w.serve("a=B b=A")
	w.undisturbed(t, Published)
	if want := map[string]int{"read": 1, "fetch": 1, "topic": 1, "schema": 1, "write": 2, "fence": 1, "stat": 1, "marker": 1, "produce": 1, "commit": 1}; !maps.Equal(w.counts, want) {
		t.Errorf("a change asked for %v, want %v", w.counts, want)
	}
}

func TestOneTransactionForEachPart(t *testing.T) {
	parts := func(s *connector.Source, d *Deps) { d.PartRecords = 2 }
	prepare := func() *world {
		w := newWorld(t)
		w.serve("a=A b=A c=A d=A e=A")
		return w
	}
	w := prepare()
	s := w.undisturbed(t, Published, parts)
	if s.Transactions != 3 || s.Published != 5 || w.counts["write"] != 4 || w.counts["fence"] != 1 {
		t.Errorf("%+v, %v", s, w.counts)
	}
	if s.FirstOffsets[0] != 0 || s.LastOffsets[0] != 4 {
		t.Errorf("offsets %v to %v", s.FirstOffsets, s.LastOffsets)
	}
	if wrong := w.check(); wrong != "" {
		t.Error(wrong)
	}

	t.Run("a part is closed by bytes too", func(t *testing.T) {
		w := prepare()
		if s := w.undisturbed(t, Published, func(_ *connector.Source, d *Deps) { d.PartBytes = 250 }); s.Transactions < 2 || s.Transactions > 4 {
			t.Errorf("%d transactions", s.Transactions)
		}
	})
	t.Run("killed anywhere", func(t *testing.T) {
		for n := 1; ; n++ {
			w := prepare()
			var where point
			_, killed, _ := w.run("killed", func(p point) error {
				if where = p; p.n == n {
					return errKilled
				}
				return nil
			}, parts)
			if !killed {
				break
			}
			w.pass(10 * time.Minute)
			w.serve("a=A b=B c=A d=B e=A")
			w.undisturbed(t, Published, parts)
			if wrong := w.check(); wrong != "" {
				t.Errorf("%s: %s", where, wrong)
			}
		}
	})
	t.Run("failed anywhere", func(t *testing.T) {
		for n := 1; ; n++ {
			w := prepare()
			var where point
			reached := false
			w.disturb("failing", func(p point) error {
				if p.n == n {
					where, reached = p, true
				}
				if p.n == n {
					return errors.New("connection reset")
				}
				return nil
			}, parts)
			if !reached {
				break
			}
			w.pass(10 * time.Minute)
			if s, _, err := w.run("clean", nil, parts); err != nil {
				t.Errorf("%s: %s: %v", where, s.Outcome, err)
			}
			if wrong := w.check(); wrong != "" {
				t.Errorf("%s: %s", where, wrong)
			}
		}
	})
}

func TestAnotherRunThatMayBeAliveIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A")
	w.disturb("killed", func(p point) error {
		if p.call == "fence" {
			return errKilled
		}
		return nil
	})
	s := w.undisturbed(t, AnotherRun)
	if s.Fetched != 0 || len(w.log) != 0 {
		t.Errorf("%+v", s)
	}
	w.pass(89 * time.Second)
	w.undisturbed(t, AnotherRun)
	w.pass(2 * time.Second)
	if s := w.undisturbed(t, Published); s.Recovered != "not_committed" {
		t.Errorf("%+v", s)
	}
}

func TestUntilDecidesWhoWaitsAndNothingElse(t *testing.T) {
	for name, until := range map[string]func(*sourceoffset.Intent){
		"missing":                      func(i *sourceoffset.Intent) { i.Until = time.Time{} },
		"both times missing":           func(i *sourceoffset.Intent) { i.Until, i.At = time.Time{}, time.Time{} },
		"the clock was 10 minutes off": func(i *sourceoffset.Intent) { i.Until, i.At = i.Until.Add(10*time.Minute), i.At.Add(10*time.Minute) },
	} {
		for _, committed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, committed %v", name, committed), func(t *testing.T) {
				w := newWorld(t)
				w.serve("a=A")
				w.undisturbed(t, Published)
				w.serve("a=B")
				w.disturb("killed", func(p point) error {
					if p.call == "commit" && p.after == committed {
						return errKilled
					}
					return nil
				})
				w.replace(func(s *sourceoffset.State) { until(s.Intent) })
				for range 4 {
					if s, _, err := w.run("clean", nil); err != nil {
						t.Fatalf("%s: %v", s.Outcome, err)
					}
					w.pass(5 * time.Minute)
				}
				if got := strings.Join(w.held()["a"], ""); got != "AB" {
					t.Errorf("a: %s", got)
				}
			})
		}
	}
}

func TestMarkerThatExpired(t *testing.T) {
	for _, committed := range []bool{true, false} {
		for _, age := range []time.Duration{11 * time.Hour, 13 * time.Hour} {
			t.Run(fmt.Sprintf("committed %v, intent of %v ago", committed, age), func(t *testing.T) {
				w := newWorld(t)
				w.serve("a=A")
				w.undisturbed(t, Published)
				w.serve("a=B")
				w.disturb("killed", func(p point) error {
					if p.call == "commit" && p.after == committed {
						return errKilled
					}
					return nil
				})
				w.pass(age)
				if !committed || age > 12*time.Hour {
					w.marked = false
				}
				w.marker.Commits = map[bool]int64{true: 2, false: 1}[committed]
				s := w.run0(t)
				if want := map[bool]string{true: "committed", false: "not_committed"}[committed]; s.Recovered != want {
					t.Errorf("recovered %q, want %q", s.Recovered, want)
				}
				if got := strings.Join(w.held()["a"], ""); got != "AB" {
					t.Errorf("a: %s", got)
				}
				if searched := w.counts["find"] > 0; searched != (age > 12*time.Hour) {
					t.Errorf("searched the topic: %v", searched)
				}
			})
		}
	}
}

// run0 is a run that must not fail, whatever it finds.
func (w *world) run0(t *testing.T) Summary {
	t.Helper()
	s, _, err := w.run("clean", nil)
	if err != nil {
		t.Fatalf("%s: %v", s.Outcome, err)
	}
	return s
}

func TestStops(t *testing.T) {
	killedAfter := func(w *world, call string) {
		w.serve("a=B b=A")
		w.disturb("killed", func(p point) error {
			if p.call == call && p.after {
				return errKilled
			}
			return nil
		})
		w.pass(10 * time.Minute)
	}
	for _, c := range []struct {
		situation string
		prepare   func(*world)
		says      string
		sticks    bool
	}{
		{"the topic was created again", func(w *world) { w.topic.ID = [16]byte{9}; w.serve("a=B b=A") }, "created again", true},
		{"the object was deleted", func(w *world) { w.deleted, w.generation, w.object = w.generation, 0, nil }, "deleted", false},
		{"an older object was restored", func(w *world) {
			old, gen := slices.Clone(w.object), w.generation
			w.serve("a=B b=A")
			w.undisturbed(t, Published)
			w.object, w.generation = old, gen+10
			w.serve("a=C b=A")
		}, "restored", true},
		{"an older object was restored while an intent was open", func(w *world) {
			killedAfter(w, "commit")
			w.marker.ID = strings.Repeat("e", 32)
		}, "restored", true},
		{"the marker is gone and so is that part of the topic", func(w *world) {
			killedAfter(w, "commit")
			w.pass(13 * time.Hour)
			w.marked, w.log = false, nil
			w.forgotten = true
		}, "cannot be found out", true},
		{"another kind of dedupe", func(w *world) {
			w.replace(func(s *sourceoffset.State) { s.Kind, s.Base = sourceoffset.None, sourceoffset.NewBase(nil) })
		}, "riftline.dedupe", false},
		{"another topic", func(w *world) { w.replace(func(s *sourceoffset.State) { s.Topic = "other" }) }, "topic other", false},
		{"another connector", func(w *world) { w.replace(func(s *sourceoffset.State) { s.Partition.Connector = "other" }) }, "other", false},
		{"an empty object", func(w *world) { w.object = nil }, "damaged", false},
		{"half an object", func(w *world) { w.object = w.object[:len(w.object)/2] }, "damaged", false},
	} {
		t.Run(c.situation, func(t *testing.T) {
			w := newWorld(t)
			w.serve("a=A b=A")
			w.undisturbed(t, Published)
			c.prepare(w)
			log, object, generation := len(w.log), slices.Clone(w.object), w.generation
			s := w.undisturbed(t, Stopped)
			if !strings.Contains(s.Error, c.says) || !strings.Contains(s.Error, "gs://state/poll/ladder/") {
				t.Errorf("says %q", s.Error)
			}
			if len(w.log) != log {
				t.Error("something was published")
			}
			if !c.sticks {
				if !slices.Equal(w.object, object) || w.generation != generation {
					t.Error("something was written")
				}
				return
			}
			if w.state().Stopped == "" {
				t.Error("the object does not say why it is stopped")
			}
			clear(w.counts)
			s = w.undisturbed(t, Stopped)
			if want := map[string]int{"read": 1}; !maps.Equal(w.counts, want) || !strings.Contains(s.Error, c.says) {
				t.Errorf("the next trigger asked for %v and was told %q", w.counts, s.Error)
			}
		})
	}
}

func TestDeletedObjectWithoutMarkerIsABeginning(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A")
	w.undisturbed(t, Published)
	w.generation, w.object, w.marked, w.marker = 0, nil, false, kafka.Marker{}
	if s := w.undisturbed(t, Published); s.New != 1 {
		t.Errorf("%+v", s)
	}
}

func TestObjectThatCannotBeReadIsNoBeginning(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{fmt.Errorf("reading: %w", bucket.ErrDenied), Refused},
		{fmt.Errorf("reading: %w", bucket.ErrNoBucket), Refused},
		{fmt.Errorf("reading: %w", bucket.ErrUnavailable), Unavailable},
		{context.DeadlineExceeded, Unavailable},
		{errors.New("something new"), Unknown},
	} {
		w := newWorld(t)
		w.serve("a=A")
		s, _, err := w.run("failing", func(p point) error {
			if p.call == "read" {
				return c.err
			}
			return nil
		})
		if s.Outcome != c.want || err == nil || len(w.log) != 0 || w.counts["fetch"] != 0 {
			t.Errorf("%v: %s (%v), %d in the topic", c.err, s.Outcome, err, len(w.log))
		}
	}
}

func TestTopicIsCreatedWhereThatIsAllowed(t *testing.T) {
	w := newWorld(t)
	w.missing = true
	w.serve("a=A")
	s := w.undisturbed(t, Refused)
	if !strings.Contains(s.Error, "kafka-topics.sh --create --topic ladder") {
		t.Errorf("says %q", s.Error)
	}
	if w.generation != 0 {
		t.Error("something was written")
	}
	w.undisturbed(t, Published, func(s *connector.Source, _ *Deps) {
		s.TopicCreation = &connector.TopicCreation{Partitions: 1, Replication: 1}
	})

	t.Run("by the broker", func(t *testing.T) {
		w := newWorld(t)
		w.missing, w.automatic = true, true
		w.serve("a=A")
		w.undisturbed(t, Published)
	})
	t.Run("not again when it was deleted", func(t *testing.T) {
		w.missing = true
		w.serve("a=B")
		s := w.undisturbed(t, Refused, func(s *connector.Source, _ *Deps) {
			s.TopicCreation = &connector.TopicCreation{Partitions: 1, Replication: 1}
		})
		if !strings.Contains(s.Error, "1 transactions were published") {
			t.Errorf("says %q", s.Error)
		}
	})
}

func TestMarkerTopic(t *testing.T) {
	elsewhere := func(s *connector.Source, _ *Deps) { s.MarkerTopic = "markers" }
	w := newWorld(t)
	w.serve("a=A")
	w.undisturbed(t, Published, elsewhere)
	if got := w.state().LastMarkerTopic; got != "markers" {
		t.Errorf("the marker lies in %s", got)
	}
	w.serve("a=B")
	w.marked = false // as it is in a topic without markers
	w.undisturbed(t, Published)
	if got := w.state().LastMarkerTopic; got != "ladder" {
		t.Errorf("the marker lies in %s", got)
	}
	w.serve("a=C")
	w.marker.ID = strings.Repeat("e", 32)
	if s := w.undisturbed(t, Refused, elsewhere); !strings.Contains(s.Error, "riftline.marker.topic") {
		t.Errorf("says %q", s.Error)
	}
}

func TestPublishingWithoutComparing(t *testing.T) {
	all := func(s *connector.Source, _ *Deps) { s.Dedupe.Mode = connector.None }
	w := newWorld(t)
	w.serve("a=A b=A a=A")
	for want := 3; want <= 9; want += 3 {
		if s := w.undisturbed(t, Published, all); s.Published != 3 || len(w.log) != want {
			t.Errorf("published %d, %d in the topic", s.Published, len(w.log))
		}
	}
	w.disturb("killed", func(p point) error {
		if p.call == "commit" && p.after {
			return errKilled
		}
		return nil
	}, all)
	w.pass(10 * time.Minute)
	if s := w.undisturbed(t, Published, all); s.Recovered != "committed" || len(w.log) != 15 {
		t.Errorf("%+v, %d in the topic", s, len(w.log))
	}
	w.serve("")
	w.undisturbed(t, NothingNew, all)
}

func TestEndOfContextTakesTheIntentBack(t *testing.T) {
	for _, call := range []string{"topic", "schema", "write", "fence", "stat", "marker", "produce"} {
		t.Run(call, func(t *testing.T) {
			w := newWorld(t)
			w.serve("a=A")
			w.undisturbed(t, Published)
			w.serve("a=B")
			p := &process{w: w, name: "stopped"}
			ctx, cancel := context.WithCancel(t.Context())
			p.hook = func(at point) error {
				if at.call == call && !at.after {
					cancel()
				}
				if ctx.Err() != nil && at.call == call {
					return ctx.Err()
				}
				return nil
			}
			d := p.deps()
			s, err := Run(ctx, w.source(), d)
			if s.Outcome != Unavailable || err == nil {
				t.Errorf("%s: %v", s.Outcome, err)
			}
			if st := w.state(); st.Intent != nil || st.Claim != nil {
				t.Errorf("left behind: %+v", st.Intent)
			}
			w.undisturbed(t, Published)
			if got := strings.Join(w.held()["a"], ""); got != "AB" {
				t.Errorf("a: %s", got)
			}
		})
	}
}

func TestNothingIsBegunThatCannotBeEnded(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A")
	p := &process{w: w, name: "late"}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	p.hook = func(at point) error {
		if at.call == "fetch" && at.after {
			<-ctx.Done()
		}
		return nil
	}
	s, err := Run(ctx, w.source(), p.deps())
	if s.Outcome != Deferred || err == nil || w.generation != 0 || s.RetryAfter.IsZero() {
		t.Errorf("%s: %v, generation %d", s.Outcome, err, w.generation)
	}
}

func TestRefusedCredentialsAreReadOnceMore(t *testing.T) {
	for _, c := range []struct {
		situation string
		changed   bool
		err       error
		works     bool
		fetches   int
		outcome   Outcome
	}{
		{"the secret has changed", true, nil, true, 2, Published},
		{"the secret has changed, and is wrong too", true, nil, false, 2, Unauthorized},
		{"the secret is the same", false, nil, false, 1, Unauthorized},
		{"the secret cannot be read", false, secret.ErrDenied, false, 1, Unauthorized},
	} {
		t.Run(c.situation, func(t *testing.T) {
			w := newWorld(t)
			w.serve("a=A")
			fetches := 0
			s, _, _ := w.run("r", func(p point) error {
				if p.call != "fetch" || p.after {
					return nil
				}
				fetches++
				if fetches == 1 || !c.works {
					return &httpsource.UnauthorizedError{Status: 403, URL: "https://api.example.com/ladder"}
				}
				return nil
			}, func(src *connector.Source, d *Deps) {
				d.Refresh = func(context.Context) (connector.Source, bool, error) { return *src, c.changed, c.err }
			})
			if s.Outcome != c.outcome || fetches != c.fetches {
				t.Errorf("%s after %d requests, want %s after %d: %s", s.Outcome, fetches, c.outcome, c.fetches, s.Error)
			}
			if c.outcome != Published && w.generation != 0 {
				t.Error("something was written")
			}
		})
	}
}

func TestChangesByNewFieldsAreCounted(t *testing.T) {
	parse := func(text string) record.Value {
		v, err := record.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	w := newWorld(t)
	answers := [][]record.Value{
		{parse(`{"k":"a","v":"1"}`), parse(`{"k":"b","v":"1"}`), parse(`{"k":"c","v":"1"}`)},
		{parse(`{"k":"a","v":"1","n/~":2}`), parse(`{"k":"b","v":"2","n/~":2}`), parse(`{"k":"c","v":"1"}`)},
		{parse(`{"k":"a","v":"1","n/~":3}`), parse(`{"k":"b","v":"2","n/~":2}`), parse(`{"k":"c","v":"1"}`)},
	}
	for i, want := range [][2]int{{0, 0}, {2, 1}, {1, 0}} {
		s, _, err := w.run("r", nil, func(_ *connector.Source, d *Deps) {
			d.NewFetcher = func(connector.Source) (Fetcher, error) { return fixed(answers[i]), nil }
		})
		if err != nil || s.Changed != want[0] || s.OnlyNewFields != want[1] {
			t.Errorf("answer %d: changed %d, only new fields %d, want %v (%v)", i, s.Changed, s.OnlyNewFields, want, err)
		}
	}
}

type fixed []record.Value

func (f fixed) Close() {}
func (f fixed) Fetch(context.Context) (httpsource.Answer, error) {
	return httpsource.Answer{Entries: f}, nil
}

func TestOutcomes(t *testing.T) {
	now := time.Now()
	later := now.Add(time.Minute)
	for _, c := range []struct {
		err    error
		want   Outcome
		status int
		ack    bool
		exit   int
	}{
		{errLeave, AnotherRun, 200, true, 0},
		{bucket.ErrLost, AnotherRun, 200, true, 0},
		{&httpsource.DeferredError{Until: later}, Deferred, 503, true, 1},
		{kafka.ErrUnreachable, Unavailable, 503, false, 1},
		{kafka.ErrNotCommitted, Unavailable, 503, false, 1},
		{schema.ErrUnavailable, Unavailable, 503, false, 1},
		{bucket.ErrUnknown, Unavailable, 503, false, 1},
		{&httpsource.UpstreamError{Status: 500}, Upstream, 502, false, 1},
		{&httpsource.BodyError{Reason: "not JSON"}, Upstream, 502, false, 1},
		{&httpsource.UnauthorizedError{Status: 403}, Unauthorized, 502, true, 2},
		{kafka.ErrUnknownOutcome, Unknown, 500, false, 1},
		{errors.New("unforeseen"), Unknown, 500, false, 1},
		{&connector.Invalid{}, Refused, 400, true, 2},
		{kafka.ErrTopicMissing, Refused, 400, true, 2},
		{kafka.ErrAuthentication, Refused, 400, true, 2},
		{kafka.ErrTransactionsRefused, Refused, 400, true, 2},
		{fmt.Errorf("%w: %w", kafka.ErrNotCommitted, kafka.ErrAuthorization), Refused, 400, true, 2},
		{secret.ErrNotFound, Refused, 400, true, 2},
		{schema.ErrIncompatible, SchemaRefused, 500, true, 2},
		{sourceoffset.ErrDamaged, Stopped, 409, true, 3},
		{sourceoffset.ErrForeign, Stopped, 409, true, 3},
		{sourceoffset.ErrNewer, Stopped, 409, true, 3},
		{Fail(SchemaRefused, kafka.ErrUnreachable), SchemaRefused, 500, true, 2},
	} {
		got := Failed("c", nil, fmt.Errorf("polling: %w", c.err), now)
		o := got.Outcome
		if o != c.want || o.HTTPStatus() != c.status || o.PubSubAck() != c.ack || o.ExitCode() != c.exit {
			t.Errorf("%v: %s, HTTP %d, acknowledged %v, exit %d", c.err, o, o.HTTPStatus(), o.PubSubAck(), o.ExitCode())
		}
		if c.status == 503 && !got.RetryAfter.After(now) {
			t.Errorf("%v: no time to come back at", c.err)
		}
	}
	for _, o := range []Outcome{Published, NothingNew} {
		if o.HTTPStatus() != 200 || !o.PubSubAck() || o.ExitCode() != 0 || o.Failed() {
			t.Errorf("%s", o)
		}
	}
	if o := Outcome("made up"); o.HTTPStatus() != 500 || o.PubSubAck() || o.ExitCode() != 1 {
		t.Errorf("%s", o)
	}
}

// TestKeyThatCameBackIsNotForgotten has a key that left, came back as it was, and stays, while nothing else changes for
// longer than a key that left is remembered.
func TestKeyThatCameBackIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A b=A c=A d=A")
	w.undisturbed(t, Published)
	w.serve("a=B b=A")
	w.undisturbed(t, Published)
	w.serve("a=B b=A c=A")
	clear(w.counts)
	for day := range 100 {
		if s := w.undisturbed(t, NothingNew); s.Unchanged != 3 {
			t.Fatalf("day %d: %+v", day, s)
		}
		w.pass(24 * time.Hour)
	}
	if w.counts["write"] != 1 || w.counts["topic"]+w.counts["fence"]+w.counts["marker"] != 0 {
		t.Errorf("%v", w.counts)
	}
	// One that has stayed away for as long is new.
	w.serve("a=B b=A c=A d=A")
	w.undisturbed(t, Published)
	if held := w.held(); strings.Join(held["c"], " ") != "A" || strings.Join(held["d"], " ") != "A A" {
		t.Errorf("%v", held)
	}
}

// TestNotingThatAKeyCameBack disturbs the write that notes it. Nothing depends on it: the poll succeeds, and the next one
// writes it.
func TestNotingThatAKeyCameBack(t *testing.T) {
	prepare := again(func() *world {
		w := newWorld(t)
		w.serve("a=A b=A c=A")
		w.undisturbed(t, Published)
		w.serve("a=B b=A")
		w.undisturbed(t, Published)
		w.serve("a=B b=A c=A")
		w.pass(20 * 24 * time.Hour)
		return w
	})
	missing := func(w *world) bool {
		known, _ := w.state().Base.Of("c")
		return !known.MissingSince.IsZero()
	}
	for _, after := range []bool{false, true} {
		for _, killed := range []bool{false, true} {
			w := prepare()
			if !missing(w) {
				t.Fatal("nobody has left")
			}
			s, dead, err := w.run("disturbed", func(p point) error {
				switch {
				case p.call != "write" && p.call != "reread" || p.call == "write" && p.after != after:
					return nil
				case killed:
					return errKilled
				}
				return errors.New("connection lost")
			})
			if dead != killed || !killed && (err != nil || s.Outcome != NothingNew) {
				t.Errorf("after %v: %+v, %v", after, s, err)
			}
			w.undisturbed(t, NothingNew)
			if missing(w) || len(w.log) != 4 {
				t.Errorf("after %v, killed %v: %+v, %v", after, killed, w.state(), w.log)
			}
		}
	}
	// Another run goes on meanwhile.
	w := prepare()
	s, _, err := w.run("slow", func(p point) error {
		if p.call == "write" && !p.after {
			w.serve("a=C b=A c=A")
			if _, _, err := w.run("other", nil); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	if err != nil || s.Outcome != NothingNew || missing(w) || strings.Join(w.held()["a"], " ") != "A B C" {
		t.Errorf("%+v, %v, %v", s, err, w.held())
	}
}

// TestReasonOfAStopCanBeReadAgain has a marker of somebody else's, whose bytes are part of the reason.
func TestReasonOfAStopCanBeReadAgain(t *testing.T) {
	w := newWorld(t)
	w.serve("a=A")
	w.undisturbed(t, Published)
	w.marker.ID = "\xff\xfe"
	w.serve("a=B")
	w.undisturbed(t, Stopped)
	if s := w.undisturbed(t, Stopped); !strings.Contains(s.Error, "holds the marker") || w.state().Base.Len() != 1 {
		t.Errorf("%+v", s)
	}
}
