package kafka

import (
	"sync"
	"sync/atomic"

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

// memories are the buffers that a reader reads responses into, one after the other.
type memories struct {
	mu   sync.Mutex
	free [][]byte
}

// memory is a buffer with a response. It is used again once everybody who refers to it has released it; where somebody
// does not, the collector finds it.
type memory struct {
	all   *memories
	bytes []byte
	users atomic.Int32
}

// get returns a buffer of a size at least, with one user.
func (m *memories) get(size int) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := &memory{all: m}
	one.users.Store(1)
	if n := len(m.free); n > 0 {
		one.bytes, m.free = m.free[n-1], m.free[:n-1]
	}
	if cap(one.bytes) < size {
		one.bytes = make([]byte, 0, size)
	}
	return one
}

// use says that there is a further user. A response of the library's has no memory of ours.
func (m *memory) use() *memory {
	if m != nil {
		m.users.Add(1)
	}
	return m
}

func (m *memory) release() {
	if m == nil || m.users.Add(-1) > 0 {
		return
	}
	m.all.mu.Lock()
	defer m.all.mu.Unlock()
	if len(m.all.free) < alive && cap(m.bytes) <= largestMemory {
		m.all.free = append(m.all.free, m.bytes[:0])
	}
}

// largestMemory is the largest buffer for responses that is kept: larger ones are for batches that are larger than a
// response should be.
const largestMemory = 16 << 20
