package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/step"
)

// Marker is what a transaction leaves in the group's offsets: the id of the intent that it published and how many
// transactions there have been.
type Marker struct {
	ID      string
	Commits int64
}

const (
	// markerFormat begins a marker's metadata.
	markerFormat = "1 "
	// maxMarker is what brokers take as an offset's metadata (offset.metadata.max.bytes).
	maxMarker = 4096
	// abortTimeout bounds the attempt to abort; what it does not reach ends with the transaction's own timeout, or
	// with the next fence.
	abortTimeout = 5 * time.Second
	// commitLinger is how much longer than its context a commit may take that was asked for.
	commitLinger = 4 * time.Second
)

// Producer publishes in transactions, each with a marker, or where these are refused without ([Producer.Send]). Its
// methods may be called from one goroutine at a time.
type Producer struct {
	id     string
	client *client
	// plain is the client for what is published without transactions, nil until there is such.
	plain *leaseClient
	// largest is the size of the largest record of the transaction, for batchLimit.
	largest atomic.Int64

	mu     sync.Mutex
	fenced bool
	broken bool
	pid    int64
	epoch  int16
}

// NewProducer prepares a producer; id is the transactional id and the group of the marker. It dials nothing. An error
// is one of the settings.
func NewProducer(k connector.Kafka, id string, log *slog.Logger) (*Producer, error) {
	p := &Producer{id: id}
	c, err := newClient(k, log, func(s settings) []kgo.Opt {
		return append(producing(s, &p.largest), kgo.TransactionalID(id), kgo.TransactionTimeout(s.transaction))
	})
	if err != nil {
		return nil, err
	}
	p.client = c
	return p, nil
}

// producing are the client options of whatever produces; largest is the size of the largest record.
func producing(s settings, largest *atomic.Int64) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // Java's murmur2: a key stays in its partition
		kgo.ProducerBatchCompression(s.compression),
		kgo.ProducerLinger(s.linger),
		kgo.ProduceRequestTimeout(s.requestTimeout),
	}
	// The empty topic is asked for while the settings are checked.
	opts = append(opts, kgo.ProducerBatchMaxBytesFn(func(string) int32 { return batchLimit(s.maxRequest, largest.Load()) }))
	if s.maxRequest > 100<<20 {
		opts = append(opts, kgo.BrokerMaxWriteBytes(s.maxRequest+1<<20))
	}
	if s.delivery > 0 {
		opts = append(opts, kgo.RecordDeliveryTimeout(s.delivery))
	}
	return opts
}

const (
	// usualBatch is what a topic's max.message.bytes lets pass unless it was changed.
	usualBatch = 1_000_012
	// smallestBatch is the least that the library takes.
	smallestBatch = 512
	// recordOverhead is more than a batch adds to the only record in it.
	recordOverhead = 1 << 10
)

// batchLimit is how large a batch may become, in bytes. It is what any topic takes; a record that is larger goes alone,
// as far as max.request.size lets it, as its topic must have been made to take it. (In the Java client max.request.size
// bounds a request and a record, not a batch.)
func batchLimit(maxRequest int32, largest int64) int32 {
	limit := int64(usualBatch)
	if maxRequest > 0 {
		limit = max(min(limit, int64(maxRequest)), smallestBatch)
		if largest += recordOverhead; largest > limit {
			limit = max(limit, min(largest, int64(maxRequest)))
		}
	}
	return int32(min(limit, 1<<30))
}

// sizeOf is about what a record takes in a batch.
func sizeOf(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// abandonAfter is how long an ended context still waits for a produce to notice.
const abandonAfter = time.Second

// errAbandoned says that records were sent and the broker has not answered. The library waits for that answer for ever;
// only a client that is closed ends it.
var errAbandoned = errors.New("no answer to records that were sent")

// produceAll writes records and waits until all are acknowledged, or until ctx has ended: errAbandoned, after which the
// client must be closed.
func produceAll(ctx context.Context, k *kgo.Client, records []*kgo.Record) (kgo.ProduceResults, error) {
	done := make(chan kgo.ProduceResults, 1)
	go func() { done <- k.ProduceSync(ctx, records...) }()
	select {
	case results := <-done:
		return results, nil
	case <-ctx.Done():
	}
	t := time.NewTimer(abandonAfter)
	defer t.Stop()
	select {
	case results := <-done:
		return results, nil
	case <-t.C:
		return nil, fmt.Errorf("%w: %w", errAbandoned, context.Cause(ctx))
	}
}

// Topic asks the brokers for a topic. ErrTopicMissing, ErrAuthorization, ErrAuthentication, ErrUnreachable.
func (p *Producer) Topic(ctx context.Context, name string) (Topic, error) {
	return p.client.topic(ctx, name)
}

// CreateTopic makes a topic; one that is there already is returned as it is. Errors as those of [Producer.Topic].
func (p *Producer) CreateTopic(ctx context.Context, name string, c connector.TopicCreation) (Topic, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(p.client.settings.requestTimeout.Milliseconds())
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, c.Partitions, c.Replication
	for key, value := range c.Configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, kmsg.StringPtr(value)
		t.Configs = append(t.Configs, config)
	}
	req.Topics = append(req.Topics, t)
	resp, err := request[*kmsg.CreateTopicsResponse](ctx, p.client, req)
	if err != nil {
		return Topic{}, fmt.Errorf("creating topic %s: %w", name, err)
	}
	for _, t := range resp.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
			continue
		}
		if t.ErrorMessage != nil {
			err = fmt.Errorf("%w (%s)", err, *t.ErrorMessage)
		}
		return Topic{}, fmt.Errorf("creating topic %s: %w", name, classify(err))
	}
	// The topic can be unknown to the broker asked for a moment.
	var topic Topic
	err = p.client.again(ctx, func() (bool, error) {
		topic, err = p.client.topic(ctx, name)
		return errors.Is(err, ErrTopicMissing), err
	})
	return topic, err
}

// Fence takes over the transactional id: an open transaction of an earlier owner is aborted, one that is committing is
// waited for, and no earlier owner can commit from now on. ErrTransactionsRefused when the brokers do not give the id
// out; ErrAuthentication, ErrUnreachable.
func (p *Producer) Fence(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fenced || p.broken {
		// Another epoch needs another client.
		p.client.reset()
	}
	p.fenced, p.broken = false, false
	k, err := p.client.get(ctx)
	if err != nil {
		return fmt.Errorf("taking over transactional id %s: %w", p.id, err)
	}
	var pid int64
	var epoch int16
	err = p.client.again(ctx, func() (bool, error) {
		pid, epoch, err = k.ProducerID(ctx)
		return notYet(err), err
	})
	if err != nil || pid < 0 {
		p.client.reset()
		return fmt.Errorf("taking over transactional id %s: %w", p.id, refusal(err))
	}
	p.pid, p.epoch, p.fenced = pid, epoch, true
	return nil
}

// refusal is the error of a fence.
func refusal(err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("%w: the brokers know no transactions", ErrTransactionsRefused)
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return fmt.Errorf("%w: %w: transaction.timeout.ms is above the brokers' transaction.max.timeout.ms", ErrTransactionsRefused, err)
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed),
		errors.Is(err, kerr.UnsupportedVersion), errors.Is(err, kerr.InvalidRequest):
		return is(ErrTransactionsRefused, classify(err))
	}
	return classify(err)
}

// Marker reads the marker of the last committed transaction, as it is after every transaction of the id that was being
// ended; false when there is none, be it that none was ever written or that it has expired. topic is the marker's.
// ErrTopicMissing when the broker that was asked knows of no such topic, or not yet.
func (p *Producer) Marker(ctx context.Context, topic string) (Marker, bool, error) {
	t, err := p.client.topic(ctx, topic)
	if err != nil {
		return Marker{}, false, fmt.Errorf("reading the marker of %s: %w", p.id, err)
	}
	found, err := p.client.offsets(ctx, p.id, t, []int32{0})
	if err != nil {
		return Marker{}, false, fmt.Errorf("reading the marker of %s: %w", p.id, err)
	}
	o, ok := found[0]
	if !ok || o.metadata == "" {
		return Marker{}, false, nil
	}
	id, ok := strings.CutPrefix(o.metadata, markerFormat)
	if !ok {
		return Marker{}, false, fmt.Errorf("reading the marker of %s: metadata %q is none of riftline's; has another program committed offsets of this group?", p.id, o.metadata)
	}
	return Marker{ID: id, Commits: o.at}, true, nil
}

// Publish sends records and the marker in one transaction and commits it, if that can be asked for before until. It
// needs a [Producer.Fence] before, once.
//
// After the commit the marker is read back, and only if it is there is the transaction taken for committed.
//
// ErrNotCommitted: the transaction can never commit. ErrUnknownOutcome: it may have committed. After any error the
// producer is of no further use but to be fenced anew or closed.
func (p *Producer) Publish(ctx context.Context, records []*kgo.Record, markerTopic Topic, m Marker, until time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.publish(ctx, records, markerTopic, m, until)
	if err != nil {
		p.broken = true
		return fmt.Errorf("publishing %d records as %s: %w", len(records), p.id, err)
	}
	return nil
}

func (p *Producer) publish(ctx context.Context, records []*kgo.Record, markerTopic Topic, m Marker, until time.Time) error {
	switch {
	case !p.fenced || p.broken:
		return fmt.Errorf("%w: the producer does not hold the transactional id", ErrNotCommitted)
	case len(records) == 0:
		// The library would not end a transaction that holds nothing but the marker.
		return fmt.Errorf("%w: there are no records", ErrNotCommitted)
	case m.ID == "" || len(markerFormat)+len(m.ID) >= maxMarker:
		return fmt.Errorf("%w: marker of %d bytes", ErrNotCommitted, len(m.ID))
	}
	k, err := p.client.get(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotCommitted, err)
	}
	p.largest.Store(0)
	for _, r := range records {
		p.largest.Store(max(p.largest.Load(), sizeOf(r)))
	}
	if err := p.prepare(ctx, k, records, markerTopic, m, until); err != nil {
		if errors.Is(err, errAbandoned) {
			// The transaction ends with its timeout or with the next fence.
			p.client.reset()
		} else {
			p.abort(ctx, k)
		}
		return fmt.Errorf("%w: %w", ErrNotCommitted, classify(err))
	}
	// A commit that is asked for is seen through, also when the run is told to end meanwhile.
	ctx, cancel := linger(ctx, commitLinger)
	defer cancel()
	if err := k.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("%w: committing: %w", ErrUnknownOutcome, err)
	}
	step.Reached(ctx, "poll.9.committed")
	if err := p.verify(ctx, markerTopic, m); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	// Some brokers give a new epoch with each commit (transaction.version 2); without it there is no next part, but
	// this one is done.
	if p.pid, p.epoch, err = k.ProducerID(ctx); err != nil {
		p.broken = true
	}
	return nil
}

// linger returns a context that ends d after ctx has ended.
func linger(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return late, func() { stop(); cancel() }
}

// prepare does everything up to the commit.
func (p *Producer) prepare(ctx context.Context, k *kgo.Client, records []*kgo.Record, markerTopic Topic, m Marker, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the time to publish is over: %w", err)
	}
	if err := p.same(ctx, k); err != nil {
		return err
	}
	if err := k.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	results, err := produceAll(ctx, k, records)
	if err != nil {
		return fmt.Errorf("producing to topic %s: %w", records[0].Topic, err)
	}
	for _, r := range results {
		if r.Err != nil {
			return fmt.Errorf("producing to topic %s: %w", r.Record.Topic, r.Err)
		}
	}
	if err := p.loaded(ctx, k, records); err != nil {
		return err
	}
	step.Reached(ctx, "poll.9.produced")
	if err := p.mark(ctx, markerTopic, m); err != nil {
		return err
	}
	step.Reached(ctx, "poll.9.marked")
	if err := p.same(ctx, k); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the time to publish is over: %w", err)
	}
	if !time.Now().Before(until) {
		return errors.New("the time to publish is over")
	}
	return nil
}

// loaded waits until the library has stored the partitions that it has produced to. It partitions the first records of a
// topic before that (franz-go v1.22.2, storePartitionsUpdate), and a commit that comes in between finds no partition in
// the transaction: the library then aborts it, or leaves it open, and reports success.
func (p *Producer) loaded(ctx context.Context, k *kgo.Client, records []*kgo.Record) error {
	for _, r := range records {
		err := p.client.again(ctx, func() (bool, error) {
			leader, _, err := k.PartitionLeader(r.Topic, r.Partition)
			if err == nil && leader < 0 {
				err = errors.New("the partition is not known yet")
			}
			return err != nil, err
		})
		if err != nil {
			return fmt.Errorf("waiting for the metadata of %s/%d: %w", r.Topic, r.Partition, err)
		}
	}
	return nil
}

// verify looks whether the commit that was reported as done is one: the marker is there. It costs one request and rests
// on nothing that the library believes.
func (p *Producer) verify(ctx context.Context, topic Topic, m Marker) error {
	found, err := p.client.offsets(ctx, p.id, topic, []int32{0})
	if err != nil {
		return fmt.Errorf("verifying the commit: %w", err)
	}
	if got := found[0]; got.at != m.Commits || got.metadata != markerFormat+m.ID {
		return fmt.Errorf("verifying the commit: it was reported as done, but the marker is %d %q", got.at, got.metadata)
	}
	return nil
}

// same fails unless the client still has the producer id and epoch of the fence.
func (p *Producer) same(ctx context.Context, k *kgo.Client) error {
	pid, epoch, err := k.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("asking for the producer's epoch: %w", err)
	}
	if pid != p.pid || epoch != p.epoch {
		return fmt.Errorf("the producer has epoch %d/%d and no longer %d/%d: another run has taken over", pid, epoch, p.pid, p.epoch)
	}
	return nil
}

// mark commits the marker in the transaction.
func (p *Producer) mark(ctx context.Context, topic Topic, m Marker) error {
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = p.id, p.pid, p.epoch, p.id
	err := p.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.AddOffsetsToTxnResponse](ctx, p.client, add)
		if err != nil {
			return notYet(err), err
		}
		err = kerr.ErrorForCode(resp.ErrorCode)
		return notYet(err), err
	})
	if err != nil {
		return fmt.Errorf("adding the marker's group to the transaction: %w", err)
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch = p.id, p.id, p.pid, p.epoch
	commit.Generation = -1
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.TopicID = topic.Name, topic.ID
	one := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	one.Partition, one.Offset, one.LeaderEpoch, one.Metadata = 0, m.Commits, -1, kmsg.StringPtr(markerFormat+m.ID)
	t.Partitions = append(t.Partitions, one)
	commit.Topics = append(commit.Topics, t)
	since := time.Now()
	err = p.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.TxnOffsetCommitResponse](ctx, p.client, commit)
		if err != nil {
			return notYet(err), err
		}
		answered := 0
		for _, t := range resp.Topics {
			for _, one := range t.Partitions {
				if err := kerr.ErrorForCode(one.ErrorCode); err != nil {
					return commitAgain(err, since)
				}
				answered++
			}
		}
		if answered != 1 {
			return false, fmt.Errorf("the broker answered for %d partitions", answered)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("committing the marker on topic %s: %w", topic.Name, err)
	}
	return nil
}

// abort tries to end the transaction without a commit, so that its records do not hold readers back. It may fail:
// nothing but a commit by this client could publish them, and it will not commit.
func (p *Producer) abort(ctx context.Context, k *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := k.AbortBufferedRecords(ctx); err == nil {
		err = k.EndTransaction(ctx, kgo.TryAbort)
		if err != nil && p.client.log != nil {
			p.client.log.DebugContext(ctx, "aborting a transaction failed", slog.String("transactional_id", p.id), slog.Any("error", err))
		}
	}
}

// Close ends the client's connections and goroutines.
func (p *Producer) Close() {
	p.client.reset()
	if p.plain != nil {
		p.plain.reset()
	}
}
