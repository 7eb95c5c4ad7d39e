package drain

import (
	"math/bits"
	"sync"
)

const (
	// smallestBuffer and largestBuffer are the sizes of buffers that are used again, in powers of two.
	smallestBuffer = 64 << 10
	largestBuffer  = 16 << 20
)

// freeBuffers are buffers of files that are done, by the power of two that is their size.
var freeBuffers [bits.UintSize]sync.Pool

// appendTo appends to a buffer, which it replaces by one of twice the size when it is too small.
func appendTo(to, b []byte) []byte {
	need := len(to) + len(b)
	if need <= cap(to) {
		return append(to, b...)
	}
	if need < smallestBuffer || need > largestBuffer {
		return append(to, b...)
	}
	class := bits.Len(uint(need - 1))
	free, _ := freeBuffers[class].Get().(*[]byte)
	if free == nil {
		made := make([]byte, 0, 1<<class)
		free = &made
	}
	grown := append(append((*free)[:0], to...), b...)
	release(to)
	return grown
}

// release gives back a buffer that nothing refers to any more.
func release(b []byte) {
	if n := cap(b); n >= smallestBuffer && n <= largestBuffer && n&(n-1) == 0 {
		freeBuffers[bits.Len(uint(n-1))].Put(&b)
	}
}
