package drain

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hamba/avro/v2/ocf"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/local/gcs"
)

// connect is Confluent's sink as far as the bucket and the group show it: objects of flush.size records each, named by
// the first one, null values passed over, no object for a tail, the offset after the last object committed unless lag.
type connect struct {
	size  int
	codec ocf.CodecName
}

// run archives partition 0 from offset from on and returns the offset after each object.
func (c connect) run(w *world, from int64) (ends []int64) {
	w.t.Helper()
	topic := w.topic(0)
	var file []int64
	flush := func() {
		if len(file) > 0 {
			c.write(w, topic, file)
			ends = append(ends, file[len(file)-1]+1)
		}
		file = nil
	}
	for _, offset := range slices.Sorted(maps.Keys(topic)) {
		if offset < from || topic[offset][0] == 0 {
			continue
		}
		if len(file) > 0 && topic[file[0]][1] != topic[offset][1] {
			flush()
		}
		if file = append(file, offset); len(file) == c.size {
			flush()
		}
	}
	return ends
}

// write writes one object by a writer that is not ours.
func (c connect) write(w *world, topic map[int64][2]int64, offsets []int64) {
	w.t.Helper()
	text := schema1
	if topic[offsets[0]][1] == 2 {
		text = schema2
	}
	codec := c.codec
	if codec == "" {
		codec = ocf.Null
	}
	var b bytes.Buffer
	e, err := ocf.NewEncoder(text, &b, ocf.WithCodec(codec), ocf.WithBlockLength(100))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, offset := range offsets {
		n := topic[offset][0]
		if err := e.Encode(map[string]any{"n": n, "pad": "pad", "more": -n}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.theirs(object(0, int(offsets[0])), b.Bytes(), nil)
}

func (w *world) theirs(name string, data []byte, metadata map[string]string) {
	w.t.Helper()
	if _, err := w.server.Put(gcs.Stored{Bucket: archiveBucket, Name: name, Data: data, Metadata: metadata, ContentType: "application/octet-stream"}); err != nil {
		w.t.Fatal(err)
	}
}

// TestFault24TakeOverOfObjects: whatever Confluent's sink archived is in its objects alone, the rest in ours, whether its commit
// came to pass or not.
func TestFault24TakeOverOfObjects(t *testing.T) {
	t.Parallel()
	fills := map[string]func(w *world, n int){
		"plain":       func(w *world, n int) { w.produce(0, repeat(1, n)...) },
		"two schemas": func(w *world, n int) { w.produce(0, repeat(1, n/2)...); w.produce(0, repeat(2, n-n/2)...) },
		"transactions": func(w *world, n int) {
			w.transaction(0, n/2, true)
			w.transaction(0, 2, false)
			w.transaction(0, n-n/2, true)
		},
		"null values passed": func(w *world, n int) {
			w.produce(0, 0)
			w.produce(0, repeat(1, n/2)...)
			w.produce(0, 0, 0)
			w.produce(0, repeat(1, n-n/2)...)
		},
		"removed and appended": func(w *world, n int) {
			w.produce(0, 1, 1)
			w.deleteRecords(2)
			w.forgetLast(2)
			w.produce(0, repeat(1, n)...)
		},
	}
	for _, size := range []int{1, 3, 1000} {
		for name, fill := range fills {
			for _, lag := range []int{0, 1, 3} {
				t.Run(fmt.Sprintf("%d records each, %s, %d objects not committed", size, name, lag), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, 1)
					w.sink.NullIgnore = true
					w.sink.FlushSize = size
					fill(w, 4*size)
					codec := []ocf.CodecName{ocf.Null, ocf.Deflate, ocf.Snappy}[lag%3]
					ends := connect{size: size, codec: codec}.run(w, 0)
					theirs := w.names()
					start := int64(0)
					if name == "removed and appended" {
						start = 2
					}
					committed := start
					if n := len(ends) - lag; n > 0 {
						committed = ends[n-1]
					}
					w.commit(0, committed)
					w.produce(0, repeat(1, 2)...) // a tail that Connect never wrote

					sum := w.drain(Drained)
					if sum.Records != 2 || w.lag(0) != 0 {
						t.Fatalf("lag %d, %+v", w.lag(0), sum)
					}
					if got := w.head(0).Start; got != ends[len(ends)-1] {
						t.Fatalf("the archive begins at %d, theirs ends at %d", got, ends[len(ends)-1])
					}
					if got := w.names(); len(got) <= len(theirs) {
						t.Fatalf("%q", got)
					}
					w.verify()
					w.produce(0, repeat(1, size)...)
					w.drain(Drained)
					w.verify()
				})
			}
		}
	}
}

// forgetLast takes the last n records out of what must be archived.
func (w *world) forgetLast(n int) {
	for i := range n {
		delete(w.committed, w.next-int64(i))
	}
}

// TestFault24TakeOverInDoubt: each doubtful case stops before anything is written, says what was found, and names the command
// that goes on.
func TestFault24TakeOverInDoubt(t *testing.T) {
	t.Parallel()
	small := connect{size: 3}
	tests := map[string]struct {
		before func(w *world)
		says   []string
	}{
		"objects but no committed offset": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			small.run(w, 0)
		}, []string{"2 objects of another sink", "no committed offset", object(0, 0)}},
		"an overlap of a larger flush.size": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			small.run(w, 0)
			connect{size: 6}.run(w, 0) // writes the first name again
			w.commit(0, 0)
		}, []string{object(0, 3), "before offset 6", "flush.size"}},
		"an overlap of a larger flush.size before the committed offset": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			connect{size: 6}.run(w, 0)
			w.commit(0, 3)
		}, []string{object(0, 0), "holds 6 records", "beyond offset 3"}},
		"a gap before an object": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			small.run(w, 1)
			w.commit(0, 0)
		}, []string{object(0, 1), "is at offset 0"}},
		"an object with more records than the topic has": {func(w *world) {
			w.produce(0, repeat(1, 2)...)
			w.theirs(object(0, 0), ownFile(w, 5), nil)
			w.commit(0, 0)
		}, []string{object(0, 0), "holds 5 records", "only 2"}},
		"the object's records are no longer in the topic": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			small.run(w, 0)
			w.commit(0, 0)
			w.deleteRecords(2)
		}, []string{object(0, 0), "is at offset 2"}},
		"an object of another layout": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			w.theirs("topics/challenger/year=2026/month=11/challenger+0+0000000003.avro", ownFile(w, 3), nil)
			w.commit(0, 3)
		}, []string{"year=2026", "default layout"}},
		"an object of another format": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			w.theirs("topics/challenger/partition=0/challenger+0+0000000003.json", []byte("{}\n"), nil)
			w.commit(0, 3)
		}, []string{"0000000003.json", "default layout"}},
		"an object that is no container file": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			w.theirs(object(0, 3), []byte("{}\n"), nil)
			w.commit(0, 3)
		}, []string{object(0, 3), "which records"}},
		"an object without records": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			w.theirs(object(0, 3), ownFile(w, 0), nil)
			w.commit(0, 3)
		}, []string{object(0, 3), "it holds none"}},
		"an object of riftline's while there is no head": {func(w *world) {
			w.produce(0, repeat(1, 7)...)
			w.theirs(object(0, 3), ownFile(w, 3), map[string]string{metaPlan: sinkName + "/0123"})
			w.commit(0, 3)
		}, []string{object(0, 3), "there is no head", "plan gcs-sink/0123"}},
		"a record that cannot be read": {func(w *world) {
			w.produce(0, repeat(1, 2)...)
			w.send(&kgo.Record{Topic: topicName, Value: []byte("no Avro")})
			w.produce(0, repeat(1, 4)...)
			w.theirs(object(0, 0), ownFile(w, 3), nil)
			w.commit(0, 0)
		}, []string{object(0, 0), "offset 2", "magic byte"}},
		"a compacted topic lacks a record of the last object": {func(w *world) {
			w.compacted()
			w.produce(0, repeat(1, 3)...)
			w.theirs(object(0, 0), ownFile(w, 3), nil)
			w.produce(0, repeat(1, 3)...)
			w.supersede(2) // offset 1
			w.commit(0, 0)
		}, []string{object(0, 0), "cleanup.policy is compact"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			tt.before(w)
			names := w.names()
			for range 2 {
				text := w.drain(Stopped).Partitions[0].Stopped
				wantText(t, text, append(tt.says, "riftline offsets set gcs-sink challenger/0")...)
			}
			if got := w.names(); !slices.Equal(got, names) {
				t.Fatalf("objects %q, before %q", got, names)
			}
			if n := len(w.server.Objects(stateBucket, "")); n != 0 {
				t.Fatalf("%d heads", n)
			}
		})
	}
}

// ownFile is a container file of n records.
func ownFile(w *world, n int) []byte {
	w.t.Helper()
	var b bytes.Buffer
	e, err := ocf.NewEncoder(schema1, &b)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		if err := e.Encode(map[string]any{"n": int64(i + 1), "pad": "pad"}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// supersede appends a record with the key of record n, more records after it, and compacts the topic.
func (w *world) supersede(n int64) {
	w.t.Helper()
	r := w.record(0, 1, "pad")
	r.Key = fmt.Append(nil, n)
	w.send(r)
	w.produce(0, repeat(1, 3)...)
	before := len(w.topic(0))
	w.cluster.Compact()
	if after := len(w.topic(0)); after >= before {
		w.t.Fatal("nothing was compacted")
	}
	delete(w.committed, n)
}

// TestTakeOverOfACompactedTopic: where the next object confirms that nothing is missing, it goes on.
func TestTakeOverOfACompactedTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.compacted()
	w.transaction(0, 3, true)
	w.transaction(0, 3, true)
	w.produce(0, repeat(1, 4)...)
	connect{size: 3}.run(w, 0)
	w.commit(0, 0)
	w.drain(Drained)
	w.verify()
}

// TestTakeOverWithoutTheRightToReadConfigs: markers cannot be told from compaction then.
func TestTakeOverWithoutTheRightToReadConfigs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.transaction(0, 2, true)
	w.transaction(0, 2, true)
	connect{size: 4}.run(w, 0)
	w.commit(0, 0)
	w.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ErrorCode = kerr.TopicAuthorizationFailed.Code
		resp.Resources = append(resp.Resources, r)
		return resp, nil, true
	})
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "cleanup.policy cannot be read", "DESCRIBE_CONFIGS", "riftline offsets set gcs-sink challenger/0")
}

// TestTakeOverIsKilled: genesis is repeated until its head is there.
func TestTakeOverIsKilled(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.produce(0, repeat(1, 11)...)
		connect{size: 3}.run(w, 0)
		w.commit(0, 3)
	}, func(w *world) connector.Sink { return w.sink }, (*world).verify)
}

// TestTakeOverWhileTheBucketIsNotWell: an object that cannot be counted is no object without records.
func TestTakeOverWhileTheBucketIsNotWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 7)...)
	connect{size: 3}.run(w, 0)
	w.commit(0, 0)
	w.server.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op == gcs.OpRead && r.Bucket == archiveBucket {
			return gcs.Fault{Before: http.StatusForbidden}
		}
		return gcs.Fault{}
	})
	w.drain(Misconfigured)
	if n := len(w.server.Objects(stateBucket, "")); n != 0 {
		t.Fatalf("%d heads", n)
	}
	var drops atomic.Int32
	w.server.Intercept(func(r gcs.Request) gcs.Fault {
		if r.Op == gcs.OpRead && r.Bucket == archiveBucket && drops.Add(1) <= 2 {
			return gcs.Fault{DropBefore: true}
		}
		return gcs.Fault{}
	})
	w.drain(Drained)
	w.verify()
}

// TestThereAndBack: Connect → riftline → Connect. A plain consumer in the sink's group goes on where the drain stopped.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, repeat(1, 8)...)
	ends := connect{size: 3}.run(w, 0)
	w.commit(0, ends[1])
	w.transaction(0, 3, true)
	w.drain(Drained)
	w.verify()
	archived := w.next
	w.produce(0, repeat(1, 5)...)

	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumerGroup("connect-"+sinkName), kgo.ConsumeTopics(topicName),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	for len(got) < 5 {
		fetches := client.PollFetches(w.ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Key)) })
	}
	var want []string
	for n := archived + 1; n <= w.next; n++ {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the consumer reads %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
	}
	// And there again: what the other sink archived and committed is not archived twice.
	last := w.topicEnd()
	connect{size: 5}.run(w, last-5)
	if err := client.CommitUncommittedOffsets(w.ctx); err != nil {
		t.Fatal(err)
	}
	client.Close()
	wantText(t, w.drain(Stopped).Partitions[0].Stopped, "riftline")
}

func (w *world) topicEnd() int64 {
	w.t.Helper()
	ends, err := w.admin.ListCommittedOffsets(w.ctx, topicName)
	if err != nil {
		w.t.Fatal(err)
	}
	end, _ := ends.Lookup(topicName, 0)
	return end.Offset
}

// TestHeadIsRemovedAndTheGroupIsBehind: objects that begin before the committed offset and end after it.
func TestHeadIsRemovedAndTheGroupIsBehind(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]bool{"schemas interleaved": false, "by field": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.sink.FlushSize = 5
			if fields {
				w.sink.Partitioner = connector.Partitioner{Class: connector.FieldPartitioner, Fields: []string{"pad"}}
			}
			w.produce(0, 1, 2, 1, 2, 1)
			w.drain(Drained)
			head := w.server.Objects(stateBucket, "")[0]
			if err := w.server.Delete(stateBucket, head.Name); err != nil {
				t.Fatal(err)
			}
			w.commit(0, 3)
			wantText(t, w.drain(Stopped).Partitions[0].Stopped, "there is no head", "gs://state/"+head.Name)
			// Should the head be lost for good, the person's word is what there is.
			w.apply(Change{Verb: Set, Offset: 3}, "up to offset 4", "archived twice")
			w.apply(Change{Verb: Set, Offset: 5}, "--unverified")
			w.apply(Change{Verb: Set, Offset: 5, Unverified: true})
			w.drain(NothingNew)
			w.once()
		})
	}
}

// TestTakeOverWhileATransactionIsOpen: Connect reads and commits what is not committed by its producer, unless it is told
// otherwise. That is no sign of another topic.
func TestTakeOverWhileATransactionIsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, 1)
	client := w.transactional("open")
	w.begin(client, 0, 2)
	w.commit(0, 3)
	sum := w.drain(Failed)
	wantText(t, sum.Partitions[0].Error, "committed offset 3", "transaction", "offset 1")
	if n := len(w.server.Objects(stateBucket, "")); n != 0 {
		t.Fatalf("%d heads were created", n)
	}
	w.end(client, true, 2)
	w.drain(Drained)
	if h := w.head(0); h.Start != 3 {
		t.Fatalf("%+v", h)
	}
}
