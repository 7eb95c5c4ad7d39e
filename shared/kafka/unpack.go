package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
)

// usualUnpacked is what a batch unpacks to at most for readers to unpack as many as they like. Of larger ones there is
// one at a time. It is also the largest window that zstd has up to level 19.
const usualUnpacked = 8 << 20

// LargeBatchError is a record batch that unpacks to more than is allowed: see [Consumer.Share]. Trying again is of no use.
type LargeBatchError struct {
	// First is the batch's first offset, Next the one after its last.
	First, Next int64
	// Packed is the batch's size in bytes as the broker has it, Most how many bytes it may unpack to.
	Packed, Most int64
}

// Error implements error.
func (e *LargeBatchError) Error() string {
	return fmt.Sprintf("the record batch at offsets %d to %d, of %d bytes, unpacks to more than %d bytes", e.First, e.Next-1, e.Packed, e.Most)
}

// unpacker unpacks the batches of a consumer's readers.
type unpacker struct {
	buffers buffers
	// usual unpacks to usualUnpacked bytes at most, large to most.
	usual, large kgo.Decompressor
	most         int64
	// turn is full while a reader has a batch of large, apart while one has that is read apart.
	turn, apart chan struct{}
}

// newUnpacker makes one that keeps some bytes of buffers, and unpacks batches to most bytes.
func newUnpacker(kept, most int64) *unpacker {
	u := &unpacker{most: min(max(most, usualUnpacked), math.MaxInt32), turn: make(chan struct{}, 1), apart: make(chan struct{}, 1)}
	u.buffers.most = int(max(kept, largestKept))
	u.usual, u.large = bounded(usualUnpacked, &u.buffers), bounded(u.most, &u.buffers)
	return u
}

// bounded is the library's decompressor with a bound, which it gives only to its clients.
func bounded(most int64, pool kgo.Pool) kgo.Decompressor {
	// Options that exist give no error, and nothing is dialled.
	client, _ := kgo.NewClient(kgo.WithDecompressor(kgo.DefaultDecompressor(pool)), kgo.MaxDecompressBatchBytes(int(most)), kgo.DisableClientMetrics())
	defer client.Close()
	d, _ := client.OptValue(kgo.WithDecompressor).(kgo.Decompressor)
	return d
}

// unpack gives a batch its records, which are packed with a codec. For a large one it waits until turn is free, which
// the batch keeps until it is released. A *[LargeBatchError] when it is too large.
func (u *unpacker) unpack(ctx context.Context, b *Batch, codec kgo.CompressionCodecType, turn chan struct{}) error {
	packed := b.left
	out, err := u.usual.Decompress(packed, codec)
	if outgrown(err) {
		select {
		case turn <- struct{}{}:
			b.turn = turn
		case <-ctx.Done():
			return ctx.Err()
		}
		out, err = u.large.Decompress(packed, codec)
	}
	switch {
	case outgrown(err):
		b.Release()
		return &LargeBatchError{First: b.first, Next: b.after, Packed: int64(len(packed)), Most: u.most}
	case err != nil:
		b.Release()
		return b.bad(err.Error())
	}
	b.left, b.buffer = out, &out
	return nil
}

// outgrown says that something unpacks to more than a decompressor's bound, or declares that more is needed to do so.
func outgrown(err error) bool {
	return errors.Is(err, kgo.ErrMaxDecompress) || errors.Is(err, zstd.ErrWindowSizeExceeded)
}
