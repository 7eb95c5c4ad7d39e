package avrofile

import (
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// Piece is a part of a container file, its header or a block, with the memory that it lies in.
type Piece struct {
	whole []byte
	from  int
}

// Bytes is the piece's content, which is valid until Release is called.
func (p Piece) Bytes() []byte { return p.whole[p.from:] }

// Held is how many bytes of memory the piece holds.
func (p Piece) Held() int { return cap(p.whole) }

// Release gives the piece's memory back. It may be left out.
func (p Piece) Release() {
	if cap(p.whole) != pieceSize {
		return
	}
	freePieces.Lock()
	defer freePieces.Unlock()
	if len(freePieces.all) < mostFree {
		freePieces.all = append(freePieces.all, p.whole[:0])
	}
}

const (
	// headRoom is room for a block's count and size, which are known when it is complete.
	headRoom = 20
	// pieceSize is the size of the memory of nearly all pieces: room for a block that cannot be compressed.
	pieceSize = blockSize + blockSize/4
	// smallPiece is how much a block has when it gets that memory; most blocks of small files are smaller.
	smallPiece = 128 << 10
	// mostFree is how many pieces' memory is kept: 5 MiB.
	mostFree = 16
)

// freePieces are used again. A sync.Pool would lose them to every collection.
var freePieces struct {
	sync.Mutex
	all [][]byte
}

// fresh is memory for a block: room for its head, and for some bytes more; for 0 bytes, that of nearly all pieces.
func fresh(size int) []byte {
	if n := headRoom + size; n > pieceSize || size > 0 && n <= smallPiece {
		return make([]byte, headRoom, n)
	}
	freePieces.Lock()
	defer freePieces.Unlock()
	if n := len(freePieces.all); n > 0 {
		b := freePieces.all[n-1]
		freePieces.all = freePieces.all[:n-1]
		return b[:headRoom]
	}
	return make([]byte, headRoom, pieceSize)
}

// grown is a block with room for more bytes.
func grown(block []byte, more int) []byte {
	switch need := max(len(block), headRoom) + more; {
	case block == nil:
		return make([]byte, headRoom, need)
	case need <= smallPiece || need > pieceSize:
		return slices.Grow(block, more)
	default:
		return append(fresh(0), block[headRoom:]...)
	}
}

// mostPacked is how much a block comes to at most when it is compressed.
func mostPacked(codec string, size int) int {
	if codec == Snappy {
		return s2.MaxEncodedLen(size) + 4
	}
	return size + size/64 + 1024
}
