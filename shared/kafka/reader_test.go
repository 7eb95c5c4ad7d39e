package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

// readAll reads to the end and closes the reader.
func readAll(t *testing.T, r *Reader) (values []string, next int64) {
	t.Helper()
	defer r.Close()
	ctx := limit(t)
	last := int64(-1)
	for {
		records, n, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return values, n
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range records {
			if record.Offset <= last || record.Offset >= n {
				t.Fatalf("record at %d after %d, next %d", record.Offset, last, n)
			}
			last = record.Offset
			values = append(values, string(record.Value))
		}
	}
}

func deleteBefore(t *testing.T, k connector.Kafka, topic string, offset int64) {
	t.Helper()
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: topic, Partition: 0, At: offset})
	if r, err := admin(t, k).DeleteRecords(limit(t), o); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
}

func bounds(t *testing.T, c *Consumer, topic Topic) Bounds {
	t.Helper()
	b, err := c.Bounds(limit(t), topic.Name)
	if err != nil {
		t.Fatal(err)
	}
	return b[0]
}

// mixed makes a topic with records, committed and aborted transactions and their markers.
func mixed(t *testing.T, k connector.Kafka) Topic {
	t.Helper()
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, name(t, "source"))
	fence(t, p)
	publish(t, p, topic, Marker{"i1", 1}, "a", "b") // 0 1, marker 2
	produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("c")})
	r, err := p.client.get(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := r.ProduceSync(limit(t), records(topic.Name, "i2", "x", "y")...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("d")}) // 6, inside of the aborted one
	if err := r.EndTransaction(limit(t), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestRead(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := mixed(t, k)
		c := consumer(t, k, "none")
		if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		if b := settled(t, c, topic); b != (Bounds{0, 8}) {
			t.Fatalf("bounds %+v", b)
		}
		for _, s := range []struct {
			from, to int64
			want     string
		}{
			{0, 8, "abcd"}, {0, 1, "a"}, {1, 4, "bc"}, {2, 3, ""}, {3, 7, "cd"}, {4, 6, ""}, {7, 8, ""}, {5, 5, ""}, {6, 2, ""}, {0, 3, "ab"},
		} {
			values, next := readAll(t, c.Read(topic, 0, s.from, s.to))
			if got := strings.Join(values, ""); got != s.want || next != max(s.from, s.to) {
				t.Errorf("from %d to %d: %q, next %d; want %q", s.from, s.to, got, next, s.want)
			}
		}
	})
}

func TestReadCodecs(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			t.Run(codec, func(t *testing.T) {
				topic := makeTopic(t, k, 1, nil)
				with := k
				with.Client = map[string]string{"compression.type": codec, "linger.ms": "5"}
				p := producer(t, with, name(t, "source"))
				fence(t, p)
				var values []string
				for i := range 500 {
					values = append(values, strings.Repeat(fmt.Sprint(i), 20))
				}
				publish(t, p, topic, Marker{"i", 1}, values...)
				wantVisible(t, k, topic, values...)
			})
		}
	})
}

func TestReadOutOfRange(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		for i := range 5 {
			produce(t, k, &kgo.Record{Topic: topic.Name, Value: fmt.Append(nil, i)})
		}
		deleteBefore(t, k, topic.Name, 3)
		c := consumer(t, k, "none")
		if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		if b := bounds(t, c, topic); b != (Bounds{3, 5}) {
			t.Fatalf("bounds %+v", b)
		}
		for _, from := range []int64{1, 17} {
			r := c.Read(topic, 0, from, 20)
			for range 2 { // the error stays
				if _, next, err := r.Next(limit(t)); !errors.Is(err, ErrOutOfRange) || next != from {
					t.Errorf("from %d: next %d, %v", from, next, err)
				}
			}
			r.Close()
		}
		if values, _ := readAll(t, c.Read(topic, 0, 3, 5)); !slices.Equal(values, []string{"3", "4"}) {
			t.Errorf("values %q", values)
		}
	})
}

func TestReadCompacted(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "100"})
	for i := range 30 {
		produce(t, k, &kgo.Record{Topic: topic.Name, Key: fmt.Append(nil, "key", max(1, i%3)*min(i, 1)), Value: fmt.Append(nil, i)})
	}
	c.Compact() // keeps offset 0 and what is near the end
	in := consumer(t, k, "none")
	if _, err := in.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	values, next := readAll(t, in.Read(topic, 0, 0, 30))
	if next != 30 || len(values) >= 20 || values[0] != "0" || values[len(values)-1] != "29" {
		t.Fatalf("next %d, values %q", next, values)
	}
	// An end between offsets that compaction has removed is reached too.
	if values, next := readAll(t, in.Read(topic, 0, 0, 13)); next != 13 || len(values) != 1 {
		t.Fatalf("next %d, values %q", next, values)
	}
}

func TestReadSurvives(t *testing.T) {
	fill := func(t *testing.T, k connector.Kafka, topic Topic) []string {
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint(i))
			produce(t, k, &kgo.Record{Topic: topic.Name, Value: fmt.Append(nil, i)})
		}
		return want
	}
	t.Run("a new leader", func(t *testing.T) {
		c, k := brokers(t, kfake.NumBrokers(2))
		topic := makeTopic(t, k, 1, nil)
		want := fill(t, k, topic)
		in := consumer(t, k, "none")
		if _, err := in.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		for _, node := range []int32{0, 1, 0} {
			if err := c.MoveTopicPartition(topic.Name, 0, node); err != nil {
				t.Fatal(err)
			}
			if values, _ := readAll(t, in.Read(topic, 0, 0, 20)); !slices.Equal(values, want) {
				t.Fatalf("values %q", values)
			}
		}
	})
	t.Run("lost connections", func(t *testing.T) {
		l := &lossy{}
		_, k := brokers(t, kfake.ListenFn(l.listen))
		topic := makeTopic(t, k, 1, nil)
		want := fill(t, k, topic)
		in := consumer(t, k, "none")
		if _, err := in.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		l.breakAll()
		if values, _ := readAll(t, in.Read(topic, 0, 0, 20)); !slices.Equal(values, want) {
			t.Fatalf("values %q", values)
		}
	})
	for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownTopicID, kerr.KafkaStorageError, kerr.CorruptMessage} {
		t.Run(e.Message, func(t *testing.T) {
			c, k := brokers(t)
			topic := makeTopic(t, k, 1, nil)
			want := fill(t, k, topic)
			in := consumer(t, k, "none")
			if _, err := in.Topics(limit(t), []string{topic.Name}); err != nil {
				t.Fatal(err)
			}
			f := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: e, Count: 2})
			if values, _ := readAll(t, in.Read(topic, 0, 0, 20)); !slices.Equal(values, want) || f.Hits() != 2 {
				t.Fatalf("%d faults, values %q", f.Hits(), values)
			}
		})
	}
}

func TestReadRecreatedTopic(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("old")})
		c := consumer(t, k, "none")
		if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		if _, err := admin(t, k).DeleteTopics(limit(t), topic.Name); err != nil {
			t.Fatal(err)
		}
		p := producer(t, k, name(t, "maker"))
		ctx := limit(t)
		for {
			made, err := p.CreateTopic(ctx, topic.Name, connector.TopicCreation{Partitions: 1, Replication: 1})
			if err == nil && made.ID != topic.ID {
				break
			}
			if pause(ctx, 50*time.Millisecond) != nil {
				t.Fatal(err)
			}
		}
		produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("new")})
		r := c.Read(topic, 0, 0, 1)
		defer r.Close()
		if records, _, err := r.Next(limit(t)); !errors.Is(err, ErrTopicRecreated) {
			t.Fatalf("%d records, %v", len(records), err)
		}
	})
}

func TestReadGivesUp(t *testing.T) {
	t.Run("an open transaction", func(t *testing.T) {
		everywhere(t, func(t *testing.T, k connector.Kafka) {
			topic := makeTopic(t, k, 1, nil)
			p := producer(t, k, name(t, "source"))
			fence(t, p)
			raw, err := p.client.get(limit(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := raw.ProduceSync(limit(t), records(topic.Name, "i", "x")...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			c := consumer(t, k, "none")
			if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
				t.Fatal(err)
			}
			r := c.Read(topic, 0, 0, 1)
			r.patience = 0
			defer r.Close()
			if _, _, err := r.Next(limit(t)); !errors.Is(err, ErrUnreachable) {
				t.Fatal(err)
			}
			if err := raw.EndTransaction(limit(t), kgo.TryAbort); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("the caller's context ends", func(t *testing.T) {
		_, k := brokers(t)
		topic := makeTopic(t, k, 1, nil)
		c := consumer(t, k, "none")
		if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		r := c.Read(topic, 0, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("late")})
		if values, _ := readAll(t, r); !slices.Equal(values, []string{"late"}) {
			t.Fatalf("values %q", values)
		}
	})
	t.Run("a right is missing", func(t *testing.T) {
		c, k := brokers(t)
		topic := makeTopic(t, k, 1, nil)
		in := consumer(t, k, "none")
		if _, err := in.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.TopicAuthorizationFailed, Count: -1})
		r := in.Read(topic, 0, 0, 1)
		defer r.Close()
		if _, _, err := r.Next(limit(t)); !errors.Is(err, ErrAuthorization) || !strings.Contains(err.Error(), "kafka-acls.sh") {
			t.Fatal(err)
		}
	})
}

func TestProcessGrowsForALargeBatch(t *testing.T) {
	_, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	produce(t, k, &kgo.Record{Topic: topic.Name, Value: make([]byte, 5000)})
	c := consumer(t, k, "none")
	if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	r := c.Read(topic, 0, 0, 1)
	defer r.Close()
	raw, err := c.client.get(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := raw.Broker(int(c.leader(topic.Name, 0))).Request(limit(t), r.request(0))
	if err != nil {
		t.Fatal(err)
	}
	part := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	whole := part.RecordBatches
	r.maxBytes = 100
	part.RecordBatches = whole[:100]
	if p, wait, err := r.process(&part, 0); err != nil || wait || p.next != 0 || r.maxBytes != 200 {
		t.Fatalf("a part of a batch: %+v, wait %v, %v, then %d bytes", p, wait, err, r.maxBytes)
	}
	part.RecordBatches = slices.Clone(whole)
	part.RecordBatches[len(whole)-1] ^= 1
	r.maxBytes = 1 << 20
	if _, _, err := r.process(&part, 0); !errors.Is(err, errBadBatch) {
		t.Fatalf("a damaged batch: %v", err)
	}
	part.RecordBatches = whole
	if p, _, err := r.process(&part, 0); err != nil || p.next != 1 || len(p.batches) != 1 {
		t.Fatalf("the whole batch: %+v, %v", p, err)
	}
}

// A broker is not asked to wait for more than a response may have, whatever fetch.min.bytes says.
func TestMinimumIsWithinTheLimit(t *testing.T) {
	k := connector.Kafka{Brokers: []string{"127.0.0.1:1"}, Client: map[string]string{"fetch.min.bytes": "1000000"}}
	r := consumer(t, k, "group").Read(Topic{Name: "topic"}, 0, 0, 10)
	defer r.Close()
	r.maxBytes = 4 << 20
	for limit, want := range map[int32]int32{0: 1_000_000, 500_000: 500_000, 3 << 20: 1_000_000} {
		r.bytes = limit
		req := r.request(0)
		if req.MinBytes != want || limit > 0 && req.Topics[0].Partitions[0].PartitionMaxBytes != limit {
			t.Errorf("limit %d: %d bytes at least, want %d", limit, req.MinBytes, want)
		}
	}
}

// TestReadsATopicWithoutAnID: brokers of an old inter.broker.protocol.version have no ids and know the requests that give
// them.
func TestReadsATopicWithoutAnID(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		for i := range int64(4) {
			publish(t, p, topic, Marker{fmt.Sprint("i", i), i + 1}, "a", "b")
		}
		c := consumer(t, k, "none")
		if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		end := settled(t, c, topic).StableEnd
		topic.ID = [16]byte{}
		for _, long := range []int64{longRead, -1} { // by the library alone, and by a link
			c.longRead = long
			r := c.Read(topic, 0, 0, end)
			r.maxBytes = 1
			if values, next := readAll(t, r); len(values) != 8 || next != end {
				t.Errorf("%d records, next %d", len(values), next)
			}
		}
	})
}
