package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// A topic is what was produced for measurements: records of one kind, spread evenly over partitions.
type topic struct {
	kind
	topic      string
	partitions int
	// content is what each partition holds.
	content []digest
	// valueBytes is the size of all values, Confluent's header included.
	valueBytes int64
}

func (t *topic) records() int64 {
	var n int64
	for _, c := range t.content {
		n += c.Records
	}
	return n
}

// produce makes a topic and fills it.
func (b *bench) produce(ctx context.Context, kindName string, records, partitions int) (*topic, error) {
	b.topics++
	t := &topic{kind: kinds[kindName], topic: fmt.Sprintf("bench-%d-%d", b.id, b.topics), partitions: partitions, content: make([]digest, partitions)}
	id, err := b.register(ctx, t)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.broker.address), kgo.DefaultProduceTopic(t.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1_000_000), kgo.MaxBufferedBytes(64<<20), kgo.MaxBufferedRecords(200_000))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if resp, err := kadm.NewClient(client).CreateTopic(ctx, int32(partitions), 1, nil, t.topic); err != nil {
		return nil, fmt.Errorf("creating topic %s: %w: %s", t.topic, err, resp.ErrMessage)
	}
	if err := t.fill(ctx, client, id, records); err != nil {
		return nil, fmt.Errorf("filling topic %s: %w", t.topic, err)
	}
	return t, nil
}

func (b *bench) register(ctx context.Context, t *topic) (id int, err error) {
	client, err := sr.NewClient(sr.URLs(b.registry.URL()))
	if err != nil {
		return 0, err
	}
	s, err := client.CreateSchema(ctx, t.topic+"-value", sr.Schema{Schema: t.schema})
	if err != nil {
		return 0, fmt.Errorf("registering the schema of topic %s: %w", t.topic, err)
	}
	return s.ID, nil
}

func (t *topic) fill(ctx context.Context, client *kgo.Client, id, records int) error {
	random := t.random()
	values := sync.Pool{New: func() any { return new(kgo.Record) }}
	var failed atomic.Pointer[error]
	for n := range records {
		r, _ := values.Get().(*kgo.Record)
		value := binary.BigEndian.AppendUint32(append(r.Value[:0], 0), uint32(id))
		value = t.append(value, random, n)
		*r = kgo.Record{Value: value, Partition: int32(n % t.partitions)}
		t.content[n%t.partitions].add(value[5:])
		t.valueBytes += int64(len(value))
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
			values.Put(r)
		})
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// remove deletes the topic, so that its gigabytes do not stay.
func (b *bench) remove(ctx context.Context, t *topic) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.broker.address))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopic(ctx, t.topic); err != nil {
		return fmt.Errorf("deleting topic %s: %w", t.topic, err)
	}
	return nil
}
