package drain

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
)

const deadTopic = "dead"

// tolerant lets the sink skip what it cannot archive.
func (w *world) tolerant() {
	w.sink.Errors = connector.ErrorPolicy{Tolerate: true, DeadLetterTopic: deadTopic, DeadLetterReplication: 1, DeadLetterHeaders: true, NullDeadLetters: true}
}

// bad appends a record that cannot be archived. Read as one that could be, its n would be 0, which no record has.
func (w *world) bad(partition int32, key string) {
	w.t.Helper()
	w.send(&kgo.Record{Topic: topicName, Partition: partition, Key: []byte(key), Value: []byte("bad: \x00" + key)})
}

// letters are what the dead-letter topic holds; none when there is no such topic.
func (w *world) letters() []*kgo.Record {
	w.t.Helper()
	ends, err := w.admin.ListEndOffsets(w.ctx, deadTopic)
	if err != nil {
		w.t.Fatal(err)
	}
	end, ok := ends.Lookup(deadTopic, 0)
	if !ok || end.Err != nil || end.Offset == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{deadTopic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	var all []*kgo.Record
	for len(all) < int(end.Offset) {
		fetches := client.PollFetches(w.ctx)
		if w.ctx.Err() != nil {
			w.t.Fatal("the dead-letter topic cannot be read")
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func headers(r *kgo.Record) map[string]string {
	m := map[string]string{}
	for _, h := range r.Headers {
		m[h.Key] = string(h.Value)
	}
	return m
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	w.sink.NullIgnore = true
	at := time.UnixMilli(1_700_000_000_123)
	w.produce(0, 1)
	w.send(&kgo.Record{Topic: topicName, Key: []byte("text"), Value: []byte("bad: \x00"), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("kept")}}})
	w.produce(0, 1)
	w.send(&kgo.Record{Topic: topicName, Value: value(99, 0, "pad")})
	w.produce(0, 0, 1)
	w.send(&kgo.Record{Topic: topicName, Key: []byte("long"), Value: append(value(1, 0, "pad"), 0)})
	sum := w.drain(Drained)
	if sum.Records != 3 || sum.Partitions[0].Skipped != 4 || sum.Partitions[0].DeadLetters != 4 || sum.Skipped != 4 || sum.DeadLetters != 4 || w.lag(0) != 0 {
		t.Fatalf("lag %d, %+v", w.lag(0), sum)
	}
	w.wantNames(object(0, 0))
	w.verify()
	letters := w.letters()
	if len(letters) != 4 {
		t.Fatalf("%d letters", len(letters))
	}
	if r := letters[0]; string(r.Key) != "text" || string(r.Value) != "bad: \x00" || !r.Timestamp.Equal(at) {
		t.Fatalf("%s=%s at %v", r.Key, r.Value, r.Timestamp)
	}
	if letters[1].Key != nil || letters[2].Value != nil {
		t.Fatalf("key %q, value %q", letters[1].Key, letters[2].Value)
	}
	data, converter := "org.apache.kafka.connect.errors.DataException", "io.confluent.connect.avro.AvroConverter"
	for i, want := range []struct{ offset, stage, class, exception, says string }{
		{"1", "VALUE_CONVERTER", converter, data, "magic byte"},
		{"3", "VALUE_CONVERTER", converter, data, "no schema with id 99"},
		{"4", "TASK_PUT", "org.apache.kafka.connect.sink.SinkTask", data, "Skipping null value record."},
		{"6", "VALUE_CONVERTER", converter, data, "does not fit its schema"},
	} {
		got := headers(letters[i])
		wantText(t, got[headerMessage], want.says)
		wantText(t, got[headerStacktrace], want.exception+": ", want.says)
		delete(got, headerMessage)
		delete(got, headerStacktrace)
		all := map[string]string{
			"__connect.errors.topic": topicName, "__connect.errors.partition": "0", "__connect.errors.offset": want.offset,
			"__connect.errors.connector.name": sinkName, "__connect.errors.task.id": "0", "__connect.errors.stage": want.stage,
			"__connect.errors.class.name": want.class, "__connect.errors.exception.class.name": want.exception,
		}
		if i == 0 {
			all["own"] = "kept"
		}
		if !maps.Equal(got, all) {
			t.Errorf("letter %d: %v, want %v", i, got, all)
		}
	}
	// A second drain has nothing to do, and sends nothing again.
	w.drain(NothingNew)
	if n := len(w.letters()); n != 4 {
		t.Fatalf("%d letters", n)
	}
}

func TestErrorPolicies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy  func(*connector.Sink)
		fill    func(*world)
		want    Outcome
		letters []string // their keys
		skipped int64
	}{
		"none, though a topic is named": {
			func(s *connector.Sink) { s.Errors.Tolerate = false }, func(w *world) { w.produce(0, 1); w.bad(0, "a") }, Stopped, nil, 0,
		},
		"all without a topic": {
			func(s *connector.Sink) { s.Errors.DeadLetterTopic = "" }, func(w *world) { w.bad(0, "a"); w.produce(0, 1); w.bad(0, "b") }, Drained, nil, 2,
		},
		"all without a topic, nothing else": {
			func(s *connector.Sink) { s.Errors.DeadLetterTopic = "" }, func(w *world) { w.bad(0, "a") }, Drained, nil, 1,
		},
		"nothing but dead letters": {
			func(*connector.Sink) {}, func(w *world) { w.bad(0, "a"); w.bad(0, "b") }, Drained, []string{"a", "b"}, 2,
		},
		"a null value fails whatever is tolerated": {
			func(*connector.Sink) {}, func(w *world) { w.produce(0, 1, 0) }, Stopped, nil, 0,
		},
		"null values are ignored": {
			func(s *connector.Sink) { s.NullIgnore = true }, func(w *world) { w.produce(0, 1, 0) }, Drained, []string{"null"}, 1,
		},
		"null values are not reported": {
			func(s *connector.Sink) { s.NullIgnore, s.Errors.NullDeadLetters = true, false }, func(w *world) { w.produce(0, 1, 0) }, Drained, nil, 1,
		},
		"null values while nothing is tolerated": {
			func(s *connector.Sink) { s.NullIgnore, s.Errors.Tolerate = true, false }, func(w *world) { w.produce(0, 1, 0) }, Drained, nil, 1,
		},
		"each is logged": {
			func(s *connector.Sink) { s.Errors.Log, s.Errors.LogRecord = true, true }, func(w *world) { w.bad(0, "a"); w.produce(0, 1) }, Drained, []string{"a"}, 1,
		},
		"a tail waits for the next run": {
			func(s *connector.Sink) { s.FlushOnDrainEnd = false }, func(w *world) { w.produce(0, 1); w.bad(0, "a") }, NothingNew, nil, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.tolerant()
			tt.policy(&w.sink)
			tt.fill(w)
			sum := w.drain(tt.want)
			var keys []string
			for _, r := range w.letters() {
				keys = append(keys, string(r.Key))
			}
			if !slices.Equal(keys, tt.letters) || sum.Partitions[0].Skipped != tt.skipped {
				t.Fatalf("letters %q, %+v", keys, sum)
			}
			if h := w.head(0); tt.want == Drained && h.Frontier != h.Start+2 && h.Frontier != h.Start+1 && h.Frontier != h.Start+3 {
				t.Fatalf("%+v", h)
			}
		})
	}
}

func TestDeadLettersWithoutHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	w.sink.Errors.DeadLetterHeaders = false
	w.bad(0, "a")
	w.drain(Drained)
	if got := w.letters(); len(got) != 1 || len(got[0].Headers) != 0 {
		t.Fatalf("%v", got)
	}
}

// TestDeadLettersOfImpossibleTimes: a time that the client library cannot hold would be sent as another one.
func TestDeadLettersOfImpossibleTimes(t *testing.T) {
	t.Parallel()
	for ms, kept := range map[int64]bool{-1: false, 0: true, 1 << 41: true, 9_223_372_036_854: true, 9_223_372_036_855: false, math.MaxInt64: false} {
		sent := (&partition{}).letter(&kgo.Record{Timestamp: time.UnixMilli(ms)}, deadTopic, inConverter, "").Timestamp
		if kept && sent.UnixNano()/1e6 != ms || !kept && !sent.IsZero() {
			t.Errorf("%d becomes %v", ms, sent)
		}
	}
}

// TestDeadLettersArriveAtLeastOnce: wherever the run is killed, each record that is in no object is a dead letter.
func TestDeadLettersArriveAtLeastOnce(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.tolerant()
		w.produce(0, 1, 1)
		w.bad(0, "a")
		w.produce(0, 1, 1, 1)
		w.bad(0, "b")
		w.bad(0, "c")
	}, func(w *world) connector.Sink {
		// Later, nothing is tolerated any more and the topic is another: the plan holds.
		s := w.sink
		if h := w.headIfAny(0); h != nil && h.Frontier+8 == w.topicEnd() && h.Plan != nil {
			s.Errors = connector.ErrorPolicy{DeadLetterHeaders: true}
		}
		return s
	}, func(w *world) {
		w.verify()
		seen := map[string]int{}
		for _, r := range w.letters() {
			seen[string(r.Key)]++
			if m := headers(r); m[headerConnector] != sinkName || m[headerMessage] == "" || m[headerOffset] == "" {
				w.t.Errorf("%v", m)
			}
		}
		if seen["a"] < 1 || seen["b"] < 1 || seen["c"] < 1 || len(seen) != 3 {
			w.t.Errorf("dead letters %v", seen)
		}
		if lag := w.lag(0); lag != 0 {
			w.t.Errorf("lag %d", lag)
		}
	})
}

// headIfAny is the head, nil when there is none.
func (w *world) headIfAny(partition int32) *Head {
	o, err := w.state.Read(w.ctx, HeadName(w.sink.Name, topicName, partition))
	if err != nil {
		return nil
	}
	h, err := ParseHead(o.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return &h
}

// TestFault06DeadLetterWhoseSchemaIsKnownAtReplay: the record is a dead letter only.
func TestFault06DeadLetterWhoseSchemaIsKnownAtReplay(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.tolerant()
		w.produce(0, 1, 1)
		w.send(&kgo.Record{Topic: topicName, Key: []byte("later"), Value: value(7, 0, "pad")})
		w.produce(0, 1, 1)
	}, func(w *world) connector.Sink {
		if h := w.headIfAny(0); h == nil || h.Plan == nil && h.Frontier == h.Start {
			return w.sink // nothing was decided
		}
		w.schemas.mu.Lock()
		w.schemas.texts[7] = schema1
		w.schemas.mu.Unlock()
		return w.sink
	}, func(w *world) {
		w.verify() // an object with it would hold a record that was never committed
		if len(w.letters()) == 0 {
			w.t.Error("no dead letter")
		}
	})
}

func TestDeadLetterTopicCannotBeMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	w.produce(0, 1, 1, 1)
	w.bad(0, "a")
	w.cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		one := kmsg.NewCreateTopicsResponseTopic()
		one.Topic, one.ErrorCode = deadTopic, kerr.TopicAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, one)
		return resp, nil, true
	})
	wantText(t, w.drain(Misconfigured).Error, "dead-letter topic", "not authorized")
	if h := w.head(0); h.Plan != nil {
		t.Fatalf("a plan was made: %+v", h)
	}
	w.drain(Drained)
	w.verify()
	if n := len(w.letters()); n != 1 {
		t.Fatalf("%d letters", n)
	}
}

// TestDeadLettersOfThePartitioner are Confluent's PartitionException, in the task.
func TestDeadLettersOfThePartitioner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	w.sink.Partitioner = connector.Partitioner{Class: connector.FieldPartitioner, Fields: []string{"more"}}
	w.produce(0, 2, 1, 2)
	without := w.next - 1
	w.drain(Drained)
	letters := w.letters()
	if len(letters) != 1 || string(letters[0].Key) != strconv.FormatInt(without, 10) {
		t.Fatalf("%v", letters)
	}
	if m := headers(letters[0]); m[headerStage] != "TASK_PUT" || m[headerException] != "io.confluent.connect.storage.errors.PartitionException" {
		t.Fatalf("%v", m)
	}
	if n := len(w.names()); n != 2 {
		t.Fatalf("%q", w.names())
	}
}

// TestMoreDeadLettersThanMemory are read once more instead of being held.
func TestMoreDeadLettersThanMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	w.sink.MemoryMax = 20_000
	const n = 100
	for i := range n {
		w.bad(0, strconv.Itoa(i))
	}
	w.produce(0, 1)
	sum := w.drain(Drained)
	if sum.Partitions[0].DeadLetters != n || sum.Partitions[0].Skipped != n {
		t.Fatalf("%+v", sum)
	}
	letters := w.letters()
	if len(letters) != n {
		t.Fatalf("%d letters", len(letters))
	}
	for i, r := range letters {
		if string(r.Key) != strconv.Itoa(i) {
			t.Fatalf("letter %d is %s", i, r.Key)
		}
	}
	w.verify()
}

// TestDeadLettersRemovedByRetention are reported, and do not hold the partition up.
func TestDeadLettersRemovedByRetention(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.tolerant()
	w.bad(0, "a")
	w.produce(0, 1, 1, 1)
	w.bad(0, "b")
	d, _ := mortal(w.deps(), 3) // birth, commit, plan
	w.drainAny(w.sink, d)
	if h := w.head(0); h.Plan == nil || h.Plan.DeadLetters == nil {
		t.Fatalf("%+v", h)
	}
	w.deleteRecords(1)
	w.drain(Drained)
	w.verify()
	if got := w.letters(); len(got) != 1 || string(got[0].Key) != "b" {
		t.Fatalf("%v", got)
	}
}

func TestHeadsOfEveryVersion(t *testing.T) {
	t.Parallel()
	plan := &Plan{ID: "0123", First: 5, Next: 9, Codec: "null", Skipped: []Range{{6, 7}}, Objects: []PlannedObject{}}
	dead := *plan
	dead.DeadLetters = &DeadLetterPlan{Topic: deadTopic, Offsets: []Range{{6, 7}}}
	base := Head{Connector: sinkName, Topic: topicName, Start: 1, Frontier: 5}
	projected := func(from ...int) func(*Head) {
		return func(h *Head) {
			p := dead
			p.Objects = []PlannedObject{{Name: "x", First: 5, Last: 5, Count: 1, SchemaID: 3, ProjectedFrom: from, Offsets: []Range{{5, 5}}}}
			h.Plan = &p
		}
	}
	for name, tt := range map[string]struct {
		change func(*Head)
		want   int
		bad    bool
	}{
		"nothing in flight":     {func(*Head) {}, 1, false},
		"a plan":                {func(h *Head) { h.Plan = plan }, 1, false},
		"dead letters":          {func(h *Head) { h.Plan = &dead }, 2, false},
		"offsets to skip":       {func(h *Head) { h.Skip = []Range{{7, 7}, {9, 12}} }, 2, false},
		"projected records":     {projected(2, 4), 3, false},
		"projected to itself":   {projected(3), 3, true},
		"projected in disorder": {projected(4, 2), 3, true},
		"skips out of order":    {func(h *Head) { h.Skip = []Range{{9, 12}, {7, 7}} }, 2, true},
		"letters beyond":        {func(h *Head) { p := dead; p.DeadLetters = &DeadLetterPlan{deadTopic, []Range{{6, 9}}}; h.Plan = &p }, 2, true},
		"letters to nowhere":    {func(h *Head) { p := dead; p.DeadLetters = &DeadLetterPlan{"", []Range{{6, 7}}}; h.Plan = &p }, 2, true},
		"a topic but no letter": {func(h *Head) { p := dead; p.DeadLetters = &DeadLetterPlan{Topic: deadTopic}; h.Plan = &p }, 2, true},
	} {
		h := base
		tt.change(&h)
		data, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseHead(data)
		if (err != nil) != tt.bad || err == nil && got.Format != tt.want {
			t.Errorf("%s: format %d, %v", name, got.Format, err)
		}
	}
}

// TestSkipsThatAPersonDecided are recorded by the plan that passes them, and by no other.
func TestSkipsThatAPersonDecided(t *testing.T) {
	t.Parallel()
	killedEverywhere(t, 1, func(w *world) {
		w.produce(0, 1, 1)
		w.bad(0, "a")
		w.produce(0, 1)
		w.bad(0, "b")
		w.drain(Stopped)
		w.wantNames(object(0, 0))
		o, err := w.state.Read(w.ctx, HeadName(w.sink.Name, topicName, 0))
		if err != nil {
			w.t.Fatal(err)
		}
		h := w.head(0)
		h.Skip = []Range{{2, 2}, {4, 4}}
		w.putHead(h, o.Generation)
	}, func(w *world) connector.Sink { return w.sink }, func(w *world) {
		w.verify()
		if h := w.head(0); h.Frontier != 5 || len(h.Skip) != 0 || h.Format != 1 || w.lag(0) != 0 {
			w.t.Errorf("lag %d, %+v", w.lag(0), h)
		}
	})
}

func (w *world) putHead(h Head, generation int64) {
	w.t.Helper()
	data, err := h.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.state.Put(w.ctx, HeadName(h.Connector, h.Topic, h.Partition), data, bucket.PutOptions{IfGeneration: generation}); err != nil {
		w.t.Fatal(err)
	}
}
