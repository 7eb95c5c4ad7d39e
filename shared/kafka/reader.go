package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// patience is how long anything is tried without getting anywhere: a broker that restarts, a leader election, or,
	// for a reader, an open transaction that holds back the end it was told to reach.
	patience = 90 * time.Second
	// largestFetch is the most that a fetch grows to for a single batch.
	largestFetch = 1 << 30
	// badBatches is how often a batch that cannot be read is fetched again.
	badBatches = 3
)

// Reader reads one partition in order, one response ahead of its caller. It is for one goroutine.
type Reader struct {
	c         *Consumer
	topic     Topic
	partition int32
	to        int64

	next    int64
	err     error
	started bool
	ctx     context.Context
	cancel  context.CancelFunc
	done    sync.WaitGroup
	pages   chan page

	// maxBytes, decompressor and patience belong to the goroutine that fetches.
	maxBytes     int32
	decompressor kgo.Decompressor
	patience     time.Duration
}

// page is what one response came to.
type page struct {
	records []*kgo.Record
	next    int64
	err     error
}

// Read returns a reader of the records from offset from up to, not including, offset to, which must be at or below the
// partition's stable end for the reader to reach it. It must be closed, before the consumer is.
func (c *Consumer) Read(topic Topic, partition int32, from, to int64) *Reader {
	ctx, cancel := context.WithCancel(context.Background())
	return &Reader{
		c: c, topic: topic, partition: partition, to: to, next: from, ctx: ctx, cancel: cancel,
		maxBytes: min(c.client.settings.part, c.client.settings.fetchMax), decompressor: kgo.DefaultDecompressor(),
		patience: patience,
	}
}

// Next returns the next records, possibly none, and the offset after everything that was looked at: transaction
// markers, aborted and compacted records included. io.EOF once that offset is to.
//
// ErrOutOfRange when the offset to read is below the log start or beyond the end, ErrTopicRecreated when the topic is
// another one by now; ErrAuthorization, ErrAuthentication; ErrUnreachable or the last refusal when there was no progress
// for 90 seconds. A new leader, a restart of brokers or a lost connection is no error before that. After an error, which
// stays, only Close is left to call; when ctx ends Next may be called again.
func (r *Reader) Next(ctx context.Context) (records []*kgo.Record, next int64, err error) {
	switch {
	case r.err != nil:
		return nil, r.next, r.err
	case r.next >= r.to:
		return nil, r.next, io.EOF
	}
	if !r.started {
		r.started = true
		r.pages = make(chan page)
		r.done.Go(r.fetchAll)
	}
	select {
	case <-ctx.Done():
		return nil, r.next, fmt.Errorf("reading %s/%d at offset %d: %w", r.topic.Name, r.partition, r.next, ctx.Err())
	case p := <-r.pages:
		if p.err != nil {
			r.err = fmt.Errorf("reading %s/%d at offset %d: %w", r.topic.Name, r.partition, r.next, p.err)
			return nil, r.next, r.err
		}
		r.next = p.next
		return p.records, p.next, nil
	}
}

// Close stops reading ahead and waits for it to end.
func (r *Reader) Close() {
	r.cancel()
	r.done.Wait()
	if r.err == nil {
		r.err = errors.New("reader is closed")
	}
}

// fetchAll fetches until the end, an error or Close.
func (r *Reader) fetchAll() {
	for at := r.next; at < r.to; {
		p := r.fetchPage(at)
		select {
		case r.pages <- p:
		case <-r.ctx.Done():
			return
		}
		if p.err != nil {
			return
		}
		at = p.next
	}
}

// fetchPage fetches from an offset until there is progress.
func (r *Reader) fetchPage(at int64) page {
	since := time.Now()
	backoff, bad := firstBackoff, 0
	for {
		p, wait, err := r.fetch(at)
		if err == nil && p.next > at {
			return p
		}
		var final *finalError
		switch {
		case errors.As(err, &final):
			return page{err: final.error}
		case errors.Is(err, errBadBatch):
			if bad++; bad == badBatches {
				return page{err: err}
			}
		}
		if r.ctx.Err() != nil {
			return page{err: r.ctx.Err()}
		}
		if time.Since(since) > r.patience {
			if err == nil {
				err = fmt.Errorf("%w: the partition's stable end stays at this offset, before %d: a transaction is left open there", ErrUnreachable, r.to)
			}
			return page{err: fmt.Errorf("no progress for %s: %w", r.patience, err)}
		}
		if !wait {
			continue
		}
		if pause(r.ctx, backoff) != nil {
			return page{err: r.ctx.Err()}
		}
		backoff = min(2*backoff, lastBackoff)
		if err != nil {
			if err := r.refresh(); err != nil {
				return page{err: err}
			}
		}
	}
}

var errBadBatch = errors.New("batch cannot be read")

// finalError is one that another try cannot mend.
type finalError struct{ error }

func (f *finalError) Unwrap() error { return f.error }

// fetch sends one request. wait says that the next one should not follow at once.
func (r *Reader) fetch(at int64) (p page, wait bool, err error) {
	k, err := r.c.client.get(r.ctx)
	if err != nil {
		if errors.Is(err, ErrAuthentication) {
			err = &finalError{err}
		}
		return page{}, true, err
	}
	leader := r.c.leader(r.topic.Name, r.partition)
	if leader < 0 {
		return page{}, true, errors.New("the partition has no leader")
	}
	resp, err := k.Broker(int(leader)).Request(r.ctx, r.request(at))
	if err != nil {
		return page{}, true, classify(err)
	}
	f := resp.(*kmsg.FetchResponse)
	if err := r.judge(kerr.ErrorForCode(f.ErrorCode), nil); err != nil {
		return page{}, true, err
	}
	if len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 1 {
		return page{}, true, fmt.Errorf("the broker answered for %d topics", len(f.Topics))
	}
	part := &f.Topics[0].Partitions[0]
	if err := r.judge(kerr.ErrorForCode(part.ErrorCode), part); err != nil {
		return page{}, true, err
	}
	return r.process(part, at)
}

func (r *Reader) request(at int64) *kmsg.FetchRequest {
	s := r.c.client.settings
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.SessionEpoch = -1, -1
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(s.fetchWait.Milliseconds()), s.fetchMin, r.maxBytes
	req.IsolationLevel = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = r.topic.Name, r.topic.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = r.partition, at, r.maxBytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// judge tells errors that stay from those that pass.
func (r *Reader) judge(err error, part *kmsg.FetchResponseTopicPartition) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.OffsetOutOfRange):
		bounds := ""
		if part != nil && part.HighWatermark >= 0 {
			bounds = fmt.Sprintf(": the log reaches from %d to %d", part.LogStartOffset, part.HighWatermark)
		}
		return &finalError{fmt.Errorf("%w%s", ErrOutOfRange, bounds)}
	}
	err = classify(err)
	if errors.Is(err, ErrAuthorization) || errors.Is(err, ErrAuthentication) {
		return &finalError{err}
	}
	return err
}

// refresh asks for the leaders anew, and whether the topic is still the same.
func (r *Reader) refresh() error {
	ctx, cancel := context.WithTimeout(r.ctx, requestTimeout)
	defer cancel()
	found, leaders, err := r.c.client.topics(ctx, nil, r.topic.Name)
	if err != nil {
		if errors.Is(err, ErrAuthorization) || errors.Is(err, ErrAuthentication) {
			return err
		}
		return nil // asked again with the next try, until patience ends
	}
	t, ok := found[r.topic.Name]
	if ok && t.ID != r.topic.ID && t.ID != [16]byte{} && r.topic.ID != [16]byte{} {
		return fmt.Errorf("%w: %s has id %x and no longer %x", ErrTopicRecreated, t.Name, t.ID, r.topic.ID)
	}
	r.c.remember(leaders)
	return nil
}

// process takes the records out of a partition's response.
func (r *Reader) process(part *kmsg.FetchResponseTopicPartition, at int64) (p page, wait bool, err error) {
	o := kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: r.topic.Name, Partition: r.partition,
	}
	fetched, next := kgo.ProcessFetchPartition(o, part, r.decompressor, nil)
	if next > at {
		// What was read before an error is good; the error comes again where it is.
		return page{records: before(fetched.Records, r.to), next: min(next, r.to)}, false, nil
	}
	switch {
	case len(part.RecordBatches) > 0 && r.maxBytes < largestFetch && (fetched.Err == nil || int64(len(part.RecordBatches)) >= int64(r.maxBytes)):
		// Nothing but a part of a batch: it is larger than what was asked for.
		r.maxBytes = min(2*r.maxBytes, largestFetch)
		return page{}, false, nil
	case fetched.Err != nil:
		return page{}, true, fmt.Errorf("%w: %w", errBadBatch, fetched.Err)
	}
	return page{}, true, nil
}

// before cuts off the records from offset to on.
func before(records []*kgo.Record, to int64) []*kgo.Record {
	for n := len(records); n > 0; n-- {
		if records[n-1].Offset < to {
			return records[:n]
		}
	}
	return nil
}
