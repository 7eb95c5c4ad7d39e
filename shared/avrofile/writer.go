package avrofile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// ErrCodec says that a codec's name is not one of those that are built.
var ErrCodec = errors.New("unknown Avro codec")

// The codecs of a container file, as the file's metadata names them.
const (
	Null      = "null"
	Deflate   = "deflate"
	Snappy    = "snappy"
	Zstandard = "zstandard"
)

// blockSize is the size in bytes from which a block is closed, before compression; maxIdle is how many records more than
// bytes it may have, for records that take no bytes: readers take many of them for an attack.
const (
	blockSize = 256 << 10
	maxIdle   = 4096
)

// Sync is the marker between a container file's blocks.
type Sync [16]byte

// SyncOf is the marker of the file whose first record is at offset first of a topic-partition: the same records give
// the same file whoever writes it.
func SyncOf(topic string, partition int32, first int64) Sync {
	text := "riftline\x00" + topic + "\x00" + strconv.FormatInt(int64(partition), 10) + "\x00" + strconv.FormatInt(first, 10)
	sum := sha256.Sum256([]byte(text))
	return Sync(sum[:16])
}

// Format is a schema and a codec: what the files of one schema share. It is safe for concurrent use.
type Format struct {
	header []byte // up to, and not including, the sync marker
	codec  string
}

// NewFormat prepares files of a schema. ErrCodec; the schema is not looked at, [Compile] does that.
//
// The header is written here and not by goavro, which encodes its metadata in the order in which Go ranges over a map:
// the same file would have other bytes each time, and it knows no zstandard.
func NewFormat(schemaText, codec string) (*Format, error) {
	switch codec {
	case Null, Deflate, Snappy, Zstandard:
	default:
		return nil, fmt.Errorf("%w %q: use null, deflate, snappy or zstandard", ErrCodec, codec)
	}
	h := []byte("Obj\x01")
	h = binary.AppendVarint(h, 2)
	h = appendBytes(h, "avro.schema")
	h = appendBytes(h, schemaText)
	h = appendBytes(h, "avro.codec")
	h = appendBytes(h, codec)
	h = binary.AppendVarint(h, 0)
	return &Format{header: h, codec: codec}, nil
}

func appendBytes(to []byte, s string) []byte {
	return append(binary.AppendVarint(to, int64(len(s))), s...)
}

// packers is how many blocks of a file are compressed at a time while the next one fills.
const packers = 2

// Writer writes a container file. Its bytes depend on the format, the sync marker and the bodies alone. Blocks are
// compressed in goroutines of their own, and written in their order.
type Writer struct {
	out     io.Writer
	format  *Format
	sync    Sync
	started bool

	block []byte
	count int64
	// packing are the blocks that are being compressed, the oldest first.
	packing []*packed
	// head, and free, whose buffers are not in use, are kept from block to block.
	head []byte
	free []*packed
	// holding is how many bytes the buffers of packing and free have.
	holding int
}

// packed is a block that is compressed, or will be when done is closed.
type packed struct {
	block, out []byte
	count      int64
	done       chan struct{}
	err        error
	// held is what the buffers count for in the writer's holding.
	held int
}

// NewWriter begins a file; nothing is written before the first block is full or [Writer.Close] is called.
func (f *Format) NewWriter(out io.Writer, sync Sync) *Writer {
	return &Writer{out: out, format: f, sync: sync}
}

// Append adds a record by its binary form, which must fit the schema: [Walk.Check].
func (w *Writer) Append(body []byte) error {
	if len(w.block) > 0 && len(w.block)+len(body) > blockSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.block = append(w.block, body...)
	w.count++
	if len(w.block) >= blockSize || w.count-int64(len(w.block)) >= maxIdle {
		return w.flush()
	}
	return nil
}

// Buffered is how many bytes of memory are held: buffers of records that wait for their block to be full, of blocks that
// are being compressed and of those to come, and before the first block the file's header, which Close writes if nothing
// else does.
func (w *Writer) Buffered() int {
	held := cap(w.block) + w.holding
	if !w.started {
		held += len(w.format.header) + len(w.sync)
	}
	return held
}

// Close writes what is left, and the header of a file without records. It does not close the underlying writer.
func (w *Writer) Close() error {
	err := w.begin()
	if err == nil && w.count > 0 {
		if w.format.codec == Null {
			err = w.writeBlock(w.block, w.count)
		} else {
			p := w.take()
			if len(w.packing) == 0 {
				p.pack(w.format.codec)
			} else {
				go p.pack(w.format.codec)
			}
			w.packing = append(w.packing, p)
		}
	}
	for err == nil && len(w.packing) > 0 {
		err = w.writeOldest()
	}
	w.block, w.count, w.head, w.packing, w.free, w.holding = nil, 0, nil, nil, nil, 0
	return err
}

func (w *Writer) begin() error {
	if w.started {
		return nil
	}
	w.started = true
	return w.write(w.format.header, w.sync[:])
}

// flush ends the block.
func (w *Writer) flush() error {
	if err := w.begin(); err != nil {
		return err
	}
	if w.format.codec == Null {
		err := w.writeBlock(w.block, w.count)
		w.block, w.count = emptied(w.block), 0
		return err
	}
	if len(w.packing) == packers {
		if err := w.writeOldest(); err != nil {
			return err
		}
	}
	p := w.take()
	w.packing = append(w.packing, p)
	go p.pack(w.format.codec)
	return nil
}

// take makes the block one to be compressed, and begins an empty one.
func (w *Writer) take() *packed {
	p := &packed{}
	if n := len(w.free); n > 0 {
		p, w.free = w.free[n-1], w.free[:n-1]
	}
	p.block, w.block = w.block, emptied(p.block)
	p.count, w.count = w.count, 0
	p.done = make(chan struct{})
	out := cap(p.out)
	if out == 0 {
		out = len(p.block) // as much as it may come to
	}
	w.hold(p, cap(p.block)+out)
	return p
}

// hold counts what the buffers of a block have.
func (w *Writer) hold(p *packed, n int) {
	w.holding += n - p.held
	p.held = n
}

// emptied is a buffer to be used again, unless a large record has made it one that is not worth keeping.
func emptied(b []byte) []byte {
	if cap(b) > 2*blockSize {
		return nil
	}
	return b[:0]
}

// writeOldest writes the oldest of the blocks that are being compressed, when it is.
func (w *Writer) writeOldest() error {
	p := w.packing[0]
	<-p.done
	w.packing = append(w.packing[:0], w.packing[1:]...)
	if p.err != nil {
		return p.err
	}
	err := w.writeBlock(p.out, p.count)
	p.block, p.out = emptied(p.block), emptied(p.out)
	w.hold(p, cap(p.block)+cap(p.out))
	w.free = append(w.free, p)
	return err
}

func (w *Writer) writeBlock(data []byte, count int64) error {
	w.head = binary.AppendVarint(w.head[:0], count)
	w.head = binary.AppendVarint(w.head, int64(len(data)))
	return w.write(w.head, data, w.sync[:])
}

func (w *Writer) write(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := w.out.Write(p); err != nil {
			return fmt.Errorf("writing an Avro block: %w", err)
		}
	}
	return nil
}

// pack compresses the block (Avro 1.12 specification, "Required Codecs" and "Optional Codecs").
func (p *packed) pack(codec string) {
	defer close(p.done)
	switch codec {
	case Deflate:
		p.deflate()
	case Snappy:
		p.out = s2.EncodeSnappy(p.out[:cap(p.out)], p.block)
		// The sum is of the uncompressed block.
		p.out = binary.BigEndian.AppendUint32(p.out, crc32.ChecksumIEEE(p.block))
	case Zstandard:
		p.out = zstandard().EncodeAll(p.block, p.out[:0])
	}
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

var deflaters = sync.Pool{New: func() any {
	// A level that exists gives no error.
	d, _ := flate.NewWriter(io.Discard, flate.DefaultCompression)
	return d
}}

func (p *packed) deflate() {
	d, _ := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(d)
	to := appender{b: p.out[:0]}
	d.Reset(&to)
	_, err := d.Write(p.block)
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		p.err = fmt.Errorf("deflating an Avro block: %w", err)
	}
	p.out = to.b
}

// zstandard is shared: EncodeAll may be called concurrently. One encoder of its own per processor is its default.
var zstandard = sync.OnceValue(func() *zstd.Encoder {
	// Options that exist give no error.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false), zstd.WithWindowSize(2*blockSize))
	return e
})
