package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
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

// Reader reads one partition in order, ahead of its caller by one response and one batch. It is for one goroutine.
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
	batches chan unpacked

	// maxBytes, patience and what is of links belong to the goroutine that fetches.
	maxBytes int32
	// bytes is what the next request asks for, 0 for maxBytes.
	bytes    int32
	patience time.Duration
	unpacker *unpacker
	// turn is what a large batch waits for; current is the batch that NextBatch gave last.
	turn    chan struct{}
	current *Batch

	// link is what is fetched over, nil for the library's connection; unlinked takes it out of the reader's context.
	link     *link
	unlinked func() bool
	// asked is the offset of the request that a link's pending response is for.
	asked    int64
	memories memories
	// version is that of the requests which the broker has answered, -1 while there is none.
	version  int16
	failures int
	// long says that there is enough to read for a connection to be made.
	long bool
}

// page is what is whole and undamaged of a response: all from offset at to before offset next.
type page struct {
	batches []rawBatch
	aborted aborted
	at      int64
	next    int64
	// memory is what the batches are in; the page is one of its users.
	memory *memory
	// old are the records instead, of a format before record batches.
	old []*kgo.Record
	err error
}

// unpacked is a batch, or why there is none.
type unpacked struct {
	*Batch
	err error
}

// Read returns a reader of the records from offset from up to, not including, offset to, which must be at or below the
// partition's stable end for the reader to reach it. It must be closed, before the consumer is.
func (c *Consumer) Read(topic Topic, partition int32, from, to int64) *Reader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Reader{
		c: c, topic: topic, partition: partition, to: to, next: from, ctx: ctx, cancel: cancel,
		maxBytes: c.fetchBytes(), patience: patience, version: -1, unpacker: c.unpacking(),
	}
	r.turn = r.unpacker.turn
	return r
}

// Apart has large batches of the reader not wait for those of others, of which its caller may be the one that keeps
// them: who reads something again while more is read ahead. It is to be called before anything is read.
func (r *Reader) Apart() *Reader {
	r.turn = r.unpacker.apart
	return r
}

// Next returns the next records, possibly none, and the offset after everything that was looked at: transaction
// markers, aborted and compacted records included. io.EOF once that offset is to. Errors as those of NextBatch.
func (r *Reader) Next(ctx context.Context) (records []*kgo.Record, next int64, err error) {
	b, err := r.NextBatch(ctx)
	if err != nil {
		return nil, r.next, err
	}
	for {
		record := &kgo.Record{}
		more, err := b.Next(record)
		if err != nil {
			r.err = err
			return nil, r.next, err
		}
		if !more {
			return records, b.next, nil
		}
		records = append(records, record)
	}
}

// NextBatch returns the next batch of records, possibly without any, when the one before is done with. io.EOF once its
// End was to.
//
// ErrOutOfRange when the offset to read is below the log start or beyond the end, ErrTopicRecreated when the topic is
// another one by now; a *[LargeBatchError] when the batch unpacks to more than [Consumer.Share] allows; ErrAuthorization,
// ErrAuthentication; ErrUnreachable or the last refusal when there was no progress for 90 seconds. A new leader, a restart
// of brokers or a lost connection is no error before that. After an error, which stays, only Close is left to call; when
// ctx ends NextBatch may be called again.
func (r *Reader) NextBatch(ctx context.Context) (*Batch, error) {
	r.pass()
	switch {
	case r.err != nil:
		return nil, r.err
	case r.next >= r.to:
		return nil, io.EOF
	}
	if !r.started {
		r.started = true
		r.pages, r.batches = make(chan page, 1), make(chan unpacked, 1)
		r.done.Go(r.fetchAll)
		r.done.Go(r.unpackAll)
	}
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("reading %s/%d at offset %d: %w", r.topic.Name, r.partition, r.next, ctx.Err())
	case b := <-r.batches:
		if b.err != nil {
			r.err = fmt.Errorf("reading %s/%d at offset %d: %w", r.topic.Name, r.partition, r.next, notEnd{b.err})
			return nil, r.err
		}
		r.next, r.current = b.next, b.Batch
		return b.Batch, nil
	}
}

// pass lets another large batch be read when the one that was given last is done with, released or not.
func (r *Reader) pass() {
	if r.current != nil {
		r.current.pass()
		r.current = nil
	}
}

// Close stops reading ahead and waits for it to end.
func (r *Reader) Close() {
	r.cancel()
	r.done.Wait()
	r.pass()
	select {
	case b := <-r.batches:
		if b.Batch != nil {
			b.Release()
		}
	default:
	}
	if r.err == nil {
		r.err = errors.New("reader is closed")
	}
}

// fetchAll fetches until the end, an error or Close.
func (r *Reader) fetchAll() {
	defer r.unlink()
	for at := r.next; at < r.to; {
		p := r.fetchPage(at)
		if p.next >= r.to {
			r.unlink() // before the caller, who gets all of it now, may close the reader
		}
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
	f, memory, err := r.ask(k, leader, at)
	if err != nil {
		return page{}, true, classify(err)
	}
	if p, wait, err = r.look(f, at); p.next > at {
		if p.memory = memory; memory != nil {
			r.failures = 0
		}
		return p, wait, err
	}
	memory.release()
	if err != nil && memory != nil {
		// The library knows more about what brokers may answer.
		r.failures++
		r.drop()
	}
	return p, wait, err
}

// look takes the partition out of a response.
func (r *Reader) look(f *kmsg.FetchResponse, at int64) (p page, wait bool, err error) {
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
	next, batches, size := extentOf(part.RecordBatches, at)
	r.bytes = responseSize(r.maxBytes, batches, size)
	r.askNext(at, next)
	return r.process(part, at)
}

func (r *Reader) request(at int64) *kmsg.FetchRequest {
	s := r.c.client.settings
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.SessionEpoch = -1, -1
	// The partition's limit is to be the one that ends a response: the embedded broker leaves the aborted transactions out
	// of one that the other has ended.
	req.MaxBytes = int32(min(2*int64(r.maxBytes), math.MaxInt32))
	bytes := r.maxBytes
	if r.bytes > 0 {
		bytes = r.bytes
	}
	// A response cannot come to more than what it is limited to: the broker would wait for it each time.
	req.MaxWaitMillis, req.MinBytes = int32(s.fetchWait.Milliseconds()), min(s.fetchMin, bytes)
	req.IsolationLevel = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = r.topic.Name, r.topic.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = r.partition, at, bytes
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// responseSize is what to ask for so that a response ends near the end of a batch, when the last one had so many whole
// ones of some bytes together: what is there of a batch that does not fit is sent for nothing. 0 for most.
func responseSize(most int32, batches, size int) int32 {
	if batches == 0 {
		return 0
	}
	one := size / batches
	fit := (int(most) - one/8) / one
	switch {
	case fit > 16:
		return 0
	case fit < 2:
		// The first batch comes whole, whatever is asked for.
		return int32(max(one/2, 1))
	default:
		return int32(fit*one + one/8)
	}
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

// process takes the batches out of a partition's response.
func (r *Reader) process(part *kmsg.FetchResponseTopicPartition, at int64) (p page, wait bool, err error) {
	p = page{aborted: newAborted(part), at: at, next: at}
	if oldFormat(part.RecordBatches) {
		p.old, p.next, err = r.processOld(part, at)
	} else {
		for rest := part.RecordBatches; ; {
			var b rawBatch
			if b, rest, err = cutBatch(rest); b == nil {
				break
			}
			// A response begins with the batch that holds the offset, which may be in its middle.
			if b.next() > p.next {
				p.batches, p.next = append(p.batches, b), b.next()
			}
		}
	}
	if p.next > at {
		// What was read before an error is good; the error comes again where it is.
		p.next = min(p.next, r.to)
		return p, false, nil
	}
	switch {
	case errors.As(err, new(*finalError)):
		return page{}, false, err
	case len(part.RecordBatches) > 0 && r.maxBytes < largestFetch && (err == nil || int64(len(part.RecordBatches)) >= int64(r.maxBytes)):
		// Nothing but a part of a batch: it is larger than what was asked for.
		r.maxBytes = min(2*r.maxBytes, largestFetch)
		return page{}, false, nil
	case err != nil:
		return page{}, true, err
	}
	return page{}, true, nil
}

// processOld has the library read a response that holds messages of an old format.
func (r *Reader) processOld(part *kmsg.FetchResponseTopicPartition, at int64) ([]*kgo.Record, int64, error) {
	o := kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: r.topic.Name, Partition: r.partition,
	}
	fetched, next := kgo.ProcessFetchPartition(o, part, r.unpacker.large, nil)
	var large *kgo.ErrDecompressTooLarge
	if errors.As(fetched.Err, &large) {
		return fetched.Records, next, &finalError{&LargeBatchError{First: large.Offset, Next: large.NextOffset, Packed: int64(len(part.RecordBatches)), Most: r.unpacker.most}}
	}
	if fetched.Err != nil {
		return fetched.Records, next, fmt.Errorf("%w: %w", errBadBatch, fetched.Err)
	}
	return fetched.Records, next, nil
}

// unpackAll makes batches of pages until the end, an error or Close.
func (r *Reader) unpackAll() {
	give := func(b *Batch, err error) bool {
		select {
		case r.batches <- unpacked{b, err}:
			return err == nil
		case <-r.ctx.Done():
			if b != nil {
				b.Release()
			}
			return false
		}
	}
	for {
		select {
		case <-r.ctx.Done():
			return
		case p := <-r.pages:
			if p.err != nil {
				give(nil, p.err)
				return
			}
			if !r.unpackPage(p, give) {
				return
			}
		}
	}
}

// unpackPage gives the batches of a page that hold something, and a last one that says how far the page reaches. False
// when no more are wanted.
func (r *Reader) unpackPage(p page, give func(*Batch, error) bool) bool {
	defer p.memory.release()
	reached := p.at
	for _, raw := range p.batches {
		if raw.first() >= r.to {
			break
		}
		b, err := r.unpack(raw, p)
		if b == nil && err == nil {
			continue
		}
		if !give(b, err) {
			return false
		}
		reached = b.next
	}
	if reached < p.next {
		return give(&Batch{topic: r.topic, partition: r.partition, next: p.next, old: before(p.old, p.next), memory: p.memory.use()}, nil)
	}
	return true
}

// unpack opens a batch. It is nil when the batch has no record that is to be read.
func (r *Reader) unpack(raw rawBatch, p page) (*Batch, error) {
	abort := p.aborted.holds(raw)
	if abort && !raw.control() {
		return nil, nil //nolint:nilnil // as documented
	}
	b := &Batch{
		topic: r.topic, partition: r.partition, from: p.at, to: r.to, next: raw.next(), first: raw.first(), after: raw.next(), pool: &r.unpacker.buffers,
		firstTime: int64(binary.BigEndian.Uint64(raw[atFirstTime:])), maxTime: int64(binary.BigEndian.Uint64(raw[atMaxTime:])),
		epoch: int32(binary.BigEndian.Uint32(raw[atLeaderEpoch:])), appendTime: raw.attributes()&attrLogAppendTime != 0,
		left: raw[batchHeader:], count: int(int32(binary.BigEndian.Uint32(raw[atCount:]))),
	}
	if raw.control() {
		defer b.Release()
	}
	codec := kgo.CompressionCodecType(raw.attributes() & attrCodec)
	switch {
	case codec == kgo.CodecNone:
		b.memory = p.memory.use()
	case b.count == 0:
		// Compaction has removed all of its records: what was compressed is nothing, in whatever form.
		b.left = nil
	default:
		if err := r.unpacker.unpack(r.ctx, b, codec, r.turn); err != nil {
			return nil, err
		}
	}
	if b.count < 0 || b.count > len(b.left) {
		defer b.Release()
		return nil, b.bad(fmt.Sprintf("it has %d bytes for %d records", len(b.left), b.count))
	}
	if !raw.control() {
		b.next = min(b.next, r.to)
		return b, nil
	}
	marker, err := abortMarker(b)
	if err == nil && abort && marker {
		p.aborted.ended(raw)
	}
	return nil, err
}

// abortMarker says whether a control batch ends a transaction by aborting it: its record's key is a version and a type,
// of two bytes each, and the type is 0.
func abortMarker(b *Batch) (abort bool, err error) {
	b.from, b.to = 0, math.MaxInt64
	var r kgo.Record
	for first := true; ; first = false {
		ok, err := b.nextRecord(&r)
		if !ok || err != nil {
			return abort, err
		}
		if first {
			abort = len(r.Key) >= 4 && r.Key[2] == 0 && r.Key[3] == 0
		}
	}
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
