package kafka

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

// incompressible are records of the given sizes for one partition.
func incompressible(topic string, sizes ...int) []*kgo.Record {
	var out []*kgo.Record
	for i, size := range sizes {
		v := make([]byte, size)
		for j := range v {
			v[j] = byte(j*7 + i)
		}
		out = append(out, &kgo.Record{Topic: topic, Value: v})
	}
	return out
}

func repeat(size, n int) []int {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

func TestBatchLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		maxRequest int32
		largest    int64
		want       int32
	}{
		"nothing is set":                         {0, 100, usualBatch},
		"nothing is set and a record is large":   {0, 5 << 20, usualBatch},
		"requests may be larger than batches":    {20 << 20, 2000, usualBatch},
		"requests must be smaller":               {1000, 100, 1000},
		"requests must be smaller than possible": {1, 0, smallestBatch},
		"a record needs more":                    {20 << 20, 5 << 20, 5<<20 + recordOverhead},
		"a record needs more than is allowed":    {2 << 20, 5 << 20, 2 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			if got := batchLimit(tt.maxRequest, tt.largest); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

// TestManyRecordsWithLargeRequests is about max.request.size, which says nothing of how large a batch its topic takes.
func TestManyRecordsWithLargeRequests(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		k.Client = map[string]string{"max.request.size": "20971520"}
		usual := makeTopic(t, k, 1, nil)
		large := makeTopic(t, k, 1, map[string]string{"max.message.bytes": "5000000"})
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		if err := p.Publish(limit(t), incompressible(usual.Name, repeat(2000, 2000)...), usual, Marker{"i1", 1}, later()); err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(limit(t), incompressible(large.Name, 4_000_000, 10), large, Marker{"i2", 2}, later()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestManyDeadLetters(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		if err := deadLetters(t, k).Produce(limit(t), incompressible(topic.Name, repeat(20_000, 150)...)); err != nil {
			t.Fatal(err)
		}
		large := makeTopic(t, k, 1, map[string]string{"max.message.bytes": "5000000"})
		if err := deadLetters(t, k).Produce(limit(t), incompressible(large.Name, 10, 4_000_000, 10)); err != nil {
			t.Fatal(err)
		}
	})
}

// unanswered has a cluster take no record: it breaks the connection over each, and gone is called.
func unanswered(c *kfake.Cluster, gone func()) {
	c.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		gone()
		return nil, errors.New("gone"), true
	})
}

// ends fails unless f returns, and unless the goroutine that produces ends then.
func ends(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(45 * time.Second):
		t.Fatal("it has not returned, although its context has ended")
	}
	all := make([]byte, 8<<20)
	for until := time.Now().Add(45 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n := runtime.Stack(all, true)
		if !bytes.Contains(all[:n], []byte("kafka.produceAll.func1(")) {
			return err
		}
		if time.Now().After(until) {
			t.Fatalf("a goroutine is left that waits for an answer:\n%s", all[:n])
		}
	}
}

// Brokers that go silent after records were sent must not hold a poll beyond its context.
func TestNoAnswerToRecords(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	p := producer(t, k, "source")
	fence(t, p)
	ctx, cancel := context.WithCancel(limit(t))
	unanswered(c, cancel)
	err := ends(t, func() error { return p.Publish(ctx, records(topic.Name, "i1", "x"), topic, Marker{"i1", 1}, later()) })
	if !errors.Is(err, ErrNotCommitted) || errors.Is(err, ErrUnknownOutcome) {
		t.Fatal(err)
	}
	wantVisible(t, k, topic)
}

func TestNoAnswerToDeadLetters(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	ctx, cancel := context.WithCancel(limit(t))
	unanswered(c, cancel)
	if err := ends(t, func() error { return deadLetters(t, k).Produce(ctx, records(topic.Name, "i1", "x")) }); err == nil {
		t.Fatal("no error")
	}
}
