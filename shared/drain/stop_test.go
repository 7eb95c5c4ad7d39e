package drain

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/local/gcs"
	"github.com/riftline/riftline/shared/schema"
)

// TestValuesThatCannotBeArchived: all before is archived, nothing past is committed, the other partition goes on, and
// the drain goes on once the record is gone.
func TestValuesThatCannotBeArchived(t *testing.T) {
	t.Parallel()
	short := value(1, 100, "pad")
	tests := map[string]struct {
		value []byte
		says  string
	}{
		"not in Confluent's format": {[]byte(`{"json":true}`), "magic byte"},
		"empty":                     {[]byte{}, "magic byte"},
		"schema id unknown":         {value(99, 100, "pad"), "no schema with id 99"},
		"one byte short":            {short[:len(short)-1], "does not fit its schema"},
		"one byte long":             {append(value(1, 100, "pad"), 0), "does not fit its schema"},
		"null":                      {nil, "behavior.on.null.values"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.produce(0, repeat(1, 4)...)
			w.send(&kgo.Record{Topic: topicName, Partition: 0, Value: tt.value})
			w.produce(0, repeat(1, 4)...)
			w.produce(1, repeat(1, 5)...)
			sum := w.drain(Stopped)
			p := sum.Partitions[0]
			all := "set errors.tolerance=all"
			if tt.value == nil {
				all = "set behavior.on.null.values=ignore" // errors.tolerance would change nothing
			}
			wantText(t, p.Stopped, "offset 4", tt.says, "`riftline offsets skip gcs-sink challenger/0 4`", all)
			if p.To != 4 || p.Committed != 4 || w.lag(0) != 5 || sum.Partitions[1].Outcome != Drained {
				t.Fatalf("%+v", sum)
			}
			w.wantNames(object(0, 0), object(0, 3), object(1, 0), object(1, 3))

			// Drained again, it stops again and writes nothing.
			writes := w.server.Count(gcs.OpInsert)
			w.drain(Stopped)
			if n := w.server.Count(gcs.OpInsert) - writes; n != 0 {
				t.Fatalf("%d objects written", n)
			}
			if err := w.cluster.DeleteRecords(topicName, 0, 5); err != nil {
				t.Fatal(err)
			}
			if sum := w.drain(Drained); sum.Partitions[0].Lost != 1 {
				t.Fatalf("%+v", sum)
			}
			w.verify()
		})
	}
}

func TestASchemaThatIsRegisteredLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 2, 1)
	delete(w.schemas.texts, 2)
	w.drain(Stopped)
	w.schemas.texts[2] = schema2
	w.drain(Drained)
	w.verify()
}

func TestRegistryIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 1)
	w.schemas.fail = schema.ErrUnavailable
	if sum := w.drain(Failed); sum.Outcome.ExitCode() != 1 {
		t.Fatalf("%+v", sum)
	}
	w.schemas.fail = nil
	w.drain(Drained)
	w.verify()
}

// TestAPlanInFlightIsCompletedBeforeTheRegistryAnswers: nothing of the plan is lost when the registry is down then.
func TestRegistryIsDownWithAPlanInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 6)...)
	d, _ := mortal(w.deps(), 3)
	w.drainAny(w.sink, d)
	w.schemas.fail = schema.ErrUnavailable
	w.drain(Failed)
	w.schemas.fail = nil
	w.drain(Drained)
	w.verify()
}

func TestFault19ForeignObjectUnderAPlannedName(t *testing.T) {
	t.Parallel()
	for name, metadata := range map[string]map[string]string{
		"without metadata":     nil,
		"of another connector": {metaPlan: "other/0123"},
		"of another plan":      {metaPlan: sinkName + "/0123"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.produce(0, 1)
			w.drain(Drained)
			w.produce(0, repeat(1, 6)...)
			w.produce(1, repeat(1, 6)...)
			foreign := gcs.Stored{Bucket: archiveBucket, Name: object(0, 4), Data: []byte("theirs"), Metadata: metadata}
			if _, err := w.server.Put(foreign); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				sum := w.drain(Stopped)
				wantText(t, sum.Partitions[0].Stopped, object(0, 4), "not overwritten")
				if sum.Partitions[0].Committed != 1 || sum.Partitions[1].Outcome.ExitCode() != 0 {
					t.Fatalf("%+v", sum)
				}
			}
			if o := w.server.Objects(archiveBucket, object(0, 4)); string(o[0].Data) != "theirs" {
				t.Fatal("the foreign object was overwritten")
			}
			if err := w.server.Delete(archiveBucket, object(0, 4)); err != nil {
				t.Fatal(err)
			}
			w.drain(Drained)
			w.verify()
		})
	}
}

func TestFault25HeadIsRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 5)...)
	w.drain(Drained)
	head := w.server.Objects(stateBucket, "")[0]
	if err := w.server.Delete(stateBucket, head.Name); err != nil {
		t.Fatal(err)
	}
	// The group's offset lies: a zombie committed an older one.
	w.commit(0, 3)
	sum := w.drain(Stopped)
	wantText(t, sum.Partitions[0].Stopped, "there is no head", "gs://state/"+head.Name)
	if n := len(w.server.Objects(stateBucket, "")); n != 0 {
		t.Fatalf("%d heads were created", n)
	}
	if _, err := w.server.Put(head); err != nil {
		t.Fatal(err)
	}
	w.drain(NothingNew)
	w.verify()
}

func TestHeadThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(string) string{
		"newer format":      func(s string) string { return strings.Replace(s, `"format":1`, `"format":3`, 1) },
		"changed by hand":   func(s string) string { return strings.Replace(s, `"frontier":5`, `"frontier":3`, 1) },
		"empty":             func(string) string { return "" },
		"cut off":           func(s string) string { return s[:len(s)/2] },
		"of another topic":  func(s string) string { return resum(t, s, func(h *Head) { h.Topic = "other" }) },
		"of another sink":   func(s string) string { return resum(t, s, func(h *Head) { h.Connector = "other" }) },
		"of another format": func(string) string { return `{"format":0}` },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 5)...)
			w.drain(Drained)
			w.produce(0, 1)
			o := w.server.Objects(stateBucket, "")[0]
			o.Data = []byte(change(string(o.Data)))
			if _, err := w.server.Put(o); err != nil {
				t.Fatal(err)
			}
			sum := w.drain(Stopped)
			wantText(t, sum.Partitions[0].Stopped, "gs://state/"+o.Name)
			w.wantNames(object(0, 0), object(0, 3))
			if now := w.server.Objects(stateBucket, "")[0]; string(now.Data) != string(o.Data) {
				t.Fatal("the head was written")
			}
		})
	}
}

func resum(t *testing.T, s string, change func(*Head)) string {
	t.Helper()
	h, err := ParseHead([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	change(&h)
	data, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestFault31HeadCannotBeRead: neither a failure nor a refusal is taken for absence.
func TestFault31HeadCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault gcs.Fault
		want  Outcome
	}{
		"500": {gcs.Fault{Before: http.StatusInternalServerError}, Failed},
		"503": {gcs.Fault{Before: http.StatusServiceUnavailable}, Failed},
		"403": {gcs.Fault{Before: http.StatusForbidden}, Misconfigured},
		"a read that says absent while a listing shows it": {gcs.Fault{Before: http.StatusNotFound}, Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.produce(0, repeat(1, 4)...)
			w.drain(Drained)
			w.produce(0, 1)
			writes := w.server.Count(gcs.OpInsert)
			w.server.Intercept(func(r gcs.Request) gcs.Fault {
				if r.Op == gcs.OpRead && r.Bucket == stateBucket {
					return tt.fault
				}
				return gcs.Fault{}
			})
			w.drain(tt.want)
			if n := w.server.Count(gcs.OpInsert) - writes; n != 0 {
				t.Fatalf("%d objects were written", n)
			}
			w.server.Intercept(nil)
			w.drain(Drained)
			w.verify()
		})
	}
}

func TestFault26TopicIsRecreated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	w.drain(Drained)
	if err := w.cluster.DeleteTopic(topicName); err != nil {
		t.Fatal(err)
	}
	if err := w.cluster.CreateTopic(topicName, 1, nil); err != nil {
		t.Fatal(err)
	}
	w.connect()
	w.produce(0, repeat(1, 6)...)
	sum := w.drain(Stopped)
	wantText(t, sum.Partitions[0].Stopped, "created again", "topics.dir")
	// Under another name and another folder nothing is lost.
	w.sink.Name, w.sink.TopicsDir = "again", "again"
	w.drain(Drained)
	w.wantNames("again/challenger/partition=0/challenger+0+0000000000.avro", "again/challenger/partition=0/challenger+0+0000000003.avro", object(0, 0), object(0, 3))
	w.verify()
}

func TestFault26LogEndsBelowTheFrontier(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	w.drain(Drained)
	d := w.deps()
	d.Consumer = boundedConsumer{d.Consumer, func(b kafka.Bounds) kafka.Bounds { b.StableEnd = 2; return b }}
	sum := w.drainWith(w.sink, d, Stopped)
	wantText(t, sum.Partitions[0].Stopped, "ends at offset 2", "truncated")
}

// boundedConsumer changes what is seen of the log's bounds.
type boundedConsumer struct {
	Consumer
	change func(kafka.Bounds) kafka.Bounds
}

func (c boundedConsumer) Bounds(ctx context.Context, topic string) (map[int32]kafka.Bounds, error) {
	all, err := c.Consumer.Bounds(ctx, topic)
	for p, b := range all {
		all[p] = c.change(b)
	}
	return all, err
}

func TestFault35ConnectsSinkIsRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	member, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup(w.sink.Group()), kgo.ConsumeTopics(topicName))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	if _, err := w.cluster.WaitGroupStable(w.ctx, w.sink.Group(), 1); err != nil {
		t.Fatal(err)
	}
	sum := w.drain(Stopped)
	wantText(t, sum.Error, w.sink.Group(), "stop it")
	if sum.Outcome.ExitCode() != 3 {
		t.Fatal(sum.Outcome.ExitCode())
	}
	w.wantNames()
	member.Close()
	if _, err := w.cluster.WaitGroupInfo(w.ctx, w.sink.Group(), func(g *kfake.GroupInfo) bool { return g == nil || len(g.Members) == 0 }); err != nil {
		t.Fatal(err)
	}
	w.drain(Drained)
	w.verify()
}

// TestFault35ConnectsSinkStartsDuringTheDrain is found out at the commit.
func TestFault35ConnectsSinkStartsDuringTheDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	d := w.deps()
	d.Consumer = activeConsumer{d.Consumer}
	sum := w.drainWith(w.sink, d, Stopped)
	if sum.Outcome.ExitCode() != 3 {
		t.Fatal(sum.Outcome.ExitCode())
	}
	w.drain(Drained)
	w.verify()
}

type activeConsumer struct{ Consumer }

func (activeConsumer) Commit(context.Context, string, [16]byte, int32, int64) error {
	return kafka.ErrGroupActive
}

// TestCommitFails: the group's offset is a cache.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	d := w.deps()
	d.Consumer = forgetfulConsumer{d.Consumer}
	w.drainWith(w.sink, d, Drained)
	if lag := w.lag(0); lag != -1 {
		t.Fatalf("lag %d", lag)
	}
	w.drain(NothingNew)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	w.verify()
}

// TestCommitHangs: a coordinator that does not answer holds no drain up for ever.
func TestCommitHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	d := w.deps()
	d.Consumer = silentConsumer{d.Consumer, t}
	w.drainWith(w.sink, d, Drained)
	w.drain(NothingNew)
	w.verify()
}

// silentConsumer ends a commit as its context's end does, which it does not wait for.
type silentConsumer struct {
	Consumer
	t *testing.T
}

func (c silentConsumer) Commit(ctx context.Context, _ string, _ [16]byte, _ int32, _ int64) error {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > commitTimeout {
		c.t.Errorf("a commit may take until %v", end)
	}
	return context.DeadlineExceeded
}

type forgetfulConsumer struct{ Consumer }

func (forgetfulConsumer) Commit(context.Context, string, [16]byte, int32, int64) error {
	return errors.New("the coordinator is loading")
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize = 1
	w.produce(0, repeat(1, 20)...)
	d := w.deps()
	d.Deadline = time.Now().Add(-time.Second)
	sum := w.drainWith(w.sink, d, DeadlineReached)
	if sum.Left != 20 || sum.Outcome.ExitCode() != 0 {
		t.Fatalf("%+v", sum)
	}
	w.drain(Drained)
	w.verify()
}

// TestDeadlineSavesWhatWasRead: also when not one flush is full, or no drain would ever get on.
func TestDeadlineSavesWhatWasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize = 1000
	w.produce(0, repeat(1, 5)...)
	p, in, records := w.midway(0, 3)
	a, err := p.newAssembly(in)
	if err != nil {
		t.Fatal(err)
	}
	soft, cancel := context.WithCancelCause(w.ctx)
	cancel(errDeadline)
	for _, r := range records {
		if _, err := a.take(w.ctx, r, 0); err != nil {
			t.Fatal(err)
		}
	}
	in.soft = soft
	if err := a.fill(w.ctx, in); err != nil {
		t.Fatal(err)
	}
	if a.b.next != 3 || len(a.b.files) != 1 || !errors.Is(a.b.ended, errDeadline) {
		t.Fatalf("%+v", a.b)
	}
}

// TestDeadlineLeavesWhatWasNotLookedAt: a batch that is full in the middle of a fetched page leaves the rest of the page
// to the next one, and a deadline in between leaves it to the next drain.
func TestDeadlineLeavesWhatWasNotLookedAt(t *testing.T) {
	t.Parallel()
	for _, atEnd := range []bool{true, false} {
		w := newWorld(t, 1)
		w.sink.FlushSize, w.sink.FlushOnDrainEnd = 1, atEnd
		w.produce(0, repeat(1, planObjects+20)...)
		d := w.deps()
		d.Now, d.Rand = time.Now, zeros{}
		parts, err := begin(w.ctx, w.sink, d)
		if err != nil {
			t.Fatal(err)
		}
		p := parts[0]
		soft, cancel := context.WithCancelCause(w.ctx)
		defer cancel(nil)
		p.soft = soft //nolint:fatcontext // each round has a partition of its own
		in := p.open(0)
		t.Cleanup(in.close)
		var planned int64
		for {
			b, err := p.assemble(w.ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			planned += int64(len(b.files))
			if b.next != planned {
				t.Fatalf("flush at drain end %v: the frontier would be %d, and %d records are in objects", atEnd, b.next, planned)
			}
			if b.ended != nil {
				break
			}
			if b.last {
				t.Fatal("the drain reached the end before its deadline")
			}
			cancel(errDeadline)
		}
		if planned == 0 || planned == planObjects+20 {
			t.Errorf("%d records were planned; the deadline was to come in the middle", planned)
		}
	}
}

// midway is a partition and its first records, with an input that begins at them.
func (w *world) midway(number int32, n int) (*partition, *input, []*kgo.Record) {
	w.t.Helper()
	d := w.deps()
	d.Now, d.Rand = time.Now, zeros{}
	parts, err := begin(w.ctx, w.sink, d)
	if err != nil {
		w.t.Fatal(err)
	}
	p := parts[number]
	p.soft = w.ctx
	in := p.open(0)
	w.t.Cleanup(in.close)
	r := d.Consumer.Read(p.topic, number, 0, p.bounds.StableEnd)
	w.t.Cleanup(r.Close)
	var all []*kgo.Record
	for len(all) < n {
		records, _, err := r.Next(w.ctx)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, records...)
	}
	return p, in, all[:n]
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestToldToStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize = 1
	w.produce(0, repeat(1, planObjects+20)...)
	d := w.deps()
	stop := make(chan struct{})
	d.Stop = stop
	d.Archive = &hookedArchive{Archive: d.Archive, before: func(n int) {
		if n == 5 {
			close(stop)
		}
	}}
	sum := w.drainWith(w.sink, d, Interrupted)
	// The plan in flight is finished, there is no other.
	if sum.Objects != planObjects || sum.Outcome.ExitCode() != 1 || w.head(0).Plan != nil {
		t.Fatalf("%+v", sum)
	}
	w.drain(Drained)
	w.verify()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[Outcome]int{
		Drained: 0, NothingNew: 0, AnotherRun: 0, DeadlineReached: 0, Interrupted: 1, Failed: 1, Misconfigured: 2, Stopped: 3, "": 1,
	} {
		if got := outcome.ExitCode(); got != want {
			t.Errorf("%q: %d, want %d", outcome, got, want)
		}
	}
}

func TestStringsThatAreNotUTF8AreNotArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	v := binary.AppendVarint([]byte{0, 0, 0, 0, 1}, 100)
	w.send(&kgo.Record{Topic: topicName, Value: append(v, 2, 0xff)})
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "field pad", "UTF-8")
}
