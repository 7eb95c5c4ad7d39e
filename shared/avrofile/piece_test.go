package avrofile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// plainly writes a file's bytes as the format is defined, with memory of its own for each block.
func plainly(t *testing.T, f *Format, sync Sync, all [][]byte) []byte {
	t.Helper()
	out := append(bytes.Clone(f.header), sync[:]...)
	var block []byte
	var count int64
	flush := func() {
		if count == 0 {
			return
		}
		packed := block
		switch f.codec {
		case Deflate:
			var to bytes.Buffer
			d, err := flate.NewWriter(&to, flate.DefaultCompression)
			if err != nil {
				t.Error(err)
			}
			_, _ = d.Write(block)
			_ = d.Close()
			packed = to.Bytes()
		case Snappy:
			packed = binary.BigEndian.AppendUint32(s2.EncodeSnappy(nil, block), crc32.ChecksumIEEE(block))
		case Zstandard:
			e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithWindowSize(512<<10))
			if err != nil {
				t.Error(err)
			}
			packed = e.EncodeAll(block, nil)
			_ = e.Close()
		}
		out = binary.AppendVarint(binary.AppendVarint(out, count), int64(len(packed)))
		out = append(append(out, packed...), sync[:]...)
		block, count = nil, 0
	}
	for _, body := range all {
		if len(block) > 0 && len(block)+len(body) > 256<<10 {
			flush()
		}
		block, count = append(block, body...), count+1
		if len(block) >= 256<<10 || count-int64(len(block)) >= 4096 {
			flush()
		}
	}
	flush()
	return out
}

// late copies the pieces that it takes some time later, and spoils the memory that it gives back.
type late struct {
	out    []byte
	waits  []Piece
	random *rand.Rand
}

func (l *late) Take(p Piece) error {
	l.waits = append(l.waits, p)
	for len(l.waits) > l.random.IntN(6) {
		l.copy()
	}
	return nil
}

func (l *late) copy() {
	p := l.waits[0]
	l.waits, l.out = l.waits[1:], append(l.out, p.Bytes()...)
	whole := p.whole[:cap(p.whole)]
	for i := range whole {
		whole[i] = 0xa5
	}
	p.Release()
}

// TestFilesInMemoryThatIsUsedAgain: files that are written at the same time, in memory that one has left to another, have
// the bytes that they should have.
func TestFilesInMemoryThatIsUsedAgain(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for n := range 12 {
				f, err := NewFormat(`"bytes"`, codecs[n%len(codecs)])
				if err != nil {
					t.Error(err)
					return
				}
				// Most bodies are small; some fill a block, or more than one.
				all := make([][]byte, random.IntN(1500))
				for i := range all {
					size := random.IntN(800)
					switch random.IntN(400) {
					case 0:
						size = random.IntN(600 << 10)
					case 1:
						size = 0
					}
					all[i] = make([]byte, size)
					letters := 1 + random.IntN(256)
					for at := range all[i] {
						all[i][at] = byte(random.IntN(letters))
					}
				}
				to := &late{random: random}
				w := f.NewWriterTo(to, Sync{byte(seed), byte(n)})
				for _, body := range all {
					if err := w.Append(body); err != nil {
						t.Error(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
				for len(to.waits) > 0 {
					to.copy()
				}
				if want := plainly(t, f, w.sync, all); !bytes.Equal(to.out, want) {
					t.Errorf("%s, %d bodies: %d bytes, want %d, or others", f.codec, len(all), len(to.out), len(want))
				}
			}
		})
	}
	wg.Wait()
}
