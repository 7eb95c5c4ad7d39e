package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// transactions writes to all partitions in transactions of several producers at the same time, some of them aborted, in
// every codec. It returns the values of those that were committed, by partition and offset.
func transactions(t *testing.T, k connector.Kafka, topic Topic) []map[int64]string {
	t.Helper()
	committed := make([]map[int64]string, topic.Partitions)
	for i := range committed {
		committed[i] = map[int64]string{}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.NoCompression(), kgo.ZstdCompression()} {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 5))
			client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.TransactionalID(name(t, fmt.Sprint("tx", n))),
				kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			for range 40 {
				var all []*kgo.Record
				for range 1 + random.IntN(12) {
					all = append(all, &kgo.Record{
						Topic: topic.Name, Partition: random.Int32N(topic.Partitions),
						Value: fmt.Appendf(nil, "%d %s", random.Int64(), strings.Repeat("v", random.IntN(900))),
					})
				}
				err := client.BeginTransaction()
				if err == nil {
					err = client.ProduceSync(limit(t), all...).FirstErr()
				}
				commit := kgo.TransactionEndTry(random.IntN(3) > 0)
				if err = errors.Join(err, client.EndTransaction(limit(t), commit)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, r := range all {
					if commit {
						committed[r.Partition][r.Offset] = string(r.Value)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return committed
}

// TestManyReadersOverLinks: whatever becomes of connections and leaders, and however late batches are released, each
// reader gets what was committed, once and in order.
func TestManyReadersOverLinks(t *testing.T) {
	t.Parallel()
	l := &lossy{}
	cluster, k := brokers(t, kfake.NumBrokers(2), kfake.ListenFn(l.listen))
	topic := makeTopic(t, k, 3, nil)
	want := transactions(t, k, topic)
	c := consumer(t, k, "none")
	c.share = 4000
	if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	bounds, err := c.Bounds(limit(t), topic.Name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, done := context.WithCancel(t.Context())
	var trouble, readers sync.WaitGroup
	// Each trouble waits for somebody to have got on since the last one: a machine that is too slow for a batch between two
	// of them would never come to an end.
	gotOn := make(chan struct{}, 1)
	trouble.Go(func() {
		for n := int32(0); ; n++ {
			select {
			case <-gotOn:
			case <-ctx.Done():
				return
			}
			time.Sleep(8 * time.Millisecond)
			if n%3 == 0 {
				l.breakAll()
			} else if err := cluster.MoveTopicPartition(topic.Name, n%topic.Partitions, n/3%2); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range 3 * topic.Partitions {
		partition := n % topic.Partitions
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 6))
			r := c.Read(topic, partition, 0, bounds[partition].StableEnd)
			defer r.Close()
			at, found := int64(-1), 0
			var kept []*Batch
			look := func() {
				for _, b := range kept {
					var one kgo.Record
					for {
						more, err := b.Next(&one)
						if err != nil {
							t.Error(err)
						}
						if !more {
							break
						}
						if one.Offset <= at || want[partition][one.Offset] != string(one.Value) {
							t.Errorf("after offset %d of partition %d: offset %d, %.40q, want %.40q", at, partition, one.Offset, one.Value, want[partition][one.Offset])
						}
						at, found = one.Offset, found+1
						if random.IntN(40) == 0 {
							time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
						}
					}
					if random.IntN(5) > 0 {
						b.Release()
					}
				}
				kept = nil
			}
			for {
				b, err := r.NextBatch(limit(t))
				if err != nil {
					look()
					if !errors.Is(err, io.EOF) || found != len(want[partition]) {
						t.Errorf("partition %d ends after %d records of %d: %v", partition, found, len(want[partition]), err)
					}
					return
				}
				select {
				case gotOn <- struct{}{}:
				default:
				}
				if kept = append(kept, b); random.IntN(3) == 0 {
					look()
				}
			}
		})
	}
	readers.Wait()
	done()
	trouble.Wait()
}
