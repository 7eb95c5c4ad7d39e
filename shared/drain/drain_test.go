package drain

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/gcs"
)

func TestFirstDrainThenNothingThenMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 8)...)
	sum := w.drain(Drained)
	w.wantNames(object(0, 0), object(0, 3), object(0, 6))
	w.wantRecords(object(0, 0), 1, 2, 3)
	w.wantRecords(object(0, 3), 4, 5, 6)
	w.wantRecords(object(0, 6), 7, 8)
	p := sum.Partitions[0]
	if p.From != 0 || p.To != 8 || p.Records != 8 || p.Objects != 3 || p.Committed != 8 || p.Lag != 0 || sum.Records != 8 || sum.Left != 0 || p.Bytes == 0 {
		t.Fatalf("%+v", sum)
	}
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	if h := w.head(0); h.Start != 0 || h.Frontier != 8 || h.Plan != nil || h.TopicID == "" {
		t.Fatalf("%+v", h)
	}

	writes, reads := w.server.Count(gcs.OpInsert), w.server.Count(gcs.OpRead)
	w.drain(NothingNew)
	if n := w.server.Count(gcs.OpInsert) - writes; n != 0 {
		t.Fatalf("a drain with nothing to do writes %d objects", n)
	}
	if n := w.server.Count(gcs.OpRead) - reads; n != 1 {
		t.Fatalf("a drain with nothing to do reads %d objects", n)
	}

	w.produce(0, 1, 1)
	sum = w.drain(Drained)
	if sum.Records != 2 || sum.Partitions[0].From != 8 {
		t.Fatalf("%+v", sum)
	}
	w.wantRecords(object(0, 8), 9, 10)
	w.verify()
}

func TestEveryPartitionIsDrained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	for p := range int32(5) {
		w.produce(p, repeat(1, int(p)*2)...)
	}
	sum := w.drain(Drained)
	if len(sum.Partitions) != 5 || sum.Records != 20 {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

// TestFault32TaskCountsOverlap covers also task counts that change while tasks overlap: a partition is in two of them.
func TestFault32TaskCountsOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	for p := range int32(5) {
		w.produce(p, repeat(1, 7)...)
	}
	seen := map[int32]int{}
	for task := range 2 {
		d := w.deps()
		d.Task, d.Tasks = task, 2
		for _, p := range w.drainWith(w.sink, d, Drained).Partitions {
			seen[p.Partition]++
		}
	}
	if len(seen) != 5 {
		t.Fatalf("partitions of two tasks: %v", seen)
	}
	for p, n := range seen {
		if n != 1 {
			t.Fatalf("partition %d is in %d tasks", p, n)
		}
	}
	w.verify()
	for p := range int32(5) {
		w.produce(p, repeat(1, 20)...)
	}
	done := make(chan Summary)
	count := 0
	for _, tasks := range []int{2, 3} {
		for task := range tasks {
			d := w.deps()
			d.Task, d.Tasks = task, tasks
			count++
			go func() { done <- w.drainAny(w.sink, d) }()
		}
	}
	for range count {
		if sum := <-done; sum.Outcome.ExitCode() != 0 {
			t.Errorf("%+v", sum)
		}
	}
	w.drainAny(w.sink, w.deps())
	w.verify()
}

func TestSchemasInterleaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 2, 1, 2, 1, 2)
	w.sink.FlushSize = 4
	w.drain(Drained)
	w.wantNames(object(0, 0), object(0, 1), object(0, 4), object(0, 5))
	w.wantRecords(object(0, 0), 1, 3)
	w.wantRecords(object(0, 1), 2, 4)
	w.wantRecords(object(0, 4), 5)
	w.wantRecords(object(0, 5), 6)
	w.verify()
}

func TestSchemaChangeRotates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 2, 2, 2, 2, 1)
	w.sink.SchemaChangeRotates = true
	w.drain(Drained)
	w.wantNames(object(0, 0), object(0, 1), object(0, 4), object(0, 5))
	w.wantRecords(object(0, 1), 2, 3, 4)
	w.verify()
}

func TestNullValuesThatAreIgnoredAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 0, 1, 0, 0, 1, 1, 1, 0)
	w.sink.NullIgnore = true
	d, _ := mortal(w.deps(), 3) // birth, commit, plan
	w.drainAny(w.sink, d)
	h := w.head(0)
	if h.Plan == nil || len(h.Plan.Skipped) != 3 || h.Plan.Skipped[1] != (Range{2, 3}) {
		t.Fatalf("%+v", h.Plan)
	}
	sum := w.drain(Drained)
	w.wantRecords(object(0, 1), 1, 2, 3)
	w.wantRecords(object(0, 6), 4)
	if !sum.Partitions[0].Completed || w.lag(0) != 0 {
		t.Fatalf("%+v", sum)
	}
	w.produce(0, 0, 0)
	if sum := w.drain(Drained); sum.Partitions[0].Skipped != 2 || w.lag(0) != 0 {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

func TestFault33OnlyMarkersLeaveNoPhantomLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.transaction(0, 2, true)
	w.transaction(0, 2, false)
	w.transaction(0, 2, true)
	w.drain(Drained)
	// The third record is at offset 6: a marker, two aborted records and a marker lie before it.
	w.wantNames(object(0, 0), object(0, 7))
	w.wantRecords(object(0, 0), 1, 2, 5)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("lag %d", lag)
	}
	// Only markers and aborted records: the closing write is the only one.
	w.transaction(0, 3, false)
	writes := w.server.Count(gcs.OpInsert)
	w.drain(Drained)
	if lag := w.lag(0); lag != 0 {
		t.Fatalf("phantom lag %d", lag)
	}
	if n := w.server.Count(gcs.OpInsert) - writes; n != 1 {
		t.Fatalf("%d objects written", n)
	}
	w.verify()
}

func TestFault27OpenTransactionAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 1)
	client := w.transactional("open")
	w.begin(client, 0, 2)
	w.produce(0, 1) // behind the open transaction
	sum := w.drain(Drained)
	if sum.Records != 2 || sum.Partitions[0].To != 2 {
		t.Fatalf("%+v", sum)
	}
	if err := client.EndTransaction(w.ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	w.drain(Drained)
	w.verify()
}

func TestFault28TailWaitsForTheNextRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushOnDrainEnd = false
	w.produce(0, repeat(1, 5)...)
	sum := w.drain(Drained)
	if sum.Records != 3 || sum.Left != 2 || w.lag(0) != 2 {
		t.Fatalf("%+v", sum)
	}
	w.wantNames(object(0, 0))
	w.drain(NothingNew)
	w.produce(0, 1)
	w.drain(Drained)
	w.wantNames(object(0, 0), object(0, 3))
	w.wantRecords(object(0, 3), 4, 5, 6)
	w.verify()
}

func TestManyPlans(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.FlushSize = 1
	w.produce(0, repeat(1, 2*planObjects+10)...)
	sum := w.drain(Drained)
	if sum.Objects != 2*planObjects+10 {
		t.Fatalf("%+v", sum)
	}
	w.verify()
}

func TestEveryCodec(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"null", "deflate", "snappy", "zstandard"} {
		t.Run(codec, func(t *testing.T) {
			w := newWorld(t, 1)
			w.sink.Codec = codec
			w.produce(0, 1, 1, 2, 1)
			w.drain(Drained)
			w.verify()
		})
	}
}

func TestLayoutSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.sink.TopicsDir, w.sink.DirectoryDelim, w.sink.FileDelim, w.sink.ZeroPad = " ", "_", "-", 3
	w.produce(0, repeat(1, 4)...)
	w.drain(Drained)
	w.wantNames("challenger_partition=0_challenger-0-000.avro", "challenger_partition=0_challenger-0-003.avro")
}

func TestTheSameRecordsGiveTheSameObjects(t *testing.T) {
	t.Parallel()
	var first []gcs.Stored
	for i := range 2 {
		w := newWorld(t, 1)
		w.sink.Codec = "deflate"
		w.produce(0, 1, 2, 1, 1, 2)
		if i == 1 {
			d, _ := mortal(w.deps(), 3) // the second time one object is created by another run
			w.drainAny(w.sink, d)
		}
		w.drain(Drained)
		objects := w.server.Objects(archiveBucket, "")
		if i == 0 {
			first = objects
			continue
		}
		for j, o := range objects {
			if o.Name != first[j].Name || !bytes.Equal(o.Data, first[j].Data) {
				t.Fatalf("%s differs", o.Name)
			}
		}
	}
}

func TestMetadataOfObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1, 1)
	w.drain(Drained)
	o := w.server.Objects(archiveBucket, "")[0]
	want := map[string]string{
		metaConnector: sinkName, metaTopic: topicName, metaPartition: "0", metaSchema: "1", metaFirst: "0", metaLast: "1", metaCount: "2",
	}
	for k, v := range want {
		if o.Metadata[k] != v {
			t.Errorf("%s is %q, want %q", k, o.Metadata[k], v)
		}
	}
	wantText(t, o.Metadata[metaPlan], sinkName+"/")
	if o.ContentType != contentType {
		t.Errorf("content type %q", o.ContentType)
	}
}

// TestFault27RecordsAppendedDuringTheDrain: the end is the one seen at the start.
func TestFault27RecordsAppendedDuringTheDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 4)...)
	d := w.deps()
	d.Heads = &hookedHeads{Heads: d.Heads, before: func(n int) {
		if n == 2 {
			w.produce(0, repeat(1, 4)...)
		}
	}}
	sum := w.drainWith(w.sink, d, Drained)
	if sum.Records != 4 {
		t.Fatalf("%+v", sum)
	}
	w.drain(Drained)
	w.verify()
}

func TestSettingsThatNoDrainCanWorkWith(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*connector.Sink){
		"string values":    func(s *connector.Sink) { s.ValueConverter = connector.StringConverter },
		"flush size":       func(s *connector.Sink) { s.FlushSize = 0 },
		"codec":            func(s *connector.Sink) { s.Codec = "bzip2" },
		"topic is missing": func(s *connector.Sink) { s.Topics = append(s.Topics, "nobody") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			change(&w.sink)
			w.produce(0, 1)
			w.drain(Misconfigured)
			w.wantNames()
		})
	}
}

func TestManySmallTopicPartitionsInOneSink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	if err := w.cluster.CreateTopic("other", 3, nil); err != nil {
		t.Fatal(err)
	}
	w.sink.Topics = append(w.sink.Topics, "other")
	w.produce(1, 1, 1)
	for p := range int32(3) {
		r := w.record(0, 1, "pad")
		r.Topic, r.Partition = "other", p
		w.send(r)
	}
	sum := w.drain(Drained)
	if len(sum.Partitions) != 5 || sum.Records != 5 {
		t.Fatalf("%+v", sum)
	}
	for p := range 3 {
		w.read("topics/other/partition=" + strconv.Itoa(p) + "/other+" + strconv.Itoa(p) + "+0000000000.avro")
	}
}
