package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// BenchmarkRead compares the reader with the library's own consumer, from an in-process broker; one operation is the
// whole partition.
func BenchmarkRead(b *testing.B) {
	const count = 200_000
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "topic"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	k := connector.Kafka{Brokers: c.ListenAddrs()}
	opts, err := Options(k, nil)
	if err != nil {
		b.Fatal(err)
	}
	p, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("topic"), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		b.Fatal(err)
	}
	for i := range count {
		p.Produce(b.Context(), kgo.SliceRecord(fmt.Appendf(nil, "%0148d", i)), func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	p.Close()
	rate := func(b *testing.B) { b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "records/s") }
	b.Run("reader", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n := readCount(b, k, count); n != count {
				b.Fatalf("%d records", n)
			}
		}
		rate(b)
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in, err := kgo.NewClient(append(opts, kgo.ConsumeTopics("topic"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxBytes(defaultFetchMax), kgo.FetchMaxPartitionBytes(defaultFetchMax))...)
			if err != nil {
				b.Fatal(err)
			}
			for n := 0; n < count; {
				f := in.PollFetches(b.Context())
				if f.Err() != nil {
					b.Fatal(f.Err())
				}
				n += f.NumRecords()
			}
			in.Close()
		}
		rate(b)
	})
}

func readCount(b *testing.B, k connector.Kafka, to int64) int {
	b.Helper()
	c, err := NewConsumer(k, "group", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	all, err := c.Topics(context.Background(), []string{"topic"})
	if err != nil {
		b.Fatal(err)
	}
	r := c.Read(all["topic"], 0, 0, to)
	defer r.Close()
	n := 0
	for {
		records, _, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			b.Fatal(err)
		}
		n += len(records)
	}
}
