package kafka

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The layout of a record batch of version 2 (Kafka documentation, "Message Format"): a header of fixed size, then the
// records, which are compressed together.
const (
	atLength      = 8
	atLeaderEpoch = 12
	atMagic       = 16
	atSum         = 17
	atAttributes  = 21 // the sum is of all from here on
	atLastDelta   = 23
	atFirstTime   = 27
	atMaxTime     = 35
	atProducer    = 43
	atCount       = 57
	batchHeader   = 61

	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rawBatch is a record batch as it was fetched: complete, and its sum is right.
type rawBatch []byte

func (b rawBatch) first() int64 { return int64(binary.BigEndian.Uint64(b)) }

// next is the offset after the batch. Compaction may have taken its last record, but never this.
func (b rawBatch) next() int64 {
	return b.first() + int64(int32(binary.BigEndian.Uint32(b[atLastDelta:]))) + 1
}
func (b rawBatch) attributes() uint16 { return binary.BigEndian.Uint16(b[atAttributes:]) }
func (b rawBatch) producer() int64    { return int64(binary.BigEndian.Uint64(b[atProducer:])) }
func (b rawBatch) control() bool      { return b.attributes()&attrControl != 0 }

// cutBatch takes the first batch of a response. It is nil when there is not all of one.
func cutBatch(in []byte) (b rawBatch, rest []byte, err error) {
	if len(in) <= atMagic {
		return nil, nil, nil
	}
	// A length is what follows it.
	length := int64(int32(binary.BigEndian.Uint32(in[atLength:]))) + atLeaderEpoch
	if length > int64(len(in)) {
		return nil, nil, nil
	}
	if magic := in[atMagic]; magic != 2 {
		return nil, nil, fmt.Errorf("%w: its version is %d", errBadBatch, magic)
	}
	if length < batchHeader {
		return nil, nil, fmt.Errorf("%w: it has %d bytes", errBadBatch, length)
	}
	b = in[:length:length]
	if sum, want := crc32.Checksum(b[atAttributes:], castagnoli), binary.BigEndian.Uint32(b[atSum:]); sum != want {
		return nil, nil, fmt.Errorf("%w: its sum is %08x and should be %08x", errBadBatch, sum, want)
	}
	if b.next() <= b.first() {
		return nil, nil, fmt.Errorf("%w: it reaches from offset %d to %d", errBadBatch, b.first(), b.next())
	}
	return b, in[length:], nil
}

// extentOf is what the batches of a response say of themselves that begins at an offset: up to which offset they reach,
// how many are whole, and how many bytes those have.
func extentOf(in []byte, at int64) (end int64, batches, size int) {
	for len(in) >= batchHeader && in[atMagic] == 2 {
		length := int64(int32(binary.BigEndian.Uint32(in[atLength:]))) + atLeaderEpoch
		if length < batchHeader || length > int64(len(in)) {
			break
		}
		at, batches, size = max(at, rawBatch(in).next()), batches+1, size+int(length)
		in = in[length:]
	}
	return at, batches, size
}

// oldFormat says whether a response holds messages of the versions before record batches, which topics from before Kafka
// 0.11 have.
func oldFormat(in []byte) bool {
	for len(in) > atMagic {
		if in[atMagic] < 2 {
			return true
		}
		length := int64(int32(binary.BigEndian.Uint32(in[atLength:]))) + atLeaderEpoch
		if length <= atLeaderEpoch || length > int64(len(in)) {
			return false
		}
		in = in[length:]
	}
	return false
}

// aborted tells which batches of a response belong to transactions that were aborted: by producer, the first offsets of
// those, ascending.
type aborted map[int64][]int64

func newAborted(part *kmsg.FetchResponseTopicPartition) aborted {
	if len(part.AbortedTransactions) == 0 {
		return nil
	}
	a := aborted{}
	for _, t := range part.AbortedTransactions {
		a[t.ProducerID] = append(a[t.ProducerID], t.FirstOffset)
	}
	// Not every broker gives them in order.
	for _, all := range a {
		slices.Sort(all)
	}
	return a
}

// holds says whether a batch is of an aborted transaction, its marker included.
func (a aborted) holds(b rawBatch) bool {
	if len(a) == 0 || b.attributes()&attrTransactional == 0 {
		return false
	}
	first := a[b.producer()]
	return len(first) > 0 && b.first() >= first[0]
}

// ended takes a transaction off at its marker.
func (a aborted) ended(b rawBatch) { a[b.producer()] = a[b.producer()][1:] }

// Batch are some records of a partition, one after the other.
type Batch struct {
	topic     Topic
	partition int32
	// from is the first offset that is wanted, to the one after the last.
	from, to int64
	// next is the offset after everything that the batch is about.
	next int64

	// first is the batch's first offset, after the one after its last.
	first, after       int64
	firstTime, maxTime int64
	epoch              int32
	appendTime         bool
	left               []byte
	count              int
	// least is the smallest offset delta that the next record may have.
	least int64
	// failed is why no further record can be read.
	failed error

	buffer *[]byte
	pool   *buffers
	// memory is what left is in, unless it was decompressed.
	memory *memory
	// turn is nil unless the batch is a large one: see unpacker.
	turn chan struct{}
	// old are the records instead, of a format before record batches.
	old []*kgo.Record
}

// End is the offset after everything that was looked at: transaction markers, aborted and compacted records included.
func (b *Batch) End() int64 { return b.next }

// Next reads the next record into r and says whether there is one. What r refers to is valid until Release is called,
// and its Headers until the next call. An error stays.
func (b *Batch) Next(r *kgo.Record) (bool, error) {
	if b.old != nil {
		return b.nextOld(r), nil
	}
	ok, err := b.nextRecord(r)
	if err != nil {
		return false, fmt.Errorf("reading %s/%d: %w", b.topic.Name, b.partition, err)
	}
	return ok, nil
}

func (b *Batch) nextRecord(r *kgo.Record) (bool, error) {
	for b.count > 0 {
		b.count--
		size, n := varint32(b.left)
		if n <= 0 || size < 0 || size > int64(len(b.left)-n) {
			return false, b.bad("a record has no end")
		}
		record := b.left[n : n+int(size)]
		b.left = b.left[n+int(size):]
		wanted, err := b.read(record, r)
		if wanted || err != nil {
			return wanted, err
		}
	}
	if len(b.left) > 0 {
		return false, b.bad("there is more in it than its records")
	}
	return false, b.failed
}

func (b *Batch) bad(what string) error {
	b.count, b.left = 0, nil
	b.failed = fmt.Errorf("%w: that at offset %d: %s", errBadBatch, b.first, what)
	return b.failed
}

// read reads a record, unless its offset is not wanted.
func (b *Batch) read(in []byte, r *kgo.Record) (bool, error) {
	f := fields{in: in}
	f.skip(1) // attributes of the record, of which there are none
	time := f.long()
	delta := f.number()
	// An offset that comes twice would have the second record taken for one that was looked at before.
	if !f.ok() || delta < b.least || delta >= b.after-b.first {
		return false, b.bad("a record has no place in it")
	}
	b.least = delta + 1
	offset := b.first + delta
	if offset < b.from || offset >= b.to {
		return false, nil
	}
	r.Topic, r.Partition, r.Offset, r.LeaderEpoch = b.topic.Name, b.partition, offset, b.epoch
	if r.Timestamp = timeOf(b.firstTime + time); b.appendTime {
		r.Timestamp = timeOf(b.maxTime)
	}
	r.Key, r.Value = f.bytes(), f.bytes()
	headers := f.number()
	if headers < 0 || headers > int64(len(f.in)) {
		return false, b.bad("a record's headers have no end")
	}
	r.Headers = r.Headers[:0]
	for range headers {
		key, value := f.bytes(), f.bytes()
		if !f.ok() {
			break
		}
		if key == nil {
			return false, b.bad("a record's header has no key")
		}
		r.Headers = appendHeader(r.Headers, key, value)
	}
	if !f.ok() {
		return false, b.bad("a record is cut off")
	}
	if len(f.in) > 0 {
		return false, b.bad("a record is longer than its parts")
	}
	return true, nil
}

// appendHeader uses the text again that the header at the same place had before, as it is mostly the same.
func appendHeader(to []kgo.RecordHeader, key, value []byte) []kgo.RecordHeader {
	if n := len(to); n < cap(to) && to[:n+1][n].Key == string(key) {
		to = to[:n+1]
		to[n].Value = value
		return to
	}
	return append(to, kgo.RecordHeader{Key: string(key), Value: value})
}

func (b *Batch) nextOld(r *kgo.Record) bool {
	if len(b.old) == 0 {
		return false
	}
	*r, b.old = *b.old[0], b.old[1:]
	return true
}

// Release gives the batch's memory back. It may be left out, once no record that Next has read is used any more.
func (b *Batch) Release() {
	if b.buffer != nil {
		b.pool.PutDecompressBytes(*b.buffer)
	}
	b.memory.release()
	b.left, b.buffer, b.memory, b.count, b.old = nil, nil, nil, 0, nil
	b.pass()
}

// pass lets another large batch be read.
func (b *Batch) pass() {
	if b.turn != nil {
		<-b.turn
		b.turn = nil
	}
}

// timeOf is the instant of a number of milliseconds.
func timeOf(ms int64) time.Time { return time.UnixMilli(ms) }

// fields reads the parts of a record.
type fields struct {
	in     []byte
	failed bool
}

func (f *fields) ok() bool { return !f.failed }

func (f *fields) skip(n int) {
	if n > len(f.in) {
		f.failed, f.in = true, nil
		return
	}
	f.in = f.in[n:]
}

// long reads a variable-length zig-zag number of 64 bits.
func (f *fields) long() int64 { return f.took(varint(f.in)) }

// number reads one of 32 bits, which all numbers of a record are but its time.
func (f *fields) number() int64 { return f.took(varint32(f.in)) }

func (f *fields) took(v int64, n int) int64 {
	if n <= 0 {
		f.failed, f.in = true, nil
		return 0
	}
	f.in = f.in[n:]
	return v
}

// bytes reads bytes behind their length, nil for the length -1.
func (f *fields) bytes() []byte {
	n := f.number()
	if n < 0 {
		return nil
	}
	if n > int64(len(f.in)) {
		f.failed, f.in = true, nil
		return nil
	}
	b := f.in[:n:n]
	f.in = f.in[n:]
	return b
}

// varint is binary.Varint, quicker for the one or two bytes that a number mostly has.
func varint(in []byte) (int64, int) {
	if len(in) > 1 {
		if b := in[0]; b < 0x80 {
			return int64(b>>1) ^ -int64(b&1), 1
		} else if c := in[1]; c < 0x80 {
			u := uint32(b&0x7f) | uint32(c)<<7
			return int64(u>>1) ^ -int64(u&1), 2
		}
	}
	return binary.Varint(in)
}

// varint32 is a varint that has no more than 32 bits, and no more bytes than those need. What has more was not written by
// Kafka: its reader refuses a sixth byte and leaves out what bits the fifth has too many, the library refuses both.
func varint32(in []byte) (int64, int) {
	v, n := varint(in)
	if n > binary.MaxVarintLen32 || v != int64(int32(v)) {
		return 0, -1
	}
	return v, n
}
