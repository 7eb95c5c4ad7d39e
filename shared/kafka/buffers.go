package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// largestKept is the largest buffer for decompressed batches that is kept for another one.
const largestKept = 4 << 20

// buffers are the buffers that a reader decompresses batches into, two or three in turn.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
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
	return out
}

// PutDecompressBytes implements [kgo.PoolDecompressBytes].
func (b *buffers) PutDecompressBytes(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < 3 && cap(buffer) > 0 && cap(buffer) <= largestKept {
		b.free = append(b.free, buffer[:0])
	}
}
