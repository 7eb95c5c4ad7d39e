package drain

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/schema"
)

// apply changes the head of partition 0; says, unless empty, is what the refusal must say.
func (w *world) apply(c Change, says ...string) Changed {
	w.t.Helper()
	c.Topic = topicName
	heads := w.heads()
	out, err := Apply(w.ctx, w.sink, w.deps(), c)
	if len(says) == 0 {
		if err != nil {
			w.t.Fatalf("%s: %v", c.Verb, err)
		}
		if c.DryRun && (out.Written || !slices.Equal(w.heads(), heads)) {
			w.t.Fatalf("a dry run wrote %+v", out)
		}
		return out
	}
	var stop *StopError
	if !errors.As(err, &stop) {
		w.t.Fatalf("%s: no refusal but %v, %+v", c.Verb, err, out)
	}
	wantText(w.t, stop.Reason, says...)
	if !slices.Equal(w.heads(), heads) {
		w.t.Fatalf("a refusal wrote")
	}
	return out
}

func (w *world) heads() []string {
	var all []string
	for _, o := range w.server.Objects(stateBucket, "") {
		all = append(all, o.Name+string(o.Data))
	}
	return all
}

func TestShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.produce(0, repeat(1, 7)...)
	w.drain(Drained)
	w.produce(0, 1, 1)
	w.produce(1, repeat(1, 6)...)
	d, _ := mortal(w.deps(), 4) // killed with one object of the other partition's, or this one's, plan
	d.Tasks, d.Task = 3, 1
	w.drainAny(w.sink, d)
	all, err := Show(w.ctx, w.sink, w.deps())
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	if a := all[0]; a.Head.Frontier != 7 || a.Lag != 2 || a.Committed != 7 || a.LogEnd != 9 || a.Head.Plan != nil || a.HeadURL != "gs://state/"+HeadName(sinkName, topicName, 0) {
		t.Fatalf("%+v", a)
	}
	if a := all[1]; a.Head.Plan == nil || a.Lag != 6 || a.Durable < 1 || len(a.Foreign) != 0 {
		t.Fatalf("%+v", a)
	}
	if a := all[2]; a.Lag != 0 || a.Problem != "" {
		t.Fatalf("%+v", a)
	}
	// A group with members does not hinder looking.
	member, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup(w.sink.Group()), kgo.ConsumeTopics(topicName))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	if _, err := w.cluster.WaitGroupStable(w.ctx, w.sink.Group(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := Show(w.ctx, w.sink, w.deps()); err != nil {
		t.Fatal(err)
	}
	if _, err := Apply(w.ctx, w.sink, w.deps(), Change{Verb: Set, Topic: topicName, Offset: 1}); !errors.Is(err, kafka.ErrGroupActive) {
		t.Fatal(err)
	}
}

func TestShowAHeadThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1)
	w.drain(Drained)
	o := w.server.Objects(stateBucket, "")[0]
	o.Data = []byte(strings.Replace(string(o.Data), `"frontier":1`, `"frontier":0`, 1))
	if _, err := w.server.Put(o); err != nil {
		t.Fatal(err)
	}
	all, err := Show(w.ctx, w.sink, w.deps())
	if err != nil || all[0].Problem == "" {
		t.Fatalf("%+v, %v", all, err)
	}
}

func TestSetAfterADoubtfulTakeOver(t *testing.T) {
	t.Parallel()
	t.Run("objects but no committed offset", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 8)...)
		connect{size: 3}.run(w, 0)
		w.drain(Stopped)
		w.apply(Change{Verb: Set, Offset: 3}, object(0, 3), "archived twice")
		w.apply(Change{Verb: Set, Offset: 5}, "holds the records up to offset 5")
		w.apply(Change{Verb: Set, Offset: 7}, "1 records from offset 6 to 6", "riftline offsets skip")
		w.apply(Change{Verb: Set, Offset: 9}, "not in the log")
		if out := w.apply(Change{Verb: Set, Offset: 6, DryRun: true}); out.After.Frontier != 6 || out.Before != nil {
			t.Fatalf("%+v", out)
		}
		if out := w.apply(Change{Verb: Set, Offset: 6}); !out.Written {
			t.Fatalf("%+v", out)
		}
		w.drain(Drained)
		w.verify()
	})
	t.Run("an overlap of a larger flush.size", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 7)...)
		connect{size: 3}.run(w, 0)
		connect{size: 6}.run(w, 0)
		w.commit(0, 0)
		w.drain(Stopped)
		w.apply(Change{Verb: Set, Offset: 6}, "--unverified", object(0, 3))
		w.apply(Change{Verb: Set, Offset: 6, Unverified: true})
		w.drain(Drained)
		w.wantRecords(object(0, 6), 7)
	})
	t.Run("objects of another layout", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 5)...)
		w.theirs("topics/challenger/year=2026/challenger+0+0000000001.avro", ownFile(w, 3), nil)
		w.commit(0, 0)
		w.drain(Stopped)
		w.apply(Change{Verb: Set, Offset: 4}, "--unverified", "year=2026")
		w.apply(Change{Verb: Set, Offset: 4, Unverified: true})
		w.drain(Drained)
		w.wantRecords(object(0, 4), 5)
	})
	t.Run("the head was removed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 7)...)
		w.drain(Drained)
		if err := w.server.Delete(stateBucket, w.server.Objects(stateBucket, "")[0].Name); err != nil {
			t.Fatal(err)
		}
		w.commit(0, 3)
		w.produce(0, repeat(1, 2)...)
		w.drain(Stopped)
		w.apply(Change{Verb: Set, Offset: 3}, "archived twice")
		w.apply(Change{Verb: Set, Offset: 8}, "1 records from offset 7 to 7")
		w.apply(Change{Verb: Set, Offset: 7})
		w.drain(Drained)
		w.verify()
	})
	t.Run("no objects and no offset", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 4)...)
		w.sink.OffsetReset = "none"
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "riftline offsets set")
		if out := w.apply(Change{Verb: Set, Offset: 2}); len(out.Found) != 1 {
			t.Fatalf("%+v", out)
		}
		w.drain(Drained)
		w.wantRecords(object(0, 2), 3, 4)
	})
}

// TestSetThereAgain: riftline, then Connect, then riftline.
func TestSetThereAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	w.drain(Drained)
	w.produce(0, repeat(1, 7)...)
	connect{size: 3}.run(w, 4)
	w.commit(0, 10)
	w.sink.FlushSize = 2
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, object(0, 4), "not overwritten")
	w.apply(Change{Verb: Set, Offset: 10}, "in flight", "riftline drain gcs-sink")
	// An object of the plan whose name was free is there: it holds records that Connect archived too.
	if err := w.server.Delete(archiveBucket, object(0, 6)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{object(0, 8), object(0, 10)} {
		if err := w.server.Delete(archiveBucket, name); err != nil {
			t.Fatal(err)
		}
	}
	w.apply(Change{Verb: Set, Offset: 9, AbandonPlan: true}, "up to offset 9", "archived twice")
	w.apply(Change{Verb: Set, Offset: 11, AbandonPlan: true}, "1 records from offset 10 to 10")
	if out := w.apply(Change{Verb: Set, Offset: 10, AbandonPlan: true}); out.After.Plan != nil || out.After.Start != 0 {
		t.Fatalf("%+v", out)
	}
	w.drain(Drained)
	w.verify()
}

func TestSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 9)...)
	w.drain(Drained)
	w.apply(Change{Verb: Set, Offset: 6}, object(0, 6), "archived twice")
	if err := w.server.Delete(archiveBucket, object(0, 6)); err != nil {
		t.Fatal(err)
	}
	w.apply(Change{Verb: Set, Offset: 5}, "up to offset 5")
	w.apply(Change{Verb: Set, Offset: 6})
	w.drain(Drained)
	w.verify()
	if out := w.apply(Change{Verb: Set, Offset: 9}); out.Written {
		t.Fatalf("nothing changes, but %+v was written", out)
	}
}

// TestAPlanInFlight is completed by a drain, not by hand.
func TestAPlanInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 6)...)
	d, _ := mortal(w.deps(), 4)
	w.drainAny(w.sink, d)
	for _, c := range []Change{{Verb: Set, Offset: 6}, {Verb: Skip, Ranges: []Range{{3, 3}}}, {Verb: Reset}} {
		w.apply(c, "in flight", "1 of its 2 objects", "riftline drain gcs-sink")
		c.AbandonPlan = true
		w.apply(c, "cannot be given up")
	}
	w.drain(Drained)
	w.verify()

	// One whose objects are all there is complete, only not closed.
	w.produce(0, repeat(1, 3)...)
	d, _ = mortal(w.deps(), 2) // the plan and its object
	w.drainAny(w.sink, d)
	if h := w.head(0); h.Plan == nil {
		t.Fatalf("%+v", h)
	}
	if out := w.apply(Change{Verb: Set, Offset: 9}); out.After.Plan != nil || out.After.Frontier != 9 || !out.Written {
		t.Fatalf("%+v", out)
	}
	w.drain(NothingNew)
	w.verify()
}

func TestSkipByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.apply(Change{Verb: Skip, Ranges: []Range{{0, 0}}}, "no head yet")
	w.produce(0, 1, 1)
	w.bad(0, "a")
	w.produce(0, 1)
	w.bad(0, "b")
	w.bad(0, "c")
	w.produce(0, 1)
	text := w.drain(Stopped).Partitions[0].Stopped
	wantText(t, text, "riftline offsets skip gcs-sink challenger/0 2")
	w.apply(Change{Verb: Skip, Ranges: []Range{{1, 1}}}, "all before 2 is archived")
	w.apply(Change{Verb: Skip, Ranges: []Range{{7, 7}}}, "the log ends at 7")
	out := w.apply(Change{Verb: Skip, Ranges: []Range{{2, 2}}, DryRun: true})
	if len(out.Found) != 1 || !strings.Contains(out.Found[0], "magic byte") {
		t.Fatalf("%q", out.Found)
	}
	w.apply(Change{Verb: Skip, Ranges: []Range{{2, 2}}})
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "riftline offsets skip gcs-sink challenger/0 4")
	out = w.apply(Change{Verb: Skip, Ranges: []Range{{5, 5}, {4, 4}}})
	if got := out.After.Skip; !slices.Equal(got, []Range{{4, 5}}) {
		t.Fatalf("%v", got)
	}
	if sum := w.drain(Drained); sum.Partitions[0].Skipped != 2 || w.lag(0) != 0 {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

// TestFault34TopicRecreatedAndReset: old objects under the new names are foreign and stop the drain; with another
// topics.dir nothing is lost.
func TestFault34TopicRecreatedAndReset(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string]int64{"nothing in flight": 100, "a plan in flight": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 4)...)
			w.apply(Change{Verb: Reset}, "no head to reset")
			d, _ := mortal(w.deps(), changes)
			w.drainAny(w.sink, d)
			inFlight := w.head(0).Plan != nil
			if !inFlight {
				w.apply(Change{Verb: Reset}, "the one that the head is about")
			}
			if err := w.cluster.DeleteTopic(topicName); err != nil {
				t.Fatal(err)
			}
			if err := w.cluster.CreateTopic(topicName, 1, nil); err != nil {
				t.Fatal(err)
			}
			w.connect()
			for n := range w.next {
				w.lose(n + 1)
			}
			old := w.names()
			w.produce(0, repeat(1, 5)...)
			wantText(t, w.drain(Stopped).Partitions[0].Stopped, "created again", "riftline offsets reset gcs-sink challenger/0")
			if inFlight {
				w.apply(Change{Verb: Reset}, "in flight", "--abandon-plan")
			} else {
				w.apply(Change{Verb: Set, Offset: 2}, "riftline offsets reset")
			}
			out := w.apply(Change{Verb: Reset, AbandonPlan: inFlight, DryRun: true})
			if !slices.Equal(out.Objects, old) || out.After.Frontier != 0 {
				t.Fatalf("objects %q, %+v", out.Objects, out.After)
			}
			w.apply(Change{Verb: Reset, AbandonPlan: inFlight})
			if len(old) > 0 {
				wantText(t, w.drain(Stopped).Partitions[0].Stopped, object(0, 0), "not overwritten", "topics.dir")
				w.wantNames(old...)
				w.sink.TopicsDir = "again"
				w.apply(Change{Verb: Set, Offset: 0}, "in flight")
				w.apply(Change{Verb: Set, Offset: 0, AbandonPlan: true})
			}
			w.drain(Drained)
			for _, o := range old {
				if err := w.server.Delete(archiveBucket, o); err != nil {
					t.Fatal(err)
				}
			}
			w.verify()
		})
	}
}

// lose takes a record out of what must be archived.
func (w *world) lose(n int64) { delete(w.committed, n) }

// TestADrainIsFirst: a change is made only to the head that was looked at.
func TestADrainIsFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 3)...)
	w.drain(Drained)
	w.bad(0, "a")
	w.produce(0, 1)
	d := w.deps()
	d.Heads = &hookedHeads{Heads: d.Heads, before: func(int) {
		s := w.sink
		s.Errors = connector.ErrorPolicy{Tolerate: true}
		w.drainWith(s, w.deps(), Drained)
	}}
	_, err := Apply(w.ctx, w.sink, d, Change{Verb: Skip, Topic: topicName, Ranges: []Range{{3, 3}}})
	if !errors.Is(err, bucket.ErrLost) {
		t.Fatal(err)
	}
	w.verify()
}

func TestChangeOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1)
	if _, err := Apply(w.ctx, w.sink, w.deps(), Change{Verb: Set, Topic: topicName, Partition: 5}); outcomeOf(err) != Misconfigured {
		t.Fatal(err)
	}
	if _, err := Apply(w.ctx, w.sink, w.deps(), Change{Verb: "move", Topic: topicName}); outcomeOf(err) != Misconfigured {
		t.Fatal(err)
	}
}

// TestStopsOverAPlanNameTheWayOn: the command that a stop names goes on, and it is named only while it can.
func TestStopsOverAPlanNameTheWayOn(t *testing.T) {
	t.Parallel()
	// planned leaves a plan of two objects behind, and what changes after it says.
	planned := func(t *testing.T, changes int64) *world {
		w := newWorld(t, 1)
		w.produce(0, repeat(1, 6)...)
		d, _ := mortal(w.deps(), changes)
		w.drainAny(w.sink, d)
		return w
	}
	t.Run("records were removed", func(t *testing.T) {
		t.Parallel()
		w := planned(t, 3)
		w.deleteRecords(4)
		w.sink.OffsetReset = "none"
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "`riftline drain gcs-sink`", "`riftline offsets set gcs-sink challenger/0 4 --abandon-plan`")
		w.apply(Change{Verb: Set, Offset: 4, AbandonPlan: true})
		if sum := w.drain(Drained); sum.Records != 2 {
			t.Fatalf("%+v", sum)
		}
		w.verify()
	})
	t.Run("records were removed of a plan that cannot be given up", func(t *testing.T) {
		t.Parallel()
		w := planned(t, 4)
		w.deleteRecords(6)
		w.sink.OffsetReset = "none"
		reason := w.drain(Stopped).Partitions[0].Stopped
		wantText(t, reason, "`riftline drain gcs-sink`")
		if strings.Contains(reason, "--abandon-plan") {
			t.Fatalf("says %q", reason)
		}
		w.sink.OffsetReset = "earliest"
		w.drain(Drained)
	})
	t.Run("the schema is gone", func(t *testing.T) {
		t.Parallel()
		w := planned(t, 3)
		d := w.deps()
		d.Schemas = noSchemas{}
		wantText(t, w.drainWith(w.sink, d, Stopped).Partitions[0].Stopped, "`riftline drain gcs-sink`", "`riftline offsets skip gcs-sink challenger/0 0 --abandon-plan`")
		w.apply(Change{Verb: Skip, Ranges: []Range{{0, 0}}, AbandonPlan: true})
		if sum := w.drain(Drained); sum.Records != 5 {
			t.Fatalf("%+v", sum)
		}
	})
	t.Run("the codec is not built", func(t *testing.T) {
		t.Parallel()
		w := planned(t, 3)
		h := w.head(0)
		h.Plan.Codec = "xz"
		data, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		name := HeadName(w.sink.Name, topicName, 0)
		o, err := w.state.Read(w.ctx, name)
		if err == nil {
			_, err = w.state.CompareAndSet(w.ctx, name, data, bucket.PutOptions{IfGeneration: o.Generation}, func(bucket.Object) bool { return false })
		}
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, w.drain(Stopped).Partitions[0].Stopped, "xz", "`riftline offsets set gcs-sink challenger/0 0 --abandon-plan`")
		w.apply(Change{Verb: Set, Offset: 0, AbandonPlan: true})
		if sum := w.drain(Drained); sum.Records != 6 {
			t.Fatalf("%+v", sum)
		}
		w.verify()
	})
}

type noSchemas struct{}

func (noSchemas) ByID(context.Context, int) (string, error) { return "", schema.ErrUnknownID }

func (noSchemas) Version(context.Context, string, int) (int, error) {
	return 0, schema.ErrUnknownVersion
}

// TestSetBackBehindInterleavedSchemas: of two files that interleave, the one that begins last does not tell where both end.
func TestSetBackBehindInterleavedSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize = 5
	w.produce(0, 1, 2, 1, 2, 1)
	w.drain(Drained)
	w.apply(Change{Verb: Set, Offset: 3}, object(0, 0), "up to offset 4", "archived twice")
	w.apply(Change{Verb: Set, Offset: 4}, object(0, 0), "up to offset 4", "archived twice")
	w.drain(NothingNew)
	w.verify()
}

// TestResetOfATruncatedTopicWithAPlanInFlight: the command that the stop names goes on, wherever the log ends.
func TestResetOfATruncatedTopicWithAPlanInFlight(t *testing.T) {
	t.Parallel()
	for _, changes := range []int64{3, 4} {
		for _, end := range []int64{0, 2, 4} {
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 6)...)
			d, _ := mortal(w.deps(), changes)
			w.drainAny(w.sink, d)
			if w.head(0).Plan == nil {
				t.Fatal("no plan is in flight")
			}
			truncated := func() Deps {
				d := w.deps()
				d.Consumer = boundedConsumer{d.Consumer, func(b kafka.Bounds) kafka.Bounds { b.StableEnd = min(b.StableEnd, end); return b }}
				return d
			}
			wantText(t, w.drainWith(w.sink, truncated(), Stopped).Partitions[0].Stopped, "truncated", "riftline offsets reset gcs-sink challenger/0")
			w.sink.TopicsDir = "again"
			if _, err := Apply(w.ctx, w.sink, truncated(), Change{Verb: Reset, Topic: topicName}); err == nil || outcomeOf(err) != Stopped {
				t.Fatalf("%v", err)
			} else {
				wantText(t, err.Error(), "--abandon-plan")
			}
			out, err := Apply(w.ctx, w.sink, truncated(), Change{Verb: Reset, Topic: topicName, AbandonPlan: true})
			if err != nil || !out.Written || out.After.Plan != nil || out.After.Frontier != 0 {
				t.Fatalf("%d changes, end %d: %+v, %v", changes, end, out, err)
			}
		}
	}
}

// TestResetWhileADrainArchives: what a drain has archived since the log's end was looked at does not make the log shorter.
func TestResetWhileADrainArchives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 6)...)
	w.drain(Drained)
	d := w.deps()
	looked := false
	d.Consumer = boundedConsumer{d.Consumer, func(b kafka.Bounds) kafka.Bounds {
		if !looked {
			looked, b.StableEnd = true, 3
		}
		return b
	}}
	if out, err := Apply(w.ctx, w.sink, d, Change{Verb: Reset, Topic: topicName}); outcomeOf(err) != Stopped {
		t.Fatalf("%+v, %v", out, err)
	}
	w.verify()
}
