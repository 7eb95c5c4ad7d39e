package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// largestKept is the largest buffer for decompressed batches that is kept for another one.
const largestKept = 4 << 20

// buffers are the buffers that readers decompress batches into, two or three in turn each.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
	// held is how many bytes the free ones have, most how many are kept.
	held, most int
}

var _ kgo.PoolDecompressBytes = (*buffers)(nil)

// GetDecompressBytes implements [kgo.PoolDecompressBytes].
func (b *buffers) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.free)
	if n == 0 {
		return nil
	}
	out := b.free[n-1]
	b.free = b.free[:n-1]
	b.held -= cap(out)
	return out
}

// PutDecompressBytes implements [kgo.PoolDecompressBytes].
func (b *buffers) PutDecompressBytes(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := cap(buffer); n > 0 && n <= largestKept && b.held+n <= b.most {
		b.free = append(b.free, buffer[:0])
		b.held += n
	}
}
