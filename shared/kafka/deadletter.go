package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// maxDeadLetter is the most that a record may have; what the topic takes is its max.message.bytes.
const maxDeadLetter = 64 << 20

// DeadLetters writes records to dead-letter topics, each at least once, without a transaction. It is safe for concurrent
// use.
type DeadLetters struct {
	p *Producer
	// large takes records that need a batch of their own.
	large *Producer

	mu    sync.Mutex
	ready map[string]bool
}

// NewDeadLetters prepares a producer of dead letters. It dials nothing. An error is one of the settings.
func NewDeadLetters(k connector.Kafka, log *slog.Logger) (*DeadLetters, error) {
	var producers [2]*Producer
	for i, limit := range []int32{usualBatch, maxDeadLetter} {
		c, err := newClient(k, log, func(s settings) []kgo.Opt {
			opts := []kgo.Opt{
				kgo.RequiredAcks(kgo.AllISRAcks()),
				kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // as Java's default
				kgo.ProducerBatchCompression(s.compression),
				kgo.ProducerBatchMaxBytes(limit),
				kgo.ProduceRequestTimeout(s.requestTimeout),
			}
			if s.delivery > 0 {
				opts = append(opts, kgo.RecordDeliveryTimeout(s.delivery))
			}
			return opts
		})
		if err != nil {
			return nil, err
		}
		producers[i] = &Producer{client: c}
	}
	return &DeadLetters{p: producers[0], large: producers[1], ready: map[string]bool{}}, nil
}

// Ready makes sure that a topic exists: one that does not is created with one partition and the replication factor, as
// Connect creates it. ErrAuthorization, ErrAuthentication, ErrUnreachable.
func (d *DeadLetters) Ready(ctx context.Context, topic string, replication int16) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ready[topic] {
		return nil
	}
	_, err := d.p.Topic(ctx, topic)
	if errors.Is(err, ErrTopicMissing) {
		_, err = d.p.CreateTopic(ctx, topic, connector.TopicCreation{Partitions: 1, Replication: replication})
		if errors.Is(err, kerr.InvalidReplicationFactor) {
			err = fmt.Errorf("%w; set errors.deadletterqueue.topic.replication.factor to what the brokers can do", err)
		}
	}
	if err != nil {
		return fmt.Errorf("preparing the dead-letter topic: %w", err)
	}
	d.ready[topic] = true
	return nil
}

// Produce writes records and waits until all are acknowledged by all in-sync replicas, or until ctx has ended. After an
// error some of them may have been written. ErrTopicMissing, ErrAuthorization, ErrAuthentication, ErrUnreachable.
func (d *DeadLetters) Produce(ctx context.Context, records []*kgo.Record) error {
	// A batch that is larger than its topic takes is refused whole, so what is large goes alone.
	var usual []*kgo.Record
	for _, r := range records {
		if sizeOf(r)+recordOverhead <= usualBatch {
			usual = append(usual, r)
		} else if err := d.produce(ctx, d.large, []*kgo.Record{r}); err != nil {
			return err
		}
	}
	if len(usual) == 0 {
		return nil
	}
	return d.produce(ctx, d.p, usual)
}

func (d *DeadLetters) produce(ctx context.Context, p *Producer, records []*kgo.Record) error {
	k, err := p.client.get(ctx)
	if err != nil {
		return fmt.Errorf("writing dead letters: %w", err)
	}
	results, err := produceAll(ctx, k, records)
	if err != nil {
		p.client.reset()
		return fmt.Errorf("writing a dead letter to topic %s: %w", records[0].Topic, classify(err))
	}
	for _, r := range results {
		switch {
		case r.Err == nil:
		case errors.Is(r.Err, kerr.MessageTooLarge):
			return fmt.Errorf("writing a dead letter of %d bytes to topic %s: %w; raise max.message.bytes of that topic", len(r.Record.Value), r.Record.Topic, r.Err)
		case errors.Is(r.Err, kerr.InvalidTimestamp):
			return fmt.Errorf("writing a dead letter of %s to topic %s: %w; raise message.timestamp.after.max.ms of that topic", r.Record.Timestamp, r.Record.Topic, r.Err)
		case errors.Is(r.Err, kerr.UnknownTopicOrPartition):
			return fmt.Errorf("writing a dead letter to topic %s: %w", r.Record.Topic, is(ErrTopicMissing, r.Err))
		default:
			return fmt.Errorf("writing a dead letter to topic %s: %w", r.Record.Topic, classify(r.Err))
		}
	}
	return nil
}

// Close ends the clients' connections and goroutines.
func (d *DeadLetters) Close() {
	d.p.client.reset()
	d.large.client.reset()
}
