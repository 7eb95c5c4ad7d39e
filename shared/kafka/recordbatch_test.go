package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

// madeBatch is a record batch to be.
type madeBatch struct {
	first              int64
	lastDelta          int32
	attributes         int16
	producer           int64
	firstTime, maxTime int64
	count              int32
	records            []byte
	compressor         kgo.Compressor
	version            int8
	damagedSum         bool
}

func (m madeBatch) bytes(t testing.TB) []byte {
	t.Helper()
	b := kmsg.NewRecordBatch()
	b.FirstOffset, b.PartitionLeaderEpoch, b.Magic = m.first, 7, m.version
	b.Attributes, b.LastOffsetDelta, b.ProducerID = m.attributes, m.lastDelta, m.producer
	b.FirstTimestamp, b.MaxTimestamp, b.NumRecords = m.firstTime, m.maxTime, m.count
	b.Records = m.records
	if m.compressor != nil {
		packed, codec := m.compressor.Compress(&bytes.Buffer{}, m.records)
		b.Records, b.Attributes = slices.Clone(packed), b.Attributes|int16(codec)
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[atLength:], uint32(len(raw)-atLeaderEpoch))
	sum := crc32.Checksum(raw[atAttributes:], castagnoli)
	if m.damagedSum {
		sum++
	}
	binary.BigEndian.PutUint32(raw[atSum:], sum)
	return raw
}

func appendRecord(to []byte, time, delta int64, key, value []byte, headers ...kgo.RecordHeader) []byte {
	part := func(to, b []byte) []byte {
		if b == nil {
			return binary.AppendVarint(to, -1)
		}
		return append(binary.AppendVarint(to, int64(len(b))), b...)
	}
	r := binary.AppendVarint([]byte{0}, time)
	r = binary.AppendVarint(r, delta)
	r = part(part(r, key), value)
	r = binary.AppendVarint(r, int64(len(headers)))
	for _, h := range headers {
		r = part(part(r, []byte(h.Key)), h.Value)
	}
	return append(binary.AppendVarint(to, int64(len(r))), r...)
}

// randomLog is a response: batches of records, of transactions that are open, committed or aborted, with markers, gaps
// where compaction was, batches whose records it has all removed, every codec.
func randomLog(t testing.TB, random *rand.Rand) *kmsg.FetchResponseTopicPartition {
	t.Helper()
	part := kmsg.NewFetchResponseTopicPartition()
	part.Partition = 3
	at := int64(random.IntN(1000))
	began := map[int64]int64{}
	for range 1 + random.IntN(12) {
		m := madeBatch{first: at, version: 2, producer: int64(random.IntN(3)), firstTime: random.Int64N(1 << 41), maxTime: random.Int64N(1 << 41)}
		began0, transactional := began[m.producer]
		switch {
		case transactional && random.IntN(3) == 0:
			abort := random.IntN(2) == 0
			m.attributes = attrTransactional | attrControl
			m.count = 1
			m.records = appendRecord(nil, 0, 0, []byte{0, 0, 0, map[bool]byte{true: 0, false: 1}[abort]}, []byte{0, 0, 0, 0, 0, 1})
			if abort {
				part.AbortedTransactions = append(part.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: m.producer, FirstOffset: began0})
			}
			delete(began, m.producer)
		default:
			if transactional || random.IntN(2) == 0 {
				m.attributes = attrTransactional
				if !transactional {
					began[m.producer] = at
				}
			}
			if random.IntN(4) == 0 {
				m.attributes |= attrLogAppendTime
			}
			delta := int64(0)
			for range random.IntN(20) {
				m.records = appendRecord(m.records, random.Int64N(1000)-500, delta, randomBytes(random, 10), randomBytes(random, 300), randomHeaders(random)...)
				m.count++
				delta += 1 + int64(random.IntN(3)/2)
			}
			m.lastDelta = int32(max(delta-1, 0)) + int32(random.IntN(2))
			if codec := random.IntN(5); codec > 0 && m.count > 0 {
				m.compressor, _ = kgo.DefaultCompressor([]kgo.CompressionCodec{{}, kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}[codec])
			}
		}
		at = m.first + int64(m.lastDelta) + 1 + int64(random.IntN(2))
		part.RecordBatches = append(part.RecordBatches, m.bytes(t)...)
	}
	random.Shuffle(len(part.AbortedTransactions), func(i, j int) {
		a := part.AbortedTransactions
		a[i], a[j] = a[j], a[i]
	})
	return &part
}

func randomBytes(random *rand.Rand, most int) []byte {
	switch n := random.IntN(most + 1); n {
	case most:
		return nil
	default:
		return bytes.Repeat([]byte{byte(n)}, n)
	}
}

func randomHeaders(random *rand.Rand) []kgo.RecordHeader {
	var all []kgo.RecordHeader
	for range random.IntN(3) {
		all = append(all, kgo.RecordHeader{Key: []string{"", "a", HeaderID}[random.IntN(3)], Value: randomBytes(random, 5)})
	}
	return all
}

var unbounded = sync.OnceValue(func() *unpacker { return newUnpacker(0, math.MaxInt32) })

// offline is a reader that has no broker.
func offline(to int64) *Reader {
	r := &Reader{topic: Topic{Name: "t"}, partition: 3, to: to, maxBytes: largestFetch, ctx: context.Background(), unpacker: unbounded()}
	return r.Apart()
}

// unpackedRecords reads a response as the reader does, and gives copies.
func unpackedRecords(r *Reader, part *kmsg.FetchResponseTopicPartition, at int64) (records []*kgo.Record, next int64, err error) {
	p, _, err := r.process(part, at)
	if err != nil || p.next == at {
		return nil, at, err
	}
	next = at
	r.unpackPage(p, func(b *Batch, failed error) bool {
		if err = failed; err != nil {
			return false
		}
		defer b.Release()
		var one kgo.Record
		for {
			ok, failed := b.Next(&one)
			if err = failed; !ok {
				break
			}
			whole := one
			whole.Key, whole.Value, whole.Headers = bytes.Clone(one.Key), bytes.Clone(one.Value), slices.Clone(one.Headers)
			for i := range whole.Headers {
				whole.Headers[i].Value = bytes.Clone(whole.Headers[i].Value)
			}
			records = append(records, &whole)
		}
		if err == nil {
			next = b.End()
		}
		return err == nil
	})
	return records, next, err
}

// sameRecords compares what the library and the reader make of a response.
func sameRecords(t *testing.T, part *kmsg.FetchResponseTopicPartition, at, to int64) {
	t.Helper()
	want, wantNext := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: "t", Partition: 3,
	}, part, kgo.DefaultDecompressor(), nil)
	got, next, err := unpackedRecords(offline(to), part, at)
	if err != nil || want.Err != nil {
		t.Fatalf("%v, the library %v", err, want.Err)
	}
	if next != min(wantNext, to) {
		t.Fatalf("next %d, the library %d", next, wantNext)
	}
	wanted := before(want.Records, to)
	if len(got) != len(wanted) {
		t.Fatalf("%d records, the library %d", len(got), len(wanted))
	}
	for i, w := range wanted {
		if g := got[i]; !sameRecord(g, w) {
			t.Fatalf("record %d: %+v, the library %+v", i, g, w)
		}
	}
}

func sameRecord(a, b *kgo.Record) bool {
	return a.Topic == b.Topic && a.Partition == b.Partition && a.Offset == b.Offset && a.LeaderEpoch == b.LeaderEpoch && a.Timestamp.Equal(b.Timestamp) &&
		bytes.Equal(a.Key, b.Key) && (a.Key == nil) == (b.Key == nil) && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil) &&
		slices.EqualFunc(a.Headers, b.Headers, func(a, b kgo.RecordHeader) bool {
			return a.Key == b.Key && bytes.Equal(a.Value, b.Value) && (a.Value == nil) == (b.Value == nil)
		})
}

// TestBatchesAreReadAsTheLibraryReadsThem: any log, from any offset, up to any offset, and cut off anywhere.
func TestBatchesAreReadAsTheLibraryReadsThem(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		random := rand.New(rand.NewPCG(seed, 3))
		part := randomLog(t, random)
		first := rawBatch(part.RecordBatches).first()
		sameRecords(t, part, first, math.MaxInt64)
		sameRecords(t, part, first+random.Int64N(30), math.MaxInt64)
		sameRecords(t, part, first, first+1+random.Int64N(60))
		part.RecordBatches = part.RecordBatches[:random.IntN(len(part.RecordBatches))]
		sameRecords(t, part, first, math.MaxInt64)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestDamagedBatches: what is before the damage is read, and nothing of it.
func TestDamagedBatches(t *testing.T) {
	t.Parallel()
	good := madeBatch{first: 0, version: 2, count: 1, records: appendRecord(nil, 0, 0, nil, []byte("a"))}
	for name, bad := range map[string]madeBatch{
		"sum":                  {first: 1, version: 2, count: 1, records: appendRecord(nil, 0, 0, nil, []byte("b")), damagedSum: true},
		"version":              {first: 1, version: 3, count: 1, records: appendRecord(nil, 0, 0, nil, []byte("b"))},
		"fewer records":        {first: 1, version: 2, lastDelta: 1, count: 2, records: appendRecord(nil, 0, 0, nil, []byte("b"))},
		"no records":           {first: 1, version: 2, count: 1},
		"a count below 0":      {first: 1, version: 2, count: -1},
		"offset of another":    {first: 1, version: 2, count: 1, records: appendRecord(nil, 0, 1, nil, []byte("b"))},
		"offset below":         {first: 1, version: 2, count: 1, records: appendRecord(nil, 0, -1, nil, []byte("b"))},
		"offset far beyond":    {first: 1, version: 2, count: 1, records: appendRecord(nil, 0, math.MaxInt64, nil, []byte("b"))},
		"more records":         {first: 1, version: 2, lastDelta: 1, count: 0, records: appendRecord(nil, 0, 0, nil, []byte("b"))},
		"last offset below":    {first: 1, version: 2, lastDelta: -1, count: 1, records: appendRecord(nil, 0, 0, nil, []byte("b"))},
		"no such codec":        {first: 1, version: 2, attributes: 7, count: 1, records: appendRecord(nil, 0, 0, nil, []byte("b"))},
		"not compressed":       {first: 1, version: 2, attributes: 4, count: 1, records: appendRecord(nil, 0, 0, nil, []byte("b"))},
		"value without an end": {first: 1, version: 2, count: 1, records: []byte{8, 0, 0, 0, 1, 80}},
		"headers without end":  {first: 1, version: 2, count: 1, records: []byte{12, 0, 0, 0, 1, 1, 80}},
		"size of 33 bits":      {first: 1, version: 2, count: 1, records: append([]byte{0x8e, 0x80, 0x80, 0x80, 0x80, 0}, 0, 0, 0, 1, 1, 0, 0)},
		"offset of 6 bytes":    {first: 1, version: 2, count: 1, records: []byte{22, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 1, 1, 0}},
		"key below 32 bits":    {first: 1, version: 2, count: 1, records: []byte{20, 0, 0, 0, 0xc7, 0xc7, 0xc7, 0xc7, 0x30, 1, 0}},
		"value below 32 bits":  {first: 1, version: 2, count: 1, records: []byte{20, 0, 0, 0, 1, 0xc7, 0xc7, 0xc7, 0xc7, 0x30, 0}},
		"header key below 0":   {first: 1, version: 2, count: 1, records: []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}},
		"bytes after a record": {first: 1, version: 2, count: 1, records: []byte{14, 0, 0, 0, 1, 1, 0, 0}},
		"headers below 0":      {first: 1, version: 2, count: 1, records: []byte{12, 0, 0, 0, 1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			part := kmsg.NewFetchResponseTopicPartition()
			part.Partition = 3
			part.RecordBatches = append(good.bytes(t), bad.bytes(t)...)
			r := offline(10)
			records, next, err := unpackedRecords(r, &part, 0)
			if name == "fewer records" && len(records) == 2 {
				records = records[:1] // the second one is not damaged
			}
			if len(records) != 1 || string(records[0].Value) != "a" || next != 1 {
				t.Fatalf("%v, next %d", records, next)
			}
			if err == nil { // it comes with the next fetch
				part.RecordBatches = bad.bytes(t)
				records, next, err = unpackedRecords(r, &part, 1)
				if len(records) != 0 || next != 1 {
					t.Fatalf("%v, next %d", records, next)
				}
			}
			if !errors.Is(err, errBadBatch) {
				t.Fatal(err)
			}
		})
	}
}

// TestDamageStays: a batch that is asked again after an error has not come to its end.
func TestDamageStays(t *testing.T) {
	t.Parallel()
	part := kmsg.NewFetchResponseTopicPartition()
	part.RecordBatches = madeBatch{version: 2, lastDelta: 1, count: 2, records: append(appendRecord(nil, 0, 0, nil, []byte("a")), 8)}.bytes(t)
	r := offline(2)
	p, _, err := r.process(&part, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.unpackPage(p, func(b *Batch, err error) bool {
		var record kgo.Record
		if ok, err := b.Next(&record); !ok || err != nil {
			t.Fatal(ok, err)
		}
		for range 2 {
			if ok, err := b.Next(&record); ok || !errors.Is(err, errBadBatch) {
				t.Error(ok, err)
			}
		}
		b.Release()
		return false
	})
}

// TestOffsetsInABatchAscend: a record whose offset another one had is not passed over.
func TestOffsetsInABatchAscend(t *testing.T) {
	t.Parallel()
	for _, second := range []int64{0, 1} {
		part := kmsg.NewFetchResponseTopicPartition()
		part.RecordBatches = madeBatch{
			version: 2, lastDelta: 2, count: 2, records: appendRecord(appendRecord(nil, 0, 1, nil, []byte("a")), 0, second, nil, []byte("b")),
		}.bytes(t)
		if records, next, err := unpackedRecords(offline(10), &part, 0); len(records) > 1 || next != 0 || !errors.Is(err, errBadBatch) {
			t.Errorf("%d records, next %d, %v", len(records), next, err)
		}
	}
}

// TestCompressedBatchWithoutRecords: compaction leaves a batch for the producer's sake, and some brokers its codec.
func TestCompressedBatchWithoutRecords(t *testing.T) {
	t.Parallel()
	for codec := range int16(5) {
		part := kmsg.NewFetchResponseTopicPartition()
		part.RecordBatches = madeBatch{version: 2, lastDelta: 2, attributes: codec}.bytes(t)
		if records, next, err := unpackedRecords(offline(10), &part, 0); len(records) != 0 || next != 3 || err != nil {
			t.Errorf("codec %d: %d records, next %d, %v", codec, len(records), next, err)
		}
	}
}

// TestOldMessages: topics from before Kafka 0.11 are read by the library.
func TestOldMessages(t *testing.T) {
	t.Parallel()
	part := kmsg.NewFetchResponseTopicPartition()
	part.Partition = 3
	for offset := range int64(3) {
		m := kmsg.NewMessageV1()
		m.Offset, m.Magic, m.Timestamp, m.Value = offset, 1, 1000+offset, fmt.Append(nil, offset)
		raw := m.AppendTo(nil)
		binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
		binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
		part.RecordBatches = append(part.RecordBatches, raw...)
	}
	records, next, err := unpackedRecords(offline(2), &part, 1)
	if err != nil || next != 2 || len(records) != 1 || string(records[0].Value) != "1" || records[0].Timestamp.UnixMilli() != 1001 {
		t.Fatalf("%v, next %d, %v", records, next, err)
	}
}

// FuzzRecords: whatever a batch holds, nothing crashes, and what the library reads whole is read the same.
func FuzzRecords(f *testing.F) {
	f.Add(appendRecord(appendRecord(nil, 5, 0, []byte("k"), []byte("v"), kgo.RecordHeader{Key: "h", Value: []byte("x")}), -5, 1, nil, nil), int32(2), int32(1), int16(0))
	f.Add([]byte{8, 0, 0, 0, 1, 80}, int32(1), int32(0), int16(attrLogAppendTime))
	f.Add([]byte(" 000\xc7\xc7\xc7\xc701\x00000000"), int32(1), int32(50), int16(-40))      // a key's length of more than 32 bits
	f.Add([]byte("\x1c0\xac\xac\xac\xac\xac\xac0011\x0000"), int32(1), int32(72), int16(0)) // a timestamp of the year 5338
	f.Add(appendRecord(nil, 1<<60, 0, nil, []byte("v")), int32(1), int32(0), int16(0))      // one that the library's takes to overflow
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, int32(1), int32(9), int16(attrControl|attrTransactional))
	f.Fuzz(func(t *testing.T, records []byte, count, lastDelta int32, attributes int16) {
		attributes &= 0x7f // the library takes a bit without a meaning for one of the formats before
		m := madeBatch{first: 10, version: 2, lastDelta: lastDelta, count: count, attributes: attributes, records: records, firstTime: 1, maxTime: 2}
		part := kmsg.NewFetchResponseTopicPartition()
		part.Partition = 3
		part.RecordBatches = m.bytes(t)
		got, next, err := unpackedRecords(offline(math.MaxInt64), &part, 10)
		if err != nil || next == 10 || count == 0 && attributes&attrCodec != 0 { // the library stays where nothing is compressed
			return
		}
		want, wantNext := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
			Offset: 10, IsolationLevel: kgo.ReadCommitted(), Topic: "t", Partition: 3,
		}, &part, kgo.DefaultDecompressor(), nil)
		if want.Err != nil || wantNext != next || len(want.Records) != len(got) {
			t.Fatalf("%d records, next %d; the library %d, next %d, %v", len(got), next, len(want.Records), wantNext, want.Err)
		}
		for i, w := range want.Records {
			g := *got[i]
			g.Timestamp = libraryTime(g.Timestamp)
			if !sameRecord(&g, w) {
				t.Fatalf("record %d: %+v, the library %+v", i, got[i], w)
			}
		}
	})
}

// libraryTime is a timestamp as the library has it, which counts nanoseconds: outside the years 1678 to 2262 that is
// another one.
func libraryTime(t time.Time) time.Time { return time.Unix(0, t.UnixMilli()*int64(time.Millisecond)) }

// TestTimestampsBeyondTheLibrarys: what a producer gave is read, whatever year it is.
func TestTimestampsBeyondTheLibrarys(t *testing.T) {
	t.Parallel()
	for _, ms := range []int64{math.MinInt64 + 1, -62_135_596_800_001, -1, 253_402_300_800_000, math.MaxInt64 - 1} {
		part := kmsg.NewFetchResponseTopicPartition()
		part.RecordBatches = madeBatch{version: 2, count: 1, firstTime: 1, records: appendRecord(nil, ms-1, 0, nil, []byte("a"))}.bytes(t)
		records, _, err := unpackedRecords(offline(10), &part, 0)
		if err != nil || len(records) != 1 || records[0].Timestamp.UnixMilli() != ms {
			t.Errorf("%d: %v, %v", ms, records, err)
		}
	}
}

// TestReleasedBatchesAreUsedAgain: a reader goes through a compressed topic with few buffers, and what it gives is right
// all the same.
func TestReleasedBatchesAreUsedAgain(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 1, nil)
		with := k
		with.Client = map[string]string{"compression.type": "zstd", "linger.ms": "0"}
		p := producer(t, with, name(t, "source"))
		fence(t, p)
		const batches, each = 40, 5
		for i := range batches {
			var values []string
			for j := range each {
				values = append(values, fmt.Sprintf("%0500d", i*each+j))
			}
			publish(t, p, topic, Marker{fmt.Sprint("i", i), int64(i + 1)}, values...)
		}
		c := consumer(t, k, "none")
		if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
			t.Fatal(err)
		}
		c.Share(1, 4, 1)
		r := c.Read(topic, 0, 0, settled(t, c, topic).StableEnd)
		defer r.Close()
		n := 0
		var record kgo.Record
		for {
			b, err := r.NextBatch(limit(t))
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for {
				ok, err := b.Next(&record)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				if want := fmt.Sprintf("%0500d", n); string(record.Value) != want {
					t.Fatalf("record %d is %q", n, record.Value)
				}
				n++
			}
			b.Release()
		}
		if n != batches*each {
			t.Fatalf("%d records", n)
		}
	})
}
