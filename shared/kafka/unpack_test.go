package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// packings are the ways in which a batch can be compressed.
func packings(t *testing.T) map[string]kgo.Compressor {
	t.Helper()
	all := map[string]kgo.Compressor{"zstd, in a stream": streamed{window: 1 << 20}}
	for name, codec := range map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		c, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = c
	}
	return all
}

// streamed compresses by zstd without saying how much it is, as Java's client does.
type streamed struct{ window int }

func (s streamed) Compress(to *bytes.Buffer, from []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	w, err := zstd.NewWriter(to, zstd.WithWindowSize(s.window))
	if err == nil {
		// A flush, or else a short text would have its size declared.
		_, err = w.Write(from[:1])
		err = errors.Join(err, w.Flush())
		_, failed := w.Write(from[1:])
		err = errors.Join(err, failed, w.Close())
	}
	if err != nil {
		panic(err)
	}
	return to.Bytes(), kgo.CodecZstd
}

// bomb is a batch of one record of zeros.
func bomb(t *testing.T, size int, c kgo.Compressor) *kmsg.FetchResponseTopicPartition {
	t.Helper()
	part := kmsg.NewFetchResponseTopicPartition()
	part.Partition = 3
	part.RecordBatches = madeBatch{version: 2, first: 40, lastDelta: 1, count: 1, records: appendRecord(nil, 0, 0, nil, make([]byte, size)), compressor: c}.bytes(t)
	return &part
}

// limited is a reader that has no broker and shares an unpacker.
func limited(ctx context.Context, u *unpacker) *Reader {
	return &Reader{topic: Topic{Name: "t"}, partition: 3, to: 100, maxBytes: largestFetch, ctx: ctx, unpacker: u, turn: u.turn}
}

// TestABatchUnpacksToSoMuchAndNoMore: in every codec, to the byte as the library does, and not a bit of a larger one.
func TestABatchUnpacksToSoMuchAndNoMore(t *testing.T) {
	t.Parallel()
	const most = 12 << 20
	for name, c := range packings(t) {
		t.Run(name, func(t *testing.T) {
			u := newUnpacker(0, most)
			for _, size := range []int{100, usualUnpacked - 100, usualUnpacked + 100, most - 100} {
				part := bomb(t, size, c)
				want, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 40, Topic: "t", Partition: 3}, part, kgo.DefaultDecompressor(), nil)
				got, next, err := unpackedRecords(limited(t.Context(), u), part, 40)
				if err != nil || next != 42 || len(got) != 1 || len(want.Records) != 1 || !sameRecord(got[0], want.Records[0]) {
					t.Fatalf("%d bytes: %d records, next %d, %v", size, len(got), next, err)
				}
			}
			for _, size := range []int{most, 200 << 20} {
				part := bomb(t, size, c)
				_, _, err := unpackedRecords(limited(t.Context(), u), part, 40)
				var large *LargeBatchError
				if !errors.As(err, &large) || *large != (LargeBatchError{First: 40, Next: 42, Packed: int64(len(part.RecordBatches)) - batchHeader, Most: most}) {
					t.Fatalf("%d bytes: %v", size, err)
				}
			}
			if len(u.turn) != 0 {
				t.Error("a batch that is released still keeps others waiting")
			}
		})
	}
}

// TestALargeWindowIsNoReasonToStop: zstd's highest level declares that it needs 128 MiB, whatever there is.
func TestALargeWindowIsNoReasonToStop(t *testing.T) {
	t.Parallel()
	part := bomb(t, 1000, streamed{window: 128 << 20})
	got, _, err := unpackedRecords(limited(t.Context(), newUnpacker(0, 128<<20)), part, 40)
	if err != nil || len(got) != 1 || len(got[0].Value) != 1000 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	var large *LargeBatchError
	if _, _, err := unpackedRecords(limited(t.Context(), newUnpacker(0, 64<<20)), part, 40); !errors.As(err, &large) {
		t.Fatal(err)
	}
}

// TestADamagedLargeBatchKeepsNothing: no other batch waits for one that was not read.
func TestADamagedLargeBatchKeepsNothing(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]madeBatch{
		"a count that does not fit": {count: 1 << 30},
		"a record without an end":   {count: 3},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnpacker(0, 64<<20)
			part := kmsg.NewFetchResponseTopicPartition()
			m.version, m.records, m.compressor = 2, appendRecord(nil, 0, 0, nil, make([]byte, usualUnpacked)), streamed{window: 1 << 20}
			part.RecordBatches = m.bytes(t)
			if _, _, err := unpackedRecords(limited(t.Context(), u), &part, 0); !errors.Is(err, errBadBatch) {
				t.Fatal(err)
			}
			if len(u.turn) != 0 {
				t.Error("others wait for it")
			}
		})
	}
}

// TestLargeBatchesAreUnpackedOneAtATime: whoever reads. One that is read apart waits for none of the others.
func TestLargeBatchesAreUnpackedOneAtATime(t *testing.T) {
	t.Parallel()
	u := newUnpacker(0, 64<<20)
	part := bomb(t, usualUnpacked+1, streamed{window: 1 << 20})
	unpack := func(r *Reader) (*Batch, error) {
		p, _, err := r.process(part, 40)
		if err != nil {
			return nil, err
		}
		return r.unpack(p.batches[0], p)
	}
	first, err := unpack(limited(t.Context(), u))
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := unpack(limited(soon, u)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second large batch was unpacked: %v", err)
	}
	apart, err := unpack(limited(t.Context(), u).Apart())
	if err != nil {
		t.Fatal(err)
	}
	apart.Release()
	small := bomb(t, 1000, streamed{window: 1 << 20})
	if got, _, err := unpackedRecords(limited(soon, u), small, 40); len(got) != 1 || err != nil {
		t.Fatalf("a small batch waited: %v", err)
	}
	first.Release()
	second, err := unpack(limited(t.Context(), u))
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}

// zeros is a topic of batches that have one record each, of so many bytes, and a consumer of it.
func zeros(t *testing.T, sizes ...int) (*Consumer, Topic) {
	t.Helper()
	_, k := brokers(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "30000000"}))
	topic := makeTopic(t, k, 1, map[string]string{"max.message.bytes": "30000000"})
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...), kgo.ProducerBatchMaxBytes(30_000_000), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, size := range sizes {
		if err := client.ProduceSync(limit(t), &kgo.Record{Topic: topic.Name, Value: make([]byte, size)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c := consumer(t, k, "none")
	if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	return c, topic
}

// TestAClosedReaderKeepsNothing: a large batch that nobody takes, or that waits behind another one, is given up.
func TestAClosedReaderKeepsNothing(t *testing.T) {
	t.Parallel()
	for name, sizes := range map[string][]int{"taken by nobody": {usualUnpacked + 1}, "behind another one": {10, usualUnpacked + 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, topic := zeros(t, sizes...)
			c.Share(1, 1, 64<<20)
			r := c.Read(topic, 0, 0, int64(len(sizes)))
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = r.NextBatch(ended)
			for until := time.Now().Add(time.Minute); len(c.unpacker.turn) == 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(until) {
					t.Fatal("it does not read ahead")
				}
			}
			time.Sleep(20 * time.Millisecond)
			r.Close()
			if len(c.unpacker.turn) != 0 {
				t.Error("others wait for it")
			}
		})
	}
}

// TestReadersTakeTurnsAtLargeBatches: readers that read large batches at the same time all come to their ends, also when
// nobody releases a batch, and one that is closed in the middle keeps nobody waiting.
func TestReadersTakeTurnsAtLargeBatches(t *testing.T) {
	t.Parallel()
	const batches = 4
	c, topic := zeros(t, repeat(usualUnpacked+1, batches)...)
	c.Share(1, 3, 64<<20)
	closed := c.Read(topic, 0, 0, batches)
	if _, err := closed.NextBatch(limit(t)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // it unpacks the next one, or waits for its turn to
	closed.Close()
	errs := make(chan error)
	for range 3 {
		r := c.Read(topic, 0, 0, batches)
		go func() {
			defer r.Close()
			n := 0
			for {
				records, _, err := r.Next(limit(t))
				if n += len(records); err != nil {
					if errors.Is(err, io.EOF) && n == batches {
						err = nil
					}
					errs <- err
					return
				}
			}
		}()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	c.Share(1, 3, 1)
	r := c.Read(topic, 0, 0, batches)
	defer r.Close()
	var large *LargeBatchError
	if _, err := r.NextBatch(limit(t)); !errors.As(err, &large) || large.First != 0 || large.Next != 1 || large.Most != usualUnpacked {
		t.Fatal(err)
	}
}

// TestAnOldLargeMessageIsRefused: topics from before Kafka 0.11 have no other bound.
func TestAnOldLargeMessageIsRefused(t *testing.T) {
	t.Parallel()
	message := func(offset int64, value []byte, codec int8) []byte {
		m := kmsg.NewMessageV1()
		m.Offset, m.Magic, m.Attributes, m.Value = offset, 1, codec, value
		raw := m.AppendTo(nil)
		binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
		binary.BigEndian.PutUint32(raw[12:], crc32.ChecksumIEEE(raw[16:]))
		return raw
	}
	c, err := kgo.DefaultCompressor(kgo.GzipCompression())
	if err != nil {
		t.Fatal(err)
	}
	packed, _ := c.Compress(&bytes.Buffer{}, message(0, make([]byte, 20<<20), 0))
	part := kmsg.NewFetchResponseTopicPartition()
	part.Partition = 3
	part.RecordBatches = append(message(0, []byte("x"), 0), message(1, packed, 1)...)
	r := limited(t.Context(), newUnpacker(0, 10<<20))
	if records, next, err := unpackedRecords(r, &part, 0); len(records) != 1 || next != 1 || err != nil {
		t.Fatalf("%d records, next %d, %v", len(records), next, err)
	}
	part.RecordBatches = part.RecordBatches[len(message(0, []byte("x"), 0)):]
	var final *finalError
	var large *LargeBatchError
	if _, _, err := r.process(&part, 1); !errors.As(err, &final) || !errors.As(err, &large) || large.Next != 2 {
		t.Fatal(err)
	}
	r = limited(t.Context(), newUnpacker(0, 30<<20))
	if records, _, err := unpackedRecords(r, &part, 1); len(records) != 1 || err != nil {
		t.Fatalf("%d records, %v", len(records), err)
	}
}
